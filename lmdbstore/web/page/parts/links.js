/** Links to what is shown: to the state of a commit, and to files of it. */

import { address, conditions, link } from "../base/address.js";
import { callOf } from "../base/api.js";
import { iso, isRelative, seconds } from "../base/dates.js";
import { announce, byId } from "../base/dom.js";

const FORMATS = ["jsonl", "csv"];

const shown = { now: 0, position: "" };
let followed = () => /** @type {string|undefined} */ (undefined);

/**
 * Make the links work.
 * @param {() => string|undefined} position that the page has followed the store to
 */
export function links(position) {
  followed = position;
  for (const format of FORMATS) byId(`export-${format}`).addEventListener("click", fillExport);
  byId("pin").addEventListener("click", togglePin);
  byId("unpin").addEventListener("click", togglePin);
  byId("export").addEventListener("toggle", fillExport);
  byId("export").addEventListener("keydown", (press) => {
    if (press.key !== "Escape" || !byId("export").open) return;
    press.stopPropagation();
    byId("export").open = false;
    byId("export").querySelector("summary").focus();
  });
  document.addEventListener("pointerdown", ({ target }) => {
    if (!byId("export").contains(target)) byId("export").open = false;
  });
}

/**
 * Note what the list is of: the time that relative times are relative to, and the position of the store.
 * @param {{now?: number, position?: string}} part
 */
export function noteState(part) {
  Object.assign(shown, part);
}

const position = () => followed() ?? shown.position;

/** Pin the page to the state that it shows, and copy the link; or show the present again. */
export async function togglePin() {
  const { state } = address;
  if (document.activeElement === byId("unpin")) byId("pin").focus(); // it goes
  if (state.at) return address.change({ at: "" });
  if (!position()) return;
  address.change({
    at: position(),
    since: fixed(state.since),
    until: fixed(state.until),
    zone: state.zone,
  });
  try {
    await navigator.clipboard.writeText(new URL(link(address.state), location.href).href);
    announce("Pinned; the link is copied");
  } catch {
    announce("Pinned; the address is the link");
  }
}

/** A time that does not move with the clock. @param {string} text */
function fixed(text) {
  return isRelative(text) ? iso(seconds(text, address.state.zone, shown.now)) : text;
}

/** Give the links of the files the conditions that are in force now, so that they have what is shown. */
function fillExport() {
  for (const format of FORMATS) {
    const place = byId(`export-${format}`);
    try {
      const query = conditions(address.state, shown.now);
      if (position()) query.set("at", address.state.at || position());
      query.set("order", address.state.order);
      query.set("format", format);
      place.setAttribute("href", callOf("export", query));
    } catch {
      place.removeAttribute("href"); // of a time that means nothing there is no list, either
    }
  }
}

/** Open the choice of a file. */
export function openExport() {
  byId("export").open = true;
  byId("export").querySelector("a").focus();
}

/** Show whether the page is pinned. */
export function showPin() {
  const { at } = address.state;
  byId("pin").setAttribute("aria-pressed", String(Boolean(at)));
  byId("pinned").hidden = !at;
}
