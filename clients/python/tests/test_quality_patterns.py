"""`sparsed-client quality patterns`: its arithmetic on small patterns, and a real server's."""

import dataclasses
import json
import random
import re
import xml.etree.ElementTree
from array import array

import pytest

from sparsed_client import HeadPattern, Masks
from sparsed_client.quality import _domains, _overlap, _patterns, _patterns_report, _patterns_run

DIAGONAL = bytes([1, 0, 0, 0, 1, 0, 0, 0, 1])
FIRST = bytes([1, 0, 0, 1, 0, 0, 1, 0, 0])
# Two blocks in the first row, one in the others.
UNEVEN = bytes([1, 1, 0, 0, 1, 0, 0, 0, 1])


def test_overlap():
    assert _overlap.jaccard(DIAGONAL, DIAGONAL) == 1
    assert _overlap.jaccard(DIAGONAL, FIRST) == 1 / 5
    assert _overlap.jaccard(bytes(9), bytes(9)) == 1
    assert _overlap.mean_overlap([DIAGONAL, FIRST, DIAGONAL]) == pytest.approx([0.6, 0.2, 0.6])


def test_the_overlap_by_chance():
    rng = random.Random(1)

    def drawn():
        return bytes(rng.random() < 0.3 for _ in range(100000))
    assert _overlap.by_chance(0.3) == pytest.approx(_overlap.jaccard(drawn(), drawn()), abs=0.01)


def test_recall():
    importance = array("f", [0.5, 0.25, 0.25, 0, 1, 0, 0.25, 0.25, 0.5])
    assert _overlap.recall(DIAGONAL, importance) == pytest.approx(2 / 3)
    # Of the last row.
    assert _overlap.recall(FIRST, importance, 6) == pytest.approx(0.25)


def test_other_patterns_of_the_same_size():
    importance = [0.1, 0.2, 0.7, 0.8, 0.1, 0.1, 0.3, 0.4, 0.3]
    assert _overlap.most_mass(UNEVEN, importance) == bytes([0, 1, 1, 1, 0, 0, 0, 1, 0])
    five = bytes([1] * 3 + [0] * 2) * 5
    rows = [_overlap.local(five)[at:at + 5] for at in range(0, 25, 5)]
    # The diagonal, the first block, and one beside the diagonal.
    assert rows[0] == bytes([1, 1, 1, 0, 0]) and rows[2] == bytes([1, 1, 1, 0, 0])
    assert rows[3] == bytes([1, 0, 1, 1, 0]) and rows[4] == bytes([1, 0, 0, 1, 1])
    assert _overlap.local(UNEVEN) == UNEVEN
    drawn = {_overlap.at_random(UNEVEN, random.Random(seed)) for seed in range(300)}
    assert len(drawn) == 3 * 3 * 3
    for one in (_overlap.local(UNEVEN), *drawn):
        assert [sum(one[at:at + 3]) for at in (0, 3, 6)] == [2, 1, 1]


def head(kept, importance, layer=0, number=0, step=1, kind="select", similarity=(1.0,), recall=None):
    return HeadPattern(step, kind, layer, number, 3, kept, array("f", importance), recall, 0.5,
                       similarity)


def masks(select_step=1):
    patterns = []
    for step, kind, similarity in [(0, "full", (1,)), (1, "select", (0.25, 1)),
                                   (5, "sparse", (0.1, 0.75, 1))]:
        for layer in (0, 1):
            patterns += [head(DIAGONAL, [0.1] * 9, layer, number, step, kind,
                              tuple(one - 0.05 * number * (one < 1) for one in similarity),
                              recall=None if step == 0 else 0.9 - 0.1 * layer)
                         for number in (0, 1)]
    return Masks(None, (0, 1), (0, 1), (0, 1, 5), select_step, 32, 3, 2, tuple(patterns))


def test_what_is_kept_of_an_inspection():
    one = _patterns.inspected("words", masks())
    assert [(at.layer, at.head, at.step) for at in one.heads] == [(0, 0, 1), (0, 1, 1), (1, 0, 1),
                                                                  (1, 1, 1)]
    before, at, after = one.steps
    # The later of two steps has their overlap.
    assert before["overlap_by_layer"] == pytest.approx([0.225, 0.225]) and before["recall"] is None
    assert at["overlap_by_layer"] == [1, 1]
    assert after["overlap_by_layer"] == pytest.approx([0.725, 0.725])
    assert (after["recall"], after["fresh_recall"]) == (pytest.approx(0.85), 0.5)
    with pytest.raises(ValueError, match="words: every step was in full attention"):
        _patterns.inspected("words", masks(select_step=None))


def prompt(domain, kept, importance):
    """Two layers of two heads that all see the same; the second head keeps the first blocks."""
    heads = [head(kept if number == 0 else FIRST, importance, layer, number)
             for layer in (0, 1) for number in (0, 1)]
    steps = ({"step": 1, "kind": "select", "recall": 0.5, "fresh_recall": 0.5,
              "overlap_by_layer": [1.0, 1.0]},
             {"step": 9, "kind": "sparse", "recall": 0.4, "fresh_recall": 0.6,
              "overlap_by_layer": [0.5, 0.75]})
    return _patterns.Inspected(domain, tuple(heads), steps)


ON_DIAGONAL = [0.8, 0.1, 0.1, 0.1, 0.8, 0.1, 0.1, 0.1, 0.8]
ON_FIRST = [0.6, 0.2, 0.2, 0.7, 0.2, 0.1, 0.85, 0.1, 0.05]


@pytest.fixture(scope="module")
def summary():
    prompts = [prompt("code", DIAGONAL, ON_DIAGONAL), prompt("code", DIAGONAL, ON_DIAGONAL),
               prompt("words", FIRST, ON_FIRST)]
    found = _patterns.summarise(prompts, 2, 2, resamples=100)
    assert found == _patterns.summarise(prompts, 2, 2, resamples=100)
    return {**found, "block_size": 32, "settings": {
        "model": {"name": "nano", "family": "llada", "parameters": 17000000}, "options": {},
        "server": {"version": "1", "commit": "c", "device": "cpu"}, "date": "2026-01-01",
        "prompt_tokens": 96, "seed": 1}}


def test_whose_pattern_covers_what(summary):
    recalls = summary["recalls"]["all"]
    # By hand: of the importances of code on the diagonal and the first blocks, of words on these.
    diagonal, first, words = 0.8, 1 / 3, 2.15 / 3
    code = (diagonal + first) / 2
    own = [code, code, words]
    assert recalls[_patterns.OWN]["recall"] == pytest.approx(sum(own) / 3)
    assert recalls[_patterns.MASS]["recall"] == pytest.approx((2 * diagonal + words) / 3)
    same = recalls[_patterns.SAME]
    assert (same["prompts"], same["recall"], same["difference"]) == (
        2, pytest.approx(code), pytest.approx(0))
    # What others select: of code, the first head looks at the diagonal of words: 0.85 of 3.
    other = [first, first, (0.85 / 3 + words) / 2]
    assert recalls[_patterns.OTHER]["recall"] == pytest.approx(sum(other) / 3)
    assert recalls[_patterns.OTHER]["difference"] == pytest.approx((sum(other) - sum(own)) / 3)
    assert recalls[_patterns.SHARED]["recall"] == recalls[_patterns.MASS]["recall"]
    # The others of code have most mass on the diagonal, but on the first block in the last row.
    assert recalls[_patterns.STATIC]["recall"] == pytest.approx((1.7 / 3 * 2 + 0.85 / 3) / 3)
    # One row of the canvas.
    canvas = summary["recalls"]["canvas"]
    assert canvas[_patterns.OWN]["recall"] == pytest.approx((0.9 / 2 * 2 + 0.85) / 3)
    by_domain = summary["recall_by_domain"]
    assert by_domain["own"] == pytest.approx([code, words])
    assert by_domain["of"] == [pytest.approx([code, first]),
                               [pytest.approx((0.85 / 3 + words) / 2), None]]


def test_heads_steps_and_domains(summary):
    assert summary["domains"] == ["code", "words"] and summary["prompts"] == 3
    by_head = summary["by_head"]
    assert by_head["overlap"] == [pytest.approx([(0.2 + 0.2 + 1) / 3] * 2)] * 2
    assert by_head["recall"][1] == pytest.approx([(1.6 + 2.15 / 3) / 3, (2 / 3 + 2.15 / 3) / 3])
    assert by_head["density"][0] == pytest.approx([1 / 3, 1 / 3])
    assert summary["by_step"][1] == {
        "step": 9, "kind": "sparse", "recall": pytest.approx(0.4),
        "fresh_recall": pytest.approx(0.6), "overlap": pytest.approx(0.625),
        "overlap_by_layer": pytest.approx([0.5, 0.75])}
    # Of the first head 1 in 5, of the second all.
    assert summary["overlaps"] == [[1.0, pytest.approx(0.6)], [pytest.approx(0.6), None]]


def test_one_prompt_of_layers_that_differ():
    heads = [head(DIAGONAL, ON_FIRST if layer else ON_DIAGONAL, layer, number)
             for layer in (0, 1) for number in (0, 1)]
    steps = prompt("code", DIAGONAL, ON_DIAGONAL).steps
    found = _patterns.summarise([_patterns.Inspected("code", tuple(heads), steps)], 2, 2, 50)
    recalls = found["recalls"]["all"]
    assert recalls.keys() == {_patterns.OWN, _patterns.MASS, _patterns.SHARED, _patterns.LOCAL,
                              _patterns.RANDOM}
    assert recalls[_patterns.SHARED]["recall"] == pytest.approx((0.8 + 2.15 / 3) / 2)
    assert found["overlaps"] == [[None]]


def test_the_page(summary):
    plots = _patterns_report.plots(summary)
    assert plots.keys() == {"recall", "heads", "heads-overlap", "steps-overlap", "steps-recall",
                            "domains-recall", "domains-overlap"}
    for plot in plots.values():
        xml.etree.ElementTree.fromstring(plot)
    assert plots["domains-overlap"].count("fill-opacity") == 3
    text = _patterns_report.page(summary, plots)
    assert text.count("<svg") == 7 and not re.findall(r"<script|src=|href=|url\(|@import", text)
    table = _patterns_report.tables(summary)[0]
    assert table.rows[0][:3] == (_patterns.OWN, "0.617", "-")


def encode(draft):
    return tuple(map(hash, re.findall(r"\w{1,4}|\s|[^\w\s]", draft.prompt)))


@pytest.mark.parametrize("domain", _domains.DOMAINS)
def test_prompts_have_the_length_they_shall(domain):
    one = _domains.prompt_ids(domain, 0, 1, 500, encode)
    assert len(one) == 500 and one == _domains.prompt_ids(domain, 0, 1, 500, encode)
    assert one[:300] != _domains.prompt_ids(domain, 1, 1, 500, encode)[:300]
    assert one[:300] != _domains.prompt_ids(domain, 0, 2, 500, encode)[:300]
    with pytest.raises(ValueError, match="90 tokens are too few"):
        _domains.prompt_ids(domain, 0, 1, 90, encode)
    with pytest.raises(ValueError, match="no text of 500"):
        _domains.prompt_ids(domain, 0, 1, 500, lambda draft: (1, 2, 3))


def test_steps_are_spread():
    assert _patterns_run.spread(32) == (0, 4, 8, 12, 16, 19, 23, 27, 31)
    assert _patterns_run.spread(3) == (0, 1, 2) and _patterns_run.spread(1) == (0,)
    assert len(_patterns_run.spread(1000, 40)) == 16


def test_prompts_that_end_at_different_steps_are_not_compared():
    asked = _patterns_run.Questions(("sums",), 1, 1024, 64, 32, (0,), {"skip": 0.1}, 1)
    assert asked.request()["skip"] == 0.1
    with pytest.raises(ValueError, match="confidence_threshold"):
        dataclasses.replace(asked, options={"confidence_threshold": 0.9}).request()


def test_against_the_real_server(run, tmp_path):
    out = tmp_path / "out"
    status, output, errors = run(
        "quality", "patterns", "--domains", "sums,code", "--prompts", 1, "--length", 160,
        "--gen-length", 32, "--steps", 4, "--inspect-steps", "0,3", "--resamples", 50, "-o", out)
    assert status == 0 and "diagonal and first block" in output, errors
    found = json.loads((out / "patterns.json").read_text())
    assert (found["blocks"], found["block_size"], found["first_canvas_block"]) == (5, 32, 4)
    assert [one["kind"] for one in found["by_step"]] == ["full", "select", "sparse"]
    # What is computed here of the importances is what the server says.
    own = found["recalls"]["all"][_patterns.OWN]["recall"]
    assert own == pytest.approx(found["by_step"][1]["fresh_recall"], abs=1e-5)
    assert found["recalls"]["all"][_patterns.RANDOM]["recall"] < own
    assert {path.name for path in out.iterdir()} >= {"patterns.html", "patterns-recall.svg"}
    status, _, errors = run("quality", "patterns", "--domains", "poems", "-o", out)
    assert status == 1 and "'poems' is none of" in errors
