// What the page knows, and how decisions reach the server. Two tabs stay in step, and neither undoes the other's work.

import { askJson } from "/static/ask_json.js";

const UNDO = "review-undo";

export const keyOf = (item) => `${item.sha256} ${item.label}`;

/** What becomes of a picture, as seen in the class that is shown: a word for filters, and a text for people. */
export function stateOf(item, shown) {
  const mine = item.mine;
  if (mine?.action === "keep") return { name: "kept", taking: true, text: "kept by you" };
  if (mine?.action === "drop") return { name: "dropped", taking: false, text: "dropped by you" };
  if (mine?.action === "relabel" && item.label === shown) return { name: "moved", taking: false, text: `moved to ${mine.new_label}` };
  if (mine?.action === "relabel") return { name: "kept", taking: true, text: `moved here from ${item.label}` };
  if (item.verdict === "drop") return { name: "dropped", taking: false, text: "dropped" };
  if (item.verdict === "flag") return { name: "look", taking: true, text: "look" };
  return { name: "kept", taking: true, text: "" };
}

/** Events: `classes`, `pictures` (another list), `changed` (detail: keys), `said` (detail: a sentence for the person). */
export class Store extends EventTarget {
  classes = [];
  first = ""; // the class to open
  empty = {}; // by class without a picture: what became of all that was found
  reasons = {};
  decisions = 0;
  label = "";
  items = [];
  #places = new Map();
  #queue = Promise.resolve();
  #channel = new BroadcastChannel("review");
  #undo = JSON.parse(sessionStorage.getItem(UNDO) ?? "[]");

  constructor() {
    super();
    this.#channel.onmessage = (event) => this.#take(event.data);
  }

  async open() {
    const answer = await askJson("/api/classes");
    this.reasons = answer.words;
    this.first = answer.first;
    this.empty = answer.empty;
    this.#count(answer);
  }

  async show(label) {
    const items = await askJson(`/api/pictures?label=${encodeURIComponent(label)}`);
    this.label = label;
    this.items = items;
    this.#places = new Map(items.map((item) => [keyOf(item), item]));
    this.dispatchEvent(new Event("pictures"));
  }

  details(item) {
    return askJson(`/api/picture?sha256=${item.sha256}&label=${encodeURIComponent(item.label)}`);
  }

  get canUndo() {
    return this.#undo.length > 0;
  }

  /** Decide on pictures; one after the other, so that each request knows what the one before it has done. */
  decide(items, action, newLabel = "") {
    return this.#next(async () => {
      const before = items.map((item) => item.mine);
      const changes = items.map((item) => ({
        sha256: item.sha256, label: item.label, action, new_label: newLabel, seen: item.mine?.made_at ?? "",
      }));
      const results = await this.#save(changes);
      const steps = results.map((result, place) => ({ ...result, before: before[place] })).filter((step) => step.made);
      if (steps.length) this.#remember({ label: this.label, steps });
      this.#tell(results, action, newLabel);
    });
  }

  /** Take the last decision of this tab back; what another tab has decided since then stays. */
  undo() {
    return this.#next(async () => {
      const last = this.#undo.at(-1);
      if (!last) return null;
      const changes = last.steps.map((step) => ({
        sha256: step.sha256, label: step.label, seen: step.mine?.made_at ?? "",
        action: step.before?.action ?? "", new_label: step.before?.new_label ?? "",
      }));
      const results = await this.#save(changes);
      this.#undo.pop();  // only now: a request that failed must be possible again
      results.forEach((result, place) => { if (result.made) this.#renew(last.steps[place], result.mine); });
      sessionStorage.setItem(UNDO, JSON.stringify(this.#undo));
      const lost = results.filter((result) => !result.made).length;
      this.#say(lost ? `Not taken back, as it was decided anew elsewhere: ${lost} of ${results.length}.`
        : results.length > 1 ? `Taken back: ${results.length} decisions.` : "Taken back.");
      return { label: last.label, key: keyOf(last.steps[0]) };
    });
  }

  find(key) {
    return this.#places.get(key);
  }

  #next(work) {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined);
    return done.catch((error) => this.#say(`Not saved: ${error.message}`));
  }

  #remember(entry) {
    this.#undo = [...this.#undo, entry].slice(-200);
    sessionStorage.setItem(UNDO, JSON.stringify(this.#undo));
  }

  /** Earlier entries know the decision that came back by the time at which it was first made. */
  #renew(taken, now) {
    for (const step of this.#undo.flatMap((entry) => entry.steps)) {
      if (keyOf(step) === keyOf(taken) && step.mine?.made_at === taken.before?.made_at) step.mine = now;
    }
  }

  async #save(changes) {
    const answer = await askJson("/api/decide", { changes });
    this.#take(answer);
    this.#channel.postMessage(answer);
    return answer.results;
  }

  #take(answer) {
    for (const result of answer.results) {
      const item = this.#places.get(keyOf(result));
      if (item) item.mine = result.mine;
    }
    this.#count(answer);
    this.dispatchEvent(new CustomEvent("changed", { detail: answer.results.map(keyOf) }));
  }

  #count(answer) {
    this.classes = answer.classes;
    this.decisions = answer.decisions;
    this.dispatchEvent(new Event("classes"));
  }

  #tell(results, action, newLabel) {
    const lost = results.filter((result) => !result.made);
    const what = { keep: "Kept", drop: "Dropped", relabel: `Moved to ${newLabel}` }[action];
    const many = results.length > 1 ? `: ${results.length - lost.length} pictures` : "";
    if (!lost.length) this.#say(`${what}${many}.`);
    else if (results.length === 1) this.#say(`Not changed: in another tab it was ${spoken(lost[0].mine)}. Look again.`);
    else this.#say(`${what}${many}; ${lost.length} were decided in another tab and stay as they are.`);
  }

  #say(sentence) {
    this.dispatchEvent(new CustomEvent("said", { detail: sentence }));
  }
}

function spoken(mine) {
  if (!mine) return "taken back";
  return { keep: "kept", drop: "dropped", relabel: `moved to ${mine.new_label}` }[mine.action];
}
