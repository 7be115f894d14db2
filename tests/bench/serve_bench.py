#!/usr/bin/env python3
"""Throughput and latency of the real server on a model folder, over gRPC on the loopback.

    python3 tests/bench/serve_bench.py in-flight --json FILE    1, 2, 4, 8, 16 requests in flight
    python3 tests/bench/serve_bench.py long-mix  --json FILE    short requests beside one long one

Both are closed loops: so many clients, each of which sends its next request when it has the answer
to the last. `in-flight` takes the numbers of clients in turn, round after round, in one server, and
reports the median of the rounds' throughputs and the percentiles of all latencies. `long-mix` runs
the same load under two rules, one server each: --long-share 1, where all requests take part in
every step, and the default. Percentiles are of the short requests that ended while the long one ran;
where a rule lets few of them end, the number says so.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("SPARSED_BINARY", str(ROOT / "build" / "release" / "bin" / "sparsed"))
os.environ.setdefault("SPARSED_MODEL_DIR", str(ROOT / "deploy" / "models" / "nano"))
os.environ.setdefault("SPARSED_PROTO_DIR", str(ROOT / "proto"))
sys.path.insert(0, str(ROOT / "tests" / "integration"))

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
    """Latencies of the requests that ended before stop() said so."""
    latencies = []
    lock = threading.Lock()

    def work():
        while not stop():
            begin = time.monotonic()
            client.generate(request)
            took = time.monotonic() - begin
            with lock:
                if not stop():
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
                found[clients]["rates"].append(len(latencies) / options.seconds)
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


def measure_long_mix(options):
    short = make_request(options.tokens, options.gen_length, options.steps, 1)
    long_one = make_request(options.long_tokens, 64, 64, 2)
    rows = []
    print(f"{'rule':>24} {'shorts':>7} {'p50 s':>8} {'p99 s':>8} {'long steps':>10}")
    for rule, flags in (("all step together", ("--long-share", "1")), ("default", ()),
                        ("no long request", ())):
        with Server(*flags) as server:
            server.client.generate(short)
            steps = [0]
            call = None
            if rule != "no long request":
                call = server.client.stream(g.StreamGenerateRequest(request=long_one,
                                                                    progress=True))
                for event in call:
                    if event.WhichOneof("event") == "progress":
                        break

                def follow(call=call, steps=steps):
                    try:
                        for event in call:
                            if event.WhichOneof("event") == "progress":
                                steps[0] = event.progress.step
                    except Exception:  # it is cancelled at the end
                        pass
                threading.Thread(target=follow, daemon=True).start()
            end = time.monotonic() + options.seconds
            done = [0]

            def cancel_late(call=call, end=end):
                time.sleep(max(0, end - time.monotonic()))
                done[0] = steps[0]
                if call is not None:
                    call.cancel()
            canceller = threading.Thread(target=cancel_late)
            canceller.start()
            latencies = closed_loop(server.client, options.clients,
                                    lambda end=end: time.monotonic() >= end, short)
            canceller.join()
        seconds = percentiles(latencies)
        rows.append({"rule": rule, "clients": options.clients, "short_requests": len(latencies),
                     "latency_seconds": seconds, "long_steps": done[0]})
        print(f"{rule:>24} {len(latencies):7} {shown(seconds)} {done[0]:10}")
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
    parser.add_argument("--tokens", type=int, default=96, help="of a short request, canvas included")
    parser.add_argument("--gen-length", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--long-tokens", type=int, default=8192)
    parser.add_argument("--clients", type=int, default=4, help="short ones in long-mix")
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
