// A request's canvas: a cell a position, as it was after any step.

const isSpecial = (text) => /^<\|.*\|>$/.test(text);
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Figures with what they are: [[name, value]].
export function showStats(list, stats) {
  list.replaceChildren(...stats.map(([name, value]) => {
    const group = element("div");
    group.append(element("dt", "", name), element("dd", "", value));
    return group;
  }));
}

// A cell's text is null until it is committed; `step` is how many steps had been done then.
export class Panel {
  constructor(title, steps, before, behind) {
    const root = document.getElementById("panel").content.cloneNode(true).firstElementChild;
    const find = (selector) => root.querySelector(selector);
    this.root = root;
    this.canvas = find(".canvas");
    this.state = find(".state");
    this.state.textContent = "waiting";
    this.stats = find(".stats");
    this.detail = find(".detail");
    this.text = find(".text");
    this.scrubber = find("input");
    this.output = find("output");
    this.replay = find(".replay");
    find("h2").textContent = title;
    this.start = performance.now();
    this.seconds = 0;
    this.steps = steps;  // planned, and at the end those done
    this.cells = [];
    this.other = null;  // the panel that this one is compared with
    this.shown = 0;     // the step that the canvas is shown at
    this.at = -1;       // the position that is described
    this.timer = 0;     // of a replay
    this.behind = element("span", "fixed", behind);
    this.canvas.append(element("span", "fixed", before), this.behind);
    this.scrubber.addEventListener("input", () => this.go(Number(this.scrubber.value)));
    this.replay.addEventListener("click", () => this.play());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["click", "pointerover"]) {
      this.canvas.addEventListener(kind, (event) => {
        const index = this.cells.findIndex((cell) => cell.span === event.target);
        if (index >= 0) this.describe(index);
      });
    }
  }

  resize(count) {
    while (this.cells.length < count) {
      const span = element("span", "cell masked", "");
      this.canvas.insertBefore(span, this.behind);
      this.cells.push({span, id: null, text: null, step: 0, confidence: null, unused: false});
    }
  }

  frame({step, token_ids: ids, pieces}) {
    this.resize(ids.length);
    let committed = 0;
    pieces.forEach((text, i) => {
      const cell = this.cells[i];
      if (text !== null && cell.text === null) Object.assign(cell, {id: ids[i], text, step});
      if (text !== null) ++committed;
    });
    this.state.textContent = `step ${step} of ${this.steps}`;
    const seconds = (performance.now() - this.start) / 1000;
    showStats(this.stats, [["tokens/s", (committed / seconds).toFixed(1)],
                           ["committed", `${committed} of ${ids.length}`]]);
    this.reach(step);
  }

  // Steps up to this one can be looked at; it is shown unless an earlier one is being looked at.
  reach(step) {
    const follow = this.shown === Number(this.scrubber.max);
    this.scrubber.max = step;
    this.show(follow ? step : this.shown);
  }

  add(text) { this.text.textContent += text; }

  end(report, usage, seed) {
    this.seconds = (performance.now() - this.start) / 1000;
    const {full_steps: full, select_steps: select, sparse_steps: sparse, density} = report;
    this.steps = full + select + sparse;
    this.resize(report.tokens.length);
    report.tokens.forEach((token, i) => {
      const unused = token.commit_step >= this.steps;  // never computed: the text had ended before
      Object.assign(this.cells[i], {
        id: token.id, text: unused ? null : token.text, step: token.commit_step + 1,
        confidence: token.confidence, unused});
    });
    this.reach(this.steps);
    this.replay.disabled = false;
    const tokens = usage.completion_tokens;
    const stats = [["tokens/s", (tokens / this.seconds).toFixed(1)],
                   ["time", `${this.seconds.toFixed(2)} s`], ["steps", this.steps]];
    if (density !== undefined) stats.push(["blocks kept", `${(100 * density).toFixed(1)} %`]);
    showStats(this.stats, stats);
    const kinds = sparse > 0 ? `${full} full, ${select} select, ${sparse} sparse steps`
      : "all steps full";
    this.state.textContent = `${tokens} tokens, seed ${seed}, ${kinds}`;
  }

  // To a step, together with the one that this is compared with.
  seek(step) {
    this.show(step);
    this.other?.show(Math.min(step, Number(this.other.scrubber.max)));
  }

  go(step) {
    clearInterval(this.timer);
    this.seek(step);
  }

  play() {
    this.go(0);
    const last = Number(this.scrubber.max);
    this.timer = setInterval(() => {
      this.seek(this.shown + 1);
      if (this.shown >= last) clearInterval(this.timer);
    }, Math.max(30, Math.min(250, 3000 / last)));
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
    if (done && cell.step === this.shown && !reducedMotion.matches) kinds.push("new");
    if (this.differsAt(index)) kinds.push("differs");
    if (index === this.at) kinds.push("at");
    const text = !done ? "" : special ? "·" : cell.text.replaceAll("\n", "↵\n");
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
