"""The guides: their commands and programs, as they are written, print what they say."""

import functools
import os
import pathlib
import re
import subprocess
import textwrap

import pytest

from sparsed_server import PROTO_DIR, Server

ROOT = pathlib.Path(PROTO_DIR).parent
BIN = pathlib.Path(os.environ["SPARSED_BINARY"]).parent
# Of docs/grpc.md; the others need packages that the tests do without, and a while.
LANGUAGES = os.environ.get("SPARSED_GUIDES", "Python").split()
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def server():
    with Server("--device", "cpu", "--enable-inspection") as running:
        yield running


def run(server, script, folder):
    done = subprocess.run(["bash", "-eu", "-c", script], cwd=folder, text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "PATH": f"{BIN}:/usr/bin:{os.environ['PATH']}",
                               "SPARSEDCTL_ADDRESS": f"127.0.0.1:{server.port}"})
    return done.returncode, done.stdout


def commands(text):
    """Of every block of a terminal: what is typed to sparsedctl, and what it prints."""
    for block in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE):
        for part in re.split(r"^\$ ", textwrap.dedent(block), flags=re.MULTILINE)[1:]:
            typed = re.match(r"(?:.*\\\n)*.*\n", part)[0]
            if typed.startswith("sparsedctl "):
                yield typed.rstrip("\n"), part.removeprefix(typed)


def pattern_of(printed):
    """`...` is any text of a line; where it is the line, any lines."""
    lines = [r"(?:.*\n)*?" if line == "..." else
             ".*?".join(map(re.escape, line.split("..."))) + r"\n"
             for line in ID.sub("...", printed).splitlines()]
    return "".join(lines)


@pytest.fixture(scope="module")
def output_of(server, tmp_path_factory):
    """What a command prints. Two pages may show the same one."""
    folder = tmp_path_factory.mktemp("commands")
    return functools.cache(lambda command: run(server, command, folder)[1])


def check_commands(output_of, text):
    found = list(commands(text))
    for command, printed in found:
        output = output_of(command)
        assert re.fullmatch(pattern_of(printed), output), f"{command}\n{output}"
    return len(found)


def test_what_counts_as_the_same():
    assert re.fullmatch(pattern_of("a ... c\n...\nd\n"), "a b c\nx\ny\nd\n")
    assert re.fullmatch(pattern_of("a\n...\nd\n"), "a\nd\n")
    assert not re.fullmatch(pattern_of("a ... c\n"), "a b d\n")
    assert not re.fullmatch(pattern_of("a.c\n"), "abc\n")
    assert list(commands("x\n\n    $ sparsedctl a \\\n        b\n    c\n    $ ls\n    d\n")) == [
        ("sparsedctl a \\\n    b", "c\n")]


def test_the_terminal(output_of):
    assert check_commands(output_of, (ROOT / "docs" / "terminal.md").read_text()) >= 7


def test_the_readme(output_of):
    text = (ROOT / "README.md").read_text()
    calling = text.partition("\n## Calling it\n")[2].partition("\n## ")[0]
    assert check_commands(output_of, calling) >= 3


def program_of(section):
    """The commands of a language's section, its program's name, and its text."""
    shell, name, program = re.search(r"```sh\n(.*?)```\n\n`(\S+)`:\n\n```\w+\n(.*?)```", section,
                                     re.DOTALL).groups()
    return shell, name, program


@pytest.mark.parametrize("language", LANGUAGES)
def test_grpc(server, language, tmp_path):
    text = (ROOT / "docs" / "grpc.md").read_text()
    printed = text.partition("prints\n\n```\n")[2].partition("```")[0]
    section = text.partition(f"\n## {language}\n")[2].partition("\n## ")[0]
    shell, name, program = program_of(section)
    assert "127.0.0.1:8001" in program and printed
    (tmp_path / "proto").symlink_to(PROTO_DIR)
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(program.replace("127.0.0.1:8001", f"127.0.0.1:{server.port}"))
    assert run(server, shell, tmp_path) == (0, printed)


def test_every_language_has_a_program():
    sections = re.split(r"^## ", (ROOT / "docs" / "grpc.md").read_text(), flags=re.MULTILINE)[1:]
    assert len(sections) == 5 and all(program_of(section) for section in sections)


def test_the_inspection(server, tmp_path):
    text = (ROOT / "docs" / "inspection.md").read_text()
    program = text.partition("```python\n")[2].partition("```")[0]
    printed = textwrap.dedent(text.partition("prints\n\n")[2].partition("\n\n")[0]) + "\n"
    (tmp_path / "client.py").write_text(
        program.replace("127.0.0.1:8001", f"127.0.0.1:{server.port}"))
    status, output = run(
        server, f"protoc -I {PROTO_DIR} --python_out=. --grpc_python_out=."
        " --plugin=protoc-gen-grpc_python=$(command -v grpc_python_plugin)"
        " sparsed/v1/generation.proto sparsed/v1/inspection.proto\n/usr/bin/python3 client.py",
        tmp_path)
    # The last digits differ between processors.
    assert status == 0 and re.sub(r"\d\.\d+", "N", output) == re.sub(r"\d\.\d+", "N", printed)
