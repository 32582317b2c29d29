/** Flags and sources with their counts, each a button that takes it in or leaves it out. */

import { address } from "../base/address.js";
import { byId, element, number, short } from "../base/dom.js";
import { levelOf } from "./rows.js";

/** @typedef {{value: string, count: number}} Facet */

const NONE = { flags: [], sources: [], complete: true };

/**
 * Show the facets of what is asked.
 * @param {{flags: Facet[], sources: Facet[], complete: boolean}|null} facets null: they were not counted
 * @param {number} [limit] of each kind
 */
export function showFacets(facets, limit = 0) {
  const { flags, sources, complete } = facets ?? NONE;
  const { flag, any_flag, not_flag, source } = address.state;
  const chosen = [...flag, ...any_flag, ...not_flag];
  const part = ({ length }) => {
    if (!facets) return "not counted";
    return complete ? (length < limit ? "" : "the most frequent") : "in part";
  };
  fill("flags", withChosen(flags, chosen), flagButtons, part(flags));
  fill(
    "sources",
    withChosen(sources, source === null ? [] : [source]),
    sourceButtons,
    part(sources),
  );
}

/** Put what is chosen first, also if nothing has it. */
function withChosen(facets, chosen) {
  const first = chosen.map(
    (value) => facets.find((facet) => facet.value === value) ?? { value, count: 0 },
  );
  return [...first, ...facets.filter(({ value }) => !chosen.includes(value))];
}

/** Fill a list. @param {string} part which of them it has, if not all */
function fill(id, facets, buttonsOf, part) {
  const list = byId(id);
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const most = Math.max(1, ...facets.map(({ count }) => count));
  list.replaceChildren(...facets.map((facet) => item(facet, most, buttonsOf(facet))));
  byId(`${id}-none`).hidden = facets.length > 0 || part === "not counted";
  byId(`${id}-part`).textContent = part;
  for (const button of list.querySelectorAll("button")) {
    if (focused && button.dataset.key === focused) button.focus();
  }
}

function flagButtons(facet) {
  const { flag, any_flag, not_flag } = address.state;
  const { value } = facet;
  const taken = flag.includes(value) || any_flag.includes(value);
  const left = not_flag.includes(value);
  const name = element(
    "button",
    {
      type: "button",
      class: `name ${levelOf(value)}`,
      "aria-pressed": taken,
      click: () => takeFlag(value),
    },
    ...nameAndCount(facet),
  );
  const out = element(
    "button",
    {
      type: "button",
      class: "out",
      "aria-pressed": left,
      "aria-label": `Leave out ${value}`,
      title: "Leave out",
      click: () => leaveFlag(value),
    },
    "−",
  );
  name.dataset.key = `in ${value}`;
  out.dataset.key = `out ${value}`;
  return [name, out];
}

function sourceButtons(facet) {
  const { value } = facet;
  const taken = address.state.source === value;
  const name = element(
    "button",
    {
      type: "button",
      class: "name",
      "aria-pressed": taken,
      click: () => address.change({ source: taken ? null : value }),
    },
    ...nameAndCount(facet),
  );
  name.dataset.key = `in ${value}`;
  return [name];
}

function nameAndCount({ value, count }) {
  return [
    element("span", { class: "label", title: value }, value || "(none)"),
    " ",
    element(
      "span",
      { class: "count", title: number(count) },
      count < 10000 ? number(count) : short(count),
    ),
  ];
}

function item({ count }, most, buttons) {
  const made = element("li", {}, ...buttons);
  made.style.setProperty("--share-width", `${(100 * count) / most}%`);
  return made;
}

const without = (list, value) => list.filter((one) => one !== value);

/** Take a flag in, or no longer. @param {string} value */
function takeFlag(value) {
  const { flag, any_flag, not_flag } = address.state;
  const taken = flag.includes(value) || any_flag.includes(value);
  address.change({
    flag: taken ? without(flag, value) : [...flag, value],
    any_flag: without(any_flag, value),
    not_flag: without(not_flag, value),
  });
}

/** Leave a flag out, or no longer. @param {string} value */
function leaveFlag(value) {
  const { flag, any_flag, not_flag } = address.state;
  const left = not_flag.includes(value);
  address.change({
    flag: without(flag, value),
    any_flag: without(any_flag, value),
    not_flag: left ? without(not_flag, value) : [...not_flag, value],
  });
}
