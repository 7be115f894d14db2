#!/usr/bin/env python3
"""The attention kernel beside PyTorch's on one GPU: same tensors, same process, in turn.

    python3 tests/bench/attention_rivals.py --library build/release/lib/libsparsed_attention_shim.so \
        --json tests/bench/results/attention-h100.json

Rivals: SDPA with cuDNN and with FlashAttention-2, FlexAttention (compiled; what SparseD's published
code runs) dense and with the same blocks, and the published way to build a pattern, a loop over the
query blocks with whole softmax rows. Inputs are normal random bf16. Patterns are random, and those
that nano's heads choose for a prompt of the evaluation set (--nano), tiled up to the length. Every case is a list of
contestants which take turns, --rounds times; a turn is as many calls as fill --turn seconds, timed
by the wall clock from the first call to the end of the last on the device. The card runs at its
power limit, so what ran just before changes a turn's clock: each round has another random order.
What is compared was measured within the same rounds. Before, our outputs are checked against
cuDNN's and FlexAttention's.

TFLOP/s count a multiply-add as two, and of sparse attention the kept blocks alone. nvidia-smi logs
the clock, power and temperature; each number has the medians over its own turns.
"""

import argparse
import ctypes
import datetime
import gzip
import json
import math
import os
import random
import statistics
import subprocess
import threading
import time

import torch
import torch._dynamo
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, flex_attention

import pytorch_cpu_step

BLOCK = 128


class Call(ctypes.Structure):
    """Mirrors struct Call in attention_shim.cc."""
    _fields_ = [(name, ctypes.c_void_p) for name in ("out", "q", "k", "v", "mask")] + [
        ("tokens", ctypes.c_int64), ("first_query", ctypes.c_int64)] + [
        (name, ctypes.c_int32) for name in (
            "num_heads", "num_kv_heads", "head_dim", "block_size", "select", "first_canvas_block",
            "keep_prompt", "keep_canvas", "split")] + [
        ("scale", ctypes.c_float), ("selection_scale", ctypes.c_float)]


class Sparsed:
    """Our backend on device 0."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.sparsed_open.restype = ctypes.c_void_p
        self.library.sparsed_message.restype = ctypes.c_char_p
        self.session = ctypes.c_void_p(self.library.sparsed_open())
        self.check(self.library.sparsed_start(self.session, 0))

    def check(self, failed):
        if failed:
            raise RuntimeError(self.library.sparsed_message(self.session).decode())

    def attention(self, call):
        self.check(self.library.sparsed_attention(self.session, ctypes.byref(call)))

    def sync(self):
        self.check(self.library.sparsed_sync(self.session))


class Sensors(threading.Thread):
    """Clock, power and temperature over time, as nvidia-smi tells."""

    def __init__(self):
        super().__init__(daemon=True)
        self.samples = []
        self.process = subprocess.Popen(
            ["nvidia-smi", "-i", "0", "--query-gpu=clocks.sm,power.draw,temperature.gpu",
             "--format=csv,noheader,nounits", "-lms", "50"], stdout=subprocess.PIPE, text=True)
        self.start()

    def run(self):
        for line in self.process.stdout:
            try:
                values = [float(value) for value in line.split(",")]
            except ValueError:
                continue
            self.samples.append((time.monotonic(), *values))

    def during(self, spans):
        inside = [s for s in self.samples if any(a <= s[0] <= b for a, b in spans)]
        if not inside:
            return {}
        return {name: statistics.median(s[i + 1] for s in inside)
                for i, name in enumerate(("sm_mhz", "watts", "celsius"))}

    def stop(self):
        self.process.terminate()


class Contestant:
    def __init__(self, name, run, flops=0.0, output=None, reference=None, turns=None):
        self.name, self.run, self.flops = name, run, flops
        self.output, self.reference, self.turns = output, reference, turns
        self.seconds, self.spans, self.calls = [], [], 1

    def take_turn(self, sync):
        begin = time.monotonic()
        for _ in range(self.calls):
            self.run()
        torch.cuda.synchronize()
        sync()
        end = time.monotonic()
        self.seconds.append((end - begin) / self.calls)
        self.spans.append((begin, end))

    def prepare(self, sync, turn):
        """Warms up, learns how many calls a turn holds. A single turn needs neither."""
        if self.turns == 1:
            return
        self.take_turn(sync)
        self.take_turn(sync)
        self.calls = max(1, min(200, int(turn / self.seconds[-1])))
        self.seconds, self.spans = [], []

    def report(self, sensors):
        ordered = sorted(self.seconds)
        pick = lambda share: ordered[round(share * (len(ordered) - 1))] * 1e3
        row = {"name": self.name, "ms": pick(0.5), "p10": pick(0.1), "p90": pick(0.9),
               "turns": len(ordered), "calls": self.calls, **sensors.during(self.spans)}
        if self.flops:
            row["tflops"] = self.flops / pick(0.5) / 1e9
        return row


def random_pattern(heads, blocks, density):
    """[H, n, n], true where a block is kept: random columns, as many in every row."""
    kept = max(1, round(density * blocks))
    order = torch.rand(heads, blocks, blocks, device="cuda").argsort(-1)
    return order < kept  # a random permutation has `kept` such places


def to_bits(kept):
    heads, blocks, _ = kept.shape
    words = (blocks + 63) // 64
    flags = F.pad(kept, (0, words * 64 - blocks)).long()
    shifts = torch.arange(64, device="cuda")
    return (flags.view(heads, blocks, words, 64) << shifts).sum(-1)


def to_block_mask(kept):
    """FlexAttention's: the kept columns first, in ascending order, and how many they are."""
    indices = torch.argsort(~kept, dim=-1, stable=True).to(torch.int32)[None]
    count = kept.sum(-1, dtype=torch.int32)[None]
    return BlockMask.from_kv_blocks(torch.zeros_like(count), torch.zeros_like(indices), count,
                                    indices, BLOCK_SIZE=(BLOCK, BLOCK))


def published_selection(q, k, scale, share, first_canvas, size=BLOCK):
    """Patterns as the published code builds them: per query block the softmax over all keys, its
    means over the key blocks, the best ones; then the same over the canvas keys alone."""
    heads, tokens = q.shape[1], q.shape[2]
    blocks = tokens // size
    mask = torch.zeros(heads, blocks, blocks, dtype=torch.bool, device=q.device)
    for first in (0, first_canvas):
        keys = k[0, :, first * size:].transpose(1, 2)
        columns = blocks - first
        keep = min(columns, int(columns * share) + 1)
        for block in range(blocks):
            rows = q[0, :, block * size:(block + 1) * size]
            weights = torch.softmax(torch.matmul(rows, keys) * scale, -1, dtype=torch.float32)
            importance = weights.to(q.dtype).view(heads, size, columns, size).mean((1, 3))
            best = importance.topk(keep, -1).indices
            row = torch.zeros(heads, columns, dtype=torch.bool, device=q.device).scatter_(
                -1, best, True)
            if first == 0:
                row[:, first_canvas:] = False
            mask[:, block, first:] |= row
    return mask


class NanoHeads(pytorch_cpu_step.Llada):
    """nano, which also keeps the queries and keys of every layer."""

    def __init__(self, folder):
        super().__init__(folder)
        self.kept = []

    def attend(self, q, k, v):
        self.kept.append((q, k))
        return super().attend(q, k, v)


@torch.inference_mode()
def nano_patterns(folder, data, heads=32, tokens=4096, size=32, share=0.3):
    """[heads, 128, 128]: what nano's heads, layer by layer, keep of 4,096 tokens in blocks of 32
    at the first step of an answer: prompt, then masks."""
    with gzip.open(data, "rt") as file:
        example = next(e for e in map(json.loads, file) if e["length"] == tokens)
    nano = NanoHeads(folder)
    mask = [nano.config["mask_token_id"]] * (tokens - len(example["prompt_ids"]))
    nano.logits(torch.tensor(example["prompt_ids"] + mask), slice(-1, None))
    patterns = [published_selection(q[None].cuda(), k[None].cuda(), 1 / math.sqrt(q.shape[-1]), share,
                                    -(-len(example["prompt_ids"]) // size), size)
                for q, k in nano.kept]
    per_layer = heads // len(patterns)
    return torch.cat([p[:per_layer] for p in patterns])


class Bench:
    def __init__(self, options):
        self.options = options
        self.ours = Sparsed(options.library)
        self.sensors = Sensors()
        torch._dynamo.config.recompile_limit = 64  # else FlexAttention leaves its fused path
        self.flex = torch.compile(flex_attention, dynamic=False)
        self.nano = nano_patterns(options.nano, options.data) if options.nano else None
        self.cases = []
        self.random = random.Random(1)
        self.began = time.monotonic()

    def case(self, title, contestants, rounds):
        torch.cuda.synchronize()
        for one in contestants:
            one.prepare(self.ours.sync, self.options.turn)
            if one.reference is not None:
                want, got = one.reference(), one.output()
                one.error = (want.float() - got.float()).abs().max().item()
                if not one.error < 0.02:
                    raise RuntimeError(f"{title}: {one.name} differs by {one.error}")
        order = list(contestants)
        for turn in range(rounds):
            self.random.shuffle(order)
            for one in order:
                if one.turns is None or turn < one.turns:
                    one.take_turn(self.ours.sync)
        rows = [one.report(self.sensors) for one in contestants]
        self.cases.append({"case": title, "rows": rows})
        print(f"\n{title}  [{time.monotonic() - self.began:.0f} s]")
        for row in rows:
            speed = f"{row['tflops']:7.1f} TFLOP/s" if "tflops" in row else " " * 15
            print(f"  {row['name']:28s} {row['ms']:10.3f} ms  p10 {row['p10']:.3f} p90 {row['p90']:.3f}"
                  f" {speed}  {row.get('sm_mhz', 0):.0f} MHz {row.get('watts', 0):.0f} W"
                  f" {row.get('celsius', 0):.0f} C  n={row['turns']}", flush=True)

    def selection(self, label, call, flops, tokens, heads, dim, rounds):
        """What a select step costs beside a full one."""
        masks = {}

        def select(size, **changes):
            blocks = tokens // size
            masks[size] = torch.zeros(heads, blocks, (blocks + 63) // 64, dtype=torch.int64,
                                      device="cuda")
            return call(mask=masks[size].data_ptr(), select=1, block_size=size,
                        first_canvas_block=blocks - 1, keep_prompt=int(blocks * 0.3) + 1, **changes)

        contestants = [
            Contestant("sparsed full", call(), flops),
            Contestant("sparsed select", select(BLOCK), flops),
            Contestant("sparsed select, scale x2",
                       select(BLOCK, selection_scale=2 / math.sqrt(dim)), flops)]
        if tokens <= 4096:  # where smaller blocks are the server's default
            contestants += [Contestant(f"sparsed select, blocks of {size}", select(size), flops)
                            for size in (64, 32)]
        self.case(f"{label}, selection", contestants, rounds)

    def few_queries(self, label, call, flops, tokens, output, reference, rounds):
        """The last layer's few queries against all keys, by whole items and with the keys parted."""
        self.case(f"{label}, last 128 queries", [
            Contestant(name, call(first_query=tokens - BLOCK, split=split), flops * BLOCK / tokens,
                       output, reference)
            for name, split in (("sparsed last 128 queries", 0),
                                ("sparsed last 128 queries, split", 1))], rounds)

    def shape(self, tokens, heads, kv_heads, dim, rivals, densities, select):
        torch.manual_seed(tokens + heads + dim)
        draw = lambda n: torch.randn(1, n, tokens, dim, device="cuda", dtype=torch.bfloat16)
        q, k, v = draw(heads), draw(kv_heads), draw(kv_heads)
        flat = lambda x: x[0].transpose(0, 1).reshape(tokens, -1).contiguous()
        own = [flat(x) for x in (q, k, v)]
        out = torch.empty(tokens, heads * dim, device="cuda", dtype=torch.bfloat16)
        blocks = tokens // BLOCK
        scale = 1 / math.sqrt(dim)
        flops = 4.0 * heads * tokens * tokens * dim
        grouped = heads != kv_heads
        label = f"{tokens} tokens, {heads}/{kv_heads} heads of {dim}"

        def call(**changes):
            fields = dict(out=out.data_ptr(), q=own[0].data_ptr(), k=own[1].data_ptr(),
                          v=own[2].data_ptr(), mask=None, tokens=tokens, first_query=-1,
                          num_heads=heads, num_kv_heads=kv_heads, head_dim=dim, block_size=BLOCK,
                          select=0, first_canvas_block=blocks - 1, keep_prompt=int(blocks * 0.3) + 1,
                          keep_canvas=1, split=0, scale=scale, selection_scale=scale)
            fields.update(changes)
            built = Call(**fields)
            return lambda: self.ours.attention(built)

        def our_output():
            self.ours.sync()
            return out.view(tokens, heads, dim)

        def sdpa(backend):
            def run():
                with sdpa_kernel([backend]):
                    return F.scaled_dot_product_attention(q, k, v, enable_gqa=grouped)
            return run

        rows_first = lambda x: x[0].transpose(0, 1)
        cudnn = sdpa(SDPBackend.CUDNN_ATTENTION)
        full = [Contestant("sparsed full", call(), flops, our_output, lambda: rows_first(cudnn())),
                Contestant("cuDNN", cudnn, flops)]
        if "fa2" in rivals:
            full.append(Contestant("FlashAttention-2", sdpa(SDPBackend.FLASH_ATTENTION), flops))
        if "flex" in rivals:
            full.append(Contestant("FlexAttention dense",
                                   lambda: self.flex(q, k, v, enable_gqa=grouped), flops))
        rounds = self.options.rounds if tokens < 100000 else (self.options.rounds + 1) // 2
        self.case(label, full, rounds)
        if select:
            self.selection(label, call, flops, tokens, heads, dim, rounds)
            # The call takes its few queries, and leaves their rows, from the first row on.
            first = q[:, :, :BLOCK]
            self.few_queries(
                label, call, flops, tokens, lambda: our_output()[:BLOCK],
                lambda: rows_first(F.scaled_dot_product_attention(first, k, v, enable_gqa=grouped)),
                rounds)
        if "loop" in rivals:
            self.case(f"{label}, published selection", [Contestant(
                "published selection", lambda: published_selection(q, k, scale, 0.3, blocks - 1),
                turns=None if tokens < 50000 else 1)], 3)
        patterns = [("random pattern", random_pattern(heads, blocks, d)) for d in densities]
        if self.nano is not None and densities and blocks % self.nano.shape[-1] == 0:
            times = blocks // self.nano.shape[-1]
            patterns.append(("nano's patterns", self.nano[:heads].repeat_interleave(times, -1)
                             .repeat_interleave(times, -2)))
        for name, pattern in patterns:
            bits = to_bits(pattern)
            kept = pattern.float().mean().item()
            block_mask = to_block_mask(pattern)
            flex = lambda: self.flex(q, k, v, block_mask=block_mask, enable_gqa=grouped)
            contestants = [
                Contestant("sparsed full", call(), flops),
                Contestant("sparsed sparse", call(mask=bits.data_ptr()), flops * kept, our_output,
                           lambda: rows_first(flex())),
                Contestant("FlexAttention", flex, flops * kept)]
            self.case(f"{label}, {name} {kept:.3f}", contestants, rounds)
            self.cases[-1]["density"] = kept
        del q, k, v, own, out
        torch.cuda.empty_cache()


def describe():
    driver = subprocess.run(["nvidia-smi", "-i", "0", "--query-gpu=driver_version,power.limit",
                             "--format=csv,noheader"], capture_output=True, text=True, check=True)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True,
                            text=True, check=False)
    return {"date": datetime.date.today().isoformat(), "gpu": torch.cuda.get_device_name(),
            "driver, power limit": driver.stdout.strip(), "cuda": torch.version.cuda,
            "torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
            "commit": commit.stdout.strip()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--library", required=True, help="libsparsed_attention_shim.so")
    parser.add_argument("--tokens", type=int, nargs="*", default=[4096, 16384, 65536, 131072])
    parser.add_argument("--density", type=float, nargs="*", default=[0.1, 0.3, 0.5])
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument("--nano", default=os.path.join(root, "deploy/models/nano"),
                        help="whose heads give the patterns that are not random; '' for none")
    parser.add_argument("--data", default=os.path.join(root, "tests/golden/eval/dev.jsonl.gz"),
                        help="evaluation set with nano's prompt")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--turn", type=float, default=0.1, help="seconds of a contestant's turn")
    parser.add_argument("--commit", help="of the library, where it cannot be asked")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin nothing after so many")
    parser.add_argument("--json", help="write all numbers to this file")
    options = parser.parse_args()
    bench = Bench(options)
    machine = describe()
    if options.commit:
        machine["commit"] = options.commit
    print(machine)
    shapes = [(n, 32, 32, 128, ("fa2", "flex", "loop"), options.density, True)
              for n in options.tokens]
    shapes += [(16384, 32, 32, 64, ("fa2",), [], True)]
    shapes += [(n, 28, 4, 128, (), [0.3], True) for n in (16384, 65536) if n in options.tokens]
    shapes.sort(key=lambda shape: shape[0])
    try:
        for shape in shapes:
            if time.monotonic() - bench.began < options.seconds:
                bench.shape(*shape)
    finally:
        bench.sensors.stop()
        if options.json:
            with open(options.json, "w") as file:
                json.dump({"machine": machine, "cases": bench.cases}, file, indent=1)
                file.write("\n")


if __name__ == "__main__":
    main()
