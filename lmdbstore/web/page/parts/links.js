/** Links to what is shown: to the state of a commit, and to files of it. */

import { address, conditions, link } from "../base/address.js";
import { callOf } from "../base/api.js";
import { iso, isRelative, seconds } from "../base/dates.js";
import { announce, byId } from "../base/dom.js";

let position = "";

/** Make the links work. */
export function links() {
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

/** Note the position of the store at which the list was made. @param {string} now */
export function noteState(now) {
  position = now;
}

/** Pin the page to the state that it shows, and copy the link; or show the present again. */
export async function togglePin() {
  const { state } = address;
  if (state.at) return address.change({ at: "" });
  if (!position) return;
  address.change({
    at: position,
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
  return isRelative(text) || text === "now" ? iso(seconds(text, address.state.zone)) : text;
}

/** Give the links of the files the conditions that are in force now. */
function fillExport() {
  let query;
  try {
    query = conditions(address.state);
  } catch {
    return; // of a time that means nothing there is no list, either
  }
  for (const format of ["jsonl", "csv"]) {
    query.set("order", address.state.order);
    query.set("format", format);
    byId(`export-${format}`).setAttribute("href", callOf("export", query));
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
