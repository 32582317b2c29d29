/** A content as nodes: with colours, JSON's kinds and marks; in full, or folded to a few lines. */

import { element } from "../base/dom.js";
import { pieces } from "./ansi.js";
import { laidOut, tokens } from "./json.js";

const FOLDED_LINES = 4;
const FOLDED_LENGTH = 700; // characters
const AROUND = 80; // characters before a mark

/**
 * Where a content is folded: its end if it is short.
 * @param {string} content
 */
export function foldAt(content) {
  let end = -1;
  for (let line = 0; line < FOLDED_LINES; line++) {
    end = content.indexOf("\n", end + 1);
    if (end < 0) break;
  }
  const byLines = end < 0 ? content.length : end;
  return Math.min(byLines, content.length <= FOLDED_LENGTH * 1.2 ? content.length : FOLDED_LENGTH);
}

/**
 * The part around the first mark, if that is after a place.
 * @param {string} content
 * @param {[number, number][]} marks
 * @param {number} place
 * @returns {[number, number]|null} its start and end
 */
export function markAfter(content, marks, place) {
  const found = marks[0];
  if (!found || found[1] <= place) return null;
  const [line, next] = [
    content.lastIndexOf("\n", found[0] - 1) + 1,
    content.indexOf("\n", found[1]),
  ];
  const start = Math.max(line, found[0] - AROUND, place);
  return [start, Math.min(next < 0 ? content.length : next, found[1] + 2 * AROUND)];
}

/**
 * Return a content as nodes, as it is written.
 * @param {string} content
 * @param {[number, number][]} marks
 * @param {number} end where to stop
 * @param {number} [start]
 */
export function asWritten(content, marks, end, start = 0) {
  const made = document.createDocumentFragment();
  for (const piece of kindsOf(content)) {
    if (piece.end <= start || piece.start >= end) continue;
    const cut = { ...piece, start: Math.max(piece.start, start), end: Math.min(piece.end, end) };
    made.append(...drawn(content, cut, marks));
  }
  return made;
}

/**
 * Return a JSON content as nodes with a line for each field, or null if it is none.
 * @param {string} content
 * @param {[number, number][]} marks
 */
export function asFields(content, marks) {
  const list = tokens(content);
  if (!list) return null;
  const made = document.createDocumentFragment();
  for (const token of laidOut(list)) {
    made.append(token.before);
    for (const piece of piecesOf(token, content)) made.append(...drawn(content, piece, marks));
  }
  return made;
}

function kindsOf(content) {
  const list = tokens(content);
  return list ? list.flatMap((token) => piecesOf(token, content)) : pieces(content);
}

/** The pieces of a token of JSON: signs that are not to be seen may be in it. */
function piecesOf(token, content) {
  return pieces(content.slice(token.start, token.end)).map((piece) => ({
    ...piece,
    start: token.start + piece.start,
    end: token.start + piece.end,
    kinds: piece.instead ? piece.kinds : `json-${token.kind}`,
  }));
}

/** The nodes of one piece, cut where a mark begins or ends. */
function drawn(content, piece, marks) {
  const nodes = [];
  let from = piece.start;
  for (const [start, end] of marks) {
    if (end <= from || start >= piece.end) continue;
    const begin = Math.max(start, from);
    const stop = Math.min(end, piece.end);
    if (begin > from) nodes.push(styled(piece, content.slice(from, begin)));
    nodes.push(element("mark", {}, styled(piece, content.slice(begin, stop))));
    from = stop;
  }
  if (from < piece.end) nodes.push(styled(piece, content.slice(from, piece.end)));
  return nodes;
}

function styled(piece, text) {
  const { front, back } = piece.colours ?? {};
  if (!piece.kinds && !front && !back) return document.createTextNode(text);
  const made = element("span", { class: piece.kinds || null }, piece.instead ?? text);
  if (front) made.style.setProperty("--front", front);
  if (back) made.style.setProperty("--back", back);
  return made;
}
