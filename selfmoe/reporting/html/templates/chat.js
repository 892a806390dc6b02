"use strict";
const $ = id => document.getElementById(id);
const make = (tag, cls, text) => Object.assign(document.createElement(tag), {className: cls || "", textContent: text || ""});
const COLOURS = 10;
const known = new Map();
let said = [], running = [];

const headers = () => {
  const key = $("key").value, head = {"Content-Type": "application/json"};
  return key ? {...head, Authorization: "Bearer " + key} : head;
};
const colour = n => "e" + n % COLOURS + (n >= COLOURS ? " again" + Math.min(2, Math.floor(n / COLOURS)) : "");

async function failure(answer) {
  $("keys").hidden = $("keys").hidden && answer.status !== 401;
  try { return (await answer.json()).error.message; } catch { return "The server answered " + answer.status + "."; }
}

async function systems() {
  const answer = await fetch("/v1/models", {headers: headers()});
  if (!answer.ok) { show(await failure(answer)); return; }
  known.clear();
  for (const one of (await answer.json()).data) known.set(one.id, one);
  $("system").replaceChildren(...[...known.keys()].map(id => new Option(id, id)));
  $("beside").replaceChildren(new Option("nothing", ""), ...[...known.keys()].map(id => new Option(id, id)));
  $("system").value = document.body.dataset.default;
  experts();
}

function experts() {
  const names = known.get($("system").value)?.experts || [];
  $("experts").hidden = !names.length;
  $("experts").replaceChildren($("experts").firstElementChild, ...names.map((name, n) => {
    const label = make("label"), box = make("input"), mark = make("i", "swatch " + colour(n));
    Object.assign(box, {type: "checkbox", checked: true, value: name});
    label.append(box, mark, name);
    return label;
  }));
}

function show(text) {
  const box = make("p", "failed", text);
  $("talk").append(box);
  box.scrollIntoView({block: "end"});
}

function off() {
  return Object.fromEntries([...$("experts").querySelectorAll("input")].filter(b => !b.checked).map(b => [b.value, 0]));
}

async function answer(model, messages, switched, box) {
  const names = known.get(model).experts, stop = new AbortController(), begun = performance.now();
  const who = make("p", "who"), run = make("div", "run"), count = make("span", "", "");
  who.append(make("span", "name", model), count);
  box.append(who, run);
  running.push(stop);
  const body = {model, messages, stream: true, temperature: Number($("heat").value), max_tokens: Number($("most").value)};
  if (names.length) Object.assign(body, {trace: true, experts: switched});
  let text = "";
  try {
    const got = await fetch("/v1/chat/completions", {method: "POST", headers: headers(), body: JSON.stringify(body), signal: stop.signal});
    if (!got.ok) throw new Error(await failure(got));
    const tokens = [], routes = [];
    let prompt = -1;
    for await (const part of events(got.body)) {
      if (part.error) throw new Error(part.error.message);
      const choice = part.choices[0];
      if (!choice) continue;
      const piece = choice.delta.content || "";
      text += piece;
      if (!names.length) { run.append(piece); tokens.push(null); }
      else if (choice.routed_experts || choice.finish_reason) {
        (choice.routed_experts || []).forEach((one, n) => routes.push([one, choice.routed_weights[n]]));
        if (prompt < 0) prompt = routes.length;
        tokens.push(piece ? token(run, piece) : null);
        tokens.forEach((span, n) => { if (span && !span.route && routes[prompt + n]) paint(span, routes[prompt + n], names); });
      }
      count.textContent = tokens.length + " tokens, " + (1000 * tokens.length / (performance.now() - begun)).toFixed(0) + "/s";
    }
  } catch (error) {
    if (error.name !== "AbortError") run.append(make("span", "failed", error.message));
  }
  running = running.filter(one => one !== stop);
  $("send").textContent = running.length ? "Stop" : "Ask";
  return text;
}

async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const {done, value} = await reader.read();
    if (done) return;
    const parts = (held + value).split("\n\n");
    held = parts.pop();
    for (const part of parts) if (part !== "data: [DONE]") yield JSON.parse(part.slice(6));
  }
}

function token(run, text) {
  const span = make("i", "t", text);
  run.append(span);
  return span;
}

function paint(span, route, names) {
  const sums = names.map(() => 0), [chosen, weights] = route;
  chosen.forEach((block, b) => block.forEach((e, k) => { if (e >= 0) sums[e] += weights[b][k]; }));
  const best = sums.indexOf(Math.max(...sums)), whole = sums.reduce((a, b) => a + b, 0);
  span.route = route;
  span.names = names;
  span.tabIndex = 0;
  if (!whole) { span.title = "the base alone"; return; }
  span.className = "t " + colour(best);
  span.style.setProperty("--w", (sums[best] / whole).toFixed(2));
  span.title = names[best];
}

function blocks(event) {
  const span = event.target.closest?.(".t");
  if (!span || !span.route) return;
  const [chosen, weights] = span.route, list = make("ol");
  chosen.forEach((block, b) => {
    const some = block.map((e, k) => [e, weights[b][k]]).filter(([e, w]) => e >= 0 && w > 0);
    const item = make("li", some.length ? colour(some[0][0]) : "", b + ": " + (some.map(([e, w]) => span.names[e] + " " + w.toFixed(2)).join(", ") || "base"));
    list.append(item);
  });
  $("blocks").replaceChildren(make("p", "", "“" + span.textContent + "” by block"), list);
  $("blocks").hidden = false;
}

$("ask").addEventListener("submit", async event => {
  event.preventDefault();
  if (running.length) { running.forEach(one => one.abort()); return; }
  const text = $("text").value.trim();
  if (!text || !known.size) { if (!known.size) systems(); return; }
  const turn = make("section", "turn"), answers = make("div", "answers"), switched = off();
  const asked = document.body.dataset.turns ? [...said, {role: "user", content: text}] : [{role: "user", content: text}];
  turn.append(make("p", "asked", text), answers);
  $("talk").append(turn);
  $("text").value = "";
  $("send").textContent = "Stop";
  const models = [$("system").value, $("beside").value].filter(Boolean);
  const made = await Promise.all(models.map((model, n) => {
    const box = make("article", "panel");
    answers.append(box);
    return answer(model, asked, n ? {} : switched, box);
  }));
  said = [...asked, {role: "assistant", content: made[0]}];
  turn.scrollIntoView({block: "end"});
});
$("text").addEventListener("keydown", event => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); $("ask").requestSubmit(); }
});
$("new").addEventListener("click", () => { said = []; $("talk").replaceChildren(); $("blocks").hidden = true; });
$("system").addEventListener("change", experts);
$("key").addEventListener("change", systems);
for (const kind of ["mouseover", "focusin", "click"]) $("talk").addEventListener(kind, blocks);
systems();
