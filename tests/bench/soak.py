#!/usr/bin/env python3
"""Minutes of mixed requests, cancels, deadlines and bad input; then: has the server kept anything?

    python3 tests/bench/soak.py --seconds 1200 --json FILE
    python3 tests/bench/soak.py --seconds 1200 --json FILE --binary build/cpu-asan/bin/sparsed \
        --words 300 --max-batch-tokens 2048 --memory-mib 256 --heap-mib 1

First as many of the largest requests as fill a step: the engine's workspace counts as resident
only once it has been used. Then rounds of load, each followed by a lull. In a lull nothing may run
or wait, the mask cache must be empty, and one and the same request must give the same tokens.
Resident memory, the heap's bytes in use, file descriptors and threads of the lulls are printed, and
the most that the mask cache held since the last lull; those of the last may not exceed those of the
first quarter's highest by more than the limits. Exit code 0 if all of it holds.

The heap's bytes are the allocator's own count. The C library's has what its threads keep for their
next allocation in it, so it rises until all threads have worked. AddressSanitizer's is exact, while
memory that is resident under it says little: it keeps freed memory back, here 16 MiB of it and
64 KiB a thread, and lays out every size apart. At the end it looks for leaks.
"""

import argparse
import collections
import json
import os
import pathlib
import random
import statistics
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "build" / "release" / "bin" / "sparsed"))
    parser.add_argument("--model", default=str(ROOT / "deploy" / "models" / "nano"))
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--round-seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--words", type=int, default=900, help="of the longest prompt")
    parser.add_argument("--max-batch-tokens", type=int, default=16384)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory-mib", type=float, default=16, help="resident, may be gained")
    parser.add_argument("--heap-mib", type=float, default=16, help="allocated, may be gained")
    parser.add_argument("--json")
    return parser.parse_args()


OPTIONS = parse_arguments()
os.environ["SPARSED_BINARY"] = OPTIONS.binary
os.environ["SPARSED_MODEL_DIR"] = OPTIONS.model
os.environ.setdefault("SPARSED_PROTO_DIR", str(ROOT / "proto"))
os.environ.setdefault("ASAN_OPTIONS", "detect_leaks=1:quarantine_size_mb=16:"
                      "thread_local_quarantine_size_kb=64:allocator_release_to_os_interval_ms=1000")
sys.path.insert(0, str(ROOT / "tests" / "bench"))
sys.path.insert(0, str(ROOT / "tests" / "integration"))

import grpc  # noqa: E402

from serve_bench import machine  # noqa: E402
from sparsed_server import Client, Server, g, short_request  # noqa: E402

WORDS = "the river flows through an old town where people stand at its banks and wait ".split()
MAX_RUNNING = 6
FD_LIMIT = 8
THREAD_LIMIT = 8
MASK_LIMIT = 0


def random_request(chance):
    """A valid request with options of every kind."""
    gen_length = chance.choice([8, 32, 64, 128])
    block_length = chance.choice([b for b in (8, 16, 32, 64) if gen_length % b == 0])
    blocks = gen_length // block_length
    request = g.GenerateRequest(sampling=g.SamplingOptions(
        gen_length=gen_length, block_length=block_length,
        steps=blocks * chance.choice([1, 2, 4, 8]), seed=chance.getrandbits(60),
        temperature=chance.choice([0, 0, 0.5, 1.0]), cfg_scale=chance.choice([0, 0, 0, 1.5]),
        remasking=chance.choice([g.REMASKING_LOW_CONFIDENCE, g.REMASKING_RANDOM]),
        stop_at_end=chance.random() < 0.5), priority=chance.choice([-1, 0, 0, 1]))
    request.sparse.CopyFrom(g.SparseOptions(
        mode=chance.choice([g.SPARSE_MODE_AUTO, g.SPARSE_MODE_OFF, g.SPARSE_MODE_SPARSED])))
    if request.sparse.mode == g.SPARSE_MODE_SPARSED:
        request.sparse.block_size = chance.choice([32, 64, 128])
        request.sparse.select = chance.choice([0.2, 0.5, 1.0])
    text = " ".join(chance.choices(WORDS, k=chance.choice([3, 30, OPTIONS.words // 3,
                                                         OPTIONS.words])))
    kind = chance.randrange(3)
    if kind == 0:
        request.prompt = text
    elif kind == 1:
        request.chat.messages.add(role="user", content=text)
    else:
        half = gen_length // 2
        request.infill.parts.add(text=text)
        request.infill.parts.add(hole_tokens=half)
        request.infill.parts.add(text=" and so ")
        request.infill.parts.add(hole_tokens=half)
        request.sampling.ClearField("gen_length")
    return request


def spoil(request, chance):
    kind = chance.randrange(4)
    if kind == 0:
        request.sampling.steps = 0
    elif kind == 1:
        request.sampling.temperature = float("nan")
    elif kind == 2:
        request.model = "another"
    else:
        request.prompt = "word " * 20000


def one_call(client, chance):
    """Sends something and returns how it ended."""
    request = random_request(chance)
    fate = chance.random()
    if fate < 0.1:
        spoil(request, chance)
    timeout = chance.uniform(0.001, 2) if 0.1 <= fate < 0.25 else 60
    try:
        if chance.random() < 0.4:
            client.generate(request, timeout=timeout)
            return "OK"
        call = client.stream(g.StreamGenerateRequest(
            request=request, progress=chance.random() < 0.5, frames=chance.random() < 0.3),
            timeout=timeout)
        events_wanted = chance.randrange(12) if fate > 0.75 else None
        for number, _ in enumerate(call):
            if number == events_wanted:
                # A reader that stops for a while, then goes.
                time.sleep(chance.choice([0, 0, 0.3]))
                call.cancel()
        return "OK"
    except grpc.RpcError as error:
        return error.code().name


def load(server, seconds, round_number):
    """So many clients at once for so long; outcomes by name, and the most bytes of masks seen."""
    outcomes = collections.Counter()
    most_mask_bytes = 0
    lock = threading.Lock()
    end = time.monotonic() + seconds

    def work(number):
        chance = random.Random(f"{OPTIONS.seed} {round_number} {number}")
        client = Client(server.port)
        while time.monotonic() < end:
            outcome = one_call(client, chance)
            with lock:
                outcomes[outcome] += 1
            if chance.random() < 0.05:
                client.close()
                client = Client(server.port)
        client.close()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(OPTIONS.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            most_mask_bytes = max(most_mask_bytes, server.metric("sparsed_mask_cache_bytes"))
            thread.join(1)
    return outcomes, int(most_mask_bytes)


def use_workspace(port):
    """More of the largest requests, guided, than fit into a step."""
    def work(seed):
        words = (WORDS * OPTIONS.words)[:OPTIONS.words]
        request = g.GenerateRequest(prompt=" ".join(words), sampling=g.SamplingOptions(
            gen_length=128, block_length=64, steps=2, seed=seed, cfg_scale=1.5, stop_at_end=False))
        request.sparse.CopyFrom(g.SparseOptions(mode=g.SPARSE_MODE_SPARSED))
        client = Client(port)
        client.generate(request)
        client.close()
    count = OPTIONS.max_batch_tokens // (2 * OPTIONS.words) + 1
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def held_by(server):
    process = pathlib.Path("/proc") / str(server.process.pid)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return {"resident_mib": round(int(status["VmRSS"].split()[0]) / 1024, 1),
            "file_descriptors": len(list((process / "fd").iterdir())),
            "heap_mib": round(server.metric("process_heap_bytes") / (1 << 20), 2),
            "threads": int(status["Threads"]),
            "mask_cache_entries": int(server.metric("sparsed_mask_cache_entries"))}


def growth(lulls, key):
    """The last lulls' middle over the highest of the first quarter."""
    first = max(lull[key] for lull in lulls[:max(1, len(lulls) // 4)])
    return statistics.median(lull[key] for lull in lulls[-3:]) - first


def main():
    before = machine()
    lulls = []
    total = collections.Counter()
    begin = time.monotonic()
    with Server("--max-running", str(MAX_RUNNING), "--queue-requests", "64",
                "--max-batch-tokens", str(OPTIONS.max_batch_tokens)) as server:
        use_workspace(server.port)
        expected = list(server.client.generate(short_request()).token_ids)
        while time.monotonic() - begin < OPTIONS.seconds:
            outcomes, mask_bytes = load(server, OPTIONS.round_seconds, len(lulls))
            total += outcomes
            server.wait_until_idle(60)  # the mask cache is empty, too
            assert list(server.client.generate(short_request()).token_ids) == expected
            time.sleep(0.5)
            lulls.append({"at": round(time.monotonic() - begin), "calls": sum(total.values()),
                          "most_mask_cache_bytes": mask_bytes, **held_by(server)})
            print("  ".join(f"{key} {value}" for key, value in lulls[-1].items()), flush=True)
        seconds = round(time.monotonic() - begin)
        exit_code = server.stop()
    unexpected = set(total) - {"OK", "CANCELLED", "DEADLINE_EXCEEDED", "INVALID_ARGUMENT",
                               "NOT_FOUND", "RESOURCE_EXHAUSTED"}
    limits = {"resident_mib": OPTIONS.memory_mib, "heap_mib": OPTIONS.heap_mib,
              "file_descriptors": FD_LIMIT, "threads": THREAD_LIMIT,
              "mask_cache_entries": MASK_LIMIT}
    gained = {key: growth(lulls, key) for key in limits}
    holds = (not unexpected and exit_code == 0 and
             all(gained[key] <= limits[key] for key in limits))
    print(f"{seconds} s, {dict(total)}\ngained: {gained}, exit code {exit_code}: "
          f"{'holds' if holds else 'does not hold'}")
    if OPTIONS.json:
        pathlib.Path(OPTIONS.json).write_text(json.dumps(
            {"machine": before, "seconds": seconds, "clients": OPTIONS.clients,
             "outcomes": dict(total), "gained": gained, "exit_code": exit_code,
             "lulls": lulls}, indent=1) + "\n")
    sys.exit(0 if holds else 1)


if __name__ == "__main__":
    main()
