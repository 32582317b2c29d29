/**
 * What of a content is shown, and how: ANSI colours become classes, other control characters and those
 * that reverse the direction of text become visible signs. Places are in UTF-16 code units of the
 * content, so that marks fit.
 *
 * @typedef {object} Piece
 * @property {number} start
 * @property {number} end
 * @property {string} kinds classes
 * @property {{front?: string, back?: string}} [colours] beyond the sixteen
 * @property {string} [instead] what is shown in its place
 */

// An escape sequence; or a control character but tab and newline; or one that changes direction.
const SPECIAL =
  /\x1b\[([0-9;:]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\r\n|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** Take a content apart. @param {string} content @returns {Piece[]} in order, without escape sequences */
export function pieces(content) {
  const found = [];
  const look = new Look();
  let from = 0;
  for (const special of content.matchAll(SPECIAL)) {
    if (special.index > from) found.push({ start: from, end: special.index, ...look.shown() });
    from = special.index + special[0].length;
    if (special[1] !== undefined) look.apply(special[1]);
    else if (special[0].length === 1) found.push(sign(special[0], special.index));
    else if (special[0] === "\r\n") found.push({ start: from - 1, end: from, ...look.shown() });
  }
  if (from < content.length) found.push({ start: from, end: content.length, ...look.shown() });
  return found;
}

/** @param {string} character @param {number} start @returns {Piece} */
function sign(character, start) {
  const code = character.charCodeAt(0);
  const digits = code.toString(16).toUpperCase();
  const instead = code < 0x100 ? `\\x${digits.padStart(2, "0")}` : `U+${digits.padStart(4, "0")}`;
  return { start, end: start + 1, kinds: "control", instead };
}

const STYLES = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "struck" };
const ENDS = {
  22: ["bold", "dim"],
  23: ["italic"],
  24: ["underline"],
  27: ["inverse"],
  29: ["struck"],
};

/** What the escape sequences so far ask for. */
class Look {
  constructor() {
    this.reset();
  }

  reset() {
    this.styles = new Set();
    this.front = this.back = null;
  }

  /** @param {string} codes of one sequence */
  apply(codes) {
    const list = codes.split(/[;:]/).map(Number);
    while (list.length) {
      const code = list.shift();
      if (code === 0) this.reset();
      else if (STYLES[code]) this.styles.add(STYLES[code]);
      else if (ENDS[code]) ENDS[code].forEach((style) => this.styles.delete(style));
      else if (code === 38) this.front = extended(list);
      else if (code === 48) this.back = extended(list);
      else this.plain(code);
    }
  }

  plain(code) {
    if (code >= 30 && code <= 37) this.front = code - 30;
    else if (code >= 90 && code <= 97) this.front = code - 82;
    else if (code >= 40 && code <= 47) this.back = code - 40;
    else if (code >= 100 && code <= 107) this.back = code - 92;
    else if (code === 39) this.front = null;
    else if (code === 49) this.back = null;
  }

  shown() {
    const kinds = [...this.styles].map((style) => `ansi-${style}`);
    const colours = {};
    if (typeof this.front === "number") kinds.push(`ansi-${this.front}`);
    else if (this.front) set(kinds, colours, "front", this.front);
    if (typeof this.back === "number") kinds.push(`ansi-on-${this.back}`);
    else if (this.back) set(kinds, colours, "back", this.back);
    return { kinds: kinds.join(" "), colours };
  }
}

function set(kinds, colours, side, colour) {
  kinds.push(`ansi-${side}`);
  colours[side] = colour;
}

/** Read `5;n` or `2;r;g;b` from the list of codes. */
function extended(list) {
  const kind = list.shift();
  if (kind === 2) return rgb(list.splice(0, 3));
  if (kind !== 5) return null;
  const index = list.shift() ?? 0;
  if (index < 16) return index;
  if (index >= 232) return rgb(Array(3).fill(8 + 10 * (index - 232)));
  const level = (value) => (value ? 55 + 40 * value : 0);
  const cube = index - 16;
  return rgb([Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map(level));
}

const rgb = (levels) => `rgb(${levels.map((level) => Math.min(255, level || 0)).join(" ")})`;
