// The page: a form becomes requests to OpenAI's interface of the server that the page came from,
// and their streams canvases and patterns.

import {Panel} from "./canvas.js";
import {askForToken, clearErrors, modeOf, readForm, showError, showMode, wants} from "./form.js";
import {Patterns} from "./patterns.js";
import {Failure, get, post} from "./wire.js";

const byId = (id) => document.getElementById(id);
const form = byId("form");
let turns = [];      // of the conversation so far: {role, content}
let running = null;  // AbortController of the requests under way

function showTurns() {
  byId("turns").replaceChildren(...turns.map(({role, content}) => {
    const item = document.createElement("li");
    item.className = role;
    item.textContent = content;
    return item;
  }));
  byId("forget").hidden = turns.length === 0;
}

// Shows a request's stream in the panel. Returns the answer's text.
async function generate(path, body, panel, signal) {
  let report = null;
  let usage = null;
  for await (const [name, chunk] of post(path, body, signal)) {
    if (name === "diffusion_frame") panel.frame(chunk.frame);
    for (const choice of chunk.choices) panel.add(choice.delta?.content ?? choice.text ?? "");
    report = chunk.diffusion ?? report;
    usage = chunk.usage ?? usage;
  }
  panel.end(report, usage, body.seed);
  return panel.text.textContent;
}

async function inspect(path, body, patterns, signal) {
  for await (const [, event] of post(path, body, signal)) patterns.hear(event);
}

// What is not over says so where it was waited for.
async function watch(shown, work) {
  try {
    return await work;
  } catch (failure) {
    shown.state.textContent = failure.name === "AbortError" ? "stopped" : "failed";
    throw failure;
  }
}

function showDifferences([full, sparse]) {
  full.compare(sparse);
  sparse.compare(full);
  const count = full.cells.filter((_, i) => full.differsAt(i)).length;
  const share = (sparse.seconds / full.seconds).toFixed(2);
  byId("differences").textContent = `${count} of ${full.cells.length} tokens differ, underlined;` +
    ` SparseD took ${share} of the time`;
  byId("differences").hidden = false;
}

// One after the other, so that none slows another down.
async function runAll({inspect: inspected, ...body}, signal) {
  const compare = wants("compare");
  const chat = modeOf() === "chat";
  const infill = modeOf() === "infill";
  const steps = body.diffusion.steps ?? body.max_tokens ?? 128;
  const sparse = body.diffusion.sparse;
  const passes = compare
    ? [["Full attention", {mode: "off"}], ["SparseD", {...sparse, mode: "sparsed"}]]
    : [["Canvas", sparse]];
  const path = chat ? "chat/completions" : "completions";
  const panels = passes.map(
    ([title]) => new Panel(title, steps, infill ? body.prompt : "", infill ? body.suffix : ""));
  byId("panels").append(...panels.map((panel) => panel.root));
  const texts = [];
  for (const [i, [, options]] of passes.entries()) {
    body.diffusion.sparse = options;
    panels[i].start = performance.now();
    texts.push(await watch(panels[i], generate(`v1/${path}`, body, panels[i], signal)));
  }
  if (compare) showDifferences(panels);
  if (chat) {
    turns = [...body.messages, {role: "assistant", content: texts[0]}];
    byId("message").value = "";
    showTurns();
  }
  if (!wants("inspect")) return;
  const patterns = new Patterns();
  byId("patterns").append(patterns.root);
  body.inspect = {steps: [Math.floor(steps / 2), steps - 1], importance: true, ...inspected};
  await watch(patterns, inspect(`playground/inspect/${path}`, body, patterns, signal));
}

function showEmpty(empty) {
  byId("empty").hidden = !empty;
  byId("bar").hidden = empty;
}

async function submit() {
  if (running) return;
  running = new AbortController();
  byId("go").disabled = true;
  byId("stop").disabled = false;
  byId("differences").hidden = true;
  showEmpty(false);
  byId("panels").replaceChildren();
  byId("patterns").replaceChildren();
  clearErrors();
  if (byId("results").getBoundingClientRect().top > innerHeight / 2) {
    byId("results").scrollIntoView({block: "start"});
  }
  try {
    await runAll(readForm(turns), running.signal);
  } catch (failure) {
    // What has come stays.
    for (const panel of document.querySelectorAll(".panel")) {
      if (!panel.querySelector(".cell")) panel.remove();
    }
    showEmpty(!document.querySelector(".panel"));
    if (failure instanceof Failure) {
      showError(failure.message, failure.status);
    } else if (failure.name !== "AbortError") {
      showError(`No answer from the server (${failure.message}).`, 0);
    }
  }
  running = null;
  byId("go").disabled = false;
  byId("stop").disabled = true;
}

async function showModel() {
  let text = "no answer";
  try {
    text = (await get("v1/models")).data[0]?.id ?? "no model yet";
  } catch (failure) {
    if (failure.status === 401) {
      text = "a token is needed";
      askForToken();
    }
  }
  byId("model").textContent = text;
}

async function showAbilities() {
  const abilities = await get("playground/server.json").catch(() => ({}));
  byId("inspect-row").hidden = !abilities.inspections;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
form.addEventListener("change", (event) => {
  if (event.target.name === "mode") showMode();
  if (event.target.id === "compare") byId("sparse-mode").disabled = event.target.checked;
  if (event.target.id === "inspect") byId("inspect-options").hidden = !event.target.checked;
  if (event.target.id === "token") showModel();
});
byId("bar").addEventListener("change", (event) => {
  byId("results").dataset.colour = event.target.value;
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
form.reset();  // a browser that comes back to the page remembers half of it
showMode();
showModel();
showAbilities();
