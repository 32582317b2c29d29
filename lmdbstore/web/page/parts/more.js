/** Conditions that have no list to choose from: one of some flags, and fields of contents in JSON. */

import { address } from "../base/address.js";
import { byId } from "../base/dom.js";

const CONDITION = /^(.+?)\s*(==|!=|<=|>=|<|>|=)\s*(.*)$/s;
const flag = /** @type {HTMLInputElement} */ (byId("any-flag"));
const field = /** @type {HTMLInputElement} */ (byId("field"));

/** Make both fields work. */
export function moreConditions() {
  byId("any-form").addEventListener("submit", (submit) => {
    submit.preventDefault();
    if (flag.value) takeOneOf(flag.value);
    flag.value = "";
  });
  byId("field-form").addEventListener("submit", (submit) => {
    submit.preventDefault();
    try {
      if (field.value.trim()) address.change({ where: withField(address.state.where, field.value) });
      field.value = byId("field-mistake").textContent = "";
    } catch (error) {
      byId("field-mistake").textContent = error.message;
    }
  });
}

/** @param {string} value of a flag */
function takeOneOf(value) {
  const without = (list) => list.filter((one) => one !== value);
  const { flag: all, any_flag: any, not_flag: not } = address.state;
  address.change({
    flag: without(all),
    any_flag: [...without(any), value],
    not_flag: without(not),
  });
}

/**
 * Add a condition such as `status>=500` to those of the address, as `lmdbstore search --where` takes it.
 * @param {string} where an object of JSON, or ""
 * @param {string} text
 * @throws {RangeError} if it means nothing
 */
export function withField(where, text) {
  const found = CONDITION.exec(text.trim());
  if (!found) throw new RangeError(`“${text}” is no condition: write status>=500 or user.id=x`);
  const [, path, word, value] = found;
  const fields = new Map(Object.entries(where ? objectOf(where) : {}));
  fields.set(path, [...pairs(fields.get(path)), [word === "=" ? "==" : word, scalar(value)]]);
  if ([...fields.values()].flat(2).some(isRounded)) {
    throw new RangeError("A number is too large for the page: write it into the address, as where=");
  }
  return JSON.stringify(Object.fromEntries(fields));
}

const isRounded = (value) => Number.isInteger(value) && !Number.isSafeInteger(value);

/** All conditions on a field as pairs of an operator and a value. */
function pairs(given) {
  if (given === undefined) return [];
  if (!Array.isArray(given)) return [["==", given]];
  return typeof given[0] === "string" ? [given] : given;
}

function objectOf(where) {
  try {
    return JSON.parse(where);
  } catch {
    throw new RangeError("The address has fields that are no JSON: take them away first");
  }
}

/** A number, a truth value or null if it is one in JSON, or a text. @param {string} text */
function scalar(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return text;
  }
  if (typeof found === "object" && found !== null)
    throw new RangeError(`“${text}” is no single value: write a number or a text`);
  return found;
}
