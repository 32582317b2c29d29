/**
 * The list of events, without end: pages that follow each other by token. Rule: only the pages near
 * what is seen have rows; others keep their height, and are asked for again when they come near. So
 * the page stays small however far one scrolls.
 */

import { Failure } from "../base/api.js";
import { element } from "../base/dom.js";
import { reachable } from "./moving.js";
import { row } from "./rows.js";

/**
 * @typedef {object} Answer
 * @property {import("../base/api.js").Event[]} events
 * @property {string|null} token
 * @property {boolean} more
 * @property {boolean} complete
 *
 * @typedef {object} Page
 * @property {string|null} after the token that it begins at
 * @property {number} size how many events it has
 * @property {string} last the id of the last one
 * @property {HTMLElement} node
 * @property {"empty"|"asked"|"full"} rows
 * @property {boolean} near
 */

const NEAR = "1500px"; // above and below what is seen
const ENOUGH = 20; // events of a part, to go on without being told

export class EventList {
  /**
   * @param {HTMLElement} feed
   * @param {HTMLElement} end what is seen at the end of the list
   */
  constructor(feed, end) {
    this.feed = feed;
    this.end = end;
    /** @type {Page[]} */
    this.pages = [];
    const margin = { rootMargin: `${NEAR} 0px` };
    this.watch = new IntersectionObserver((seen) => this.seen(seen), margin);
    this.bottom = new IntersectionObserver(
      (seen) => this.reached(seen.at(-1).isIntersecting),
      margin,
    );
    this.bottom.observe(end);
  }

  /** Empty the list. */
  clear() {
    this.watch.disconnect();
    this.pages = [];
    this.next = undefined;
    this.load = undefined;
    this.feed.replaceChildren();
    this.feed.hidden = true; // a feed without events is none
    this.end.replaceChildren();
  }

  /**
   * Begin a new list.
   * @param {Answer} first
   * @param {(after: string|null) => Promise<Answer>} load
   * @param {string} zone
   */
  begin(first, load, zone) {
    this.clear();
    this.load = load;
    this.zone = zone;
    this.add(null, first);
  }

  /** @param {string|null} after @param {Answer} answer */
  add(after, answer) {
    const node = element("div", { class: "page", role: "presentation" });
    const size = answer.events.length;
    if (size) {
      const page = { after, size, last: answer.events[size - 1].id, node, rows: "empty", near: true };
      this.pages.push(page);
      this.fill(page, answer.events);
      this.feed.append(node);
      this.feed.hidden = false;
      this.watch.observe(node);
    }
    this.next = answer.more ? { after: answer.token ?? after } : undefined;
    this.showEnd(answer);
    // The end may be near still: it is looked at again.
    this.bottom.unobserve(this.end);
    this.bottom.observe(this.end);
  }

  fill(page, events) {
    page.node.replaceChildren(...events.map((event) => row(event, this.zone)));
    page.node.style.height = "";
    page.rows = "full";
  }

  showEnd({ more, complete, events }) {
    this.waits = !complete && events.length < ENOUGH;
    if (this.waits) {
      const goOn = element("button", { type: "button", click: () => this.goOn() }, "Go on");
      this.end.replaceChildren(
        element(
          "p",
          { class: "partial" },
          "The server stopped at its limit of work for one call. There may be more. ",
          goOn,
        ),
      );
    } else if (!more && this.pages.length) {
      this.end.replaceChildren(element("p", {}, "That is all."));
    } else {
      this.end.replaceChildren(element("p", { class: "loading" }, more ? "…" : ""));
    }
  }

  reached(near) {
    if (near && !this.waits) this.goOn();
  }

  /** Ask for the next part. */
  async goOn() {
    if (!this.next || this.feed.getAttribute("aria-busy") === "true") return;
    const { after } = this.next;
    const answer = await this.asked(after, () => this.goOn());
    if (answer) this.add(after, answer);
  }

  /** @param {string|null} after @param {() => void} again */
  async asked(after, again) {
    const load = this.load;
    this.feed.setAttribute("aria-busy", "true");
    try {
      const answer = await load(after);
      if (load !== this.load) return null;
      this.feed.setAttribute("aria-busy", "false");
      return answer;
    } catch (failure) {
      if (load !== this.load || !(failure instanceof Failure)) return null; // another list comes
      this.feed.setAttribute("aria-busy", "false");
      this.failed(failure, again);
      return null;
    }
  }

  failed(failure, again) {
    this.end.replaceChildren(retry(failure, again));
  }

  /** Pages have come near, or gone. @param {IntersectionObserverEntry[]} entries */
  seen(entries) {
    for (const entry of entries) {
      const page = this.pages.find(({ node }) => node === entry.target);
      if (!page) continue;
      page.near = entry.isIntersecting;
      if (page.near && page.rows === "empty") this.refill(page);
      else if (!page.near && page.rows === "full") this.drop(page, entry.boundingClientRect.height);
    }
  }

  drop(page, height) {
    if (page.node.contains(document.activeElement)) return;
    page.node.style.height = `${height}px`;
    page.node.replaceChildren();
    page.rows = "empty";
    reachable(this.feed);
  }

  async refill(page) {
    const load = this.load;
    page.rows = "asked";
    let failure = null;
    const events = await this.eventsOf(page).catch((error) => void (failure = error));
    if (load !== this.load) return;
    page.rows = "empty"; // it is asked for when it comes near again
    if (events && page.near) this.fill(page, events);
    else if (failure instanceof Failure) {
      page.node.replaceChildren(retry(failure, () => this.refill(page)));
    }
  }

  /** The events that a page had, also if one call now gives more or fewer of them. */
  async eventsOf({ after, size, last }) {
    const { load } = this;
    const events = [];
    for (let more = true; more && events.length < size; ) {
      const answer = await load(after);
      events.push(...answer.events);
      const place = events.findIndex(({ id }) => id === last);
      if (place >= 0) return events.slice(0, place + 1);
      more = answer.more;
      after = answer.token ?? after;
    }
    return events.slice(0, size);
  }
}

/** Say what went wrong, with a button to try again. @param {Failure} failure @param {() => void} again */
function retry({ message }, again) {
  const button = element("button", { type: "button", click: again }, "Try again");
  return element("p", { class: "partial" }, `${message} `, button);
}
