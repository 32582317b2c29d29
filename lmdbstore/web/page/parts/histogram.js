/**
 * The histogram: all events of the range of time, and over them those that match. A range is chosen by
 * dragging, or with the arrow keys: Shift and an arrow widen it, Enter shows it.
 */

import uPlot from "../vendor/uPlot.js";
import { address } from "../base/address.js";
import { clock, iso, written } from "../base/dates.js";
import { byId, number, short, some } from "../base/dom.js";

/**
 * @typedef {object} Counts
 * @property {string} step
 * @property {number} seconds
 * @property {number[]} starts
 * @property {number|null} end
 * @property {number[]} all
 * @property {number[]|null} matching
 * @property {boolean} complete
 * @property {number|null} [reached]
 */

const HEIGHT = 128; // pixels
const LEAST = 2; // pixels of a column that is not empty
const DAY = 86400; // seconds
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const COUNT_STEPS = Array.from({ length: 13 }, (_, power) =>
  [1, 2, 5].map((digit) => digit * 10 ** power),
).flat();
const INSIDE = 1e-6; // seconds: an end is part of a range of time, so it lies before the next column

export class Histogram {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    this.readout = byId("readout");
    /** @type {Counts|null} */
    this.counts = null;
    this.hidden = false;
    new ResizeObserver(() => this.fit()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    place.addEventListener("keydown", (press) => this.pressed(press));
    place.addEventListener("blur", () => this.choose(null));
    byId("show-all").addEventListener("click", () => this.toggleAll());
  }

  /** Show counts. @param {Counts} counts */
  show(counts) {
    this.counts = counts.starts.length ? counts : null;
    this.chosen = null;
    this.draw();
    this.summarize();
  }

  /** Whether someone is choosing a range. */
  get inUse() {
    return Boolean(this.chosen || this.plot?.select.width);
  }

  /** Show nothing, and say why. @param {string} why */
  clear(why) {
    this.counts = null;
    this.draw();
    byId("total").textContent = "";
    byId("legend").hidden = true;
    this.readout.textContent = why;
  }

  toggleAll() {
    this.hidden = !this.hidden;
    byId("show-all").setAttribute("aria-pressed", String(!this.hidden));
    this.draw();
  }

  // -- what it says -------------------------------------------------------------------------------

  summarize() {
    const { all = [], matching, complete = true, step = "" } = this.counts ?? {};
    const total = all.reduce((sum, count) => sum + count, 0);
    const found = matching?.reduce((sum, count) => sum + count, 0);
    const at_least = complete ? "" : "at least ";
    byId("total").textContent = matching
      ? `${at_least}${number(found)} of ${some(total, "event")}`
      : some(total, "event");
    byId("legend").hidden = !matching;
    this.step = step;
    this.say(null);
    this.place.setAttribute(
      "aria-label",
      `Histogram of ${byId("total").textContent}, a column for each ${step}. Arrow keys read the ` +
        "columns, Shift and an arrow choose a range, Enter shows it.",
    );
  }

  /** Say what a column, or a range of columns, has. @param {[number, number]|null} range */
  say(range) {
    if (!this.counts) return void (this.readout.textContent = "");
    const { all, matching, reached } = this.counts;
    if (!range) {
      const from =
        reached == null ? "" : `, matches counted from ${written(reached, address.state.zone)} on`;
      return void (this.readout.textContent = `1 column = ${this.step}${from}`);
    }
    const sum = (counts) => counts.slice(range[0], range[1] + 1).reduce((one, two) => one + two, 0);
    const counted = matching ? `${number(sum(matching))} of ${number(sum(all))}` : number(sum(all));
    this.readout.textContent = `${this.inWords(range)} · ${counted}`;
  }

  inWords([first, last]) {
    const { zone } = address.state;
    const from = written(this.counts.starts[first], zone);
    const to = written(this.endOf(last), zone);
    return `${from} – ${from.slice(0, 10) === to.slice(0, 10) ? to.slice(11) : to}`;
  }

  // -- choosing a range ---------------------------------------------------------------------------

  endOf(column) {
    return this.counts.starts[column + 1] ?? this.counts.end;
  }

  /** The column at a time. @param {number} time seconds */
  columnAt(time) {
    const next = this.counts.starts.findIndex((start) => start > time);
    return Math.max(0, (next < 0 ? this.counts.starts.length : next) - 1);
  }

  /** Show the events of some columns only. @param {number} first @param {number} last */
  narrow(first, last) {
    address.change({
      since: iso(this.counts.starts[first]),
      until: iso(this.endOf(last) - INSIDE),
      live: false,
    });
  }

  /** @param {KeyboardEvent} press */
  pressed(press) {
    if (!this.counts || press.ctrlKey || press.metaKey || press.altKey) return;
    const last = this.counts.starts.length - 1;
    const now = this.chosen ?? { from: last + 1, to: last + 1 };
    const goals = { ArrowLeft: now.to - 1, ArrowRight: now.to + 1, Home: 0, End: last };
    if (press.key in goals) {
      const to = Math.max(0, Math.min(goals[press.key], last));
      this.choose({ from: press.shiftKey ? Math.min(now.from, last) : to, to });
    } else if (press.key === "Enter" && this.chosen) {
      this.narrow(Math.min(now.from, now.to), Math.max(now.from, now.to));
    } else if (press.key === "Escape" && this.chosen) {
      this.choose(null);
    } else return;
    press.preventDefault();
    press.stopPropagation();
  }

  /** @param {{from: number, to: number}|null} chosen */
  choose(chosen) {
    this.chosen = chosen;
    if (!this.plot) return;
    const range = chosen && [Math.min(chosen.from, chosen.to), Math.max(chosen.from, chosen.to)];
    const left = range ? this.plot.valToPos(this.counts.starts[range[0]], "x") : 0;
    const right = range ? this.plot.valToPos(this.endOf(range[1]), "x") : 0;
    this.plot.setSelect(
      { left, width: right - left, top: 0, height: this.plot.over.offsetHeight },
      false,
    );
    this.say(range);
  }

  dragged(plot) {
    const { left, width } = plot.select;
    if (width < 2) return;
    const first = this.columnAt(plot.posToVal(left, "x"));
    this.narrow(first, Math.max(first, this.columnAt(plot.posToVal(left + width - 1, "x"))));
  }

  /** Let a finger or a pen drag, too: uPlot hears the mouse only. @param {HTMLElement} over */
  touch(over) {
    let from = -1; // the column where it began
    const column = ({ clientX }) =>
      this.columnAt(this.plot.posToVal(clientX - over.getBoundingClientRect().left, "x"));
    const hear = (name, does) =>
      over.addEventListener(name, (finger) => {
        if (finger.isPrimary && finger.pointerType !== "mouse") does(finger);
      });
    const end = (to) => {
      const [first, last] = [Math.min(from, to), Math.max(from, to)];
      from = -1;
      this.choose(null);
      if (first >= 0 && first < last) this.narrow(first, last); // a touch alone chooses nothing
    };
    hear("pointerdown", (finger) => (from = column(finger)));
    hear("pointermove", (finger) => from >= 0 && this.choose({ from, to: column(finger) }));
    hear("pointerup", (finger) => end(column(finger)));
    hear("pointercancel", () => end(-1));
  }

  hovered(plot) {
    if (this.chosen || !this.counts) return;
    const { left } = plot.cursor;
    if (left == null || left < 0) return this.say(null);
    const column = this.columnAt(plot.posToVal(left, "x"));
    const dragged = plot.select.width > 1;
    const from = dragged ? this.columnAt(plot.posToVal(plot.select.left, "x")) : column;
    const to = dragged
      ? this.columnAt(plot.posToVal(plot.select.left + plot.select.width - 1, "x"))
      : column;
    this.say([from, to]);
  }

  // -- drawing ------------------------------------------------------------------------------------

  fit() {
    if (this.plot) this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT });
    else this.draw();
  }

  draw() {
    this.plot?.destroy();
    this.plot = null;
    if (!this.counts || !this.place.clientWidth) return;
    const { starts, all, matching } = this.counts;
    const under = this.hidden && matching ? all.map(() => 0) : all;
    const data = [starts, under, matching ?? all.map(() => 0)];
    this.plot = new uPlot(this.options(Boolean(matching)), data, this.place);
    this.plot.over.setAttribute("aria-hidden", "true");
    this.touch(this.plot.over);
  }

  options(twoKinds) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const { starts, end } = this.counts;
    const axis = {
      stroke: colour("--quiet"),
      font: "11px system-ui, sans-serif",
      ticks: { show: false },
    };
    const columns = {
      paths: (plot, series, first, last) => this.columns(plot, series, first, last),
      width: 0,
      points: { show: false },
    };
    return {
      width: this.place.clientWidth,
      height: HEIGHT,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        points: { show: false },
        drag: { x: true, y: false, setScale: false, dist: 3 },
      },
      scales: {
        x: { range: [starts[0], end] },
        y: { range: (_, least, most) => [0, Math.max(most || 0, 1) * 1.05] },
      },
      tzDate: (time) => uPlot.tzDate(new Date(time * 1e3), address.state.zone),
      axes: [
        {
          ...axis,
          size: 22,
          gap: 4,
          space: 90,
          grid: { show: false },
          values: (_, times, __, ___, step) => labels(times, step),
        },
        {
          ...axis,
          size: 46,
          gap: 6,
          space: 34,
          grid: { stroke: colour("--line"), width: 1 },
          incrs: COUNT_STEPS,
          values: (_, counts) => counts.map(short),
        },
      ],
      series: [
        {},
        { ...columns, fill: colour(twoKinds ? "--column" : "--column-alone") },
        { ...columns, fill: colour("--column-match") },
      ],
      hooks: {
        setSelect: [(plot) => this.dragged(plot)],
        setCursor: [(plot) => this.hovered(plot)],
      },
    };
  }

  /** The columns of one series: each from its start to the next one's, so they may differ in width. */
  columns(plot, series, first, last) {
    const path = new Path2D();
    const counts = plot.data[series];
    const zero = plot.valToPos(0, "y", true);
    const gap = plot.bbox.width / counts.length > 4 * devicePixelRatio ? devicePixelRatio : 0;
    for (let column = first; column <= last; column++) {
      if (!counts[column]) continue;
      const left = plot.valToPos(this.counts.starts[column], "x", true);
      const right = plot.valToPos(this.endOf(column), "x", true);
      const top = Math.min(
        plot.valToPos(counts[column], "y", true),
        zero - LEAST * devicePixelRatio,
      );
      path.rect(left, top, Math.max(right - left - gap, 1), zero - top);
    }
    return { fill: path, stroke: null };
  }
}

/** What the axis of time says. @param {number[]} times @param {number} step seconds between them */
function labels(times, step) {
  return times.map((moment) => {
    const { day, time } = clock(moment, address.state.zone);
    if (step >= 360 * DAY) return day.slice(0, -6);
    if (step >= 28 * DAY) return `${MONTHS[+day.slice(-5, -3) - 1]} ${day.slice(0, -6)}`;
    if (step >= DAY || time === "00:00:00")
      return `${+day.slice(-2)} ${MONTHS[+day.slice(-5, -3) - 1]}`;
    return step < 60 ? time : time.slice(0, 5);
  });
}
