/**
 * The page: a change of the address asks the server for a list, a histogram and facets, and shows them.
 * What was asked before is aborted.
 */

import { address, asked, conditions, link } from "./base/address.js";
import { ask, Failure } from "./base/api.js";
import { afterQuiet, announce, byId, number, some } from "./base/dom.js";
import { showChips } from "./parts/chips.js";
import { closeEvent, eventView, markRows, openOf, openRow, showEvent } from "./parts/event_view.js";
import { showFacets } from "./parts/facets.js";
import { Histogram } from "./parts/histogram.js";
import { keys } from "./parts/keys.js";
import { links, noteState, openExport, showPin, togglePin } from "./parts/links.js";
import { EventList } from "./parts/list.js";
import { Live } from "./parts/live.js";
import { moreConditions } from "./parts/more.js";
import { move, reachable } from "./parts/moving.js";
import {
  clearNotice,
  showConnection,
  showEmpty,
  showFailure,
  showRefused,
  showWrongPattern,
} from "./parts/notices.js";
import { searchBox, showMistake, showPattern } from "./parts/search_box.js";
import { open as openRange, showRange, timeRange, toggleZone } from "./parts/time_range.js";

const PAGE = "100"; // events
const FACETS = "50"; // flags, and sources
const AGAIN = 3000; // milliseconds between two counts while the page follows

const feed = byId("list");
const histogram = new Histogram(byId("histogram"));
const list = new EventList(feed, byId("list-end"));
const live = new Live(feed, (state, detail) => {
  if (state === "refused") showRefused();
  showConnection(state, detail, () => live.retry());
});
let request = new AbortController();
let asking = new URLSearchParams(); // the conditions of what is shown
let counting = 0; // the timer of the next count
let counts = 0; // that were begun
let columns = ""; // of the histogram, at most

/** Ask for all that the address says. */
async function run() {
  request.abort();
  request = new AbortController();
  const { signal } = request;
  const { state } = address;
  clearTimeout(counting);
  live.stop();
  showConnection("open", {}, () => {});
  feed.setAttribute("aria-busy", "true");
  try {
    const now = Date.now() / 1000;
    asking = conditions(state, now);
    noteState({ now });
    count(asking, signal);
    await showList(asking, signal);
  } catch (failure) {
    failed(failure, signal);
  }
}

async function showList(query, signal) {
  const { state } = address;
  const ordered = new URLSearchParams([...query, ["order", state.order], ["limit", PAGE]]);
  const first = await ask("search", ordered, signal);
  noteState({ position: first.position });
  showMistake(null);
  clearNotice();
  document.body.classList.remove("failed");
  const later = new URLSearchParams(ordered);
  later.set("at", state.at || first.position); // what comes later does not move the pages
  const load = (after) =>
    ask(
      "search",
      after === null ? later : new URLSearchParams([...later, ["after", after]]),
      signal,
    );
  begun(state.live ? { ...first, more: false, complete: true } : first, load);
  if (state.live) {
    byId("list-end").textContent = "";
    follow(query, first.position);
  }
  if (first.events.length || first.more) return;
  const { events } = await ask("stats", {}, signal);
  if (feed.hidden) showEmpty(events); // nothing has come in the meantime
}

function begun(first, load) {
  list.begin(first, load, address.state.zone);
  feed.setAttribute("aria-busy", "false");
  reachable(feed);
  markRows(address.state.event);
  const { length } = first.events;
  announce(first.more ? `${number(length)} events, and more` : some(length, "event"));
}

/** Follow the conditions that are not about time. */
function follow(query, position) {
  const lasting = new URLSearchParams(
    [...query].filter(([name]) => !["since", "until", "at"].includes(name)),
  );
  live.start(lasting, position, address.state.zone);
}

/**
 * Ask for the histogram and the facets; again and again while the page follows. Only the last answer
 * counts, and one that comes again does not disturb who chooses a range.
 */
async function count(query, signal, again = false) {
  const turn = ++counts;
  columns = buckets();
  const zoned = new URLSearchParams([
    ...query,
    ["zone", address.state.zone],
    ["buckets", columns],
  ]);
  const most = new URLSearchParams([...query, ["limit", FACETS]]);
  const parts = [
    ask("histogram", zoned, signal).then((found) => {
      if (turn === counts && !(again && histogram.inUse)) histogram.show(found);
    }),
    ask("facets", most, signal).then((facets) => {
      if (turn === counts) showFacets(facets, Number(FACETS));
    }),
  ];
  const settled = await Promise.allSettled(parts);
  if (signal.aborted || turn !== counts) return;
  if (settled[0].status === "rejected") histogram.clear(settled[0].reason.message);
  if (settled[1].status === "rejected") showFacets(null);
  if (address.state.live) counting = setTimeout(() => countAgain(signal), AGAIN);
}

function countAgain(signal) {
  if (signal.aborted) return;
  if (document.hidden || histogram.inUse) counting = setTimeout(() => countAgain(signal), AGAIN);
  else count(conditions(address.state), signal, true);
}

/** The room for columns may have changed. Phones change the height of the page while one scrolls. */
function recount() {
  if (buckets() === columns || address.state.live || !histogram.counts) return;
  count(asking, request.signal);
}

/** Columns of a few pixels. */
const buckets = () => String(Math.max(20, Math.min(200, Math.floor(byId("main").clientWidth / 8))));

function failed(failure, signal) {
  if (signal.aborted || failure.name === "AbortError") return;
  live.stop();
  list.clear();
  feed.setAttribute("aria-busy", "false");
  clearNotice();
  document.body.classList.add("failed");
  if (failure.field !== "match") showMistake(null);
  if (failure instanceof RangeError) {
    histogram.clear("");
    showFailure(new Failure({ message: failure.message, code: "time" }, 0), run);
  } else if (!(failure instanceof Failure)) {
    throw failure;
  } else if (failure.field === "match") {
    showMistake(failure);
    showWrongPattern();
  } else {
    showFailure(failure, run);
  }
}

/** Show what the address says by itself. */
function showAddress() {
  const { state } = address;
  showPattern();
  showRange();
  showChips();
  showPin();
  byId("order").textContent = state.order === "desc" ? "Newest first" : "Oldest first";
  document.title = state.match ? `${state.match} – lmdbstore` : "lmdbstore";
}

const toggleOrder = () =>
  address.change({ order: address.state.order === "desc" ? "asc" : "desc", live: false });

function toggleLive() {
  const { state } = address;
  address.change(state.live ? { live: false } : { live: true, at: "", until: "" });
}

function escape() {
  if (address.state.event !== null) closeEvent();
  else /** @type {HTMLElement} */ (document.activeElement)?.blur();
}

function openFocused() {
  const row = document.activeElement?.closest(".row");
  if (row) openRow(row);
}

function toFacets() {
  byId("facets").open = true;
  byId("facets").querySelector("button")?.focus();
}

searchBox();
timeRange();
moreConditions();
eventView();
links(() => live.position);
keys([
  { keys: ["/"], does: "Search", run: () => byId("match").focus() },
  { keys: ["j", "ArrowDown"], does: "Next event", run: () => move(feed, 1) },
  { keys: ["k", "ArrowUp"], does: "Previous event", run: () => move(feed, -1) },
  { keys: ["Enter"], does: "Open the event", run: openFocused },
  { keys: ["Escape"], does: "Close it", run: escape },
  { keys: ["o"], does: "Newest or oldest first", run: toggleOrder },
  { keys: ["t"], does: "Range of time", run: openRange },
  {
    keys: ["h"],
    does: "Histogram: arrows read it, Shift and arrows choose, Enter shows",
    run: () => byId("histogram").focus(),
  },
  { keys: ["f"], does: "Flags and sources", run: toFacets },
  { keys: ["l"], does: "Follow", run: toggleLive },
  { keys: ["p"], does: "Pause following", run: () => live.toggle() },
  { keys: ["s"], does: "Pin to this state, and copy the link", run: togglePin },
  { keys: ["e"], does: "Export", run: openExport },
  { keys: ["u"], does: "UTC or the zone of this browser", run: toggleZone },
  { keys: ["r"], does: "Search again", run: run },
  { keys: ["?"], does: "Show the keys", run: () => byId("help").click() },
]);
feed.addEventListener("click", openOf);
byId("order").addEventListener("click", toggleOrder);
byId("live").addEventListener("click", toggleLive);
addEventListener("resize", afterQuiet(500, recount));
address.listen((state, before) => {
  showAddress();
  if (asked(state) !== asked(before)) run();
  const moved = state.event !== before.event;
  if (moved || ["match", "zone", "at"].some((name) => state[name] !== before[name])) showEvent(moved);
});
const narrow = matchMedia("(max-width: 760px)");
const openFacets = () => (byId("facets").open = !narrow.matches);
narrow.addEventListener("change", openFacets);
openFacets();
history.replaceState(null, "", link(address.state));
showAddress();
run();
showEvent(true);
