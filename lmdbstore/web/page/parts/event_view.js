/** One event in full, between its neighbours of the same source. */

import { address } from "../base/address.js";
import { ask, Failure } from "../base/api.js";
import { clock } from "../base/dates.js";
import { byId, element, some } from "../base/dom.js";
import { asFields, asWritten } from "../text/contents.js";
import { levelOf, row } from "./rows.js";

const NEIGHBOURS = "5";
const SHOWN = 200000; // characters of a content, until all of them are asked for
const overlay = matchMedia("(max-width: 1000px)"); // the event then covers the page
const room = byId("event");
const body = byId("event-body");
let request = new AbortController();
let backTo = /** @type {HTMLElement|null} */ (null);

/** Make the room of the event work. */
export function eventView() {
  byId("event-close").addEventListener("click", closeEvent);
  body.addEventListener("click", (click) => openOf(click));
  overlay.addEventListener("change", () => openRoom(!room.hidden));
  body.addEventListener("keydown", (press) => {
    if (press.key === "Enter" && press.target.matches(".row")) openOf(press);
  });
}

/** Open the event of the row that was clicked. @param {UIEvent} click */
export function openOf(click) {
  const target = /** @type {HTMLElement} */ (click.target);
  const chosen = /** @type {HTMLElement|null} */ (target.closest(".row"));
  const other = click.ctrlKey || click.metaKey || click.shiftKey; // the browser's own ways
  if (!chosen || target.closest("button") || (other && target.closest("a"))) return;
  if (getSelection()?.toString() && click.type === "click") return; // a text was marked
  click.preventDefault();
  openRow(chosen);
}

/** Open the event of a row. @param {HTMLElement} chosen */
export function openRow(chosen) {
  if (!room.contains(chosen)) backTo = chosen;
  address.change({ event: chosen.dataset.id });
}

/** Close the event, and go back to its row. */
export function closeEvent() {
  address.change({ event: null });
}

/** Show the event of the address. @param {boolean} moved whether it is another one than before */
export async function showEvent(moved) {
  const { event: id, match, zone, at } = address.state;
  request.abort();
  request = new AbortController();
  const wasOpen = !room.hidden;
  openRoom(id !== null);
  if (id === null) return wasOpen ? giveBack() : undefined;
  body.setAttribute("aria-busy", "true");
  try {
    const shown = { ...(match && { match }), ...(at && { at }) };
    const query = { id, before: NEIGHBOURS, after: NEIGHBOURS, ...shown };
    const found = await ask("event", query, request.signal);
    body.replaceChildren(...described(found, zone));
  } catch (failure) {
    if (!(failure instanceof Failure)) return; // it was aborted
    if (failure.field !== "match" || !wasOpen) body.replaceChildren(missing(failure));
  }
  body.setAttribute("aria-busy", "false");
  markRows(id);
  if (moved) byId("event-title").focus({ preventScroll: true });
}

function openRoom(open) {
  room.hidden = !open;
  document.body.classList.toggle("with-event", open);
  for (const other of document.querySelectorAll("header, .below, #facets, main")) {
    other.inert = open && overlay.matches;
  }
}

/** @param {Failure} failure */
function missing({ code, message }) {
  const gone = code === "not_found";
  const text = gone ? "There is no such event: it may have been deleted." : message;
  return element("p", { class: "partial" }, text);
}

function giveBack() {
  markRows(null);
  const back = backTo?.isConnected ? backTo : byId("list");
  back.focus({ preventScroll: true });
}

/** Mark the rows of the open event. @param {string|null} id */
export function markRows(id) {
  for (const one of document.querySelectorAll(".row[aria-current]"))
    one.removeAttribute("aria-current");
  for (const one of document.querySelectorAll(".row")) {
    if (one.dataset.id === id) one.setAttribute("aria-current", "true");
  }
}

function described({ event, before, after }, zone) {
  return [facts(event, zone), whole(event), neighbours({ event, before, after }, zone)];
}

function facts({ id, source, timestamp, tags }, zone) {
  const { day, time, fraction } = clock(timestamp, zone);
  const all = (part) => address.change(part);
  const flags = tags.map((flag) =>
    element(
      "button",
      {
        type: "button",
        class: `flag ${levelOf(flag)}`,
        title: "Show only these",
        click: () => all({ flag: [...new Set([...address.state.flag, flag])] }),
      },
      flag,
    ),
  );
  const ofSource = element(
    "button",
    { type: "button", class: "plain", title: "Show only these", click: () => all({ source }) },
    source || "(none)",
  );
  const pairs = [
    [
      "Time",
      element("span", {}, `${day} ${time}${fraction} `, element("span", { class: "zone" }, zone)),
    ],
    ["Source", ofSource],
    ["Flags", flags.length ? element("span", { class: "flags" }, ...flags) : "–"],
    ["Id", element("code", {}, id)],
  ];
  return element(
    "dl",
    { class: "facts" },
    ...pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}

/** The content: as fields if it is JSON, and as it is written. */
function whole({ content, marks = [] }) {
  const fields = asFields(content, marks);
  const written = (end) => asWritten(content, marks, end);
  const shown = element(
    "pre",
    { class: "content", role: "group", tabindex: 0, "aria-label": "Content" },
    fields ?? written(SHOWN),
  );
  const button = (name, click) =>
    element("button", { type: "button", class: "plain", click }, name);
  const copy = button("Copy", () => copied(copy, content));
  const raw = button("As written", () => {
    const asIs = raw.getAttribute("aria-pressed") !== "true";
    raw.setAttribute("aria-pressed", String(asIs));
    shown.replaceChildren(asIs ? written(SHOWN) : asFields(content, marks));
  });
  raw.setAttribute("aria-pressed", "false");
  const all = button(
    "Show all",
    () => (shown.replaceChildren(written(content.length)), all.remove()),
  );
  const size = element("span", { class: "quiet" }, some(content.length, "character"));
  const more = [...(fields ? [raw] : []), ...(content.length > SHOWN ? [all] : []), copy];
  const head = element("div", { class: "head" }, element("h3", {}, "Content"), size, ...more);
  return element("section", {}, head, shown);
}

/** Copy a text, and say so on the button. @param {HTMLElement} button @param {string} text */
async function copied(button, text) {
  const name = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed to copy";
  }
  setTimeout(() => (button.textContent = name), 1500);
}

function neighbours({ event, before, after }, zone) {
  const rows = [...before, event, ...after].map((one) => {
    const made = row(one, zone);
    made.tabIndex = 0;
    return made;
  });
  const head = element(
    "div",
    { class: "head" },
    element("h3", {}, "Before and after"),
    element("span", { class: "quiet" }, event.source ? `in ${event.source}` : "of no source"),
  );
  return element("section", { class: "neighbours" }, head, ...rows);
}
