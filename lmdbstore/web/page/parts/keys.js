/** The keys of the page, and the room that shows them. */

import { byId, element } from "../base/dom.js";

/**
 * @typedef {object} Key
 * @property {string[]} keys as `KeyboardEvent.key` names them
 * @property {string} does
 * @property {() => void} run
 */

const OFF = "lmdbstore.keys.off"; // of `localStorage`: single letters disturb some who dictate
const NAMES = { ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc", " ": "Space" };
const ALWAYS = new Set(["Escape", "?"]);
const room = /** @type {HTMLDialogElement} */ (byId("keys"));

/** Let keys do things. @param {Key[]} all */
export function keys(all) {
  const box = /** @type {HTMLInputElement} */ (byId("keys-on"));
  box.checked = localStorage.getItem(OFF) === null;
  box.addEventListener("change", () => {
    if (box.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
  });
  byId("keys-list").replaceChildren(...all.flatMap(described));
  byId("keys-close").addEventListener("click", () => room.close());
  byId("help").addEventListener("click", () => room.showModal());
  document.addEventListener("keydown", (press) => pressed(press, all, box.checked));
}

function described({ keys: names, does }) {
  const shown = names.flatMap((name, place) => [
    place ? " " : "",
    element("kbd", {}, NAMES[name] ?? name),
  ]);
  return [element("dt", {}, ...shown), element("dd", {}, does)];
}

/** @param {KeyboardEvent} press @param {Key[]} all @param {boolean} single whether single letters count */
function pressed(press, all, single) {
  if (press.defaultPrevented || press.ctrlKey || press.metaKey || press.altKey || room.open) return;
  if (isTyping(press.target) && press.key !== "Escape") return;
  if (press.key === "Enter" && !press.target.matches(".row")) return;
  if (press.key.startsWith("Arrow") && press.target.closest("#event")) return; // they scroll it
  if (byId("main").inert && !ALWAYS.has(press.key)) return; // the event covers what they are about
  if (press.key.length === 1 && !single) return;
  const found = all.find((one) => one.keys.includes(press.key));
  if (!found) return;
  press.preventDefault();
  found.run();
}

const isTyping = (target) => target.matches("input:not([type=checkbox]), textarea, select");
