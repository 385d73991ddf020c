// The review page: classes, filters, clusters and keys around the grid and the details.

import { byId, make, thumbnail, words } from "/static/review_elements.js";
import { Details } from "/static/review_details.js";
import { Grid } from "/static/review_grid.js";
import { Store, keyOf, stateOf } from "/static/review_store.js";

const STATES = {
  all: ["All pictures", () => true],
  look: ["Waiting for a look", (item, state) => state.name === "look"],
  in: ["Taking part", (item, state) => state.taking],
  out: ["Left out", (item, state) => !state.taking],
  mine: ["Decided by you", (item) => item.mine !== null],
};

const store = new Store();
const grid = new Grid(store);
const details = new Details(store, act);
const filters = { state: "all", reason: "", cluster: "", ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))) };

store.addEventListener("classes", () => { drawClasses(); drawSaved(); });
store.addEventListener("pictures", () => { drawFilters(); drawClusters(); applyFilters(); });
store.addEventListener("changed", (event) => { grid.refresh(event.detail); drawClusters(); details.show(grid.item); });
store.addEventListener("said", (event) => { byId("message").textContent = event.detail; drawSaved(); });
grid.addEventListener("select", () => details.show(grid.item));
grid.addEventListener("keep", (event) => store.decide([event.detail], "keep"));
grid.addEventListener("drop", (event) => store.decide([event.detail], "drop"));

async function showClass(label, key = "") {
  filters.class = label;
  filters.reason = filters.cluster = "";
  await store.show(label);
  drawClasses();
  if (key) grid.fill(grid.items, key);
}

function drawClasses() {
  byId("classes").replaceChildren(...store.classes.map((one) => {
    const waiting = one.waiting ? make("span", { className: "waiting", textContent: `${one.waiting} to look at` }) : null;
    return make("button", { type: "button", onclick: () => showClass(one.label).then(() => grid.focus()), data: { label: one.label },
      aria: one.label === store.label ? { current: "true" } : {} }, words(one.label), make("span", { className: "soft", textContent: `${one.negatives ? " (negatives)" : ""} ${one.pictures} ` }), waiting);
  }));
  byId("classes").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function drawSaved() {
  const count = store.decisions;
  byId("saved").textContent = count ? `${count} decision${count > 1 ? "s" : ""} saved. Every click is saved at once.` : "Every click is saved at once.";
  byId("undo").disabled = !store.canUndo;
}

function drawFilters() {
  const reasons = tally(store.items.map((item) => item.reason).filter(Boolean));
  const clusters = tally(store.items.map((item) => item.cluster).filter(Boolean));
  fillSelect("state", Object.entries(STATES).map(([name, [text]]) => [name, text]));
  fillSelect("reason", [["", "Any reason"], ...[...reasons].map(([name, count]) => [name, `${store.reasons[name] ?? name} (${count})`])]);
  fillSelect("cluster", [["", "Any cluster"], ...[...clusters].sort((a, b) => a[0] - b[0]).map(([number, count]) => [String(number), `Cluster ${number} (${count})`])]);
}

function tally(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

function fillSelect(id, options) {
  const select = byId(id);
  select.replaceChildren(...options.map(([value, text]) => make("option", { value, textContent: text })));
  select.value = filters[id] ?? "";
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  filters[id] = select.value;
}

function applyFilters() {
  const key = grid.item ? keyOf(grid.item) : "";
  const items = store.items.filter((item) => STATES[filters.state][1](item, stateOf(item, store.label))
    && (!filters.reason || item.reason === filters.reason)
    && (!filters.cluster || String(item.cluster) === filters.cluster));
  grid.fill(items, key);
  byId("count").textContent = items.length === store.items.length ? `${items.length} pictures, the most suspicious first` : `${items.length} of ${store.items.length} pictures`;
  history.replaceState(null, "", `#${new URLSearchParams(Object.entries(filters).filter(([, value]) => value))}`);
}

function drawClusters() {
  const members = Map.groupBy(store.items.filter((item) => item.cluster), (item) => item.cluster);
  const box = byId("clusters");
  box.hidden = members.size < 2;
  box.replaceChildren(...[...members].sort((a, b) => a[0] - b[0]).map(([number, items]) => {
    const open = items.filter((item) => item.mine === null && item.verdict !== "drop");
    const name = `cluster ${number}`;
    return make("div", { className: "cluster", aria: { role: "group", label: `${name}, ${items.length} pictures` } },
      make("div", { className: "tiles" }, ...typical(items).map((item) => thumbnail(item.sha256, `from ${name}: ${item.title || item.label}`))),
      make("p", {}, `Cluster ${number}: ${items.length} pictures`),
      make("button", { type: "button", textContent: "Show", aria: { label: `Show ${name}` }, onclick: () => setFilter("cluster", String(number)) }),
      make("button", { type: "button", textContent: `Drop ${open.length}`, disabled: !open.length, className: "drop",
        aria: { label: `Drop ${open.length} pictures of ${name}` }, onclick: () => store.decide(open, "drop") }));
  }));
}

// The least suspicious ones say best what a cluster is.
function typical(items) {
  return items.filter((item) => item.picture).slice(-4);
}

function setFilter(id, value) {
  byId(id).value = value;
  filters[id] = value;
  applyFilters();
  grid.focus();
}

function act(name) {
  const item = grid.item;
  if (!item) return;
  if (name === "relabel") {
    askLabel(item);
    return;
  }
  store.decide([item], name);
  grid.select(grid.place + 1);
}

function askLabel(item) {
  const dialog = byId("relabel");
  const here = item.mine?.new_label || item.label;
  const others = store.classes.map((one) => one.label).filter((label) => label !== here && label !== item.label);
  byId("targets").replaceChildren(...others.map((label, place) =>
    make("button", { value: label }, place < 9 ? make("kbd", { textContent: String(place + 1) }) : null, " ", words(label))));
  dialog.returnValue = "";
  dialog.onclose = () => {
    grid.focus();
    if (!dialog.returnValue) return;
    store.decide([item], "relabel", dialog.returnValue);
    if (grid.item === item) grid.select(grid.place + 1);
  };
  dialog.showModal();
}

async function undo() {
  const back = await store.undo();
  if (!back) return;
  if (back.label !== store.label) await showClass(back.label, back.key);
  const place = grid.items.findIndex((item) => keyOf(item) === back.key);
  if (place >= 0) grid.select(place);
}

function nextToLookAt() {
  const waits = (item) => stateOf(item, store.label).name === "look";
  const after = grid.items.findIndex((item, place) => place > grid.place && waits(item));
  const place = after >= 0 ? after : grid.items.findIndex(waits);
  if (place >= 0) grid.select(place);
  else byId("message").textContent = "Nothing waits for a look here.";
}

function otherClass(step) {
  const names = store.classes.map((one) => one.label);
  showClass(names[(names.indexOf(store.label) + step + names.length) % names.length]).then(() => grid.focus());
}

const MOVES = {
  ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -grid.columns, ArrowDown: () => grid.columns,
  PageUp: () => -grid.page, PageDown: () => grid.page, Home: () => -grid.items.length, End: () => grid.items.length,
};
const KEYS = {
  k: () => act("keep"), d: () => act("drop"), r: () => act("relabel"), u: undo, n: nextToLookAt,
  "?": () => byId("help").showModal(), "[": () => otherClass(-1), "]": () => otherClass(1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const dialog = document.querySelector("dialog[open]");
  if (dialog) {
    if (dialog.id === "relabel" && /^[1-9]$/.test(event.key)) byId("targets").children[Number(event.key) - 1]?.click();
    return;
  }
  if (event.target.closest("select, input, textarea")) return;
  const move = event.target === byId("grid") && MOVES[event.key];
  const key = !event.repeat && KEYS[event.key.toLowerCase()];
  if (!move && !key) return;
  event.preventDefault();
  if (move) grid.select(grid.place + move());
  else key();
});

for (const id of ["state", "reason", "cluster"]) byId(id).addEventListener("change", (event) => { filters[id] = event.target.value; applyFilters(); });
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("undo").addEventListener("click", undo);
byId("help-button").addEventListener("click", () => byId("help").showModal());

async function start() {
  await store.open();
  const named = store.classes.some((one) => one.label === filters.class);
  const { reason, cluster } = filters;
  filters.class = named ? filters.class : store.first;
  Object.assign(filters, { reason, cluster });
  await store.show(filters.class);
  drawClasses();
  grid.focus();
  document.documentElement.dataset.ready = "true";
}

start().catch((error) => { byId("message").textContent = error.message; });
