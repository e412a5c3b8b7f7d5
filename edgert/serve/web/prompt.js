"use strict";
const at = (id) => document.getElementById(id);
const talk = [];
let running = null;

function text(id, value) { at(id).textContent = value; }

function note(message, bad) {
  text("note", message);
  at("note").className = bad ? "bad" : "";
}

function part(parent, kind, content, name) {
  const made = parent.appendChild(document.createElement(kind));
  made.textContent = content;
  if (name) made.className = name;
  return made;
}

function request(prompt) {
  const ends = at("ends").value.replaceAll("\\n", "\n"), seed = at("seed").value;
  const fields = {
    max_tokens: Number(at("max").value), temperature: Number(at("temperature").value), top_p: Number(at("top-p").value),
    stream: true, stream_options: { include_usage: true },
  };
  if (seed !== "") fields.seed = Number(seed);
  if (ends) fields.stop = [ends];
  if (at("mode").value !== "chat") return ["v1/completions", { ...fields, prompt }];
  return ["v1/chat/completions", { ...fields, messages: [...talk, { role: "user", content: prompt }] }];
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const event of parts) if (event !== "data: [DONE]") yield JSON.parse(event.slice(6));
  }
}

async function refusal(response) {
  const again = response.headers.get("Retry-After");
  let message = `error ${response.status}`;
  try { message = (await response.json()).error.message; } catch { /* no JSON: the status says it */ }
  return again ? `busy: try again in ${again} s` : message;
}

async function ask(prompt) {
  const [path, body] = request(prompt), chat = path.includes("chat"), started = performance.now();
  const article = document.createElement("article");
  part(article, "span", chat ? prompt + "\n" : prompt, "asked");
  const answer = part(article, "span", "", "busy");
  at("answers").prepend(article);
  let made = "", figures = "stopped";
  try {
    const response = await fetch(path, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: running.signal,
    });
    if (!response.ok) throw new Error(await refusal(response));
    for await (const event of events(response)) {
      if (event.error) throw new Error(event.error.message);
      if (event.usage) figures = finished(event);
      const choice = event.choices[0], more = choice ? choice.text ?? choice.delta.content ?? "" : "";
      if (more && !made) text("first", (performance.now() - started).toFixed(0));
      made += more;
      answer.textContent = made;
    }
    if (chat) talk.push({ role: "user", content: prompt }, { role: "assistant", content: made });
    note("");
  } catch (error) {
    if (error.name === "AbortError") note("stopped");
    else { note(error.message, true); if (!made) article.remove(); }
  } finally {
    answer.className = "";
    part(article, "footer", figures);
  }
}

function finished({ usage, timings }) {
  const speed = ((usage.completion_tokens - 1) * 1000) / timings.decode_ms;
  text("tokens", usage.completion_tokens);
  if (isFinite(speed)) text("speed", speed.toFixed(speed < 10 ? 1 : 0));
  const cached = usage.prompt_tokens_details.cached_tokens;
  return `${usage.prompt_tokens} tokens of prompt${cached ? ` (${cached} known already)` : ""}, ` +
    `${usage.completion_tokens} of answer` + (isFinite(speed) ? `, ${speed.toFixed(1)} a second` : "");
}

async function look() {
  try {
    const response = await fetch("prompt.json"), state = await response.json();
    text("model", state.model);
    text("waiting", state.waiting);
    at("state").textContent = state.running ? "answering" : "ready";
    at("state").className = "chip good";
    if (running && state.now) {
      text("tokens", state.now.tokens);
      if (state.now.decode_tokens_per_s) text("speed", state.now.decode_tokens_per_s.toFixed(0));
    }
  } catch {
    at("state").textContent = "no connection";
    at("state").className = "chip bad";
  }
  setTimeout(look, running ? 400 : 2000);
}

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (running) return;
  running = new AbortController();
  at("send").disabled = true;
  at("stop").disabled = false;
  note("");
  await ask(at("prompt").value);
  running = null;
  at("send").disabled = false;
  at("stop").disabled = true;
});
at("prompt").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
});
at("stop").addEventListener("click", () => running && running.abort());
at("clear").addEventListener("click", () => {
  talk.length = 0;
  at("answers").replaceChildren();
  note("");
});
for (const id of ["temperature", "top-p"]) {
  at(id).addEventListener("input", () => text(id + "-value", Number(at(id).value).toFixed(2)));
}
look();
