/** The calls of the server, and what can go wrong with them. */

/**
 * @typedef {object} Event
 * @property {string} id
 * @property {string} source
 * @property {number} timestamp seconds since 1970
 * @property {string[]} tags
 * @property {string} content
 * @property {[number, number][]} [marks] where the pattern is found, in UTF-16 code units
 * @property {number} [length] characters of the whole content, if this one is cut
 */

/** A call that failed. `code` is the server's, or `gone` if it gave no answer. */
export class Failure extends Error {
  /** @param {{message: string, code: string, field?: string|null, position?: number|null}} error @param {number} status */
  constructor(error, status) {
    super(error.message);
    this.code = error.code;
    this.field = error.field ?? null;
    this.position = error.position ?? null;
    this.status = status;
  }

  /** Whether the server asks for its token again. */
  get refused() {
    return this.status === 401 || this.status === 403;
  }
}

/** The address of a call. @param {string} call @param {URLSearchParams|Object<string, string>} [query] */
export function callOf(call, query = {}) {
  const text = new URLSearchParams(query).toString();
  return `/api/${call}${text && "?"}${text}`;
}

/**
 * Call the server.
 * @param {string} call
 * @param {URLSearchParams|Object<string, string>} [query]
 * @param {AbortSignal} [signal]
 * @throws {Failure} and an `AbortError` if it was aborted
 */
export async function ask(call, query, signal) {
  let answer;
  try {
    answer = await fetch(callOf(call, query), { signal, credentials: "same-origin" });
  } catch (error) {
    throw unlessAborted(error);
  }
  if (!answer.ok) throw new Failure(await errorOf(answer), answer.status);
  try {
    return await answer.json();
  } catch (error) {
    throw unlessAborted(error);
  }
}

/**
 * Return why the server refuses a call that answers without end, or null if it does not.
 * @param {string} call
 * @param {URLSearchParams} query
 * @returns {Promise<Failure|null>}
 */
export async function refusalOf(call, query) {
  const request = new AbortController();
  try {
    const answer = await fetch(callOf(call, query), { signal: request.signal });
    return answer.ok ? null : new Failure(await errorOf(answer), answer.status);
  } catch (error) {
    return unlessAborted(error);
  } finally {
    request.abort();
  }
}

function unlessAborted(error) {
  if (error.name === "AbortError") return error;
  return new Failure({ message: "The server does not answer.", code: "gone" }, 0);
}

async function errorOf(answer) {
  try {
    const { error } = await answer.json();
    return { message: String(error.message), code: String(error.code), ...error };
  } catch {
    return { message: `The server answered with ${answer.status}.`, code: "unknown" };
  }
}
