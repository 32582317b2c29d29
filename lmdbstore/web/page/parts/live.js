/**
 * Following: what is saved appears at the top. Rules: rows are made in frames of the browser, a few
 * times a second; the list keeps a fixed number of them; what arrives faster than it can be shown, or
 * while it pauses, is kept up to a bound and counted beyond it, and the list says how many it left out.
 */

import { Follower } from "../base/follow.js";
import { announce, byId, element, number, some } from "../base/dom.js";
import { reachable } from "./moving.js";
import { clearNotice } from "./notices.js";
import { row } from "./rows.js";

const KEPT_ROWS = 300;
const WAITING = 200; // events that wait for their rows
const BETWEEN = 150; // milliseconds between two times that rows are made
const SHARE = 4; // so many times longer than making rows takes, the page does other things

export class Live {
  /** @param {HTMLElement} feed @param {(state: string, detail: object) => void} tell */
  constructor(feed, tell) {
    this.feed = feed;
    this.tell = tell;
    byId("pause").addEventListener("click", () => this.toggle());
    byId("waiting").addEventListener("click", () => this.resume());
    const top = new IntersectionObserver((seen) => this.scrolled(seen.at(-1).isIntersecting));
    top.observe(byId("list-top"));
  }

  /**
   * Follow what comes after a position.
   * @param {URLSearchParams} query
   * @param {string} after
   * @param {string} zone
   */
  start(query, after, zone) {
    this.stop();
    this.zone = zone;
    this.waiting = [];
    this.left = this.came = 0;
    this.paused = this.away = false;
    this.follower = new Follower(query, after, {
      events: (events, dropped) => this.heard(events, dropped),
      state: (state, detail) => this.tell(state, detail),
    });
    this.show();
  }

  stop() {
    this.follower?.stop();
    this.follower = undefined;
    clearTimeout(this.timer);
    this.timer = 0;
    this.show();
  }

  /** The position that was followed to; undefined while the page does not follow. */
  get position() {
    return this.follower?.after;
  }

  /** Try to connect now. */
  retry() {
    this.follower?.connect();
  }

  // -- what arrives -------------------------------------------------------------------------------

  heard(events, dropped) {
    this.came += events.length + dropped;
    this.left += dropped;
    this.waiting.push(...events);
    const many = this.waiting.length - WAITING;
    if (many > 0) {
      this.waiting.splice(0, many);
      this.left += many;
    }
    if (this.stands) this.show();
    else this.plan(BETWEEN);
  }

  /** Whether rows wait: for the button, or for the reader to come back to the top. */
  get stands() {
    return this.paused || this.away;
  }

  plan(wait) {
    if (this.timer || !this.follower) return;
    this.timer = setTimeout(() => requestAnimationFrame(() => this.make()), wait);
  }

  make() {
    this.timer = 0;
    if (!this.follower || this.stands || !this.waiting.length) return this.show();
    const begin = performance.now();
    const made = this.waiting.map((event) => row(event, this.zone)).reverse();
    if (this.left) made.push(gap(this.left));
    this.waiting = [];
    this.left = 0;
    this.feed.prepend(...made);
    this.feed.hidden = false;
    clearNotice();
    this.trim();
    this.show();
    this.timer = setTimeout(
      () => {
        this.timer = 0;
        if (this.waiting.length) this.plan(0);
      },
      Math.max(BETWEEN, SHARE * (performance.now() - begin)),
    );
  }

  trim() {
    const rows = this.feed.querySelectorAll(".row, .gap");
    for (let last = rows.length - 1; last >= KEPT_ROWS; last--) {
      if (!rows[last].contains(document.activeElement)) rows[last].remove();
    }
    if (rows.length > KEPT_ROWS) this.cut();
    reachable(this.feed);
  }

  /** Say that the list ends here. A page of it would be filled again, as if nothing were between. */
  cut() {
    for (const page of this.feed.querySelectorAll(".page")) {
      if (!page.contains(document.activeElement)) page.remove();
    }
    const text = `While the page follows, it keeps ${KEPT_ROWS} rows.`;
    byId("list-end").replaceChildren(element("p", {}, text));
  }

  // -- pausing ------------------------------------------------------------------------------------

  toggle() {
    if (!this.follower) return;
    if (this.paused) return this.resume();
    this.paused = true;
    announce("Paused");
    this.show();
  }

  resume() {
    if (document.activeElement === byId("waiting")) this.feed.focus({ preventScroll: true }); // it goes
    this.paused = this.away = false;
    byId("list-top").scrollIntoView({ block: "center" });
    this.plan(0);
    this.show();
  }

  /** Reading further down holds the rows; being back at the top lets them in. */
  scrolled(top) {
    if (!this.follower || this.away === !top) return;
    this.away = !top;
    if (!this.stands) this.plan(0);
    this.show();
  }

  show() {
    const on = Boolean(this.follower);
    const waits = on && this.stands ? this.waiting.length + this.left : 0;
    document.body.classList.toggle("holds", on && this.stands);
    byId("live").setAttribute("aria-pressed", String(on));
    byId("pause").hidden = !on;
    byId("pause").setAttribute("aria-pressed", String(Boolean(on && this.paused)));
    byId("came").textContent = on ? `${number(this.came)} new` : "";
    byId("waiting").hidden = !waits;
    byId("waiting").textContent = `↑ ${some(waits, "new event")}`;
  }
}

/** Say that events were left out here. @param {number} many */
const gap = (many) =>
  element("div", { class: "gap", role: "none" }, `${some(many, "event")} left out`);
