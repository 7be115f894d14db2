#!/usr/bin/env python3
"""Checks who includes whom, and the other rules of the house that a text search can see.

    python3 tests/unit/layering_test.py [REPOSITORY]    check a tree; prints FILE:LINE: what is wrong
    python3 tests/unit/layering_test.py --self-test     every rule finds a breach made for it

Direction: proto <- server -> engine -> kernels, clients -> proto. Tests may see everything.
"""

import os
import re
import sys
import tempfile

SOURCE = (".h", ".cc", ".inc", ".cu", ".cuh")
MAX_LINES = 600
TOP_LEVEL = {
    "CMakeLists.txt", "CMakePresets.json", "README.md", "LICENSE", "NOTICE", "build", "clients",
    "deploy", "docker", "docs", "engine", "kernels", "proto", "server", "tests",
}

PROTO = r"((sparsed/v1|google/rpc|grpc/health/v1|inference)/[a-z_]+(\.grpc)?\.pb\.h|google/protobuf/.*)"
GRPC = r"grpc(pp)?/.*"
ABSL = r"absl/.*"
JSON = r"nlohmann/.*"
ENGINE_PUBLIC = (r"engine/(engine|inspection|model|model_folder|model_info|model_report|presets|request|sequence"
                 r"|step_scheduler|step_times|status_macros|tokenizer/(tokenizer|chat_template|text_assembler))\.h")
KERNELS_PUBLIC = r"kernels/(backend|tensor_view|block_mask|check|half|rng)\.h"

# First match wins: files, and what they may include beside the standard library and POSIX.
RULES = [
    (r"kernels/.*\.cuh?", [r"kernels/(tensor_view|block_mask|confidence_rule|rng)\.h", r"kernels/cuda/.*", r"cuda.*",
                           r"cublas.*", r"mma\.h"]),
    (r"kernels/cpu/.*", [r"kernels/[^/]*\.h", r"kernels/cpu/.*", r"absl/(status|strings)/.*",
                         r"immintrin\.h", r"dnnl\.hp?p?", r"oneapi/dnnl/.*"]),
    (r"kernels/cuda/.*", [r"kernels/[^/]*\.h", r"kernels/cuda/.*", r"absl/(status|strings)/.*",
                          r"cuda.*", r"cublas.*"]),
    # The factory knows the backends; nothing else beside them does.
    (r"kernels/backend\.cc", [r"kernels/[^/]*\.h", r"kernels/(cpu|cuda)/[a-z]+_backend\.h",
                              r"absl/(status|strings)/.*"]),
    (r"kernels/.*", [r"kernels/[^/]*\.h", r"absl/(status|strings)/.*"]),
    (r"engine/(checkpoint|tokenizer)/.*", [r"engine/.*", KERNELS_PUBLIC, ABSL, JSON, r"pcre2\.h",
                                           r"utf8proc\.h"]),
    (r"engine/.*", [r"engine/.*", KERNELS_PUBLIC, ABSL]),
    (r"server/.*", [r"server/.*", ENGINE_PUBLIC, PROTO, GRPC, ABSL, JSON, r"spdlog/.*",
                    r"prometheus/.*", r"httplib\.h", r"CLI/.*", r"openssl/.*"]),
    (r"clients/.*", [r"clients/.*", PROTO, GRPC, ABSL, JSON, r"CLI/.*", r"zlib\.h"]),
    (r"tests/.*", [r".*"]),
]
SYSTEM = re.compile(r"[a-z0-9_]+|(sys|netinet|arpa)/[a-z_]+\.h"
                    r"|(dlfcn|errno|fcntl|malloc|netdb|poll|pthread|sched|signal|termios|time"
                    r"|unistd)\.h")
INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
# CLI11 reports by exceptions and has no other interface: who includes it may catch.
NO_EXCEPTIONS = re.compile(r"\b(throw|try|catch)\b")
CLI11 = re.compile(r"^#include <CLI/", re.MULTILINE)
# What a text search finds in code, comments and strings taken out; not asked of tests.
CODE_RULES = [
    (re.compile(r"\busing\s+namespace\b"), "no 'using namespace'"),
    (re.compile(r"\bthread_local\b"), "no thread_local"),
    (NO_EXCEPTIONS, "no exceptions"),
    (re.compile(r"\babsl::Mutex\b"), "std::mutex, not absl::Mutex"),
]
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")


def without_comments(text):
    """The code alone: comments and literals become blanks, line breaks stay."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
                         r"|(?<!\w)'(?:\\.|[^'\\\n])+'", re.DOTALL)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def sources(root):
    """Paths, relative to root, of the source files of ours."""
    for folder in ("kernels", "engine", "server", "clients", "tests"):
        for path, folders, files in os.walk(os.path.join(root, folder)):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
            for name in sorted(files):
                if name.endswith(SOURCE):
                    yield os.path.relpath(os.path.join(path, name), root)


def check_includes(root, path, text):
    allowed = next((may for files, may in RULES if re.fullmatch(files, path)), [])
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, name = match.groups()
        if quote == "<" and SYSTEM.fullmatch(name):
            continue
        if not any(re.fullmatch(may, name) for may in allowed):
            yield f"{path}:{number}: may not include {name}"
        ours = name.split("/")[0] in ("kernels", "engine", "server", "clients", "tests")
        if quote == '"' and ours and not os.path.isfile(os.path.join(root, name)):
            yield f"{path}:{number}: there is no {name}"


def check_file(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    yield from check_includes(root, path, text)
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        yield f"{path}:{len(lines)}: {len(lines)} lines, more than {MAX_LINES}"
    if path.endswith((".h", ".cuh")) and not re.search(r"^#pragma once$", text, re.MULTILINE):
        yield f"{path}:1: no '#pragma once'"
    code = without_comments(text).splitlines()
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            yield f"{path}:{number}: unfinished"
    if not path.startswith("tests/"):
        for number, line in enumerate(code, 1):
            for pattern, message in CODE_RULES:
                if pattern is NO_EXCEPTIONS and CLI11.search(text):
                    continue
                if pattern.search(line):
                    yield f"{path}:{number}: {message}"


def check(root):
    """Every breach in the tree at root, as text."""
    breaches = []
    for name in sorted(os.listdir(root)):
        if not name.startswith(".") and name not in TOP_LEVEL:
            breaches.append(f"{name}: not one of the agreed top-level names")
    for folder in ("kernels", "engine", "server", "clients"):
        for path, folders, _ in os.walk(os.path.join(root, folder)):
            for name in folders:
                if name in ("common", "util", "utils", "helpers", "misc"):
                    where = os.path.relpath(os.path.join(path, name), root)
                    breaches.append(f"{where}: a helper lives in the lowest folder that needs it")
    found = list(sources(root))
    if not found:
        breaches.append(f"{root}: no source files")
    for path in found:
        breaches.extend(check_file(root, path))
    return breaches


# A file, its text, and what must be said of it ("" for nothing).
SAMPLES = [
    ("kernels/a.cc", '#include "engine/engine.h"\n', "may not include engine/engine.h"),
    ("kernels/cpu/a.cc", "#include <nlohmann/json.hpp>\n", "may not include nlohmann/json.hpp"),
    ("kernels/cuda/a.cu", '#include "absl/status/status.h"\n', "may not include absl/status"),
    ("kernels/cpu/ok.cc", '#include <immintrin.h>\n#include <vector>\n#include "dnnl.hpp"\n', ""),
    ("engine/a.cc", '#include "kernels/cpu/cpu_backend.h"\n', "may not include kernels/cpu"),
    ("engine/b.cc", "#include <spdlog/spdlog.h>\n", "may not include spdlog/spdlog.h"),
    ("engine/c.cc", '#include "sparsed/v1/generation.pb.h"\n', "may not include sparsed/v1"),
    ("engine/d.cc", "#include <nlohmann/json.hpp>\n", "may not include nlohmann/json.hpp"),
    ("engine/checkpoint/ok.cc", "#include <nlohmann/json.hpp>\n#include <sys/mman.h>\n", ""),
    ("server/a.cc", '#include "kernels/backend.h"\n', "may not include kernels/backend.h"),
    ("server/b.cc", '#include "engine/mask_selector.h"\n', "may not include engine/mask_sel"),
    ("server/c.cc", '#include "engine/gone/engine.h"\n', "there is no engine/gone/engine.h"),
    ("server/ok.cc", "#include <grpcpp/grpcpp.h>\n#include <openssl/sha.h>\n", ""),
    ("clients/cpp/a.cc", '#include "server/config.h"\n', "may not include server/config.h"),
    ("clients/cpp/ok.cc", '#include "sparsed/v1/model.grpc.pb.h"\n#include <zlib.h>\n', ""),
    ("tests/unit/ok.cc", "#include <spdlog/spdlog.h>\nvoid f() { try { g(); } catch (...) {} }\n",
     ""),
    ("engine/common/a.h", "#pragma once\n", "engine/common: a helper lives"),
    ("engine/e.h", "int a;\n", "no '#pragma once'"),
    ("engine/f.cc", "int a;\n" * (MAX_LINES + 1), f"more than {MAX_LINES}"),
    ("engine/ok2.cc", "int a;\n" * MAX_LINES, ""),
    ("engine/g.cc", "using namespace std;\n", "no 'using namespace'"),
    ("engine/h.cc", "void f() { throw 1; }\n", "no exceptions"),
    ("server/ok2.cc", "#include <CLI/CLI.hpp>\nvoid f() { try { g(); } catch (...) {} }\n", ""),
    ("engine/ok3.cc", '// A try to catch.\nconst char* kText = "throw";\nchar c = \'"\';\n', ""),
    ("engine/i.cc", "// TO" "DO: more\n", "unfinished"),
    ("server/d.cc", "thread_local int a;\nabsl::Mutex mu;\n", "std::mutex, not absl::Mutex"),
    ("helpers/a.txt", "", "helpers: not one of the agreed"),
]


def self_test():
    failures = 0
    for path, text, expected in SAMPLES:
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, os.path.dirname(path)))
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)
            if not path.endswith(SOURCE):  # A tree without sources is a breach of its own.
                os.mkdir(os.path.join(root, "tests"))
                open(os.path.join(root, "tests", "a.cc"), "w", encoding="utf-8").close()
            breaches = check(root)
            fine = any(expected in line for line in breaches) if expected else not breaches
            if not fine:
                failures += 1
                print(f"{path}: expected '{expected or 'nothing'}', found {breaches}")
    with tempfile.TemporaryDirectory() as root:
        if not check(root):
            failures += 1
            print("an empty tree was accepted")
    print(f"{len(SAMPLES) + 1 - failures} passed, {failures} failed")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(1 if self_test() else 0)
    here = os.path.dirname(os.path.abspath(__file__))
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(here))
    breaches = check(root)
    for line in breaches:
        print(line)
    print(f"{len(list(sources(root)))} files, {len(breaches)} breaches")
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
