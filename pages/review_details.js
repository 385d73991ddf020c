// The selected picture in full: what is said of it, where it comes from, what is like it.

import { byId, make, nothing, thumbnail, words } from "/static/review_elements.js";
import { keyOf, stateOf } from "/static/review_store.js";

const STAGES = { decode: "Opening", check: "Checks", copy: "Copies", near_copy: "Near copies", curate: "Curation" };

export class Details {
  #box = byId("details");
  #store;
  #act;
  #asked = 0;

  /** `act(name)` is called for keep, drop, relabel. */
  constructor(store, act) {
    this.#store = store;
    this.#act = act;
  }

  async show(item) {
    const asked = ++this.#asked;
    if (!item) {
      this.#box.replaceChildren();
      return;
    }
    this.#box.replaceChildren(...this.#top(item));
    this.#box.dataset.key = keyOf(item);
    let all;
    try {
      all = await this.#store.details(item);
    } catch (error) {
      all = null;
      if (asked === this.#asked) this.#box.append(make("p", { className: "soft", textContent: error.message }));
    }
    if (all && asked === this.#asked) this.#box.append(...this.#rest(all));
  }

  #top(item) {
    const state = stateOf(item, this.#store.label);
    const alt = item.title || `picture of ${item.label}`;
    const button = (name, key, text) =>
      make("button", { type: "button", className: name, onclick: () => this.#act(name), aria: { keyshortcuts: key } }, `${text} `, make("kbd", { textContent: key }));
    const reason = item.reason ? this.#store.reasons[item.reason] ?? item.reason : "";
    return [
      make("div", { className: "large" }, item.picture ? thumbnail(item.sha256, alt, "large") : nothing(alt)),
      make("div", { className: "actions" }, button("keep", "K", "Keep"), button("drop", "D", "Drop"), button("relabel", "R", "Relabel")),
      make("p", { className: "verdict" }, state.text ? make("span", { className: `mark ${state.name}` }, words(state.text === "look" ? "waits for a look" : state.text)) : "kept",
        reason ? make("span", {}, ` ${reason}`) : null),
    ];
  }

  #rest(all) {
    const rows = [
      ["Title", all.full_title && words(all.full_title)],
      ["By", all.creator && words(all.creator)],
      ["Licence", all.license && link(all.license_url, all.license)],
      ["Found", all.source && make("span", {}, "by ", words(all.source), " for “", words(all.keyword), `”, place ${all.rank}`)],
      ["Page", all.page && link(all.page, host(all.page))],
      ["Size", all.size],
      ["Problem", all.detail],
      ["Assumed", all.assumed],
      ...all.checks.map((check) => [STAGES[check.stage] ?? check.stage, this.#said(check)]),
    ];
    const list = make("dl");
    for (const [name, value] of rows) if (value) list.append(make("dt", { textContent: name }), make("dd", {}, value));
    return [list, this.#strip("Same picture or kin", all.group), this.#strip("Most alike", all.neighbours)].filter(Boolean);
  }

  #said(check) {
    const verdict = { keep: "fine", flag: "look", drop: "dropped" }[check.verdict];
    const reason = check.reason ? `: ${this.#store.reasons[check.reason] ?? check.reason}` : "";
    const score = check.stage === "curate" || check.verdict === "flag" ? ` (score ${check.score.toFixed(2)}; 0 is the worst)` : "";
    return `${verdict}${reason}${score}`;
  }

  #strip(title, pictures) {
    if (!pictures.length) return null;
    const tiles = pictures.map((one) => {
      const labels = one.labels.join(", ") || "no class";
      return make("figure", {}, thumbnail(one.sha256, `picture of ${labels}`), make("figcaption", {}, words(labels)));
    });
    return make("section", { className: "strip" }, make("h2", { textContent: title }), make("div", { className: "tiles" }, ...tiles));
  }
}

function host(url) {
  try {
    return new URL(url).host;
  } catch {
    return url;
  }
}

// The server hands on http and https addresses alone; here that is asked again, as this becomes a link.
function link(url, text) {
  if (!/^https?:\/\//i.test(url)) return words(text);
  return make("a", { href: url, rel: "noopener noreferrer nofollow", target: "_blank" }, words(text));
}
