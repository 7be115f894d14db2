"""Runs, results and reports of `sparsed-client quality`."""

import json
import pathlib
import re
import threading
import xml.etree.ElementTree

import pytest

from sparsed_client import QueueFull, Result, SparseReport, Timings, TokenDetail, Tokens, Usage
from sparsed_client.quality import _experiments, _page, _records, _run, _summary, _svg, _tables
from sparsed_client.quality._experiments import EXPERIMENTS
from sparsed_client.quality._suites import SUITES
from sparsed_client.quality._variants import (
    Variant,
    check_options,
    compared,
    parse_options,
    parse_variant,
    read_variants,
    request_options,
)

FULL = Variant("full", {"sparse": "off"})
SPARSED = Variant("sparsed", {"sparse": "sparsed", "select": 0.3}, "full")
END = 1


class Oracle:
    """Answers as a server would that knows the answers; sparse attention forgets every third."""

    def __init__(self):
        self.answers = {}
        self.requests = []
        self.lock = threading.Lock()
        self.busy = 0
        self.fail_at = None

    def encode(self, draft):
        ids = tuple(ord(letter) % 1000 + 2 for letter in draft.prompt[:30] + draft.prompt[-60:])
        self.answers[ids] = ", ".join(draft.answers)
        return ids

    def generate(self, *, token_ids, request_id, **options):
        with self.lock:
            self.requests.append((request_id, options))
            if self.busy:
                self.busy -= 1
                raise QueueFull("RESOURCE_EXHAUSTED", "full", b"")
            if self.fail_at is not None and len(self.requests) > self.fail_at:
                raise KeyboardInterrupt
        sparse = options["sparse"] == "sparsed"
        index = int(re.search(r"-(\d{4})/", request_id)[1])
        text = "nothing" if sparse and index % 3 == 0 else self.answers[token_ids]
        ids = [ord(letter) % 1000 + 2 for letter in text][: options["gen_length"] - 1] + [END]
        ids += [END] * (options["gen_length"] - len(ids))
        steps = options["steps"]
        sparse_steps = steps - 4 if sparse else 0
        details = [TokenDetail(token, 0.5, at % steps) for at, token in enumerate(ids)]
        return Result(
            request_id, "oracle", text, tuple(ids), "stop",
            Usage(len(token_ids), len(ids), steps - sparse_steps, 0, sparse_steps),
            Timings(0.0, 0.01 * (steps - sparse_steps), 0.0, 0.005 * sparse_steps, 1.0),
            SparseReport(sparse, 32, 0.2, 0.3, 0.4 if sparse else 1.0, 0, None, None, 0, 0,
                         5 if sparse else None), 7,
            tuple(details), ())

    def close(self):
        pass


def settings(**changes):
    return _records.Settings(**{
        "suite": "nano", "seed": 1, "gen_length": None, "prefix": False,
        "model": {"name": "oracle", "family": "llada", "parameters": 17000000, "weights": "bf16",
                  "end_ids": [END]},
        "server": {"version": "1", "commit": "c", "device": "cpu"}, "date": "2026-01-01",
        "variants": {"full": FULL, "sparsed": SPARSED}, **changes})


def plan(**changes):
    return _run.Plan(**{
        "suite": SUITES["nano"], "tasks": ("add", "sort", "kv_lookup", "cwe"),
        "lengths": (128, 512), "variants": (FULL, SPARSED), "limit": 6, "concurrency": 4,
        "timed": 0, "seed": 1, "gen_length": None, "prefix": False, **changes})


def ask(path, oracle, a_plan=None, **changes):
    a_plan = a_plan or plan()
    seen = []
    writer = _records.Writer(path, settings(
        variants={one.name: one for one in a_plan.variants}, **changes))
    try:
        run = _run.Run(oracle, a_plan, oracle.encode, writer, lambda *all: seen.append(all))
        run.run()
    finally:
        writer.close()
    return writer.results, seen, run


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    path = tmp_path_factory.mktemp("quality") / "results.jsonl"
    oracle = Oracle()
    results, seen, run = ask(path, oracle, plan(timed=2))
    return path, oracle, results, seen


def test_every_prompt_goes_to_every_variant(answered):
    path, oracle, results, seen = answered
    shared = [record for record in results.records.values() if not record["alone"]]
    # Two short tasks at 128, two that scale at 512, six each; and two alone of each length.
    assert len(shared) == 2 * 4 * 6 and len(results.records) == len(shared) + 2 * 2 * 2
    prompts = {}
    for record in shared:
        prompts.setdefault(record["id"], set()).add(record["prompt_crc32"])
    assert len(prompts) == 24 and all(len(crcs) == 1 for crcs in prompts.values())
    options = dict(oracle.requests)
    assert options["nano-add-128-0000/full"] == {
        "sparse": "off", "steps": 16, "block_length": 32, "gen_length": 32, "temperature": 0.0,
        "seed": options["nano-add-128-0000/sparsed"]["seed"], "token_confidences": True}
    assert seen[-1][:2] == (56, 56)
    # The file is what was in memory.
    assert _records.read(path).records == results.records


def test_a_run_goes_on_where_it_was(answered, tmp_path):
    complete = answered[0].read_bytes()
    lines = complete.splitlines(keepends=True)
    path = tmp_path / "results.jsonl"
    # The last line was cut off.
    path.write_bytes(b"".join(lines[:21]) + lines[21][:30])
    oracle = Oracle()
    results, _, _ = ask(path, oracle, plan(timed=2))
    assert len(oracle.requests) == 56 - 20
    assert results.records == answered[2].records
    again = Oracle()
    ask(path, again, plan(timed=2))
    assert not again.requests
    # More variants, and more examples, are added.
    third = Variant("third", {"sparse": "sparsed", "select": 0.5}, "full")
    more = Oracle()
    results, _, _ = ask(path, more, plan(variants=(FULL, SPARSED, third), limit=7))
    assert len(more.requests) == 24 + 3 * 4
    assert set(results.settings.variants) == {"full", "sparsed", "third"}


def test_an_interrupt_keeps_what_was_answered(tmp_path):
    path = tmp_path / "results.jsonl"
    oracle = Oracle()
    oracle.fail_at = 9
    with pytest.raises(KeyboardInterrupt):
        ask(path, oracle, plan(concurrency=1))
    assert len(_records.read(path).records) == 9


@pytest.mark.parametrize("changes, what", [
    ({"seed": 2}, "seed is 1 there and 2 here"),
    ({"model": {"name": "other"}}, "model is"),
    ({"server": {"commit": "d"}}, "server is"),
])
def test_other_settings_are_refused(answered, tmp_path, changes, what):
    path = tmp_path / "results.jsonl"
    path.write_bytes(answered[0].read_bytes())
    with pytest.raises(ValueError, match=what):
        ask(path, Oracle(), **changes)
    other = Variant("sparsed", {"sparse": "sparsed", "select": 0.9}, "full")
    with pytest.raises(ValueError, match="variant sparsed has other options"):
        ask(path, Oracle(), plan(variants=(FULL, other)))
    assert path.read_bytes() == answered[0].read_bytes()
    path.write_text("{}\n")
    with pytest.raises(ValueError, match=":1: .* no file of results"):
        _records.read(path)


def test_a_busy_server_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(QueueFull, "retry_after", 0.0, raising=False)
    oracle = Oracle()
    calls = []

    def call():
        calls.append(1)
        if len(calls) < 3:
            error = QueueFull("RESOURCE_EXHAUSTED", "full", b"")
            error.retry_after = 0.0
            raise error
        return "done"
    assert _run.patiently(call) == "done" and len(calls) == 3
    oracle.busy = 1  # It says no time: that is no use.
    with pytest.raises(QueueFull):
        ask(tmp_path / "results.jsonl", oracle, plan(concurrency=1))


def test_what_does_not_fit_is_left_out(tmp_path):
    suite = SUITES["ruler"]
    a_plan = plan(suite=suite, tasks=("cwe", "single_1"), lengths=(160,), limit=2)
    oracle = Oracle()
    results, seen, run = ask(tmp_path / "results.jsonl", oracle, a_plan, suite="ruler")
    assert list(run.left_out) == [("cwe", 160)] and "160 tokens are too few" in str(run.left_out)
    assert {record["task"] for record in results.records.values()} == {"single_1"}
    assert len(seen) == 8


def test_the_prefix_follows_the_chat():
    class Tokenizer:
        def tokenize(self, text=None, *, messages=None):
            return Tokens((1, 2) if messages else (len(text),), ())
    draft = SUITES["ruler"].tasks[0].make(__import__("random").Random(1), 2, 512)
    assert _run.encoder(Tokenizer(), True, True)(draft) == (1, 2, len(draft.prefix))
    assert _run.encoder(Tokenizer(), True, False)(draft) == (1, 2)
    both = len(draft.prompt) + 1 + len(draft.prefix)
    assert _run.encoder(Tokenizer(), False, True)(draft) == (both,)


def test_the_summary(answered):
    summary = _summary.summarise(answered[2], resamples=300)
    assert summary == _summary.summarise(answered[2], resamples=300)
    assert summary["tasks"] == ["cwe", "kv_lookup", "add", "sort"]
    full, sparsed = summary["variants"]["full"], summary["variants"]["sparsed"]
    assert full["scores"]["all tasks"]["all"] == {"examples": 24, "strict": 1.0, "partial": 1.0}
    assert "differences" not in full
    # Two of six are forgotten, everywhere.
    for row in ("all tasks", "all but cwe and fwe", "cwe", "add"):
        lost = sparsed["differences"][row]["all"]
        assert lost["strict"]["difference"] == pytest.approx(-1 / 3)
        assert lost["strict"]["low"] < -1 / 3 < lost["strict"]["high"]
        assert (lost["worse"], lost["better"]) == (lost["pairs"] // 3, 0)
    assert sparsed["differences"]["all tasks"]["all"]["p"] == pytest.approx(2 / 2**8)
    assert sparsed["differences"]["cwe"].keys() == {"512", "all"}
    sparsed["differences"]["sort"]["all"]["partial"]["difference"] = -0.5
    (row,) = _tables.apart(summary).rows
    assert row[0] == "sparsed" and row[1].startswith("-33.3 [")
    assert row[4] == "sort" and row[5].startswith("-50.0 [")
    # Whole cells differ less than single ones.
    widths = [sparsed["differences"][row]["all"]["strict"] for row in ("all tasks", "add")]
    assert widths[0]["high"] - widths[0]["low"] < widths[1]["high"] - widths[1]["low"]
    assert sparsed["likeness"]["all"]["same_answer"] == pytest.approx(2 / 3)
    work = sparsed["work"]["512"]
    assert work["alone"] and work["examples"] == 2 and work["density"] == 0.4
    assert (work["full_step_ms"], work["select_step_ms"]) == (pytest.approx(10), None)
    assert work["sparse_step_ms"] == pytest.approx(5)


def test_the_report(answered, tmp_path, run):
    html, numbers = tmp_path / "report.html", tmp_path / "report.json"
    status, output, _ = run("quality", "report", answered[0], "--html", html, "--json", numbers,
                            "--resamples", 200)
    assert status == 0 and "-33.3 [" in output and "sparsed" in output
    text = html.read_text()
    # Nothing is fetched, and nothing runs.
    assert not re.findall(r"<script|<link|<img|src=|href=|url\(|@import", text)
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    for plot in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        xml.etree.ElementTree.fromstring(plot)
    assert text.count("<svg") == 5  # Three rows of differences and the two lengths' fronts.
    assert json.loads(numbers.read_text())["variants"]["sparsed"]["options"]["select"] == 0.3
    status, _, errors = run("quality", "report", tmp_path / "missing.jsonl")
    assert status == 1 and "missing.jsonl" in errors


def test_the_report_knows_what_steps_take_elsewhere(answered, tmp_path, run):
    html, times = tmp_path / "report.html", tmp_path / "times.json"
    seconds = {"full": (1.0, 2.0), "select": (1.0, 2.5), "sparse": (0.4, 1.0)}
    times.write_text(json.dumps({
        "model": {"name": "big"}, "machine": {"backend": "a card, and more"},
        "results": [{"context": 65536, "kinds": [
            {"kind": kind, "density": density, "seconds": {"total": {"median": total}}}
            for kind, (density, total) in seconds.items()]}]}))
    status, output, _ = run("quality", "report", answered[0], "--html", html, "--resamples", 10,
                            "--step-times", times)
    assert status == 0 and "as of big on a card" in output and "at 65,536 tokens" in output
    mine, base = ([one for one in answered[2].records.values()
                   if one["variant"] == name and not one["alone"]] for name in ("sparsed", "full"))
    kinds = [sum(one["usage"][f"{kind}_steps"] for one in mine) for kind in seconds]
    expected = (2 * kinds[0] + 2.5 * kinds[1] + kinds[2]) / (
        2 * sum(one["usage"]["full_steps"] for one in base))
    assert f"{100 * expected:.1f}%" in output
    assert "big at 65,536 tokens on a card: time against loss" in html.read_text()


def test_variants(tmp_path):
    assert parse_variant("full") == Variant("full", {"sparse": "off"})
    assert parse_variant("s:select=0.3,block-size=64,scale=n_heads") == Variant(
        "s", {"select": 0.3, "block_size": 64, "scale": "n_heads", "sparse": "sparsed"})
    assert parse_variant("a:sparse=auto,steps_per_token=0.25").options["sparse"] == "auto"
    # Commas within a list do not end it.
    with pytest.raises(ValueError, match=r"'stop' is none of"):
        parse_variant("x:stop=[1,2],select=0.3")
    assert parse_options(["block_length=16", "temperature=0.5"]) == {
        "block_length": 16, "temperature": 0.5}
    for bad, what in [("a b", "make a name"), ("x:select", "not option=value"),
                      ("x:speed=1", "'speed' is none of"), ("x:scale=big", "scale: 'big' is none"),
                      ("x:gen_length=8", "'gen_length' is none"), ("x:steps=none", "steps:"),
                      ("x:steps_per_token=2", "above 0 and at most 1"),
                      ("x:steps=4,steps_per_token=1", "one of steps and")]:
        with pytest.raises(ValueError, match=re.escape(what)):
            parse_variant(bad)
    path = tmp_path / "variants.json"
    path.write_text('{"full": {"sparse": "off"}, "s": {"skip": 0.1}}')
    read = compared(read_variants(path), None)
    assert [(one.name, one.against) for one in read] == [("full", ""), ("s", "full")]
    assert compared(read, "s")[0].against == "s"
    with pytest.raises(ValueError, match="'x' is none of full, s"):
        compared(read, "x")
    with pytest.raises(ValueError, match="same name"):
        compared([read[0], read[0]], None)


def test_steps_fill_the_blocks():
    assert request_options({"steps_per_token": 0.5, "block_length": 32}, 64)["steps"] == 32
    assert request_options({"steps_per_token": 0.01, "block_length": 32}, 64)["steps"] == 2
    assert request_options({"steps_per_token": 0.7, "block_length": 16}, 64)["steps"] == 44
    assert request_options({"steps": 5, "block_length": 64}, 32) == {
        "steps": 5, "block_length": 32, "gen_length": 32}
    assert check_options({"skip": 0.1}, "x")["sparse"] == "sparsed"


def test_experiments():
    for experiment in EXPERIMENTS.values():
        variants = experiment.variants(experiment.values)
        names = [variant.name for variant in variants]
        assert len(set(names)) == len(names)
        for variant in variants:
            assert check_options(variant.options, variant.name) == variant.options
            assert variant.against in ("", *names)
            assert variant.options["sparse"] == ("sparsed" if variant.against else "off")
    steps = EXPERIMENTS["steps"]
    assert steps.gen_length(steps.values) == 1024
    assert EXPERIMENTS["switch"].gen_length([0.1]) is None


@pytest.mark.parametrize("name, values, plots", [
    ("baseline", ["sparsed"], {"loss", "time"}),
    ("select", [0.1, 0.3], {"loss", "time"}),
    ("scale", ["head_dim", "n_heads"], {"loss", "time"}),
    ("steps", [16, 32], {"loss", "accuracy", "time"}),
    ("front", ["plain-20", "every-8-20"], {"loss", "front-1"}),
])
def test_an_experiments_plots(tmp_path, name, values, plots):
    experiment = EXPERIMENTS[name]
    a_plan = plan(variants=tuple(experiment.variants(values)), limit=3,
                  gen_length=experiment.gen_length(values))
    results, _, _ = ask(tmp_path / "results.jsonl", Oracle(), a_plan)
    drawn = _experiments.plots(experiment, values, _summary.summarise(results, 50))
    assert drawn.keys() == plots
    for plot in drawn.values():
        xml.etree.ElementTree.fromstring(plot)
    assert drawn["loss"].count("<circle") == {"baseline": 3, "front": 2}.get(name, 4)


def test_ticks():
    assert _svg.ticks(-0.3, 0.2) == (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2)
    assert _svg.ticks(0, 0) == (-1.0, -0.5, 0.0, 0.5, 1.0)
    low, *_, high = _svg.ticks(-12.34, 3.1)
    assert low <= -12.34 and high >= 3.1


def test_tables_of_what_is_missing(tmp_path):
    # A variant that was not asked yet.
    results, _, _ = ask(tmp_path / "results.jsonl", Oracle(), plan(variants=(FULL,), limit=1))
    results.settings.variants["sparsed"] = SPARSED
    summary = _summary.summarise(results, 50)
    assert _tables.overview(summary).rows[1][1:4] == ("-", "-", "-")
    assert not _tables.apart(summary).rows
    assert "<svg" not in _page.page(summary)


def test_against_the_real_server(run, tmp_path):
    status, output, errors = run(
        "quality", "experiment", "select", "--suite", "nano", "--tasks", "add,mul",
        "--lengths", 128, "--limit", 1, "--timed", 0, "--values", "0.3", "--resamples", 50,
        "--concurrency", 2, "-o", tmp_path / "out")
    assert status == 0, errors
    results = _records.read(tmp_path / "out" / "select.jsonl")
    assert len(results.records) == 4
    for record in results.records.values():
        assert record["prompt_tokens"] + len(record["token_ids"]) <= 128
        assert len(record["commit_steps"]) == len(record["token_ids"])
        assert record["sparse"]["used"] == (record["variant"] != "full")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"select.jsonl", "select.json", "select.html", "select-loss.svg",
                     "select-time.svg"}
    assert "select-0.3" in output and results.settings.model["end_ids"]
    # All is there: nothing is asked again.
    before = (tmp_path / "out" / "select.jsonl").read_text().count('"id"')
    assert run(
        "quality", "run", "--suite", "nano", "--tasks", "add", "--lengths", 128, "--limit", 1,
        "--variant", "full", "-o", tmp_path / "out" / "select.jsonl")[0] == 0
    assert (tmp_path / "out" / "select.jsonl").read_text().count('"id"') == before


def test_wrong_usage(run, tmp_path):
    out = pathlib.Path(tmp_path) / "x.jsonl"
    for words, what in [
        (("--variant", "full", "--tasks", "nothing"), "task 'nothing' is none of"),
        (("--variant", "full", "--lengths", "99999"), "99999 tokens: nano takes 8192"),
        (("--variant", "full", "--tasks", "vt", "--lengths", "128"), "none of these tasks comes"),
        ((), "give --variant or --variants"),
    ]:
        status, _, errors = run("quality", "run", "--suite", "nano", "-o", out, *words)
        assert status == 1 and what in errors and not out.exists()
    status, _, errors = run("quality", "experiment", "isolated", "--values", "x", "-o", out)
    assert status == 1 and "'x' is none of true, false" in errors and not out.exists()
    status, output, _ = run("quality", "tasks", "--suite", "ruler")
    assert status == 0 and len(output.splitlines()) == 14
