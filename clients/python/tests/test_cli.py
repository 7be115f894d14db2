"""The command that the package installs."""

import json
import pathlib
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(sys.executable).with_name("sparsed-client")


@pytest.fixture
def run(address):
    def run(*arguments, stdin="", address=address):
        return subprocess.run([PROGRAM, "--address", address, *arguments], input=stdin,
                              capture_output=True, text=True, timeout=60)
    return run


def test_one_turn(run):
    done = run("chat", "--message", "What is 3 + 6671?", "--gen-length", "8")
    assert (done.returncode, done.stdout, done.stderr) == (0, "6674\n", "")


def test_turns(run):
    done = run("chat", "--gen-length", "8", stdin="What is 3 + 6671?\nWhat is 1 + 1?\n")
    assert done.returncode == 0 and done.stdout.startswith("6674\n")
    assert len(done.stdout.splitlines()) >= 2


def test_json_and_its_plot(run, tmp_path):
    done = run("generate", "The river", "--gen-length", "32", "--steps", "4", "--seed", "1",
               "--no-stop-at-end", "--token-confidences", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["usage"]["full_steps"] == 4 and len(result["tokens"]) == 32
    source, out = tmp_path / "result.json", tmp_path / "plot.svg"
    source.write_text(done.stdout)
    plotted = run("plot-trajectory", str(source), "-o", str(out))
    assert plotted.returncode == 0, plotted.stderr
    picture = out.read_text()
    # One mark for each token, beside the ticks.
    assert "<svg" in picture and picture.count("<use ") > 32
    source.write_text("{}")
    refused = run("plot-trajectory", str(source), "-o", str(out))
    assert refused.returncode == 1 and "no tokens" in refused.stderr


def test_the_live_view(run, client):
    options = {"gen_length": 32, "steps": 8, "seed": 1}
    done = run("generate", "The river", "--live", "--gen-length", "32", "--steps", "8",
               "--seed", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == client.generate("The river", **options).text + "\n"


def test_errors(run):
    done = run("generate", "x", "--steps", "5")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: INVALID_ARGUMENT: ") and "sampling.steps" in done.stderr
    assert run("generate", "x", address="127.0.0.1:1").returncode == 1
    assert run("generate", "x", "--remasking", "guess").returncode == 2
