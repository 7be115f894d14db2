"""Times of steps elsewhere: read, interpolated, applied to what requests did."""

import json

import pytest
from sparsed_client.quality import _step_times


def bench(context, density, seconds, full=4.0):
    kinds = [("full", 1.0, full), ("select", 1.0, 5.0), ("sparse", density, seconds)]
    return {
        "model": {"name": "big"},
        "machine": {"backend": "card, of some kind"},
        "results": [
            {
                "context": context,
                "kinds": [
                    {"kind": kind, "density": share, "seconds": {"total": {"median": total}}}
                    for kind, share, total in kinds
                ],
            }
        ],
    }


def record(full, select, sparse, density):
    steps = {"full_steps": full, "select_steps": select, "sparse_steps": sparse}
    return {"usage": steps, "sparse": {"density": density}}


def written(folder, *contents):
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"{number}.json")
        paths[-1].write_text(content if isinstance(content, str) else json.dumps(content))
    return paths


def test_files_of_several_ratios_are_one(tmp_path):
    files = written(
        tmp_path, bench(64, 0.5, 3.0), bench(64, 0.1, 1.0, full=4.2), bench(16, 0.2, 0.5)
    )
    short, long = _step_times.read(files)
    assert (short.context, short.model, short.device) == (16, "big", "card")
    assert (long.full, long.select) == (pytest.approx(4.1), 5.0)
    assert long.sparse == ((0.1, 1.0), (0.5, 3.0))


def test_times_lie_on_lines_between_and_beyond_the_measured():
    times = _step_times.StepTimes("big", "card", 64, 5.0, 6.0, ((0.1, 1.0), (0.5, 3.0)))
    for density, seconds in ((0.1, 1.0), (0.3, 2.0), (0.5, 3.0), (0.75, 4.0), (1.0, 5.0)):
        assert times.sparse_at(density) == pytest.approx(seconds)
    assert times.sparse_at(0.06) == pytest.approx(0.8)
    alone = _step_times.StepTimes("big", "card", 64, 5.0, 6.0, ((0.2, 1.0),))
    assert alone.sparse_at(0.1) == pytest.approx(0.5)
    # 3 full, a select and 4 sparse ones.
    assert times.of(record(3, 1, 4, 0.3)) == pytest.approx(15 + 6 + 8)
    pairs = [(record(3, 1, 4, 0.3), record(8, 0, 0, 1.0))] * 2
    assert _step_times.relative(pairs, times) == pytest.approx(29 / 40)


@pytest.mark.parametrize(
    "content, what",
    [
        ("{", "of sparsed-bench step"),
        ("[]", "of sparsed-bench step"),
        ({"model": {"name": "big"}}, "'machine'"),
    ],
)
def test_another_file_is_refused_by_name(tmp_path, content, what):
    files = written(tmp_path, content)
    with pytest.raises(ValueError, match=what) as raised:
        _step_times.read(files)
    assert str(files[0]) in str(raised.value)


def test_a_density_that_comes_twice_is_one_and_density_1_is_full(tmp_path):
    (times,) = _step_times.read(
        written(tmp_path, bench(64, 0.5, 3.0), bench(64, 0.5, 2.0), bench(64, 1.0, 4.0))
    )
    assert times.sparse == ((0.5, 2.5),) and times.sparse_at(0.5) == 2.5
    with pytest.raises(ValueError, match="no sparse step below density 1"):
        _step_times.read(written(tmp_path, bench(64, 1.0, 4.0)))


def test_every_kind_is_needed(tmp_path):
    content = bench(64, 0.5, 3.0)
    content["results"][0]["kinds"].pop()
    with pytest.raises(ValueError, match="none of a sparse step"):
        _step_times.read(written(tmp_path, content))
