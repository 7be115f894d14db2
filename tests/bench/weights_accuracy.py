#!/usr/bin/env python3
"""The evaluation set with full and with int8 weights: right answers, and tokens that are the same.

    python3 tests/bench/weights_accuracy.py --lengths 128,256 --limit 6 --json FILE

Each answer counts up to its end: where the two differ in length, the longer one's rest differs.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARIES = ROOT / "build" / "release" / "bin"
MODEL = ROOT / "deploy" / "models" / "nano"
DATA = ROOT / "tests" / "golden" / "eval" / "dev.jsonl.gz"
os.environ.setdefault("SPARSED_BINARY", str(BINARIES / "sparsed"))
os.environ.setdefault("SPARSED_MODEL_DIR", str(MODEL))
os.environ.setdefault("SPARSED_PROTO_DIR", str(ROOT / "proto"))
sys.path.insert(0, str(ROOT / "tests" / "bench"))
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from serve_bench import machine  # noqa: E402
from sparsed_server import Server, m  # noqa: E402

WEIGHTS = ("full", "int8")
AGGREGATION = ("cwe", "fwe")


def evaluate(weights, options, path):
    with Server("--device", "cpu", "--weights", weights) as server:
        subprocess.run(
            [BINARIES / "sparsedctl", "--address", f"127.0.0.1:{server.port}", "eval", "--data", DATA,
             "--lengths", options.lengths, "--limit", str(options.limit), "--json", path],
            check=True, stdout=subprocess.DEVNULL)
        model = server.client.get_model(m.GetModelRequest()).model
        device = server.client.server_info(m.GetServerInfoRequest()).device
    results = json.loads(path.read_text())
    return ({record["id"]: record for record in results["records"]},
            {"device": device, "memory_bytes": model.memory_bytes,
             "summary": results["summary"]})


def same_tokens(a, b, end_ids):
    """How many tokens of the two answers are the same, and of how many."""
    cut = []
    for ids in (a["output_ids"], b["output_ids"]):
        ends = [i + 1 for i, token in enumerate(ids) if token in end_ids]
        cut.append(ids[:min(ends, default=len(ids))])
    return sum(x == y for x, y in zip(*cut)), max(map(len, cut))


def compare(records, lengths, end_ids):
    rows = {}
    for length in lengths:
        for name, wanted in (("all but cwe and fwe", False), ("cwe and fwe", True)):
            ids = [key for key, record in records["full"].items()
                   if record["length"] == length and (record["task"] in AGGREGATION) == wanted]
            if not ids:
                continue
            pairs = [tuple(records[weights][key] for weights in WEIGHTS) for key in ids]
            tokens = [same_tokens(*pair, end_ids) for pair in pairs]
            rows[f"{length}, {name}"] = {
                "examples": len(ids),
                "right": [sum(pair[i]["correct"] for pair in pairs) for i in (0, 1)],
                "same_answers": sum(same == total for same, total in tokens),
                "same_tokens": sum(same for same, _ in tokens),
                "tokens": sum(total for _, total in tokens)}
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", default="128,256")
    parser.add_argument("--limit", type=int, default=6, help="examples of each task and length")
    parser.add_argument("--json")
    options = parser.parse_args()
    report = {"machine": machine(), "lengths": options.lengths, "limit": options.limit}
    records = {}
    with tempfile.TemporaryDirectory() as folder:
        for weights in WEIGHTS:
            records[weights], report[weights] = evaluate(
                weights, options, pathlib.Path(folder) / f"{weights}.json")
            print(weights, report[weights]["device"], report[weights]["summary"]["all"], flush=True)
    end_ids = report["full"]["summary"]["settings"]["end_ids"]
    report["full_and_int8"] = compare(records, [int(n) for n in options.lengths.split(",")], end_ids)
    for name, row in report["full_and_int8"].items():
        print(f"{name}: right {row['right'][0]} / {row['right'][1]} of {row['examples']}, "
              f"the same answer {row['same_answers']}, "
              f"the same tokens {row['same_tokens']} of {row['tokens']}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
