#!/usr/bin/env python3
"""The contract in proto/: docs/api.md is what its comments say, and it breaks no client of
proto/released.binpb. Breaks and gaps made for it are found.

    build/venv/bin/python tests/unit/contract_test.py    by the Python that has buf beside it
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
BUF = pathlib.Path(sys.executable).with_name("buf")
GENERATION, MODEL = "sparsed/v1/generation.proto", "sparsed/v1/model.proto"

# A file, a text in it, what stands there instead, and what buf must say.
BREAKS = [
    (GENERATION, "  string role = 1;\n", "", 'field "1" with name "role" on message "ChatMessage"'),
    (GENERATION, "  string role = 1;", "  bytes role = 1;", 'from "string" to "bytes"'),
    (GENERATION, "optional uint32 top_k = 11;", "optional uint32 top_k = 99;", '"11"'),
    (GENERATION, "bool logits_eos_inf = 13;", "bool no_end = 13;", '"logits_eos_inf"'),
    (GENERATION, "  REMASKING_ENTROPY = 6;\n", "", 'value "6" on enum "Remasking"'),
    (GENERATION, "returns (stream StreamGenerateResponse)", "returns (StreamGenerateResponse)",
     '"StreamGenerate"'),
    (MODEL, "  rpc GetModel(GetModelRequest) returns (GetModelResponse);\n", "", '"GetModel"'),
    (MODEL, "  string name = 1;\n  // \"llada\"", "  repeated string name = 1;\n  // \"llada\"",
     "changed cardinality"),
]
ADDITIONS = [
    (GENERATION, "  string content = 2;\n", "  string content = 2;\n  string name = 3;\n"),
    (GENERATION, "  REMASKING_ENTROPY = 6;\n", "  REMASKING_ENTROPY = 6;\n  REMASKING_NEW = 7;\n"),
    (MODEL, "service ModelService {\n",
     "service ModelService {\n  rpc Again(GetModelRequest) returns (GetModelResponse);\n"),
]
# What loses its comment, and how its absence is told.
GAPS = [
    ("  // Who speaks: \"system\", \"user\" or \"assistant\".\n", "ChatMessage.role"),
    ("  // Dream: the lowest entropy.\n", "REMASKING_ENTROPY"),
    ("// One turn of a conversation.\n", "ChatMessage"),
    ("  // Decodes token ids into text.\n", "GenerationService.Detokenize"),
    ("  // What the text follows.\n", "GenerateRequest.input"),
]


def changed(folder, file, old, new):
    """A copy of the contract with one change."""
    copy = pathlib.Path(folder) / "proto"
    shutil.copytree(PROTO, copy)
    text = (copy / file).read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file} has {text.count(old)} of {old!r}"
    (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    return copy


def breaking(contract):
    """What buf has against it; nothing if it breaks nobody."""
    ran = subprocess.run([BUF, "breaking", contract, "--against", PROTO / "released.binpb"],
                         capture_output=True, text=True)
    assert (ran.returncode == 0) == (ran.stdout == ""), ran.stderr
    return ran.stdout


def api_page(contract, *flags):
    """Status and output of the script that writes the page, there."""
    ran = subprocess.run([sys.executable, "-B", contract / "api_page.py", *flags],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return ran.returncode, ran.stdout


def failures():
    if found := breaking(PROTO):
        yield f"clients of the released contract break:\n{found}"
    for file, old, new, expected in BREAKS:
        with tempfile.TemporaryDirectory() as folder:
            if expected.lower() not in breaking(changed(folder, file, old, new)).lower():
                yield f"not found: {old.strip()} -> {new.strip() or 'nothing'}"
    for file, old, new in ADDITIONS:
        with tempfile.TemporaryDirectory() as folder:
            if found := breaking(changed(folder, file, old, new)):
                yield f"an addition breaks nobody: {found}"
    status, output = api_page(PROTO, "--check")
    if status != 0:
        yield output
    for comment, name in GAPS:
        with tempfile.TemporaryDirectory() as folder:
            status, output = api_page(changed(folder, GENERATION, comment, ""))
            if status != 1 or f"no comment on {name}\n" not in output:
                yield f"not found: {name} without a comment"
    with tempfile.TemporaryDirectory() as folder:
        copy = changed(folder, GENERATION, "Who speaks", "Who talks")
        shutil.copytree(PROTO.parent / "docs", pathlib.Path(folder) / "docs")
        status, output = api_page(copy, "--check")
        if status != 1 or "+| `role` = 1 | string | Who talks" not in output:
            yield "not found: a page that is not what the comments say"


def main():
    if not os.access(BUF, os.X_OK):
        sys.exit(f"no {BUF}: tests/run.sh installs it")
    found = list(failures())
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(BREAKS)} breaks, {len(ADDITIONS)} additions, {len(GAPS)} gaps:"
          f" {len(found)} failures")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
