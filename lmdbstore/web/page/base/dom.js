/**
 * How the page makes elements. Rule: data becomes text nodes and attributes here, never markup, so no
 * content can become part of the page.
 */

/**
 * Make an element. A function among the attributes listens to the event of its name; `true` is an
 * attribute without a value; `false`, `null` and `undefined` leave the attribute out, but not those of ARIA.
 * @param {string} tag
 * @param {Object<string, string|number|boolean|null|undefined|EventListener>} [attributes]
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (typeof value === "boolean" && name.startsWith("aria-"))
      made.setAttribute(name, String(value));
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, String(value));
  }
  made.append(...children.filter((child) => child != null && child !== false));
  return made;
}

/**
 * Return the element of `index.html` with an id.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found;
}

const numbers = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** Write a number with its thousands apart. @param {number} value */
export const number = (value) => numbers.format(value);

/** Write a number in little room: 1.2M. @param {number} value */
export const short = (value) => compact.format(value);

/** Write a number of things. @param {number} count @param {string} thing in the singular */
export const some = (count, thing) => `${number(count)} ${thing}${count === 1 ? "" : "s"}`;

/**
 * Return a function that runs once, after the page has been quiet for `ms` milliseconds.
 * @param {number} ms
 * @param {() => void} run
 */
export function afterQuiet(ms, run) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(run, ms);
  };
}

/** Say something to screen readers, once. @param {string} text */
export function announce(text) {
  byId("announcement").textContent = text;
}
