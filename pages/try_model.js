// A picture goes to /answer as it is; what comes back is shown beside it, the newest first.

const drop = document.getElementById("drop");
const file = document.getElementById("file");
const message = document.getElementById("message");
const answers = document.getElementById("answers");
const maxMb = Number(answers.dataset.maxMb);
const SHOWN_BARS = 6;
const KEPT = 30;

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const percent = (share) => `${(100 * share).toFixed(share > 0.995 && share < 1 ? 1 : 0)} %`;

function bars(probabilities) {
  const rows = probabilities.slice(0, SHOWN_BARS).flatMap(([label, share]) => [
    make("dt", {}, make("bdi", { textContent: label })),
    make("dd", {}, make("progress", { max: 1, value: share, ariaLabel: label })),
    make("dd", { textContent: percent(share) }),
  ]);
  return make("dl", { className: "bars" }, ...rows);
}

function show(picture, found) {
  const image = make("img", { alt: picture.name || "the picture", src: URL.createObjectURL(picture) });
  const words = make("div");
  if (!found.answered) {
    words.append(make("h2", { textContent: "None of these" }), make("p", { textContent: found.reason }));
    words.append(make("p", { className: "soft" }, "If it had to be one of them: ", make("bdi", { textContent: found.best })));
  } else {
    words.append(make("h2", {}, make("bdi", { textContent: found.label }), `, ${percent(found.probability)}`));
  }
  words.append(bars(found.probabilities), make("p", { className: "soft", textContent: found.size }));
  answers.prepend(make("article", { className: found.answered ? "answer" : "answer none" }, image, words));
  while (answers.children.length > KEPT) {
    URL.revokeObjectURL(answers.lastElementChild.querySelector("img").src);
    answers.lastElementChild.remove();
  }
}

async function ask(picture) {
  if (picture.size > maxMb * 1e6) throw new Error(`this file is larger than ${maxMb} MB`);
  const reply = await fetch("/answer", { method: "POST", body: picture, headers: { "content-type": "application/octet-stream" } });
  const type = reply.headers.get("content-type") ?? "";
  const found = type.startsWith("application/json") ? await reply.json() : { detail: await reply.text() };
  if (!reply.ok) throw new Error(found.detail);
  return found;
}

async function askAll(pictures) {
  const problems = [];
  for (const picture of pictures) {
    message.textContent = `Looking at ${picture.name || "the picture"} …`;
    try {
      show(picture, await ask(picture));
    } catch (error) {
      problems.push(`${picture.name || "The picture"}: ${error instanceof TypeError ? "the page's program has ended" : error.message}`);
    }
  }
  message.textContent = problems.join(". ");
}

file.addEventListener("change", () => { askAll([...file.files]); file.value = ""; });
document.addEventListener("paste", (event) => askAll([...event.clipboardData.files]));
document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  askAll([...event.dataTransfer.files]);
});
document.documentElement.dataset.ready = "";
