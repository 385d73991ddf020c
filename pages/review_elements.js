// Elements made in code. Text is always text: nothing here, or in any file beside it, reads HTML from a string.

/**
 * Make an element. `properties` are set as properties (className, textContent, onclick …), `aria` and `data` as
 * attributes; children that are null are left out.
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { aria = {}, data = {}, ...rest } = properties;
  Object.assign(element, rest);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(name === "role" ? name : `aria-${name}`, value);
  Object.assign(element.dataset, data);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A label, a title or a name of any script, which must not turn the sentence around it. */
export function words(text, className = "") {
  return make("bdi", { textContent: text, className });
}

export function address(sha256, size = "small") {
  return `/picture/${size}/${sha256}.jpg`;
}

/** A thumbnail that says so when there is no picture to show. */
export function thumbnail(sha256, alt, size = "small") {
  const image = make("img", { src: address(sha256, size), alt, decoding: "async", draggable: false });
  image.addEventListener("error", () => image.replaceWith(nothing(alt)));
  return image;
}

export function nothing(alt) {
  return make("span", { className: "nothing", aria: { role: "img", label: `${alt}: no picture to show` }, textContent: "no picture" });
}

export function byId(id) {
  return document.getElementById(id);
}
