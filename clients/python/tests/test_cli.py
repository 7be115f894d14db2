"""The command that the package installs."""

import io
import json
import pathlib
import subprocess
import sys

import pytest
from requests_to_nano import SHORT
from rich.console import Console

from sparsed_client import _cli
from sparsed_client._live import show


def test_the_installed_program(flags):
    program = pathlib.Path(sys.executable).with_name("sparsed-client")
    done = subprocess.run([program, *flags, "chat", "--message", "What is 3 + 6671?",
                           "--gen-length", "8", "--steps", "4"],
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "6674\n", "")
    done = subprocess.run([sys.executable, "-m", "sparsed_client", "quality", "tasks"],
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "") and "niah_single" in done.stdout


def test_turns(run, client):
    question = {"role": "user", "content": "What is 3 + 6671?"}
    turns = [question, {"role": "assistant", "content": "6674"}, question]
    again = client.chat(turns, gen_length=8, steps=4).text
    assert run("chat", "--gen-length", 8, "--steps", 4, stdin=2 * f"{question['content']}\n") == (
        0, f"6674\n{again}\n", "")


def test_json_and_its_plot(run, tmp_path):
    status, output, _ = run("generate", "The river", "--gen-length", 32, "--steps", 4, "--seed", 1,
                            "--no-stop-at-end", "--sparse", "off", "--token-confidences", "--json")
    result = json.loads(output)
    assert status == 0 and result["usage"]["full_steps"] == 4 and len(result["tokens"]) == 32
    source, out = tmp_path / "result.json", tmp_path / "plot.svg"
    source.write_text(output)
    assert run("plot-trajectory", source, "-o", out) == (0, "", "")
    picture = out.read_text()
    # One mark for each token, beside the ticks.
    assert "<svg" in picture and picture.count("<use ") > 32 and "computed" not in picture
    assert run("plot-trajectory", source, "-o", out)[0] == 0 and out.read_text() == picture
    # Had it ended early, after half of its steps.
    result["usage"]["full_steps"] = 2
    source.write_text(json.dumps(result))
    assert run("plot-trajectory", source, "-o", out) == (0, "", "")
    shorter = out.read_text()
    assert shorter.count("<use ") < picture.count("<use ") and "<!-- not computed -->" in shorter
    source.write_text("{}")
    status, _, errors = run("plot-trajectory", source, "-o", out)
    assert status == 1 and "no tokens" in errors


def test_numbers_with_commas_between(run):
    status, output, _ = run("generate", "The river", "--target-ids", "300,301,302", "--json")
    result = json.loads(output)
    assert status == 0 and result["token_ids"] == [300, 301, 302]
    assert all(token["log_probability"] < 0 for token in result["tokens"])
    with pytest.raises(SystemExit):
        run("generate", "x", "--target-ids", "300;301")


def test_the_live_view(run, client):
    console = Console(file=io.StringIO(), force_terminal=True)
    result = show(client.stream("The river", frames=True, progress=True, **SHORT), console)
    assert " of 4" in console.file.getvalue() and "\u2591" in console.file.getvalue()
    status, output, _ = run("generate", "The river", "--live", "--gen-length", 32, "--steps", 4,
                            "--seed", 1)
    assert (status, output) == (0, result.text + "\n")


def test_errors(run):
    status, output, errors = run("generate", "x", "--steps", 5)
    assert (status, output) == (1, "")
    assert errors.startswith("error: INVALID_ARGUMENT: ") and "  sampling.steps: 5 is" in errors
    status, _, errors = run("--tls-ca", "/missing", "generate", "x")
    assert status == 1 and "/missing" in errors
    assert _cli.main(["--tls-cert", "x", "generate", "x"]) == 1
    with pytest.raises(SystemExit) as usage:
        run("generate", "x", "--remasking", "guess")
    assert usage.value.code == 2
