/** Moving among the rows of a list by keyboard: one row has the focus, and Tab comes back to it. */

/** @param {HTMLElement} feed */
const rows = (feed) => /** @type {HTMLElement[]} */ ([...feed.querySelectorAll(".row")]);

/**
 * Move the focus by a number of rows, or to the first or the last one.
 * @param {HTMLElement} feed
 * @param {number} step
 */
export function move(feed, step) {
  const all = rows(feed);
  if (!all.length) return;
  const now = all.indexOf(document.activeElement?.closest(".row"));
  const from = now < 0 ? all.findIndex((row) => row.tabIndex === 0) : now;
  const goal = now < 0 ? Math.max(from, 0) : now + step;
  focusRow(feed, all[Math.max(0, Math.min(goal, all.length - 1))]);
}

/** @param {HTMLElement} feed @param {HTMLElement} chosen */
export function focusRow(feed, chosen) {
  for (const row of feed.querySelectorAll(".row[tabindex='0']")) row.tabIndex = -1;
  chosen.tabIndex = 0;
  chosen.focus({ preventScroll: true });
  chosen.scrollIntoView({ block: "nearest" });
}

/** Let Tab reach the list. @param {HTMLElement} feed */
export function reachable(feed) {
  const first = feed.querySelector(".row");
  if (first && !feed.querySelector(".row[tabindex='0']")) first.tabIndex = 0;
}
