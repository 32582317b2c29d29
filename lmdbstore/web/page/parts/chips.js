/** The conditions in force, each with a button that takes it away. */

import { address } from "../base/address.js";
import { rangeInWords } from "../base/dates.js";
import { byId, element } from "../base/dom.js";

/** Show the conditions of the address. */
export function showChips() {
  const { since, until, match, flag, any_flag, not_flag, source, where, zone } = address.state;
  const list = (name, words) => ({
    all: (values) =>
      values.map((value) => chip(words, value, { [name]: values.filter((one) => one !== value) })),
  });
  const chips = [
    ...(since || until
      ? [chip("time", rangeInWords(since, until, zone), { since: "", until: "" })]
      : []),
    ...(match ? [chip("pattern", match, { match: "" })] : []),
    ...list("flag", "flag").all(flag),
    ...list("any_flag", "one of").all(any_flag),
    ...list("not_flag", "not").all(not_flag),
    ...(source === null ? [] : [chip("source", source || "(none)", { source: null })]),
    ...(where ? [chip("fields", where, { where: "" })] : []),
  ];
  const every = {
    since: "",
    until: "",
    match: "",
    flag: [],
    any_flag: [],
    not_flag: [],
    source: null,
    where: "",
  };
  const clear = element(
    "button",
    { type: "button", class: "plain", click: () => address.change(every) },
    "Clear all",
  );
  const place = byId("chips");
  const focused = [...place.querySelectorAll("button")].indexOf(document.activeElement);
  place.replaceChildren(...chips, ...(chips.length > 1 ? [element("li", {}, clear)] : []));
  if (focused >= 0) focusNear(focused);
}

/** Focus the chip that is now where one was taken away. @param {number} index */
function focusNear(index) {
  const left = byId("chips").querySelectorAll(".chip button");
  (left[Math.min(index, left.length - 1)] ?? byId("match")).focus();
}

function chip(kind, value, without) {
  const remove = element(
    "button",
    {
      type: "button",
      "aria-label": `Remove ${kind} ${value}`,
      click: () => address.change(without),
    },
    "×",
  );
  const name = element("span", { class: "value", title: value }, value);
  return element(
    "li",
    { class: `chip ${kind === "not" ? "not" : ""}` },
    element("span", { class: "kind" }, kind),
    " ",
    name,
    remove,
  );
}
