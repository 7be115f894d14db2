#!/usr/bin/env python3
"""Throughput and latency of the real server on a model folder, over gRPC on the loopback.

    python3 tests/bench/serve_bench.py in-flight --json FILE    1, 2, 4, 8, 16 requests in flight
    python3 tests/bench/serve_bench.py long-mix  --json FILE    short requests beside one long one

`in-flight` is a closed loop: so many clients, each of which sends its next request when it has the
answer to the last. It takes the numbers of clients in turn, round after round, in one server, and
reports the median of the rounds' throughputs and the percentiles of all latencies.

`long-mix` is an open loop: short requests are sent at random times, the same for each rule, and
their latencies count from the time at which each was meant to be sent. The rules, one server each:
--long-share 1, where all requests take part in every step; the default; and the default without
the long request. The long one runs on until every short one has its answer.
"""

import argparse
import json
import os
import pathlib
import platform
import random
import statistics
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("SPARSED_BINARY", str(ROOT / "build" / "release" / "bin" / "sparsed"))
os.environ.setdefault("SPARSED_MODEL_DIR", str(ROOT / "deploy" / "models" / "nano"))
os.environ.setdefault("SPARSED_PROTO_DIR", str(ROOT / "proto"))
sys.path.insert(0, str(ROOT / "tests" / "integration"))

import grpc  # noqa: E402

from sparsed_server import Server, g  # noqa: E402

IN_FLIGHT = (1, 2, 4, 8, 16)


def make_request(tokens, gen_length, steps, seed):
    return g.GenerateRequest(
        token_ids=g.TokenIds(ids=[20 + i % 200 for i in range(tokens - gen_length)]),
        sampling=g.SamplingOptions(gen_length=gen_length, steps=steps, seed=seed,
                                   stop_at_end=False),
        sparse=g.SparseOptions(mode=g.SPARSE_MODE_OFF))


def percentile(values, share):
    """The least value that covers its share, as sparsedctl load has it."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered), -int(-share * len(ordered) // 1)) - 1)]


def percentiles(values):
    if not values:
        return None
    return {name: percentile(values, share)
            for name, share in (("p50", .5), ("p90", .9), ("p99", .99), ("max", 1.))}


def shown(seconds):
    if seconds is None:
        return f"{'-':>8} {'-':>8}"
    return f"{seconds['p50']:8.3f} {seconds['p99']:8.3f}"


def closed_loop(client, clients, stop, request):
    """Latencies of the requests that began before stop() said so."""
    latencies = []
    lock = threading.Lock()

    def work():
        while not stop():
            begin = time.monotonic()
            client.generate(request)
            took = time.monotonic() - begin
            with lock:
                latencies.append(took)
    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies


def measure_in_flight(options):
    request = make_request(options.tokens, options.gen_length, options.steps, 1)
    found = {clients: {"rates": [], "latencies": []} for clients in IN_FLIGHT}
    with Server() as server:
        server.client.generate(request)
        for _ in range(options.rounds):
            for clients in IN_FLIGHT:
                begin = time.monotonic()
                end = begin + options.seconds
                latencies = closed_loop(server.client, clients,
                                        lambda end=end: time.monotonic() >= end, request)
                found[clients]["rates"].append(len(latencies) / (time.monotonic() - begin))
                found[clients]["latencies"] += latencies
    rows = []
    print(f"{'in flight':>9} {'requests/s':>10} {'tok/s':>8} {'p50 s':>8} {'p99 s':>8}")
    for clients, one in found.items():
        rate = statistics.median(one["rates"])
        seconds = percentiles(one["latencies"])
        rows.append({"in_flight": clients, "requests_per_second": rate,
                     "requests_per_second_by_round": one["rates"],
                     "tokens_per_second": rate * options.gen_length,
                     "requests": len(one["latencies"]), "latency_seconds": seconds})
        print(f"{clients:9} {rate:10.2f} {rate * options.gen_length:8.1f} {shown(seconds)}")
    return rows


def open_loop(client, times, request):
    """Latencies of a request for each of these times, seconds from now."""
    start = time.monotonic()
    latencies = [0.0] * len(times)

    def call(number):
        client.generate(request)
        latencies[number] = time.monotonic() - start - times[number]
    threads = []
    for number, at in enumerate(times):
        time.sleep(max(0, start + at - time.monotonic()))
        threads.append(threading.Thread(target=call, args=(number,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return latencies


class LongRequest:
    """One that has begun to run; `steps` it has done."""

    def __init__(self, client, request):
        self.steps = 0
        self._call = client.stream(g.StreamGenerateRequest(request=request, progress=True))
        self._next_progress()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _next_progress(self):
        for event in self._call:
            if event.WhichOneof("event") == "progress":
                self.steps = event.progress.step
                return True
        return False

    def _follow(self):
        try:
            while self._next_progress():
                pass
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.CANCELLED

    def stop(self):
        self._call.cancel()
        self._thread.join()


def measure_long_mix(options):
    short = make_request(options.tokens, options.gen_length, options.steps, 1)
    long_one = make_request(options.long_tokens, 512, 512, 2)
    random_times = random.Random(1)
    times = []
    while not times or times[-1] < options.seconds:
        times.append((times[-1] if times else 0) + random_times.expovariate(options.rate))
    rows = []
    print(f"{'rule':>24} {'shorts':>7} {'p50 s':>8} {'p99 s':>8} {'long steps/s':>12}")
    for rule, flags, with_long in (("all step together", ("--long-share", "1"), True),
                                   ("default", (), True), ("no long request", (), False)):
        with Server(*flags) as server:
            for _ in range(3):
                server.client.generate(short)
            long_request = LongRequest(server.client, long_one) if with_long else None
            steps = long_request.steps if with_long else 0
            begin = time.monotonic()
            latencies = open_loop(server.client, times, short)
            took = time.monotonic() - begin
            long_rate = (long_request.steps - steps) / took if with_long else 0
            if with_long:
                long_request.stop()
        seconds = percentiles(latencies)
        rows.append({"rule": rule, "short_requests": len(latencies), "latency_seconds": seconds,
                     "seconds": took, "long_steps_per_second": long_rate})
        print(f"{rule:>24} {len(latencies):7} {shown(seconds)} {long_rate:12.3f}", flush=True)
    return rows


def machine():
    info = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if ":" in line:
            key, value = (part.strip() for part in line.split(":", 1))
            info.setdefault(key, value)
    flags = info.get("flags", "").split()
    return {"cpu": info.get("model name", platform.machine()),
            "instructions": [name for name in ("avx2", "avx512f") if name in flags],
            "cores": os.cpu_count(), "load_average_before": os.getloadavg(),
            "date": time.strftime("%Y-%m-%d", time.gmtime())}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("in-flight", "long-mix"))
    parser.add_argument("--tokens", type=int, default=96, help="of a short one, canvas included")
    parser.add_argument("--gen-length", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--long-tokens", type=int, default=8192)
    parser.add_argument("--rate", type=float, default=2, help="short ones a second in long-mix")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    options = parser.parse_args()
    before = machine()
    rows = (measure_in_flight if options.what == "in-flight" else measure_long_mix)(options)
    if options.json:
        settings = {key: value for key, value in vars(options).items() if key != "json"}
        pathlib.Path(options.json).write_text(json.dumps(
            {"machine": before, "settings": settings, "results": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
