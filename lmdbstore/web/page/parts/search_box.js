/** The search box: a pattern, and what is wrong with it, at its place. */

import { address } from "../base/address.js";
import { byId, element } from "../base/dom.js";

const IGNORE_CASE = "(?i)";
const input = /** @type {HTMLInputElement} */ (byId("match"));

/** Make the box work. */
export function searchBox() {
  byId("search").addEventListener("submit", (submit) => {
    submit.preventDefault();
    search(input.value);
  });
  input.addEventListener("search", () => input.value || search("")); // its own cross
  byId("ignore-case").addEventListener("click", () => {
    const on = input.value.startsWith(IGNORE_CASE);
    search(on ? input.value.slice(IGNORE_CASE.length) : IGNORE_CASE + input.value);
  });
}

function search(match) {
  address.change({ match });
  showPattern();
}

/** Show the pattern of the address. */
export function showPattern() {
  if (input.value !== address.state.match) input.value = address.state.match;
  byId("ignore-case").setAttribute("aria-pressed", String(input.value.startsWith(IGNORE_CASE)));
}

/**
 * Say what is wrong with the pattern, or that nothing is.
 * @param {import("../base/api.js").Failure|null} failure
 */
export function showMistake(failure) {
  const place = byId("mistake");
  input.toggleAttribute("aria-invalid", Boolean(failure));
  if (failure) input.setAttribute("aria-invalid", "true");
  place.hidden = !failure;
  place.replaceChildren(...(failure ? explained(failure) : []));
}

/** @param {import("../base/api.js").Failure} failure */
function explained({ message, position }) {
  const said = element("p", {}, message);
  if (position === null) return [said];
  const pattern = address.state.match;
  const wrong = pattern.slice(position, position + 1) || " ";
  const shown = [
    pattern.slice(0, position),
    element("mark", {}, wrong),
    pattern.slice(position + 1),
  ];
  return [element("code", { "aria-hidden": "true" }, ...shown), said];
}
