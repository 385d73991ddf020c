// A grid of pictures that makes only the cells in view, so that ten thousand scroll like ten.

import { byId, make, nothing, thumbnail, words } from "/static/review_elements.js";
import { keyOf, stateOf } from "/static/review_store.js";

const CELL_WIDTH = 176;
const CELL_HEIGHT = 208;
const SPARE_ROWS = 2;

/** Events: `select` (another picture), `keep` and `drop` (a button on a picture; detail: the item). */
export class Grid extends EventTarget {
  items = [];
  place = -1;
  #box = byId("grid");
  #inner = make("div", { className: "cells", aria: { role: "presentation" } });
  #cells = new Map();
  #store;

  constructor(store) {
    super();
    this.#store = store;
    this.#box.append(this.#inner);
    this.#box.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.#box);
    this.#box.addEventListener("click", (event) => this.#clicked(event));
  }

  get item() {
    return this.items[this.place];
  }

  get columns() {
    return Math.max(1, Math.floor(this.#box.clientWidth / CELL_WIDTH));
  }

  get page() {
    return Math.max(1, Math.floor(this.#box.clientHeight / CELL_HEIGHT)) * this.columns;
  }

  /** Show another list; the picture with this key is selected when it is there, else the one at this place. */
  fill(items, key = "", place = 0) {
    this.items = items;
    for (const cell of this.#cells.values()) cell.remove();
    this.#cells.clear();
    const found = items.findIndex((item) => keyOf(item) === key);
    this.place = -1;
    this.select(found >= 0 ? found : Math.min(place, items.length - 1));
    const lost = this.#store.empty[this.#store.label];
    byId("empty").textContent = lost ? `This class has no picture: ${lost}.` : "No picture here. Show others with the filters above.";
    byId("empty").hidden = items.length > 0;
    this.#box.hidden = items.length === 0;
    this.draw();
  }

  select(place) {
    if (this.items.length) this.place = Math.max(0, Math.min(place, this.items.length - 1));
    else this.place = -1;
    this.#intoView();
    this.draw();
    this.dispatchEvent(new Event("select"));
  }

  focus() {
    this.#box.focus({ preventScroll: true });
  }

  /** Draw the cells of these pictures again, whose state has changed. */
  refresh(keys) {
    const wanted = new Set(keys);
    for (const [place, cell] of this.#cells) {
      if (wanted.has(keyOf(this.items[place]))) {
        cell.remove();
        this.#cells.delete(place);
      }
    }
    this.draw();
  }

  draw() {
    const columns = this.columns;
    const first = Math.max(0, Math.floor(this.#box.scrollTop / CELL_HEIGHT) - SPARE_ROWS) * columns;
    const rows = Math.ceil(this.#box.clientHeight / CELL_HEIGHT) + 2 * SPARE_ROWS;
    const last = Math.min(this.items.length, first + rows * columns);
    this.#inner.style.height = `${Math.ceil(this.items.length / columns) * CELL_HEIGHT}px`;
    for (const [place, cell] of this.#cells) {
      if (place < first || place >= last) {
        cell.remove();
        this.#cells.delete(place);
      }
    }
    const width = this.#box.clientWidth / columns;
    for (let place = first; place < last; place += 1) {
      let cell = this.#cells.get(place);
      if (!cell) {
        cell = this.#cell(place);
        this.#cells.set(place, cell);
        this.#inner.append(cell);
      }
      cell.style.transform = `translate(${(place % columns) * width}px, ${Math.floor(place / columns) * CELL_HEIGHT}px)`;
      cell.style.width = `${width}px`;
      cell.setAttribute("aria-selected", String(place === this.place));
    }
    if (this.place >= 0) this.#box.setAttribute("aria-activedescendant", `picture-${this.place}`);
    else this.#box.removeAttribute("aria-activedescendant");
  }

  #cell(place) {
    const item = this.items[place];
    const state = stateOf(item, this.#store.label);
    const alt = item.title || `picture of ${item.label}`;
    const button = (name, sign, text) =>
      make("button", { type: "button", tabIndex: -1, className: name, title: text, textContent: sign, aria: { hidden: "true" }, data: { act: name } });
    return make(
      "div",
      {
        id: `picture-${place}`, className: `cell is-${state.name}${item.mine ? " is-mine" : ""}`, data: { place },
        aria: { role: "option", posinset: place + 1, setsize: this.items.length },
      },
      make("div", { className: "frame" }, item.picture ? thumbnail(item.sha256, alt) : nothing(alt), button("keep", "✓", "Keep (K)"), button("drop", "✕", "Drop (D)")),
      make("div", { className: "caption" }, ...this.#caption(item, state)),
    );
  }

  #caption(item, state) {
    const reason = item.reason && !item.mine ? this.#store.reasons[item.reason] ?? item.reason : "";
    const mark = state.text && make("span", { className: `mark ${state.name}` }, words(state.text));
    const suspicion = Math.round((1 - item.score) * 100);
    const meter = make("span", { className: "meter", title: `suspicion ${suspicion} %` }, make("span"),
      make("span", { className: "visually-hidden", textContent: `suspicion ${suspicion} %` }));
    meter.firstChild.style.width = `${suspicion}%`;
    return [mark || null, reason ? make("span", { className: "reason", textContent: reason }) : null, item.verdict === "drop" ? null : meter];
  }

  #clicked(event) {
    const cell = event.target.closest(".cell");
    if (!cell) return;
    const place = Number(cell.dataset.place);
    this.focus();
    const act = event.target.closest("button")?.dataset.act;
    if (act) this.dispatchEvent(new CustomEvent(act, { detail: this.items[place] }));
    else this.select(place);
  }

  #intoView() {
    if (this.place < 0) return;
    const top = Math.floor(this.place / this.columns) * CELL_HEIGHT;
    const box = this.#box;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + CELL_HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + CELL_HEIGHT - box.clientHeight;
  }
}
