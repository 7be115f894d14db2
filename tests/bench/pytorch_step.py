#!/usr/bin/env python3
"""One denoising step of LLaDA-8B or Dream-7B on a GPU in PyTorch eager, beside sparsed-bench.

    python3 tests/bench/pytorch_step.py --bench build/release/bin/sparsed-bench --shape llada-8b \
        --context 4096 16384 65536 --json tests/bench/results/pytorch-step.json

Both have the shape named, bf16 and random weights. A step goes from token ids to sampled tokens:
PyTorch with the operations of the published modelling code and the attention kernel named (cuDNN's,
or FlashAttention-2), and logits for the last 128 rows only, where the published sampler computes
those of all rows; sparsed-bench with steps of full attention, full attention with selection, and
SparseD. The programs take turns, context by context, on one device; times are medians.

Whole generations of 128 and of 1024 steps are the sums of their steps: with SparseD (skip 0.2) the
first int(0.2 T) + 1 are full, one builds the patterns, the rest are sparse; all else is T times one
step.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import tempfile
import time
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel


class Shape(NamedTuple):
    hidden: int
    heads: int
    kv_heads: int
    layers: int
    ffn: int
    vocab: int
    biases: bool  # of queries, keys and values
    eps: float
    theta: float


SHAPES = {"llada-8b": Shape(4096, 32, 32, 32, 12288, 126464, False, 1e-5, 500000.0),
          "dream-7b": Shape(3584, 28, 4, 28, 18944, 152064, True, 1e-6, 1000000.0)}
HEAD_DIM, HEAD_ROWS = 128, 128
ATTENTION = {"cudnn": SDPBackend.CUDNN_ATTENTION, "fa2": SDPBackend.FLASH_ATTENTION}


def rms_norm(x, weight, eps):
    y = x.float()
    y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps)
    return y.to(x.dtype) * weight


def rotate(x, cos, sin):
    """x [1, heads, tokens, 128], rotated in float32."""
    y = x.float()
    first, second = y.chunk(2, -1)
    return (y * cos + torch.cat((-second, first), -1) * sin).to(x.dtype)


class Model:
    """The forward pass of GSAI-ML/LLaDA modeling_llada.py, or of Dream-org/Dream modeling_dream.py
    (grouped heads, biases), with random weights."""

    def __init__(self, shape, longest):
        torch.manual_seed(1)
        self.shape = shape

        def weight(rows, cols, deviation):
            return torch.empty(rows, cols, dtype=torch.bfloat16, device="cuda").normal_(
                0, deviation)

        def linear(rows, cols, deviation, bias=False):
            b = weight(1, rows, 0.1)[0] if bias else None
            return weight(rows, cols, deviation), b

        hidden, ffn, kv = shape.hidden, shape.ffn, shape.kv_heads * HEAD_DIM
        inside, residual = 1.5 / math.sqrt(hidden), 1 / math.sqrt(2 * shape.layers * hidden)
        self.embedding = weight(shape.vocab, hidden, 1)
        self.head = weight(shape.vocab, hidden, 2 / math.sqrt(hidden))
        self.one = torch.ones(hidden, dtype=torch.bfloat16, device="cuda")
        self.blocks = [{"q": linear(hidden, hidden, inside, shape.biases),
                        "k": linear(kv, hidden, inside, shape.biases),
                        "v": linear(kv, hidden, inside, shape.biases),
                        "out": linear(hidden, hidden, residual),
                        "gate": linear(ffn, hidden, inside), "up": linear(ffn, hidden, inside),
                        "down": linear(hidden, ffn, residual)} for _ in range(shape.layers)]
        inverse = 1.0 / shape.theta ** (torch.arange(64, device="cuda").float() / 64)
        angles = torch.outer(torch.arange(longest, device="cuda").float(), inverse).repeat(1, 2)
        self.cos, self.sin = angles.cos(), angles.sin()

    def block(self, x, w):
        def split(y):
            return y.view(1, y.shape[1], -1, HEAD_DIM).transpose(1, 2)

        tokens, eps = x.shape[1], self.shape.eps
        h = rms_norm(x, self.one, eps)
        q, k, v = (split(F.linear(h, *w[name])) for name in ("q", "k", "v"))
        cos, sin = self.cos[:tokens], self.sin[:tokens]
        attended = F.scaled_dot_product_attention(
            rotate(q, cos, sin), rotate(k, cos, sin), v,
            enable_gqa=self.shape.heads != self.shape.kv_heads)
        x = x + F.linear(attended.transpose(1, 2).reshape(x.shape), *w["out"])
        h = rms_norm(x, self.one, eps)
        return x + F.linear(F.silu(F.linear(h, *w["gate"])) * F.linear(h, *w["up"]), *w["down"])

    def step(self, ids):
        x = F.embedding(ids, self.embedding)
        for w in self.blocks:
            x = self.block(x, w)
        logits = F.linear(rms_norm(x[0, -HEAD_ROWS:], self.one, self.shape.eps), self.head)
        tokens = logits.argmax(-1)
        confidence = torch.softmax(logits.float(), -1).gather(-1, tokens[:, None])[:, 0]
        return tokens[confidence.topk(2).indices]


@torch.inference_mode()
def time_torch(model, kernel, context, repeat):
    ids = torch.randint(model.shape.vocab, (1, context), device="cuda")
    seconds = []
    with sdpa_kernel(ATTENTION[kernel]):
        for i in range(repeat + 1):
            torch.cuda.synchronize()
            start = time.perf_counter()
            model.step(ids).cpu()
            if i > 0:
                seconds.append(time.perf_counter() - start)
    return seconds


@torch.inference_mode()
def torch_rates():
    """TFLOP/s of an 8192^3 product and GB/s of a copy (read and written), both in long runs."""
    def sustained(run, at_once=16):
        samples, elapsed = [], 0.0
        while elapsed < 1.5:
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(at_once):
                run()
            torch.cuda.synchronize()
            seconds = time.perf_counter() - start
            elapsed += seconds
            samples.append(seconds / at_once)
        return statistics.median(samples[len(samples) // 3:])

    a, b, c = (torch.rand(8192, 8192, device="cuda").sub_(0.5).bfloat16() for _ in range(3))
    product = sustained(lambda: torch.mm(a, b, out=c))
    x, y = (torch.empty(1 << 28, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    copy = sustained(lambda: y.copy_(x))
    return {"product_tflops": 2e-12 * 8192 ** 3 / product, "copy_gbps": 4e-9 * (1 << 28) / copy}


def run_bench(args, context):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "result.json")
        subprocess.run([args.bench, "step", "--device", "cuda", "--model",
                        f"synthetic:{args.shape}", "--context", str(context), "--select", str(args.select), "--repeat",
                        str(args.repeat), "--json", path], check=True, stdout=subprocess.DEVNULL)
        with open(path) as file:
            return json.load(file)


SKIP, TOTALS = 0.2, (128, 1024)  # steps of the whole generations


def add_totals(row):
    """Seconds of whole generations, from the seconds of their steps."""
    one = lambda name: row[f"{name}_seconds"]
    row["generations"] = []
    for steps in TOTALS:
        dense = int(steps * SKIP) + 1
        ours = (dense * one("sparsed_full") + one("sparsed_select")
                + (steps - dense - 1) * one("sparsed_sparse"))
        rivals = {name: steps * one(name) for name in ("pytorch_fa2", "pytorch_cudnn",
                                                       "sparsed_full")}
        row["generations"].append({
            "steps": steps, "sparsed_seconds": ours, "seconds": rivals,
            "speedups": {name: seconds / ours for name, seconds in rivals.items()}})


def measure(context, args):
    """Both programs at one context; the model is made anew, so that each has the device alone."""
    model = Model(SHAPES[args.shape], context)
    row = {"context": context}
    for kernel in ATTENTION:
        row[f"pytorch_{kernel}_seconds"] = statistics.median(
            time_torch(model, kernel, context, args.repeat))
    row["pytorch_peak_bytes"] = torch.cuda.max_memory_allocated()
    del model
    torch.cuda.empty_cache()
    report = run_bench(args, context)
    row["sparsed"] = report["results"][0]
    row["sparsed_rates"] = {"product_gflops": report["peak_gflops"],
                            "copy_gbps": report["copy_gbps"]}
    for kind in report["results"][0]["kinds"]:
        row[f"sparsed_{kind['kind']}_seconds"] = kind["seconds"]["total"]["median"]
    add_totals(row)
    return row, report["machine"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the sparsed-bench program")
    parser.add_argument("--shape", choices=SHAPES, default="llada-8b")
    parser.add_argument("--context", type=int, nargs="+", default=[4096, 16384, 65536])
    parser.add_argument("--select", type=float, default=0.3)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json")
    args = parser.parse_args()

    rates = torch_rates()
    print(f"PyTorch: {rates['product_tflops']:.0f} TFLOP/s, copies {rates['copy_gbps']:.0f} GB/s",
          flush=True)
    names = ["pytorch_cudnn", "pytorch_fa2", "sparsed_full", "sparsed_select", "sparsed_sparse"]
    print("ms".rjust(7), *(name.rjust(15) for name in names))
    results, machine = [], None
    for context in args.context:
        row, machine = measure(context, args)
        results.append(row)
        print(f"{context:7d}", *(f"{1e3 * row[name + '_seconds']:15.1f}" for name in names),
              flush=True)
    print("\ngenerations of T steps, s, and SparseD's speed over each")
    for row in results:
        for total in row["generations"]:
            print(f"{row['context']:7d} T={total['steps']:<5d} sparsed {total['sparsed_seconds']:.1f}",
                  *(f"{name} {seconds:.1f} ({total['speedups'][name]:.2f}x)"
                    for name, seconds in total["seconds"].items()), sep="  ")
    if args.json:
        report = {"benchmark": "pytorch_step", "shape": args.shape, "machine": machine, "torch": torch.__version__,
                  "cudnn": torch.backends.cudnn.version(), "repeat": args.repeat,
                  "select": args.select, "pytorch_rates": rates, "results": results}
        with open(args.json, "w") as file:
            json.dump(report, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()
