"""Masks: what an inspection returns, what the command prints of it, and its picture."""

import asyncio
import json
import os
import pathlib
import subprocess
import sys

import pytest
from requests_to_nano import LONG

import sparsed_client
from sparsed_client import AsyncClient, Client, Masks
from sparsed_client._masks import masks_of
from sparsed_client._proto import inspection_pb2 as pb

SPARSEDCTL = pathlib.Path(os.environ["SPARSED_BINARY"]).with_name("sparsedctl")
# Five blocks; of the four steps the second selects.
INSPECTED = {"prompt": "The river flows through the old town. " * 13, "gen_length": 32, "steps": 4,
             "skip": 0, "block_size": 32, "stop_at_end": False}
FLAGS = ["--gen-length", "32", "--steps", "4", "--skip", "0", "--block-size", "32",
         "--no-stop-at-end", "--inspect-steps", "0,3"]


@pytest.fixture(scope="module")
def inspected(target):
    with Client(**target) as client:
        return client.masks(**INSPECTED, inspect_steps=[3, 0])


def test_what_is_kept(inspected, client):
    masks = inspected
    assert (masks.layers, masks.heads) == (tuple(range(8)), tuple(range(6)))
    assert (masks.steps, masks.select_step) == ((0, 1, 3), 1)
    assert (masks.block_size, masks.blocks, masks.first_canvas_block) == (32, 5, 4)
    assert [(one.step, one.layer, one.head) for one in masks.patterns] == [
        (step, layer, head) for step in (0, 1, 3) for layer in range(8) for head in range(6)]
    assert {one.kind for one in masks.of_step(3)} == {"sparse"}
    # An inspection changes nothing, and the request's pattern is that of its select step.
    plain = client.generate(**INSPECTED, sparse="sparsed")
    assert masks.result.token_ids == plain.token_ids
    selected = masks.of_step(1)
    density = sum(one.density for one in selected) / len(selected)
    assert density == pytest.approx(plain.sparse.density) and 0 < density < 1


def test_its_numbers_follow_from_its_blocks(inspected):
    masks = inspected
    for layer, head in ((0, 0), (3, 5), (7, 2)):
        first, selected, last = (masks.at(step, layer, head) for step in masks.steps)
        assert (last.step, last.layer, last.head) == (3, layer, head)
        places = [(query, key) for query in range(5) for key in range(5)]
        kept = {place for place in places if last.is_kept(*place)}
        used = {place for place in places if selected.is_kept(*place)}
        total = sum(last.importance)

        def share(blocks):
            return sum(last.importance[query * 5 + key] for query, key in blocks) / total

        assert last.recall == pytest.approx(share(used), abs=1e-6)
        assert last.fresh_recall == pytest.approx(share(kept), abs=1e-6)
        assert last.similarity[1:] == (pytest.approx(len(kept & used) / len(kept | used)), 1)
        assert first.recall is None and len(first.similarity) == 1
    heads = masks.of_step(3)
    mean = sum(one.similarity[1] for one in heads) / len(heads)
    assert masks.similarity(1, 3) == masks.similarity(3, 1) == pytest.approx(mean)
    summary = masks.summaries()[-1]
    assert summary.similarity == masks.similarity(1, 3)
    assert summary.least_recall == min(one.recall for one in heads)
    assert masks.at(3, summary.least_layer, summary.least_head).recall == summary.least_recall
    with pytest.raises(ValueError, match="layer 8 was not inspected"):
        masks.at(3, 8, 0)


def test_what_is_shown(inspected):
    lines = str(inspected).splitlines()
    assert lines[0].split()[:5] == ["STEP", "KIND", "RECALL", "LEAST", "AT"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["0", "full"], ["1", "select"], ["3", "sparse"]]
    assert "steps 0, 1, 3" in repr(inspected)
    shown = inspected._repr_html_()
    assert shown.count("<tr>") == 4 and "<td>select</td>" in shown


def test_a_choice_asynchronously(target):
    async def run():
        async with AsyncClient(**target) as client:
            return await client.masks(**INSPECTED, layers=[7, 2], heads=[5], importance=False,
                                      scale="n_heads")
    masks = asyncio.run(run())
    assert (masks.layers, masks.heads, masks.steps) == ((2, 7), (5,), (1,))
    assert all(one.recall is None and not one.importance for one in masks.patterns)
    assert masks.result.sparse.recall is None
    assert str(masks).splitlines()[1].split()[2:6] == ["-"] * 4


def test_failures(client):
    with pytest.raises(sparsed_client.InvalidRequest) as caught:
        client.masks(**INSPECTED, layers=[8])
    assert caught.value.violations[0].field == "layers[0]"
    # As sparse="off" has nothing to select, a step is needed.
    with pytest.raises(sparsed_client.InvalidRequest) as caught:
        client.masks(**INSPECTED, sparse="off")
    assert caught.value.violations[0].field == "steps"
    with pytest.raises(sparsed_client.DeadlineExceeded):
        client.masks(**LONG, timeout=0.2)


def events(kept=b"\x03\x01", blocks=2, similarity=(1.0,)):
    started = pb.InspectionStarted(layers=[0], heads=[1], steps=[2], blocks=blocks, block_size=32)
    head = pb.HeadPattern(step=2, head=1, kept=kept, similarity=similarity, importance=[0.5] * 4)
    final = pb.InspectResponse()
    final.final.SetInParent()
    return [pb.InspectResponse(started=started), pb.InspectResponse(head=head), final]


def test_events_that_do_not_fit_together():
    masks = masks_of([*events(), pb.InspectResponse()])
    assert masks.at(2, 0, 1).kept == b"\1\1\1\0" and masks.select_step is None
    first, head, final = events()
    for bad in ([first, head], [head, final], [first, head, head, final], events(kept=b"\3"),
                events(blocks=3), events(similarity=())):
        with pytest.raises(ValueError):
            masks_of(bad)


def test_the_command(run, inspected):
    assert run("masks", INSPECTED["prompt"], *FLAGS) == (0, f"{inspected}\n", "")
    status, output, _ = run("masks", INSPECTED["prompt"], *FLAGS, "--json")
    assert status == 0 and Masks.from_json(output).patterns == inspected.patterns
    few = ["--layers", "2,7", "--heads", "5"]
    status, output, _ = run("masks", "--message", "Hello", *few, "--no-importance", *FLAGS)
    assert status == 0 and len(output.splitlines()) == 4
    status, _, errors = run("masks", "x", *FLAGS, "--layers", "9")
    assert status == 1 and "  layers[0]: 9 is not" in errors
    for wrong in (["masks"], ["masks", "x", "--heads", "1,b"], ["masks", "x", "--message", "y"]):
        with pytest.raises(SystemExit) as usage:
            run(*wrong)
        assert usage.value.code == 2


def test_what_sparsedctl_saves(flags, inspected):
    done = subprocess.run([SPARSEDCTL, *flags, "masks", "--prompt", INSPECTED["prompt"], *FLAGS,
                           "--output", os.devnull, "--json"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    saved = Masks.from_json(done.stdout)
    assert saved.patterns == inspected.patterns and saved.result.text == inspected.result.text
    for bad in ("{}", "[]", json.dumps({**json.loads(done.stdout), "heads": [{}]})):
        with pytest.raises(ValueError):
            Masks.from_json(bad)


def test_its_plot(run, tmp_path):
    few = ["--layers", "2,7", "--heads", "5"]
    saved, picture = tmp_path / "masks.json", tmp_path / "masks.svg"
    saved.write_text(run("masks", INSPECTED["prompt"], *FLAGS, *few, "--json")[1])
    assert run("plot-masks", saved, "-o", picture) == (0, "", "")
    # A picture for each head, two heat maps and their scales.
    assert picture.read_text().count("<image ") >= 2 + 2
    figure = sparsed_client.plot.masks(Masks.from_json(saved.read_text()), 3)
    assert "5 blocks of 32 tokens, sparse step 3" in figure.get_suptitle()
    assert run("plot-masks", saved, "-o", picture, "--step", 2)[::2] == (
        1, "error: step 2 was not inspected: 0, 1, 3\n")
    saved.write_text("{}")
    assert run("plot-masks", saved, "-o", picture)[::2] == (1, "error: no masks: 'started'\n")


def test_without_matplotlib(run, tmp_path, monkeypatch):
    monkeypatch.delattr(sparsed_client, "plot", raising=False)
    monkeypatch.delitem(sys.modules, "sparsed_client.plot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    saved = tmp_path / "result.json"
    saved.write_text('{"tokens": [{"id": 1, "confidence": 1.0, "commit_step": 0}]}')
    status, _, errors = run("plot-trajectory", saved, "-o", tmp_path / "plot.svg")
    assert status == 1 and "pip install 'sparsed-client[plot]'" in errors
