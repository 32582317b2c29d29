/**
 * The state of the page, all of which is in its address. Every other part reads `address.state`,
 * changes it with `address.change`, and is told by `address.listen`; so a link shows the same, and
 * the browser's Back and Forward work.
 */

import { here, isZone, seconds } from "./dates.js";

/**
 * @typedef {object} State
 * @property {string} since a time, see `dates.js`; "" for none
 * @property {string} until
 * @property {string} match a pattern; "" for none
 * @property {string[]} flag all of them
 * @property {string[]} any_flag one of them
 * @property {string[]} not_flag none of them
 * @property {string|null} source
 * @property {string} where a JSON object; "" for none
 * @property {"desc"|"asc"} order
 * @property {string} at the position of a commit that the page is pinned to; "" for none
 * @property {string|null} event the id of the event that is open
 * @property {boolean} live
 * @property {string} zone an IANA name
 */

const TEXTS = ["since", "until", "match", "where", "at"];
const LISTS = ["flag", "any_flag", "not_flag"];

/** Read a query string. @param {string} query @returns {State} */
export function parse(query) {
  const given = new URLSearchParams(query);
  const state = { source: given.get("source"), event: given.get("event") };
  for (const name of TEXTS) state[name] = given.get(name) ?? "";
  for (const name of LISTS) state[name] = [...new Set(given.getAll(name))];
  state.live = given.get("live") === "1" && !state.at;
  state.order = given.get("order") === "asc" && !state.live ? "asc" : "desc";
  state.zone = isZone(given.get("zone") ?? "") ? given.get("zone") : here();
  return /** @type {State} */ (state);
}

/** Write a state as a query string. @param {State} state */
export function format(state) {
  const query = new URLSearchParams();
  for (const name of TEXTS) if (state[name]) query.set(name, state[name]);
  for (const name of LISTS) for (const one of state[name]) query.append(name, one);
  if (state.source !== null) query.set("source", state.source);
  if (state.order === "asc") query.set("order", "asc");
  if (state.zone !== here()) query.set("zone", state.zone);
  if (state.live) query.set("live", "1");
  if (state.event !== null) query.set("event", state.event);
  return query.toString();
}

/** The address of a state. @param {State} state */
export const link = (state) => `/${format(state) && "?"}${format(state)}`;

/**
 * Return the conditions of a state as parameters of a call.
 * @param {State} state
 * @param {number} [now] seconds
 * @throws {RangeError} if a time means nothing
 */
export function conditions(state, now) {
  const query = new URLSearchParams();
  for (const name of ["since", "until"]) {
    const time = seconds(state[name], state.zone, now);
    if (time !== null) query.set(name, String(time));
  }
  for (const name of ["match", "where", "at"]) if (state[name]) query.set(name, state[name]);
  for (const name of LISTS) for (const one of state[name]) query.append(name, one);
  if (state.source !== null) query.set("source", state.source);
  return query;
}

/** What a state asks the store: two states with the same text have the same list. @param {State} state */
export const asked = (state) => format({ ...state, event: null });

/** Whether a state has any condition. @param {State} state */
export const isNarrowed = (state) =>
  Boolean(state.since || state.until || state.match || state.where || state.source !== null) ||
  LISTS.some((name) => state[name].length > 0);

/** The one state of the page. */
class Address {
  constructor() {
    this.state = parse(location.search);
    this.listeners = [];
    addEventListener("popstate", () => this.become(parse(location.search)));
  }

  /** Call `listener(state, before)` after each change. @param {(state: State, before: State) => void} listener */
  listen(listener) {
    this.listeners.push(listener);
  }

  /**
   * Change a part of the state, as a new entry of the browser's history.
   * @param {Partial<State>} part
   */
  change(part) {
    const state = { ...this.state, ...part };
    if (state.at) state.live = false;
    if (state.live) state.order = "desc";
    if (format(state) === format(this.state)) return;
    history.pushState(null, "", link(state));
    this.become(state);
  }

  /** @param {State} state */
  become(state) {
    const before = this.state;
    this.state = state;
    for (const listener of this.listeners) listener(state, before);
  }
}

export const address = new Address();
