/** The range of time: some relative ones to choose from, two fields for others, and the zone. */

import { address } from "../base/address.js";
import { here, iso, isRelative, rangeInWords, seconds, written } from "../base/dates.js";
import { byId, element } from "../base/dom.js";

const CHOICES = ["-15m", "-1h", "-6h", "-24h", "-7d", "-30d", ""];
const since = /** @type {HTMLInputElement} */ (byId("since"));
const until = /** @type {HTMLInputElement} */ (byId("until"));
const room = byId("range-room");

/** Make the choice of a range work. */
export function timeRange() {
  byId("range").addEventListener("click", () => (room.hidden ? open() : close()));
  byId("range-form").addEventListener("submit", (submit) => {
    submit.preventDefault();
    apply();
  });
  byId("zone").addEventListener("click", toggleZone);
  room.addEventListener("keydown", (press) => {
    if (press.key !== "Escape") return;
    press.stopPropagation();
    close();
  });
  document.addEventListener("pointerdown", ({ target }) => {
    if (!room.hidden && !room.contains(target) && !byId("range").contains(target)) close(false);
  });
}

/** Open the choice, for the keyboard too. */
export function open() {
  const { state } = address;
  room.hidden = false;
  byId("range").setAttribute("aria-expanded", "true");
  since.value = asTyped(state.since, state.zone);
  until.value = asTyped(state.until, state.zone);
  byId("range-mistake").textContent = "";
  byId("choices").replaceChildren(...CHOICES.map(choice));
  byId("choices").querySelector("button").focus();
}

function close(back = true) {
  room.hidden = true;
  byId("range").setAttribute("aria-expanded", "false");
  if (back) byId("range").focus();
}

function choice(text) {
  const chosen = address.state.since === text && !address.state.until;
  const choose = () => {
    close();
    address.change({ since: text, until: "" });
  };
  const name = rangeInWords(text, "", address.state.zone);
  return element(
    "li",
    {},
    element("button", { type: "button", "aria-pressed": chosen, click: choose }, name),
  );
}

/** What a field shows of a time of the address: the zone's clock. */
function asTyped(text, zone) {
  if (!text || isRelative(text)) return text;
  try {
    return written(seconds(text, zone), zone);
  } catch {
    return text;
  }
}

function apply() {
  const { state } = address;
  try {
    const part = { since: asGiven(since, state.since), until: asGiven(until, state.until) };
    const [from, to] = [part.since, part.until].map((text) => seconds(text, state.zone));
    if (from !== null && to !== null && from > to)
      throw new RangeError("The end is before the start.");
    close();
    address.change(part);
  } catch (error) {
    byId("range-mistake").textContent = error.message;
  }
}

/** A field as a text for the address. One that was not touched stays exactly as it was. */
function asGiven(field, before) {
  const text = field.value.trim();
  const { zone } = address.state;
  if (text === asTyped(before, zone)) return before;
  const time = seconds(text, zone);
  return text === "" || isRelative(text) ? text : iso(time);
}

/** Change between this browser's zone and UTC. */
export function toggleZone() {
  const local = here();
  address.change({ zone: address.state.zone === local ? "UTC" : local });
}

/** Show the range and the zone of the address. */
export function showRange() {
  const { state } = address;
  byId("range-name").textContent = rangeInWords(state.since, state.until, state.zone);
  byId("zone").textContent = state.zone;
  byId("zone").hidden = here() === "UTC" && state.zone === "UTC";
  byId("fixed-zone").hidden = !byId("zone").hidden;
}
