/**
 * A connection that follows the store. It starts again after the last event that it gave, with
 * growing pauses, until it is stopped or refused; so nothing is missed while the server is away.
 */

import { callOf, Failure, refusalOf } from "./api.js";

const FIRST_PAUSE = 500; // milliseconds
const LONGEST_PAUSE = 15000;

/**
 * @typedef {object} Ears
 * @property {(events: import("./api.js").Event[], dropped: number) => void} events
 * @property {(state: "open"|"waiting"|"refused"|"failed", detail: {seconds?: number, message?: string}) => void} state
 */

export class Follower {
  /** @param {URLSearchParams} query @param {string} after a position @param {Ears} ears */
  constructor(query, after, ears) {
    this.query = query;
    this.after = after;
    this.ears = ears;
    this.pause = FIRST_PAUSE;
    this.stopped = false;
    this.connect = this.connect.bind(this);
    addEventListener("online", this.connect);
    this.connect();
  }

  /** Connect now, also if the next try is due later. */
  connect() {
    if (this.stopped || this.stream) return;
    clearTimeout(this.timer);
    this.stream = new EventSource(callOf("follow", this.asked()));
    this.stream.addEventListener("open", () => this.opened());
    this.stream.addEventListener("events", (message) => this.heard(message));
    this.stream.addEventListener("error", (error) => this.lost(error));
  }

  asked() {
    const query = new URLSearchParams(this.query);
    if (this.after) query.set("after", this.after);
    return query;
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    removeEventListener("online", this.connect);
    this.stream?.close();
  }

  opened() {
    this.pause = FIRST_PAUSE;
    this.ears.state("open", {});
  }

  heard(message) {
    const { events, dropped } = JSON.parse(message.data);
    this.after = message.lastEventId || this.after;
    this.ears.events(events, dropped ?? 0);
  }

  /** The server sent an error, or the connection broke: the browser's event has the same name. */
  async lost(event) {
    if (this.stopped || !this.stream) return;
    this.stream.close();
    this.stream = undefined;
    const failure =
      typeof event.data === "string" ? sent(event.data) : await refusalOf("follow", this.asked());
    if (this.stopped || this.stream) return; // it was told to connect in the meantime
    const message = failure?.message;
    if (failure?.refused) return this.ears.state("refused", { message });
    if (failure?.code === "invalid_query") return this.ears.state("failed", { message });
    this.ears.state("waiting", { seconds: this.pause / 1000, message });
    this.timer = setTimeout(this.connect, this.pause);
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
  }
}

function sent(data) {
  const told = JSON.parse(data);
  return new Failure(told.error ?? told, 200);
}
