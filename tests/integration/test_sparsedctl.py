"""The command-line client against the real server on nano."""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
EVAL = REPOSITORY / "tests" / "golden" / "eval"
PROMPT = (
    "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nWhat is 3 + 6671?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
# sparsedctl is built beside the server.
SPARSEDCTL = str(pathlib.Path(os.environ["SPARSED_BINARY"]).with_name("sparsedctl"))


@pytest.fixture
def address(server):
    return f"127.0.0.1:{server.port}"


@pytest.fixture
def ctl(address):
    """Runs sparsedctl against the server; returns the finished process."""

    def run(*arguments, stdin="", timeout=120, check=None):
        done = subprocess.run(
            [SPARSEDCTL, "--address", address, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if check is not None:
            assert done.returncode == check, done.stdout + done.stderr
        return done

    return run


class Terminal:
    """A program on a pseudo-terminal; `output` is what it wrote so far."""

    def __init__(self, arguments, columns=80, rows=24, environment=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        env = {**os.environ, "TERM": "xterm-256color", **(environment or {})}
        if "NO_COLOR" not in (environment or {}):
            env.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            arguments, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        self.output = ""

    def read_until(self, condition, timeout=60):
        """Reads until condition(output), or the program's end when condition is None."""
        deadline = time.monotonic() + timeout
        while condition is None or not condition(self.output):
            assert time.monotonic() < deadline, self.output
            if not select.select([self.master], [], [], 0.2)[0]:
                continue
            try:
                self.output += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                break
        if condition is None:
            self.process.wait(timeout=10)

    def type(self, text):
        os.write(self.master, text.encode())

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(address):
    opened = []

    def open_terminal(*arguments, **options):
        command = [SPARSEDCTL, "--address", address, *map(str, arguments)]
        opened.append(Terminal(command, **options))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.close()


def plain(text):
    """Terminal output without its control sequences."""
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", text)


def test_health(ctl):
    assert ctl("health", check=0).stdout == "SERVING\n"
    unknown = ctl("health", "--service", "no.such.Service", check=1)
    assert unknown.stderr.startswith("error: NOT_FOUND: ")


def test_models_and_info(ctl):
    table = ctl("models", check=0).stdout.splitlines()
    assert table[0].split()[:2] == ["NAME", "FAMILY"]
    assert table[1].split()[:2] == ["nano", "llada"]
    models = json.loads(ctl("models", "--json", check=0).stdout)["models"]
    assert models[0]["name"] == "nano" and models[0]["mask_token_id"] > 0
    info = ctl("info", check=0).stdout
    assert "version" in info
    assert re.search("^weights +f32$", info, re.MULTILINE)
    assert '1 "<|endoftext|>", 4 "<|eot_id|>"' in info and "BPE from tokenizer.json" in info
    assert json.loads(ctl("info", "--json", check=0).stdout)["version"]


def test_generate_prints_the_text_alone(ctl):
    flags = ["generate", "--gen-length", 32, "--steps", 16]
    assert ctl(*flags, "--prompt", PROMPT, check=0).stdout == "6674\n"
    assert ctl(*flags, stdin=PROMPT + "\n", check=0).stdout == "6674\n"
    response = json.loads(ctl(*flags, "--prompt", PROMPT, "--json", check=0).stdout)
    assert response["text"] == "6674"
    assert len(response["token_ids"]) == 32
    assert response["usage"]["full_steps"] > 0
    assert response["sparse"]["used"] is False


def test_flags_reach_the_server(ctl):
    response = json.loads(
        ctl(
            *["generate", "--prompt", PROMPT, "--gen-length", 32, "--steps", 16, "--json"],
            *["--sparse", "sparsed", "--skip", 0.25, "--select", 0.5, "--block-size", 32],
            *["--seed", 11, "--request-id", "r-17", "--no-stop-at-end", "--token-confidences"],
            check=0,
        ).stdout
    )
    assert response["request_id"] == "r-17" and response["seed"] == "11"
    assert response["sparse"]["used"] is True and response["sparse"]["select"] == 0.5
    usage = response["usage"]
    assert (usage["full_steps"], usage["select_steps"], usage["sparse_steps"]) == (5, 1, 10)
    assert usage["generated_tokens"] == 32 and len(response["tokens"]) == 32


def test_errors_name_code_and_field(ctl):
    wrong = ctl("generate", "--prompt", "x", "--steps", 0, "--temperature", "nan", check=1)
    assert wrong.stdout == ""
    assert wrong.stderr.startswith("error: INVALID_ARGUMENT: ")
    assert "\n  sampling.steps: " in wrong.stderr
    assert "\n  sampling.temperature: " in wrong.stderr
    unknown = ctl("generate", "--prompt", "x", "--model", "other", check=1)
    assert unknown.stderr.startswith("error: NOT_FOUND: ")
    assert '  resource: model "other"' in unknown.stderr
    late = ctl(
        *["generate", "--prompt", "x", "--gen-length", 2048, "--no-stop-at-end"],
        *["--deadline-seconds", 0.3],
        check=1,
    )
    assert late.stderr.startswith("error: DEADLINE_EXCEEDED: ")
    assert ctl("generate", "--no-such-flag", check=2).stdout == ""
    assert ctl("generate", "--sparse", "maybe", check=2).stdout == ""
    assert ctl("--address", "127.0.0.1:1", "health", check=1).stderr.startswith(
        "error: UNAVAILABLE: "
    )


def test_infill_fills_the_holes(ctl):
    template = "The {{2}} of France is Paris{{1}} and \\{{so on"
    response = json.loads(ctl("infill", template, "--json", check=0).stdout)
    assert len(response["token_ids"]) == 3
    first, second = response["hole_texts"]
    assert response["text"] == f"The {first} of France is Paris{second} and {{{{so on"
    assert ctl("infill", template, check=0).stdout == response["text"] + "\n"
    assert "no hole" in ctl("infill", "nothing to fill", check=2).stderr


def test_chat_answers_once_when_piped(ctl):
    flags = ["chat", "--gen-length", 32, "--steps", 16]
    assert ctl(*flags, "--message", "What is 3 + 6671?", check=0).stdout == "6674\n"
    assert ctl(*flags, stdin="What is 3 + 6671?\n", check=0).stdout == "6674\n"


def test_a_terminal_shows_the_canvas_denoising(terminal):
    live = terminal("generate", "--prompt", PROMPT, "--gen-length", 64, "--steps", 32,
                    "--no-stop-at-end")
    live.read_until(None)
    assert live.process.returncode == 0
    shown = plain(live.output)
    assert "\u2591" in shown and "\u2501" in shown
    assert re.search(r"\d+/32 · full", shown)
    assert "\x1b[?25l" in live.output
    # The last word on the cursor is that it is visible, and the text follows.
    assert live.output.rindex("\x1b[?25h") > live.output.rindex("\x1b[?25l")
    end = plain(live.output[live.output.rindex("\x1b[?25h") :])
    assert end.startswith("6674")
    assert re.search(r"64 tokens · \d+ tok/s · .* s · 32 full steps", end)


def test_no_color_leaves_colours_out(terminal):
    live = terminal(
        *["generate", "--prompt", PROMPT, "--gen-length", 32, "--steps", 16],
        environment={"NO_COLOR": "1"},
    )
    live.read_until(None)
    codes = {code for each in re.findall(r"\x1b\[([\d;]*)m", live.output) for code in each.split(";")}
    assert codes <= {"0", "1", ""}


def test_lines_never_exceed_a_small_terminal(terminal):
    live = terminal(
        *["generate", "--prompt", PROMPT, "--gen-length", 96, "--steps", 24, "--no-stop-at-end"],
        columns=30,
        rows=6,
    )
    live.read_until(None)
    frames = re.findall(r"\x1b\[\?2026h(.*?)\x1b\[\?2026l", live.output, re.S)
    assert len(frames) > 2
    for frame in frames:
        # The terminal driver makes \r\r\n of the \r\n that the program writes.
        lines = plain(frame).replace("\r", "").split("\n")
        assert len(lines) < 6 and max(map(len, lines)) < 30


def test_interrupt_cancels_the_call_and_restores_the_terminal(terminal, ctl):
    live = terminal("generate", "--prompt", PROMPT, "--gen-length", 512, "--no-stop-at-end")
    live.read_until(lambda output: "\u2591" in output)
    os.kill(live.process.pid, signal.SIGINT)
    live.read_until(None)
    assert live.process.returncode == 130
    assert live.output.rindex("\x1b[?25h") > live.output.rindex("\x1b[?25l")
    assert re.search(r"cancelled after \d+ of 512 steps", plain(live.output))
    assert ctl("generate", "--prompt", PROMPT, "--gen-length", 32, check=0).stdout == "6674\n"


def test_a_load_tells_how_it_goes(terminal):
    live = terminal("load", "--rates", 20, "--seconds", 1, "--arrivals", "fixed", "--steps", 1,
                    columns=120)
    live.read_until(None)
    assert live.process.returncode == 0
    lines = plain(live.output).splitlines()
    told = [line for line in lines
            if re.search(r"20/s · .* of .* · \d+ sent · \d+ in flight", line)]
    assert len(told) > 2
    assert max(int(re.search(r"(\d+) sent", line).group(1)) for line in told) > 10
    assert re.search(r"0 failed · p50 [\d.]+ s · p99 [\d.]+ s", told[-1])
    # What stays is the table.
    assert lines[-1].split()[0] == "all"


def test_a_conversation(terminal):
    live = terminal("chat", "--gen-length", 32, "--steps", 16)
    live.read_until(lambda output: "\u203a" in output)
    live.type("What is 3 + 6671?\n")
    live.read_until(lambda output: "full steps" in output)
    assert "6674" in plain(live.output)
    live.type("/quit\n")
    live.read_until(None)
    assert live.process.returncode == 0


def test_eval_gives_the_reference_results_and_resumes(ctl, tmp_path):
    results = tmp_path / "results.json"
    flags = [
        *["eval", "--data", EVAL / "dev.jsonl.gz", "--tasks", "add,sort", "--json", results],
        *["--sparse", "sparsed", "--steps-per-token", 0.5],
    ]
    first = ctl(*flags, "--limit", 1, check=0).stdout
    assert re.search(r"^all +\d+\.\d% +\d/2", first, re.M)
    assert len(json.loads(results.read_text())["records"]) == 2
    assert "2 more from earlier runs" in ctl(*flags, "--limit", 2, check=0).stdout
    output = json.loads(results.read_text())
    assert set(output) == {"records", "summary"}
    reference = {}
    for line in (EVAL / "reference-cpu-fp32.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["setting"] == ["sparsed", 0.3]:
            reference[record["id"]] = record
    assert [record["id"] for record in output["records"]] == [
        *["dev-add-128-00", "dev-add-128-01", "dev-sort-128-00", "dev-sort-128-01"]
    ]
    for record in output["records"]:
        expected = reference[record["id"]]
        for field in ("steps", "output_ids", "output_text", "correct"):
            assert record[field] == expected[field], record["id"]
    assert output["summary"]["all"]["total"] == 4

    before = results.read_bytes()
    mismatch = ctl(*flags, "--select", 0.5, "--limit", 2, check=2)
    assert "select is 0.3 there and 0.5 here" in mismatch.stderr
    assert results.read_bytes() == before


def test_an_interrupted_eval_keeps_what_it_has(ctl, address, tmp_path):
    results = tmp_path / "results.json"
    flags = ["eval", "--data", str(EVAL / "dev.jsonl.gz"), "--json", str(results), "--lengths", "128",
             "--concurrency", "2"]
    run = subprocess.Popen(
        [SPARSEDCTL, "--address", address, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The file is written while the run goes on.
    deadline = time.monotonic() + 60
    while not (results.exists() and json.loads(results.read_text())["records"]):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130 and "goes on from here" in errors
    kept = [record["id"] for record in json.loads(results.read_text())["records"]]
    assert 0 < len(kept) < 408
    ctl(*flags, "--tasks", "upper", "--limit", 2, check=0)
    after = [record["id"] for record in json.loads(results.read_text())["records"]]
    assert after == [*kept, "dev-upper-128-00", "dev-upper-128-01"]
