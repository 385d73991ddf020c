// Pictures that the service has kept: one click decides on one.

import { askJson } from "/static/ask_json.js";
import { byId, make, words } from "/static/review_elements.js";

const box = byId("pictures");
const classes = JSON.parse(box.dataset.classes);

function say(sentence) {
  byId("message").textContent = sentence;
}

async function decide(item, label, figure) {
  for (const button of figure.querySelectorAll("button")) button.disabled = true;
  try {
    const answer = await askJson("/api/unlabelled", { sha256: item.sha256, label });
    say(!answer.done ? "Not changed: it was decided on elsewhere." : label ? `Put into ${label}; the next training takes it in.` : "Deleted.");
    const next = figure.nextElementSibling ?? figure.previousElementSibling;
    figure.remove();
    next?.querySelector("button")?.focus();
    if (!box.children.length && answer.waiting) await show();
    byId("empty").hidden = box.children.length > 0;
  } catch (error) {
    say(`Not saved: ${error.message}`);
    for (const button of figure.querySelectorAll("button")) button.disabled = false;
  }
}

function picture(item) {
  const alt = `picture answered ${item.none ? "none" : item.best}`;
  const image = make("img", { src: `/unlabelled/${item.sha256}.jpg`, alt, decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(make("span", { className: "nothing", textContent: "no picture to show" })));
  const figure = make("figure", { data: { sha: item.sha256 } });
  const target = (label) => make("button", { type: "button", className: label === item.best ? "guess" : "", onclick: () => decide(item, label, figure) }, words(label));
  const order = [item.best, ...classes.filter((label) => label !== item.best)].filter((label) => classes.includes(label));
  const from = item.url ? make("a", { href: item.url, rel: "noopener noreferrer nofollow", target: "_blank", textContent: "its address" }) : null;
  figure.append(
    image,
    make("figcaption", {}, make("b", {}, item.none ? "none" : words(item.best)), ` ${item.none ? `(${item.none})` : `with ${Math.round(item.probability * 100)} %`}, ${item.kept_at.slice(0, 16).replace("T", " ")} UTC`, from ? make("br") : null, from),
    make("div", { className: "targets", aria: { role: "group", label: "Put it into" } }, ...order.map(target),
      make("button", { type: "button", className: "out", textContent: "None of these", onclick: () => decide(item, "", figure) })),
  );
  return figure;
}

async function show() {
  const answer = await askJson("/api/unlabelled");
  box.replaceChildren(...answer.pictures.map(picture));
  byId("empty").hidden = answer.pictures.length > 0;
}

show().catch((error) => say(error.message)).finally(() => { document.documentElement.dataset.ready = "true"; });
