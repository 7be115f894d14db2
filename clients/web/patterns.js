// The patterns that SparseD selects in a request: a picture for each head of each layer, and one of
// them large. Kept blocks are of one colour, the others of another, as in the report of
// `sparsedctl masks`.

import {element, showStats} from "./canvas.js";

// Drawn anew when the page's colours change: those that are shown, no others.
let shown = null;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (shown?.root.isConnected && shown.step >= 0) shown.showStep(shown.step);
});
const LEAST_KEPT = 0.25;  // so that a kept block of no importance is seen, too
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; ++i) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// "--name" of the style sheet as red, green, blue.
function colourOf(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

// One head at one step, n x n blocks.
class Head {
  constructor(wire, n, blockSize) {
    Object.assign(this, {layer: wire.layer, head: wire.head, n, recall: wire.recall,
                         fresh: wire.fresh_recall, similarity: wire.similarity});
    this.kept = bytesOf(wire.kept);
    this.width = Math.ceil(n / 8);
    const view = wire.importance && new DataView(bytesOf(wire.importance).buffer);
    // The share of its query block's attention that each block has.
    this.shares = view && Float32Array.from(
      {length: n * n}, (_, i) => blockSize * view.getFloat32(4 * i, true));
  }

  isKept(query, key) {
    return (this.kept[query * this.width + (key >> 3)] >> (key & 7) & 1) === 1;
  }

  keptShare() {
    let count = 0;
    for (let i = 0; i < this.n * this.n; ++i) {
      count += this.isKept(Math.floor(i / this.n), i % this.n);
    }
    return count / this.n ** 2;
  }

  draw(canvas) {
    const {n} = this;
    const paper = colourOf("--map-paper");
    const ends = {true: colourOf("--kept"), false: colourOf("--dropped")};
    canvas.width = canvas.height = n;
    const context = canvas.getContext("2d");
    const image = context.createImageData(n, n);
    for (let i = 0; i < n * n; ++i) {
      const kept = this.isKept(Math.floor(i / n), i % n);
      // Without importances a kept block is as strong as can be, another one is not seen.
      let share = kept ? 1 : 0;
      if (this.shares) share = Math.sqrt(Math.min(1, Math.max(0, this.shares[i])));
      if (kept) share = LEAST_KEPT + (1 - LEAST_KEPT) * share;
      const end = ends[kept];
      paper.forEach((from, part) => {
        image.data[4 * i + part] = from + (end[part] - from) * share;
      });
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }
}

export class Patterns {
  constructor() {
    const root = document.getElementById("pattern-card").content.cloneNode(true).firstElementChild;
    const find = (selector) => root.querySelector(selector);
    this.root = root;
    this.state = find(".state");
    this.state.textContent = "waiting";
    this.steps = find(".steps");
    this.grid = find(".heads");
    this.map = find(".map");
    this.mark = find(".mark");
    this.name = find(".name");
    this.detail = find(".head .detail");
    this.stats = find(".head .stats");
    this.tiles = [];         // by layer, then by head
    this.byStep = new Map();  // step -> its heads, in the tiles' order
    this.step = -1;           // that is shown
    this.at = 0;              // the tile that is shown large
    this.block = [-1, -1];    // query and key block that is described
    find(".maps").hidden = true;
    this.steps.hidden = true;
    this.steps.addEventListener("change", (event) => this.showStep(Number(event.target.value)));
    this.grid.addEventListener("click", (event) => {
      const index = this.tiles.indexOf(event.target.closest(".tile"));
      if (index >= 0 && this.step >= 0) this.choose(index);
    });
    this.grid.addEventListener("keydown", (event) => this.moveHead(event));
    this.map.addEventListener("keydown", (event) => this.moveBlock(event));
    for (const kind of ["click", "pointermove"]) {
      this.map.addEventListener(kind, (event) => this.point(event));
    }
    shown = this;
  }

  // The server's events in their order.
  hear({started, head, final}) {
    if (started) this.begin(started);
    if (head) this.add(head);
    if (final) this.end(final);
  }

  begin(started) {
    this.started = started;
    const {layers, heads, blocks, first_canvas_block: first} = started;
    this.root.querySelector(".maps").hidden = false;
    this.grid.style.setProperty("--columns", heads.length);
    this.grid.append(element("span"), ...heads.map((head) => element("span", "label", `H${head}`)));
    for (const layer of layers) {
      this.grid.append(element("span", "label", `L${layer}`));
      for (let i = 0; i < heads.length; ++i) {
        const tile = element("div", "tile");
        tile.append(element("canvas"), element("span", "recall", ""));
        this.tiles.push(tile);
        this.grid.append(tile);
      }
    }
    this.root.classList.toggle("fine", blocks > 64);
    this.root.classList.toggle("large", Math.max(layers.length, heads.length) > 12);
    this.map.style.setProperty("--first", first / blocks);
    this.map.style.setProperty("--blocks", blocks);
    this.state.textContent = "accepted";
  }

  add(wire) {
    const {step, kind} = wire;
    let heads = this.byStep.get(step);
    if (!heads) {
      heads = [];
      this.byStep.set(step, heads);
    }
    heads.push(new Head(wire, this.started.blocks, this.started.block_size));
    if (heads.length < this.tiles.length) return;
    const label = element("label");
    const radio = Object.assign(element("input"), {type: "radio", name: "step", value: step});
    label.append(radio, element("span", "", kind === "select" ? `${step} selects` : `${step}`));
    this.steps.append(label);
    this.steps.hidden = false;
    // The first, and then the one whose pattern is in use.
    if (this.byStep.size === 1 || kind === "select") this.showStep(step);
  }

  end({sparse}) {
    const {blocks, block_size: size, select_step: select} = this.started;
    const parts = [`${blocks} x ${blocks} blocks of ${size} tokens`];
    parts.push(select === undefined
      ? "every step is full attention: the patterns are those that SparseD would select"
      : `selected in step ${select}, counted from 0`);
    if (sparse.density !== undefined) parts.push(`${percent(sparse.density)} of the blocks kept`);
    if (sparse.recall !== undefined) parts.push(`mean recall ${sparse.recall.toFixed(3)}`);
    this.state.textContent = parts.join("; ");
  }

  showStep(step) {
    this.step = step;
    this.steps.querySelector(`input[value="${step}"]`).checked = true;
    const heads = this.byStep.get(step);
    const recalls = heads.map((head) => head.recall ?? head.fresh);
    const least = Math.min(1, ...recalls.filter((recall) => recall !== undefined));
    heads.forEach((head, i) => {
      const [canvas, number] = this.tiles[i].children;
      head.draw(canvas);
      number.textContent = recalls[i]?.toFixed(2) ?? "";
      const short = least < 1 && recalls[i] !== undefined ? (1 - recalls[i]) / (1 - least) : 0;
      number.style.setProperty("--short", short);
    });
    this.choose(this.at);
  }

  choose(index) {
    this.tiles[this.at].classList.remove("at");
    this.at = index;
    const tile = this.tiles[index];
    tile.classList.add("at");
    const head = this.byStep.get(this.step)[index];
    head.draw(this.map.querySelector("canvas"));
    this.name.textContent = `Layer ${head.layer}, head ${head.head}`;
    const stats = [["kept", percent(head.keptShare())]];
    if (head.recall !== undefined) stats.push(["recall", head.recall.toFixed(3)]);
    if (head.fresh !== undefined) stats.push(["fresh recall", head.fresh.toFixed(3)]);
    const used = this.started.steps.indexOf(this.started.select_step);
    if (used >= 0 && used < head.similarity.length) {
      stats.push(["similarity", head.similarity[used].toFixed(3)]);
    }
    showStats(this.stats, stats);
    if (this.block[0] >= 0) this.describe(...this.block);
  }

  describe(query, key) {
    this.block = [query, key];
    const head = this.byStep.get(this.step)[this.at];
    this.mark.hidden = false;
    this.mark.style.setProperty("--query", query);
    this.mark.style.setProperty("--key", key);
    const parts = [`Query block ${query}, key block ${key}`,
                   head.isKept(query, key) ? "kept" : "dropped"];
    if (head.shares) parts.push(`${percent(head.shares[query * head.n + key])} of its row`);
    this.detail.textContent = parts.join(", ");
  }

  point(event) {
    if (this.step < 0) return;
    const box = this.map.getBoundingClientRect();
    const n = this.started.blocks;
    const to = (at, from, size) =>
      Math.max(0, Math.min(n - 1, Math.floor((at - from) / size * n)));
    this.describe(to(event.clientY, box.top, box.height), to(event.clientX, box.left, box.width));
  }

  moveHead(event) {
    const row = this.started.heads.length;
    const move = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row}[event.key];
    if (move === undefined || this.step < 0) return;
    event.preventDefault();
    const to = this.at + move;
    if (to < 0 || to >= this.tiles.length) return;
    this.choose(to);
    this.tiles[to].scrollIntoView({block: "nearest", inline: "nearest"});
  }

  moveBlock(event) {
    const move = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0],
                  ArrowDown: [1, 0]}[event.key];
    if (move === undefined || this.step < 0) return;
    event.preventDefault();
    const last = this.started.blocks - 1;
    const [query, key] = this.block.map(
      (from, i) => Math.max(0, Math.min(last, Math.max(0, from) + move[i])));
    this.describe(query, key);
  }
}
