#!/usr/bin/env python3
"""One denoising step of a LLaDA checkpoint in PyTorch on the CPU, float32, beside sparsed-bench.

    python3 -m venv build/venv && build/venv/bin/pip install torch numpy
    build/venv/bin/python tests/bench/pytorch_cpu_step.py --bench build/release/bin/sparsed-bench \
        --context 128 1024 4096 --json tests/bench/results/pytorch-cpu.json

For every context the two programs run in turn, --rounds times, with the same number of threads, so
that both see the same machine. Both time a whole step of full attention from token ids to chosen
tokens, with logits for the decoding block only: PyTorch is spared the logits of all other
positions, which the published sampler computes and throws away. A check comes first: both generate
greedily from the same prompts, and the tokens are compared.
"""

import argparse
import json
import math
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import torch
import torch.nn.functional as F

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_safetensors(path):
    with open(path, "rb") as file:
        data = bytearray(file.read())
    size = struct.unpack_from("<Q", data)[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        tensor = torch.frombuffer(data, dtype=dtype, offset=8 + size + begin,
                                  count=math.prod(entry["shape"]))
        tensors[name] = tensor.reshape(entry["shape"]).float()
    return tensors


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class Llada:
    """The forward pass of GSAI-ML/LLaDA modeling_llada.py for one sequence."""

    def __init__(self, folder):
        with open(os.path.join(folder, "config.json")) as file:
            self.config = json.load(file)
        with open(os.path.join(folder, "model.safetensors.index.json")) as file:
            shards = sorted(set(json.load(file)["weight_map"].values()))
        weights = {}
        for shard in shards:
            weights.update(read_safetensors(os.path.join(folder, shard)))
        self.embedding = weights["model.transformer.wte.weight"]
        self.norm = weights["model.transformer.ln_f.weight"]
        self.head = weights["model.transformer.ff_out.weight"]
        names = ("attn_norm", "q_proj", "k_proj", "v_proj", "attn_out", "ff_norm", "ff_proj",
                 "up_proj", "ff_out")
        self.blocks = [{name: weights[f"model.transformer.blocks.{i}.{name}.weight"]
                        for name in names} for i in range(self.config["n_layers"])]
        self.tables = {}

    def rope_tables(self, tokens):
        if tokens not in self.tables:
            half = self.config["d_model"] // self.config["n_heads"] // 2
            inverse = 1.0 / self.config["rope_theta"] ** (torch.arange(half).float() / half)
            angles = torch.outer(torch.arange(tokens).float(), inverse).repeat(1, 2)
            self.tables[tokens] = (angles.cos(), angles.sin())
        return self.tables[tokens]

    def attend(self, q, k, v):
        # With a batch dimension: without one PyTorch leaves its flash kernel.
        return F.scaled_dot_product_attention(q[None], k[None], v[None])[0]

    def block(self, x, w, cos, sin):
        eps, heads = self.config["rms_norm_eps"], self.config["n_heads"]
        split = lambda y: y.view(y.shape[0], heads, -1).transpose(0, 1)
        h = rms_norm(x, w["attn_norm"], eps)
        q = rotate(split(F.linear(h, w["q_proj"])), cos, sin)
        k = rotate(split(F.linear(h, w["k_proj"])), cos, sin)
        v = split(F.linear(h, w["v_proj"]))
        attended = self.attend(q, k, v)
        x = x + F.linear(attended.transpose(0, 1).reshape(x.shape), w["attn_out"])
        h = rms_norm(x, w["ff_norm"], eps)
        return x + F.linear(F.silu(F.linear(h, w["ff_proj"])) * F.linear(h, w["up_proj"]),
                            w["ff_out"])

    def logits(self, ids, rows):
        x = F.embedding(ids, self.embedding)
        cos, sin = self.rope_tables(len(ids))
        for w in self.blocks:
            x = self.block(x, w, cos, sin)
        return F.linear(rms_norm(x[rows], self.norm, self.config["rms_norm_eps"]), self.head)


@torch.inference_mode()
def step(model, ids, rows):
    """The most probable token of each row and its probability."""
    logits = model.logits(ids, rows)
    tokens = logits.argmax(-1)
    return tokens, torch.softmax(logits, -1).gather(-1, tokens[:, None])[:, 0]


def generate(model, prompt, gen_length, block_length, steps):
    """ML-GSAI/LLaDA generate.py, greedy, low-confidence remasking."""
    mask = model.config["mask_token_id"]
    ids = torch.tensor(prompt + [mask] * gen_length)
    blocks = gen_length // block_length
    for block in range(blocks):
        first = len(prompt) + block * block_length
        per_step = steps // blocks
        for s in range(per_step):
            rows = first + (ids[first:first + block_length] == mask).nonzero()[:, 0]
            keep = block_length // per_step + (s < block_length % per_step)
            tokens, confidences = step(model, ids, rows)
            best = torch.sort(confidences, descending=True, stable=True).indices[:keep]
            ids[rows[best]] = tokens[best]
    return ids[len(prompt):].tolist()


def run_bench(bench, arguments):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "result.json")
        subprocess.run([bench, *map(str, arguments), "--json", path], check=True,
                       stdout=subprocess.DEVNULL)
        with open(path) as file:
            return json.load(file)


def compare_tokens(model, args):
    """How many canvas tokens of greedy generations agree, over a few random prompts."""
    agree = total = 0
    generator = torch.Generator().manual_seed(1)
    for _ in range(args.check_prompts):
        prompt = torch.randint(6, model.config["vocab_size"], (64,), generator=generator).tolist()
        ours = run_bench(args.bench, ["generate", "--model", args.model, "--threads", args.threads,
                                      "--sparse", "off", "--gen-length", 32, "--block-length", 32,
                                      "--steps", 16, "--prompt-ids", ",".join(map(str, prompt))])
        theirs = generate(model, prompt, 32, 32, 16)
        agree += sum(a == b for a, b in zip(ours["results"][0]["output_ids"][0], theirs))
        total += 32
    return agree, total


def time_torch(model, context, block_length, repeat):
    gen_length = 128
    while gen_length > context // 2:
        gen_length //= 2
    ids = torch.randint(6, model.config["vocab_size"], (context,))
    ids[context - gen_length:] = model.config["mask_token_id"]
    rows = torch.arange(context - gen_length,
                        context - gen_length + min(block_length, gen_length))
    seconds = []
    for i in range(repeat + 1):
        start = time.perf_counter()
        step(model, ids, rows)
        if i > 0:
            seconds.append(time.perf_counter() - start)
    return seconds


@torch.inference_mode()
def torch_peak_gflops(repeat=6):
    """The fastest of a few large matrix products."""
    a, b = torch.rand(2048, 1024), torch.rand(1024, 2048)
    fastest = math.inf
    for _ in range(repeat):
        start = time.perf_counter()
        a @ b
        fastest = min(fastest, time.perf_counter() - start)
    return 2e-9 * 2048 * 1024 * 2048 / fastest


def measure(model, context, args):
    theirs, ours, sparse, loads = [], [], [], []
    for _ in range(args.rounds):
        theirs += time_torch(model, context, 32, args.repeat)
        report = run_bench(args.bench, ["step", "--model", args.model, "--context", context,
                                        "--select", args.select, "--threads", args.threads,
                                        "--repeat", args.repeat])
        kinds = {kind["kind"]: kind["seconds"]["total"]["median"]
                 for kind in report["results"][0]["kinds"]}
        loads.append(report["machine"]["load_average_before"])
        ours.append(kinds["full"])
        sparse.append(kinds["sparse"])
    row = {"context": context, "pytorch_seconds": statistics.median(theirs),
           "sparsed_full_seconds": statistics.median(ours),
           "sparsed_sparse_seconds": statistics.median(sparse),
           "sparsed_peak_gflops": report["peak_gflops"], "load_averages": loads}
    row["speedup_full"] = row["pytorch_seconds"] / row["sparsed_full_seconds"]
    row["speedup_sparse"] = row["pytorch_seconds"] / row["sparsed_sparse_seconds"]
    return row, report["machine"]


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the sparsed-bench program")
    parser.add_argument("--model", default=os.path.join(root, "deploy/models/nano"))
    parser.add_argument("--context", type=int, nargs="+", default=[128, 1024, 4096])
    parser.add_argument("--select", type=float, default=0.3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--check-prompts", type=int, default=8)
    parser.add_argument("--json")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    model = Llada(args.model)
    agree, total = compare_tokens(model, args)
    print(f"the same tokens: {agree} of {total}")
    peak = torch_peak_gflops()
    print(f"PyTorch's fastest large product: {peak:.1f} GFLOP/s, {args.threads} threads")
    print(f"{'tokens':>7} {'PyTorch ms':>11} {'full ms':>9} {'speedup':>8} {'sparse ms':>10} "
          f"{'speedup':>8}")
    results = []
    for context in args.context:
        row, machine = measure(model, context, args)
        results.append(row)
        print(f"{context:7d} {1e3 * row['pytorch_seconds']:11.1f} "
              f"{1e3 * row['sparsed_full_seconds']:9.1f} {row['speedup_full']:8.2f} "
              f"{1e3 * row['sparsed_sparse_seconds']:10.1f} {row['speedup_sparse']:8.2f}",
              flush=True)
    if args.json:
        report = {"benchmark": "pytorch_cpu_step", "machine": machine, "threads": args.threads,
                  "torch": torch.__version__, "rounds": args.rounds, "repeat": args.repeat,
                  "select": args.select, "torch_peak_gflops": peak,
                  "same_tokens": [agree, total], "results": results}
        with open(args.json, "w") as file:
            json.dump(report, file, indent=2)
            file.write("\n")
    return 0 if agree == total else 1


if __name__ == "__main__":
    sys.exit(main())
