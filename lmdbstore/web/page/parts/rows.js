/** One event as a row: time, source, flags, and its content, folded if it is long. */

import { address, link } from "../base/address.js";
import { clock } from "../base/dates.js";
import { element, number } from "../base/dom.js";
import { asWritten, foldAt } from "../text/contents.js";

/** @typedef {import("../base/api.js").Event} Event */

const LEVELS = [
  ["bad", /(^|[:=. _-])(error|err|fatal|crit(ical)?|alert|emerg(ency)?|panic|failed|failure)$/i],
  ["poor", /(^|[:=. _-])(warn(ing)?|timeout)$/i],
];

/** How grave a flag is, as a class. @param {string} flag */
export const levelOf = (flag) => LEVELS.find(([, names]) => names.test(flag))?.[0] ?? "";

const gravest = (flags) =>
  ["bad", "poor"].find((level) => flags.some((flag) => levelOf(flag) === level));

/**
 * Make the row of an event.
 * @param {Event} event
 * @param {string} zone
 * @returns {HTMLElement}
 */
export function row(event, zone) {
  const { source, tags } = event;
  const made = element(
    "article",
    { class: `row ${gravest(tags) ?? ""}`, tabindex: -1, "aria-label": nameOf(event, zone) },
    timeLink(event, zone),
    element("span", { class: "source", title: source }, source || "–"),
    element("div", { class: "what" }, ...tags.map(badge), content(event)),
  );
  made.dataset.id = event.id;
  return made;
}

function nameOf({ timestamp, source, content }, zone) {
  const { day, time } = clock(timestamp, zone);
  return `${day} ${time}, ${source || "no source"}: ${content.slice(0, 120)}`;
}

/** A link to the event. @param {Event} event @param {string} zone */
export function timeLink({ id, timestamp }, zone) {
  const { day, time, fraction } = clock(timestamp, zone);
  return element(
    "a",
    { class: "time", href: link({ ...address.state, event: id, live: false }), tabindex: -1 },
    element("span", { class: "day" }, day),
    " ",
    time,
    element("span", { class: "fraction" }, fraction),
  );
}

const badge = (flag) => element("span", { class: `flag ${levelOf(flag)}` }, flag);

/** @param {Event} event */
function content({ content: text, marks = [], length }) {
  const end = foldAt(text);
  const shown = element("div", { class: "content" }, asWritten(text, marks, end));
  if (end === text.length && !length) return shown;
  const fold = element("button", {
    class: "fold",
    type: "button",
    "aria-expanded": "false",
    tabindex: -1,
  });
  const name = () => {
    const open = fold.getAttribute("aria-expanded") === "true";
    fold.textContent = open ? "Show less" : `Show ${hidden(text, end, length)}`;
  };
  fold.addEventListener("click", (click) => {
    click.stopPropagation();
    const open = fold.getAttribute("aria-expanded") === "true";
    fold.setAttribute("aria-expanded", String(!open));
    shown.replaceChildren(asWritten(text, marks, open ? end : text.length));
    name();
  });
  name();
  const made = document.createDocumentFragment();
  made.append(shown, fold);
  return made;
}

/** How much a fold hides. */
function hidden(text, end, length) {
  const lines = text.slice(end).split("\n").length - 1;
  if (lines > 1 && !length) return `${number(lines)} more lines`;
  return `${number((length ?? text.length) - end)} more characters`;
}
