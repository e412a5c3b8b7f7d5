"use strict";
const at = (id) => document.getElementById(id);
const history = { fps: [], total: [] };
const KEPT = 160;
let dragging = false;

function text(id, value) { at(id).textContent = value; }

function row(...cells) {
  const tr = document.createElement("tr");
  for (const cell of cells) tr.appendChild(document.createElement("td")).textContent = cell;
  return tr;
}

function plot(id, values) {
  const canvas = at(id), pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const { width, height } = canvas, top = Math.max(1e-9, ...values) * 1.15;
  pen.clearRect(0, 0, width, height);
  pen.font = "20px sans-serif";
  pen.fillStyle = style.getPropertyValue("--dim");
  pen.fillText(top.toPrecision(3), 2, 20);
  pen.strokeStyle = style.getPropertyValue("--line");
  pen.strokeRect(0.5, 0.5, width - 1, height - 1);
  pen.strokeStyle = style.getPropertyValue("--accent");
  pen.lineWidth = 3;
  pen.beginPath();
  values.forEach((value, i) => pen.lineTo((i / (KEPT - 1)) * width, height - 3 - (value / top) * (height - 6)));
  pen.stroke();
}

function remember(name, value) {
  history[name].push(value);
  if (history[name].length > KEPT) history[name].shift();
  plot("plot-" + name, history[name]);
}

function showSeen(seen) {
  const list = at("seen"), found = (seen && (seen.detections || seen.classes)) || [];
  list.replaceChildren(...found.slice(0, 20).map((item) => {
    const li = document.createElement("li");
    li.appendChild(document.createElement("span")).textContent = item.label;
    li.appendChild(document.createElement("span")).textContent = item.score.toFixed(2);
    return li;
  }));
  if (!found.length) {
    const none = document.createElement("li");
    none.className = "none";
    none.textContent = "nothing above the least score";
    list.appendChild(none);
  }
}

function showState(state) {
  text("source", state.source);
  const chip = at("camera");
  chip.textContent = state.camera === "ok" ? "live" : state.camera;
  chip.className = "chip " + (state.camera === "ok" ? "good" : "bad");
  text("fps", state.fps.toFixed(1));
  const total = state.ms.total;
  text("total", total ? total[0].toFixed(1) : "–");
  const board = state.board;
  text("temp", board.temp_c == null ? "–" : board.temp_c.toFixed(0) + " °C");
  text("throttle", board.throttled == null ? "–" : board.throttled & 0xe ? "now" : board.undervolted ? "power" : "none");
  at("stages").replaceChildren(...Object.entries(state.ms).map(
    ([stage, [median, p95]]) => row(stage, median.toFixed(2), p95.toFixed(2))));
  text("counts", `${state.frames} frames, ${state.dropped} left out, camera reopened ${state.reopened} times`);
  if (state.score == null) at("score").disabled = true;
  else if (!dragging) { at("score").value = state.score; text("score-value", state.score.toFixed(2)); }
  remember("fps", state.fps);
  if (total) remember("total", total[0]);
}

const events = new EventSource("events");
let last = 0;
events.onmessage = (event) => {
  const now = performance.now();
  if (now - last < 200) return;
  last = now;
  const answer = JSON.parse(event.data);
  showSeen(answer.seen);
  showState(answer.state);
};
events.onerror = () => { at("camera").textContent = "no connection"; at("camera").className = "chip bad"; };

at("score").addEventListener("input", (event) => {
  dragging = true;
  text("score-value", Number(event.target.value).toFixed(2));
});
at("score").addEventListener("change", async (event) => {
  await fetch("settings", {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ score: Number(event.target.value) }),
  });
  dragging = false;
});
at("stream").addEventListener("error", () => setTimeout(() => { at("stream").src = "stream.mjpg?" + Date.now(); }, 2000));
