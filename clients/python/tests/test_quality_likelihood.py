"""`sparsed-client quality likelihood`: its arithmetic, and a real server's."""

import json
import math
import xml.etree.ElementTree

import pytest

from sparsed_client.quality import _likelihood, _likelihood_report, _records
from sparsed_client.quality._variants import Variant


def test_windows_lie_behind_one_another():
    first, second = _likelihood.windows(range(25), 10, 4, 9)
    assert (first.prompt, first.targets) == (tuple(range(6)), (6, 7, 8, 9))
    assert (second.prompt, second.targets) == (tuple(range(10, 16)), (16, 17, 18, 19))
    assert len(_likelihood.windows(range(25), 10, 4, 1)) == 1
    with pytest.raises(ValueError, match="9 tokens; a window takes 10"):
        _likelihood.windows(range(9), 10, 4, 1)
    with pytest.raises(ValueError, match="leaves no prompt"):
        _likelihood.windows(range(25), 4, 4, 1)


def answered(variant, number, logs, steps=(2, 0, 3, 1)):
    return {"id": f"window-{number}", "variant": variant, "alone": False,
            "log_probabilities": logs, "commit_steps": list(steps),
            "usage": {"full_steps": 4, "select_steps": 0, "sparse_steps": 0},
            "seconds": {}, "sparse": {"used": variant != "full", "density": 0.25}}


def results_of(*records):
    variants = {"full": Variant("full", {"sparse": "off"}),
                "less": Variant("less", {"select": 0.1}, "full")}
    settings = _records.Settings("a text", 1, 4, False, {"name": "tiny", "end_ids": [1]}, {},
                                 "2026-11-26", variants)
    return _records.Results(settings, {_records.key_of(one): one for one in records})


def test_the_summary():
    results = results_of(
        answered("full", 0, [-1.0, -2.0, -3.0, -2.0]), answered("full", 1, [-1.0] * 4),
        answered("less", 0, [-1.0, -2.5, -3.0, -2.0]), answered("less", 1, [-1.0, -0.5, -2.0, -1.0]))
    summary = _likelihood.summarise(results, 100)
    full, less = summary["variants"]["full"], summary["variants"]["less"]
    assert full["nats"] == 1.5 and full["perplexity"] == pytest.approx(math.exp(1.5))
    assert "difference" not in full and full["density"] is None
    assert less["nats"] == pytest.approx(13 / 8) and less["density"] == 0.25
    # 1/8 more in each of the two windows.
    assert less["difference"] == {"nats": 0.125, "low": 0.125, "high": 0.125}
    # The second token is of the first step, the third of the last.
    assert less["drift"]["quarters"] == [0.5, 0, 0, 0.5]
    assert less["drift"]["mean"] == 0.25
    for plot in _likelihood_report.plots(summary).values():
        xml.etree.ElementTree.fromstring(plot)
    assert "a text" in _likelihood_report.page(summary, {})


def test_other_canvases_have_no_drift():
    results = results_of(answered("full", 0, [-1.0] * 4),
                         answered("less", 0, [-2.0] * 4, steps=(0, 1, 2, 3)))
    less = _likelihood.summarise(results, 10)["variants"]["less"]
    assert less["drift"] is None and less["difference"]["nats"] == 1


def test_against_the_real_server(run, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("The river flows through the old town, and the people stand at its banks. " * 20)

    def likelihood(*more):
        status, output, errors = run(
            "quality", "likelihood", "--text", text, "--length", 96, "--canvas", 8, "--windows", 2,
            "--variant", "full", "--variant", "all:select=1,skip=0", "--resamples", 20,
            "--concurrency", 2, "-o", tmp_path / "out", *more)
        assert status == 0, errors
        return output
    assert "perplexity" in likelihood()
    summary = json.loads((tmp_path / "out" / "likelihood.json").read_text())
    # A pattern that keeps everything is full attention, bit for bit.
    assert summary["variants"]["all"]["drift"]["mean"] == 0
    assert 0 < summary["variants"]["full"]["nats"] < math.log(4096)
    lines = (tmp_path / "out" / "likelihood.jsonl").read_text().count('"id"')
    likelihood("--variant", "few:select=0.1,skip=0,block_size=32")
    assert (tmp_path / "out" / "likelihood.jsonl").read_text().count('"id"') == lines + 2
    few = json.loads((tmp_path / "out" / "likelihood.json").read_text())["variants"]["few"]
    assert few["tokens"] == 16 and few["drift"]["mean"] > 0
