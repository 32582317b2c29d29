/** What the page says instead of a list, or above it: nothing found, no server, no key. */

import { address, isNarrowed } from "../base/address.js";
import { announce, byId, element } from "../base/dom.js";

/** Say that the list is empty, and why. @param {number} stored events in the store */
export function showEmpty(stored) {
  const { state } = address;
  const button = (name, part) =>
    element("button", { type: "button", click: () => address.change(part) }, name);
  if (!stored) {
    const live = element("p", {}, button("Follow what comes", { live: true }));
    return say(
      "The store is empty.",
      "What programs save in it will be here.",
      ...(state.live || state.at ? [] : [live]),
    );
  }
  const ways = [
    ...(state.since || state.until ? [button("All times", { since: "", until: "" })] : []),
    ...(state.match ? [button("Any content", { match: "" })] : []),
    ...(state.flag.length + state.any_flag.length + state.not_flag.length
      ? [button("All flags", { flag: [], any_flag: [], not_flag: [] })]
      : []),
    ...(state.source === null ? [] : [button("All sources", { source: null })]),
    ...(state.where ? [button("All fields", { where: "" })] : []),
  ];
  const widen = isNarrowed(state) ? "No event has all of these conditions. Take some away:" : "";
  return say("Nothing found.", widen, element("p", { class: "ways" }, ...ways));
}

/** Say why the list cannot be shown. @param {import("../base/api.js").Failure} failure @param {() => void} again */
export function showFailure(failure, again) {
  if (failure.refused) return showRefused();
  const button = element("p", {}, element("button", { type: "button", click: again }, "Try again"));
  const head = failure.code === "gone" ? "The server does not answer." : "This cannot be shown.";
  return say(
    head,
    failure.code === "gone"
      ? "It may have been stopped. Start it again with lmdbstore serve."
      : failure.message,
    button,
  );
}

/** Say that the server does not know this browser. */
export function showRefused() {
  say(
    "The server asks for its token.",
    "Open the address that lmdbstore serve has printed; each start makes a new one.",
  );
}

/** Say that the pattern cannot be searched for. */
export function showWrongPattern() {
  say("This pattern cannot be searched for.", "The search box shows what is wrong with it.");
}

/** Take back what was said. */
export function clearNotice() {
  byId("notice").replaceChildren();
}

function say(head, text, ...more) {
  announce(`${head} ${text}`);
  byId("notice").replaceChildren(
    element("h2", {}, head),
    ...(text ? [element("p", {}, text)] : []),
    ...more,
  );
}

/**
 * Say how the connection is that follows the store.
 * @param {string} state
 * @param {{seconds?: number, message?: string}} detail
 * @param {() => void} again
 */
export function showConnection(state, { seconds, message }, again) {
  const place = byId("connection");
  place.hidden = state === "open";
  if (state === "open") return place.replaceChildren();
  const words = {
    waiting: `${message ?? "The server does not answer."} The page tries again in ${seconds} s.`,
    refused: "The server asks for its token: open the address that lmdbstore serve has printed.",
    failed: message ?? "",
  };
  const button = element("button", { type: "button", click: again }, "Try now");
  return place.replaceChildren(words[state], ...(state === "waiting" ? [" ", button] : []));
}
