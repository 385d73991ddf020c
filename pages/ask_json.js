// Questions to the program that served this page.

/** Ask with a JSON body, or without one by GET; an error says in a sentence what is wrong. */
export async function askJson(url, body) {
  const options = body && { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(url, options);
  } catch {
    throw new Error("the program does not answer; is the review command still running?");
  }
  if (answer.ok) return answer.json();
  const text = await answer.text();
  let detail = text;
  try {
    detail = JSON.parse(text).detail;
  } catch { /* a refusal of the guard is plain text */ }
  throw new Error(typeof detail === "string" ? detail : text);
}
