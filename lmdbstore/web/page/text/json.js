/**
 * JSON as tokens of its own text: numbers, escapes and the order of keys stay as they were written, and
 * marks fit. Only a whole object or array counts as JSON.
 *
 * @typedef {object} Token
 * @property {number} start
 * @property {number} end
 * @property {"key"|"string"|"number"|"word"|"open"|"close"|"comma"|"colon"|"space"} kind
 */

const TOKEN =
  /("(?:[^"\\]|\\.)*")(?=(\s*:)?)|(-?\d[\d.eE+-]*)|(true|false|null)|([[{])|([\]}])|(,)|(:)|(\s+)/gy;
const KINDS = [null, "string", null, "number", "word", "open", "close", "comma", "colon", "space"];
const LONGEST = 200000; // characters; a longer content is shown as text

/** Return the tokens of a content, or null if it is no object or array. @param {string} content */
export function tokens(content) {
  if (!/^\s*[[{]/.test(content) || content.length > LONGEST || !isJSON(content)) return null;
  const found = [];
  for (const match of content.matchAll(TOKEN)) {
    const kind = KINDS.findIndex((name, group) => name && match[group] !== undefined);
    found.push({
      start: match.index,
      end: match.index + match[0].length,
      kind: match[2] === undefined ? KINDS[kind] : "key",
    });
  }
  return found;
}

function isJSON(content) {
  try {
    JSON.parse(content);
    return true;
  } catch {
    return false;
  }
}

/**
 * Give the tokens line breaks and indentation: a text goes before each token that begins a line.
 * @param {Token[]} list
 * @returns {(Token & {before: string})[]} without the spaces that were there
 */
export function laidOut(list) {
  const solid = list.filter((token) => token.kind !== "space");
  let depth = 0;
  return solid.map((token, index) => {
    const last = solid[index - 1]?.kind;
    if (token.kind === "close") depth -= 1;
    const empty = token.kind === "close" && last === "open";
    const breaks = !empty && (last === "open" || last === "comma" || token.kind === "close");
    const before = breaks ? `\n${"  ".repeat(depth)}` : last === "colon" ? " " : "";
    if (token.kind === "open") depth += 1;
    return { ...token, before };
  });
}
