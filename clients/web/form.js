// The form: what it asks for, and what is wrong with that.

const byId = (id) => document.getElementById(id);
const form = byId("form");

export const modeOf = () => form.elements.mode.value;
export const wants = (id) => byId(id).checked && byId(id).closest("[hidden]") === null;

// Those that are not hidden, but for folded options.
const fields = () => [...form.querySelectorAll("[data-field]")]
  .filter((field) => !field.closest("[hidden]"));

// What is no number stays text: the server says so. So do integers that would lose digits, which it
// reads as text too.
function numberOr(text) {
  const number = Number(text);
  if (!Number.isFinite(number)) return text;
  return Number.isInteger(number) && !Number.isSafeInteger(number) ? text : number;
}

function valueOf(field) {
  const text = field.value.trim();
  if (field.dataset.list !== undefined) return text.split(/[\s,]+/).filter(Boolean).map(numberOr);
  return field.inputMode ? numberOr(text) : text;
}

// "a.b" -> object.a.b
function put(object, path, value) {
  const names = path.split(".");
  const last = names.pop();
  for (const name of names) object = object[name] ??= {};
  object[last] = value;
}

// The request that the form asks for; `inspect` in it is for inspections alone.
export function readForm(turns) {
  const body = {stream: true, stream_options: {include_usage: true},
                diffusion: {stream_frames: true, token_confidences: true}};
  for (const field of fields()) {
    if (field.tagName === "TEXTAREA" || field.value.trim() === "") continue;
    put(body, field.dataset.field, valueOf(field));
  }
  // Known here, so that the answer can be had again; and the same for all that are compared.
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

export function clearErrors() {
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

export function askForToken() {
  byId("token-row").hidden = false;
  byId("token").focus();
}

export function showError(message, status) {
  byId("error").textContent = message;
  byId("error").hidden = false;
  markFields(message);
  if (status === 401) askForToken();
}

export function showMode() {
  for (const section of form.querySelectorAll("section")) {
    section.hidden = section.dataset.mode !== modeOf();
  }
}
