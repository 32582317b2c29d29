/**
 * Times: seconds since 1970 in the store and in calls, text in the address, and a zone's clock on the
 * page. A time in the address is empty, relative to now (`-15m`), seconds, or ISO 8601.
 */

const UNITS = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
const NAMES = { s: "second", m: "minute", h: "hour", d: "day", w: "week" };
const RELATIVE = /^-(\d{1,9}(?:\.\d+)?)([smhdw])$/;
const WRITTEN =
  /^(\d{4,6})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*(Z|[+-]\d\d:?\d\d)?$/i;
const LAST = 8.64e12; // seconds: what a Date of JavaScript can tell

/** The zone of this browser. */
export const here = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** Whether a zone has a clock in this browser. @param {string} zone */
export function isZone(zone) {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: zone }));
  } catch {
    return false;
  }
}

/** Whether a time of the address moves with the clock. @param {string} text */
export const isRelative = (text) => RELATIVE.test(text.trim()) || isNow(text);

const isNow = (text) => /^now$/i.test(text.trim());

/**
 * Return the seconds that a text means, or null if it is empty.
 * @param {string} text
 * @param {string} zone of a time that names none
 * @param {number} now seconds
 * @returns {number|null}
 * @throws {RangeError} if it means nothing
 */
export function seconds(text, zone, now = Date.now() / 1000) {
  const trimmed = text.trim();
  if (!trimmed) return null;
  if (isNow(trimmed)) return now;
  const relative = RELATIVE.exec(trimmed);
  if (relative) return now - Number(relative[1]) * UNITS[relative[2]];
  if (/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(trimmed)) return Number(trimmed);
  const written = WRITTEN.exec(trimmed);
  if (!written) {
    throw new RangeError(`“${trimmed}” is no time: write 2026-10-16 14:05, -15m, -2h or -7d`);
  }
  return ofWritten(written, zone);
}

/** @param {RegExpExecArray} parts @param {string} zone */
function ofWritten(
  [text, year, month, day, hour = "0", minute = "0", second = "0", fraction, offset],
  zone,
) {
  const clock = Date.UTC(+year, +month - 1, +day, +hour, +minute, +second) / 1000;
  const read = new Date(clock * 1000);
  if (read.getUTCMonth() !== +month - 1 || +hour > 23 || +minute > 59 || +second > 59) {
    throw new RangeError(`“${text}” is no time: there is no such day or hour`);
  }
  const rest = fraction ? Number(`0.${fraction}`) : 0;
  if (!offset) return ofClock(clock, zone) + rest;
  if (offset.toUpperCase() === "Z") return clock + rest;
  const sign = offset[0] === "-" ? -1 : 1;
  const digits = offset.replace(/\D/g, "");
  return clock - sign * (Number(digits.slice(0, 2)) * 3600 + Number(digits.slice(2)) * 60) + rest;
}

/** Seconds at which a zone's clock shows what UTC's shows at `clock`. */
function ofClock(clock, zone) {
  let found = clock;
  for (let round = 0; round < 2; round++) found = clock - offsetAt(found, zone);
  return found;
}

/** How far a zone's clock is ahead of UTC's, in seconds. */
function offsetAt(time, zone) {
  const at = Math.floor(time);
  const { year, month, day, hour, minute, second } = parts(at, zone);
  return Date.UTC(+year, +month - 1, +day, +hour, +minute, +second) / 1000 - at;
}

const formats = new Map();

let lastParts = { time: NaN, zone: "", found: {} }; // many events have the same second

/** The parts of a zone's clock. @param {number} time whole seconds @param {string} zone */
function parts(time, zone) {
  if (lastParts.time === time && lastParts.zone === zone) return lastParts.found;
  if (!formats.has(zone)) {
    formats.set(
      zone,
      new Intl.DateTimeFormat("en-US", {
        timeZone: zone,
        hourCycle: "h23",
        year: "numeric",
        month: "2-digit",
        day: "2-digit",
        hour: "2-digit",
        minute: "2-digit",
        second: "2-digit",
        era: "short",
      }),
    );
  }
  const found = {};
  for (const { type, value } of formats.get(zone).formatToParts(time * 1000)) found[type] = value;
  if (found.era === "BC") found.year = String(1 - Number(found.year));
  lastParts = { time, zone, found };
  return found;
}

/**
 * Return the day and the time of day that a zone's clock shows, to the millisecond.
 * @param {number} time seconds
 * @param {string} zone
 * @returns {{day: string, time: string, fraction: string}}
 */
export function clock(time, zone) {
  if (!(Math.abs(time) < LAST)) return { day: `${time} s`, time: "", fraction: "" };
  const thousandths = Math.floor(Math.round(time * 1e6) / 1e3);
  const whole = Math.floor(thousandths / 1000);
  const { year, month, day, hour, minute, second } = parts(whole, zone);
  const fraction = String(thousandths - whole * 1000).padStart(3, "0");
  const full = year.startsWith("-") ? year : year.padStart(4, "0");
  return {
    day: `${full}-${month}-${day}`,
    time: `${hour}:${minute}:${second}`,
    fraction: `.${fraction}`,
  };
}

/** Write a time for people, without fractions. @param {number} time @param {string} zone */
export function written(time, zone) {
  const shown = clock(time, zone);
  return shown.time ? `${shown.day} ${shown.time}` : shown.day;
}

/** Write a time for the address: exact to the microsecond, with its zone. @param {number} time */
export function iso(time) {
  if (!(Math.abs(time) < LAST)) return String(time);
  const millionths = Math.round(time * 1e6);
  const whole = Math.floor(millionths / 1e6);
  const rest = String(millionths - whole * 1e6)
    .padStart(6, "0")
    .replace(/0+$/, "");
  return new Date(whole * 1000).toISOString().replace(/\.000Z$/, `${rest ? `.${rest}` : ""}Z`);
}

/**
 * Say in words what range of time two texts mean.
 * @param {string} since
 * @param {string} until
 * @param {string} zone
 */
export function rangeInWords(since, until, zone) {
  const relative = RELATIVE.exec(since);
  if (!since && !until) return "All time";
  if (relative && !until) {
    const [, count, unit] = relative;
    return Number(count) === 1 ? `Last ${NAMES[unit]}` : `Last ${count} ${NAMES[unit]}s`;
  }
  const from = since && said(since, zone);
  const to = until && said(until, zone);
  if (!until) return `Since ${from}`;
  if (!since) return `Until ${to}`;
  return from.slice(0, 10) === to.slice(0, 10) ? `${from} – ${to.slice(11)}` : `${from} – ${to}`;
}

function said(text, zone) {
  try {
    return isRelative(text) ? text : written(seconds(text, zone), zone);
  } catch {
    return text;
  }
}
