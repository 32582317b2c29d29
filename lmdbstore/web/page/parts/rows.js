/** One event as a row: time, source, flags, and its content, folded if it is long. */

import { address, link } from "../base/address.js";
import { clock } from "../base/dates.js";
import { element, number } from "../base/dom.js";
import { asWritten, foldAt, markAfter } from "../text/contents.js";

/** @typedef {import("../base/api.js").Event} Event */

const LEVELS = [
  ["bad", /(^|[:=. _-])(error|err|fatal|crit(ical)?|alert|emerg(ency)?|panic)$/i],
  ["poor", /(^|[:=. _-])warn(ing)?$/i],
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
    {
      class: `row ${gravest(tags) ?? ""}`,
      tabindex: -1,
      "aria-label": nameOf(event, zone),
      "aria-current": event.id === address.state.event ? "true" : null,
    },
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
  const made = document.createDocumentFragment();
  const excerpt = markAfter(text, marks, end);
  const found =
    excerpt &&
    element("div", { class: "excerpt" }, "… ", asWritten(text, marks, excerpt[1], excerpt[0]));
  made.append(
    shown,
    ...(found ? [found] : []),
    length ? opener(length) : fold(shown, text, marks, end),
  );
  return made;
}

const foldButton = (name) =>
  element("button", { class: "fold", type: "button", tabindex: -1 }, name);

/** A button that shows the rest of a content, and hides it again. */
function fold(shown, text, marks, end) {
  const lines = text.slice(end).split("\n").length - 1;
  const rest =
    lines > 1 ? `${number(lines)} more lines` : `${number(text.length - end)} more characters`;
  const button = foldButton(`Show ${rest}`);
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    const open = button.getAttribute("aria-expanded") !== "true";
    button.setAttribute("aria-expanded", String(open));
    button.textContent = open ? "Show less" : `Show ${rest}`;
    shown.replaceChildren(asWritten(text, marks, open ? text.length : end));
  });
  return button;
}

/** A button that opens the event, since the list has a part of its content only. */
function opener(length) {
  const button = foldButton(`Show all ${number(length)} characters`);
  button.addEventListener("click", () => button.closest(".row").querySelector(".time").click());
  return button;
}
