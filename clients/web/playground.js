// The page's behaviour: a form becomes a request to OpenAI's interface of the server that the page
// came from, and its stream a canvas of positions.
"use strict";

const byId = (id) => document.getElementById(id);
const form = byId("form");
let turns = [];      // of the conversation so far: {role, content}
let running = null;  // AbortController of the requests under way

// What the server says no with; its message names the fields that are wrong.
class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// ---- The wire.

function headers() {
  const token = byId("token").value;
  return {"Content-Type": "application/json", ...(token && {"Authorization": `Bearer ${token}`})};
}

async function failureOf(response) {
  const body = await response.json().catch(() => ({}));
  const later = response.headers.get("Retry-After");
  const message = body.error?.message ?? `The server answers ${response.status}.`;
  return new Failure(later ? `${message}; come again in ${later} s` : message, response.status);
}

// The events of a stream: [name, data].
async function* eventsOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (true) {
    const {done, value} = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      let name = "message";
      let data = "";
      for (const line of text.slice(0, end).split("\n")) {
        if (line.startsWith("event: ")) name = line.slice(7);
        if (line.startsWith("data: ")) data += line.slice(6);
      }
      if (data) yield [name, data];
    }
  }
}

// Sends a request and shows its stream in the panel. Returns the answer's text.
async function generate(path, body, panel, signal) {
  const start = performance.now();
  const response = await fetch(
    path, {method: "POST", headers: headers(), body: JSON.stringify(body), signal});
  if (!response.ok) throw await failureOf(response);
  let report = null;
  let usage = null;
  for await (const [name, data] of eventsOf(response.body)) {
    if (data === "[DONE]") {
      panel.end(report, usage, body.seed, (performance.now() - start) / 1000);
      return panel.text.textContent;
    }
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Failure(chunk.error.message, 0);
    if (name === "diffusion_frame") panel.frame(chunk.frame);
    for (const choice of chunk.choices) panel.add(choice.delta?.content ?? choice.text ?? "");
    report = chunk.diffusion ?? report;
    usage = chunk.usage ?? usage;
  }
  throw new Failure("The connection ended before the answer did.", 0);
}

// ---- A canvas.

const MASK = "░";
const isSpecial = (text) => /^<\|.*\|>$/.test(text);

// A request's canvas. A cell is a position: its text is null until it is committed; `step` is how
// many steps had been done then.
class Panel {
  constructor(title, steps, before, behind) {
    const root = byId("panel").content.cloneNode(true).firstElementChild;
    const find = (selector) => root.querySelector(selector);
    this.canvas = find(".canvas");
    this.stats = find(".stats");
    this.stats.textContent = "waiting";
    this.detail = find(".detail");
    this.text = find(".text");
    this.scrubber = find("input");
    this.output = find("output");
    find("h2").textContent = title;
    this.steps = steps;  // planned, and at the end those done
    this.cells = [];
    this.other = null;  // the panel that this one is compared with
    this.shown = 0;     // the step that the canvas is shown at
    this.at = -1;       // the position that is described
    this.behind = this.span("fixed", behind);
    this.canvas.append(this.span("fixed", before), this.behind);
    this.scrubber.addEventListener("input", () => this.show(Number(this.scrubber.value)));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["click", "pointerover"]) {
      this.canvas.addEventListener(kind, (event) => {
        const index = this.cells.findIndex((cell) => cell.span === event.target);
        if (index >= 0) this.describe(index);
      });
    }
    byId("panels").append(root);
  }

  span(kind, text) {
    const span = document.createElement("span");
    span.className = kind;
    span.textContent = text;
    return span;
  }

  resize(count) {
    while (this.cells.length < count) {
      const span = this.span("cell masked", MASK);
      this.canvas.insertBefore(span, this.behind);
      this.cells.push({span, id: null, text: null, step: 0, confidence: null, unused: false});
    }
  }

  frame({step, token_ids: ids, pieces}) {
    this.resize(ids.length);
    pieces.forEach((text, i) => {
      const cell = this.cells[i];
      if (text !== null && cell.text === null) Object.assign(cell, {id: ids[i], text, step});
    });
    this.stats.textContent = `step ${step}`;
    this.reach(step);
  }

  // Steps up to this one can be looked at; it is shown unless an earlier one is being looked at.
  reach(step) {
    const follow = this.shown === Number(this.scrubber.max);
    this.scrubber.max = step;
    this.show(follow ? step : this.shown);
  }

  add(text) { this.text.textContent += text; }

  end(report, usage, seed, seconds) {
    const done = report.full_steps + report.select_steps + report.sparse_steps;
    this.steps = done;
    this.resize(report.tokens.length);
    report.tokens.forEach((token, i) => {
      const unused = token.commit_step >= done;  // never computed: the text had ended before
      Object.assign(this.cells[i], {
        id: token.id, text: unused ? null : token.text, step: token.commit_step + 1,
        confidence: token.confidence, unused});
    });
    this.reach(done);
    const tokens = usage.completion_tokens;
    const {full_steps: full, select_steps: select, sparse_steps: sparse, density} = report;
    const parts = [`${tokens} tokens in ${seconds.toFixed(2)} s`,
                   `${(tokens / seconds).toFixed(1)} tokens/s`,
                   `${full} full, ${select} select, ${sparse} sparse steps`];
    if (density !== undefined) parts.push(`density ${density.toFixed(3)}`);
    this.stats.setAttribute("role", "status");
    this.stats.textContent = [...parts, `seed ${seed}`].join("; ");
  }

  show(step) {
    this.shown = step;
    this.scrubber.value = step;
    this.output.textContent = `${step} of ${this.scrubber.max}`;
    this.cells.forEach((cell, i) => this.paint(cell, i));
    if (this.at >= 0) this.describe(this.at);
  }

  paint(cell, index) {
    const done = cell.text !== null && cell.step <= this.shown;
    const special = done && isSpecial(cell.text);
    const kinds = ["cell", done ? "done" : cell.unused ? "unused" : "masked"];
    if (special) kinds.push("special");
    if (this.differsAt(index)) kinds.push("differs");
    if (index === this.at) kinds.push("at");
    const blank = cell.unused ? "·" : MASK;
    const text = !done ? blank : special ? "∎" : cell.text.replaceAll("\n", "↵\n");
    cell.span.className = kinds.join(" ");
    if (cell.span.textContent !== text) cell.span.textContent = text;
    const when = (cell.step - 1) / Math.max(1, this.steps - 1);
    cell.span.style.setProperty("--when", Math.min(1, when));
    cell.span.style.setProperty("--sure", cell.confidence ?? 0.6);
  }

  differsAt(index) {
    return this.other !== null && this.cells[index].id !== this.other.cells[index].id;
  }

  compare(other) {
    this.other = other;
    this.show(this.shown);
  }

  describe(index) {
    const before = this.cells[this.at];
    this.at = index;
    if (before) before.span.classList.remove("at");
    const cell = this.cells[index];
    cell.span.classList.add("at");
    const parts = [`Position ${index + 1} of ${this.cells.length}`];
    if (cell.unused) {
      parts.push("not computed: the text ends before it");
    } else if (cell.text === null || cell.step > this.shown) {
      parts.push("not committed");
    } else {
      parts.push(`${JSON.stringify(cell.text)} (token ${cell.id})`);
      parts.push(`committed in step ${cell.step}`);
      if (cell.confidence !== null) parts.push(`confidence ${cell.confidence.toFixed(3)}`);
    }
    if (this.differsAt(index)) {
      parts.push(`${JSON.stringify(this.other.cells[index].text ?? "")} in the other`);
    }
    this.detail.textContent = parts.join(", ");
  }

  key(event) {
    const last = this.cells.length - 1;
    const to = {ArrowLeft: this.at - 1, ArrowUp: this.at - 1, ArrowRight: this.at + 1,
                ArrowDown: this.at + 1, Home: 0, End: last}[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.describe(Math.max(0, Math.min(last, to)));
  }
}

// ---- The form.

const modeOf = () => form.elements.mode.value;
// Those of the mode that is chosen.
const fields = () => [...form.querySelectorAll("[data-field]")]
  .filter((field) => !field.closest("section[hidden]"));

// What is no number stays text: the server says so. So do integers that would lose digits, which it
// reads as text too.
function numberOr(text) {
  const number = Number(text);
  if (!Number.isFinite(number)) return text;
  return Number.isInteger(number) && !Number.isSafeInteger(number) ? text : number;
}

// "a.b" -> object.a.b
function put(object, path, value) {
  const names = path.split(".");
  const last = names.pop();
  for (const name of names) object = object[name] ??= {};
  object[last] = value;
}

// The request that the form asks for.
function readForm() {
  const body = {stream: true, stream_options: {include_usage: true},
                diffusion: {stream_frames: true, token_confidences: true}};
  for (const field of fields()) {
    const text = field.value;
    if (field.tagName === "TEXTAREA" || text.trim() === "") continue;
    put(body, field.dataset.field, field.inputMode ? numberOr(text) : text);
  }
  // Known here, so that the answer can be had again; and the same for both that are compared.
  body.seed ??= crypto.getRandomValues(new Uint32Array(1))[0];
  if (!byId("stop-at-end").checked) body.diffusion.stop_at_end = false;
  if (modeOf() === "chat") {
    body.messages = [...turns, {role: "user", content: byId("message").value}];
  } else if (modeOf() === "prompt") {
    body.prompt = byId("prompt").value;
  } else {
    Object.assign(body, {prompt: byId("before").value, suffix: byId("behind").value});
  }
  return body;
}

function clearErrors() {
  byId("error").hidden = true;
  for (const note of form.querySelectorAll(".wrong")) note.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) {
    field.removeAttribute("aria-invalid");
    field.removeAttribute("aria-describedby");
  }
}

// "a: is wrong; and so; b.c: too" -> notes at the fields a and b.c.
function markFields(message) {
  const notes = new Map();
  let current = null;
  for (const part of message.split("; ")) {
    const named = /^([\w.]+)[\w.[\]]*: (.*)$/s.exec(part);
    const found = named && fields().find((field) => field.dataset.field === named[1]);
    if (found) current = found;
    const text = found ? named[2] : part;
    if (current) notes.set(current, notes.has(current) ? `${notes.get(current)}; ${text}` : text);
  }
  for (const [field, text] of notes) {
    const note = document.createElement("p");
    note.className = "wrong";
    note.id = `${field.id}-wrong`;
    note.textContent = text;
    field.after(note);
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-describedby", note.id);
    if (byId("options").contains(field)) byId("options").open = true;
  }
  const [first] = notes.keys();
  first?.focus();
}

function showFailure(failure) {
  if (failure.name === "AbortError") return;
  const message = failure instanceof Failure
    ? failure.message : `No answer from the server (${failure.message}).`;
  byId("error").textContent = message;
  byId("error").hidden = false;
  markFields(message);
  if (failure.status === 401) askForToken();
}

function askForToken() {
  byId("token-row").hidden = false;
  byId("token").focus();
}

function showTurns() {
  byId("turns").replaceChildren(...turns.map(({role, content}) => {
    const item = document.createElement("li");
    item.className = role;
    item.textContent = content;
    return item;
  }));
  byId("forget").hidden = turns.length === 0;
}

function showDifferences(panels) {
  const [full, sparse] = panels;
  full.compare(sparse);
  sparse.compare(full);
  const count = full.cells.filter((_, i) => full.differsAt(i)).length;
  byId("differences").textContent = `${count} of ${full.cells.length} tokens differ`;
  byId("differences").hidden = false;
}

// One after the other, so that neither slows the other down.
async function runAll(body, signal) {
  const compare = byId("compare").checked;
  const chat = modeOf() === "chat";
  const infill = modeOf() === "infill";
  const steps = body.diffusion.steps ?? body.max_tokens ?? 128;
  const sparse = body.diffusion.sparse;
  const passes = compare
    ? [["Full attention", {mode: "off"}], ["SparseD", {...sparse, mode: "sparsed"}]]
    : [["Canvas", sparse]];
  const path = chat ? "v1/chat/completions" : "v1/completions";
  const panels = [];
  const texts = [];
  for (const [title, options] of passes) {
    const panel = new Panel(title, steps, infill ? body.prompt : "", infill ? body.suffix : "");
    panels.push(panel);
    body.diffusion.sparse = options;
    texts.push(await generate(path, body, panel, signal).catch((failure) => {
      panel.stats.textContent = failure.name === "AbortError" ? "stopped" : "failed";
      throw failure;
    }));
  }
  if (compare) showDifferences(panels);
  if (chat) {
    turns = [...body.messages, {role: "assistant", content: texts[0]}];
    byId("message").value = "";
    showTurns();
  }
}

async function submit() {
  if (running) return;
  running = new AbortController();
  byId("go").disabled = true;
  byId("stop").disabled = false;
  byId("differences").hidden = true;
  byId("panels").replaceChildren();
  clearErrors();
  try {
    await runAll(readForm(), running.signal);
  } catch (failure) {
    showFailure(failure);
  }
  running = null;
  byId("go").disabled = false;
  byId("stop").disabled = true;
}

async function showModel() {
  const response = await fetch("v1/models", {headers: headers()}).catch(() => null);
  const list = response?.ok ? (await response.json()).data : [];
  byId("model").textContent = list[0]?.id ??
      (response?.status === 401 ? "a token is needed" : response ? "no model yet" : "no answer");
  if (response?.status === 401) askForToken();
}

function showMode() {
  for (const section of form.querySelectorAll("section")) {
    section.hidden = section.dataset.mode !== modeOf();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
form.addEventListener("change", (event) => {
  if (event.target.name === "mode") showMode();
  if (event.target.id === "compare") byId("sparse-mode").disabled = event.target.checked;
  if (event.target.id === "token") showModel();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
  if (event.key === "Escape") running?.abort();
});
byId("stop").addEventListener("click", () => running?.abort());
byId("forget").addEventListener("click", () => {
  turns = [];
  showTurns();
  byId("message").focus();
});
showMode();
showModel();
