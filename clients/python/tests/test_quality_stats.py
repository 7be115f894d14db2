"""The statistics of `sparsed-client quality`, against values computed elsewhere."""

import random

import pytest

from sparsed_client.quality import _stats
from sparsed_client.quality._pairs import likeness


def test_mcnemars_exact_test():
    # As R's binom.test(k, n)$p.value.
    assert _stats.mcnemar(0, 0) == 1
    assert _stats.mcnemar(5, 5) == 1
    assert _stats.mcnemar(1, 0) == 1
    assert _stats.mcnemar(0, 6) == 0.03125
    assert _stats.mcnemar(2, 10) == pytest.approx(0.03857421875)
    assert _stats.mcnemar(10, 2) == _stats.mcnemar(2, 10)
    assert _stats.mcnemar(4000, 4100) == pytest.approx(0.2713, abs=2e-4)


def test_quantiles():
    # As numpy.quantile.
    values = [1.0, 2.0, 4.0, 8.0]
    assert [_stats.quantile(values, share) for share in (0, 0.25, 0.5, 0.9, 1)] == pytest.approx(
        [1, 1.75, 3, 6.8, 8])
    low, high = _stats.interval(list(range(1001)))
    assert (low, high) == pytest.approx((25, 975))


def test_the_bootstrap_covers_what_theory_says():
    differences = [-1.0] * 30 + [1.0] * 10 + [0.0] * 160
    means = _stats.resampled_means(differences, 2000, random.Random(1))
    assert means == _stats.resampled_means(differences, 2000, random.Random(1))
    low, high = _stats.interval(means)
    # Mean -0.1, standard error sqrt((0.2 - 0.01) / 200) = 0.0308.
    assert low == pytest.approx(-0.1 - 1.96 * 0.0308, abs=0.008)
    assert high == pytest.approx(-0.1 + 1.96 * 0.0308, abs=0.008)
    assert _stats.resampled_means([0.0, 0.0], 3, random.Random(1)) == [0.0, 0.0, 0.0]
    assert _stats.resampled_means([0.5, 0.5], 2, random.Random(1)) == [0.5, 0.5]
    # Of one in two: none, it once, it twice.
    means = _stats.resampled_means([0.0, 1.0], 4000, random.Random(1))
    assert [means.count(mean) / 4000 for mean in (0, 0.5, 1)] == pytest.approx(
        [0.25, 0.5, 0.25], abs=0.03)


def test_macro_averages_count_every_cell_the_same():
    assert _stats.macro([[1.0, 0.0], [0.0, 0.0], [0.5, 0.3]]) == pytest.approx([0.5, 0.1])


def test_kendalls_tau():
    # As scipy.stats.kendalltau.
    assert _stats.kendall([1, 2, 3, 4], [1, 2, 3, 4]) == 1
    assert _stats.kendall([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert _stats.kendall([12, 2, 1, 12, 2], [1, 4, 7, 1, 0]) == pytest.approx(-0.4714045)
    assert _stats.kendall([1, 1, 1], [1, 2, 3]) is None
    assert _stats.kendall([1], [1]) is None


def test_the_front():
    points = {"a": (1.0, 5.0), "b": (2.0, 3.0), "c": (2.0, 4.0), "d": (3.0, 3.0), "e": (4.0, 1.0)}
    assert _stats.pareto(points) == ["a", "b", "e"]
    assert _stats.pareto({"x": (1.0, 1.0), "y": (1.0, 1.0)}) == ["x", "y"]


def record(tokens, steps, planned=4, confidence=0.5):
    return {"token_ids": tokens, "commit_steps": steps, "planned_steps": planned,
            "confidences": [confidence] * len(tokens)}


def test_likeness():
    full = record([7, 8, 9, 1, 1, 1], [0, 1, 2, 3, 3, 3])
    same = likeness(full, record([7, 8, 9, 1, 5, 5], [0, 1, 2, 3, 0, 0], confidence=0.4), {1})
    # What is behind the end does not count.
    assert (same.same_answer, same.same_tokens, same.same_commits, same.order) == (1, 1, 1, 1)
    assert same.diverged == 1 and same.confidence_drift == pytest.approx(0.1)
    other = likeness(full, record([7, 8, 6, 9, 1, 1], [0, 2, 1, 3, 3, 3]), {1})
    # Five positions: of the longer answer, with its end.
    assert (other.same_answer, other.same_tokens, other.same_commits) == (0, 0.6, 0.4)
    assert other.diverged == 0.25 and other.confidence_drift == 0
    fewer = likeness(full, record([7, 8, 9, 1, 1, 1], [0, 0, 1, 1, 1, 1], planned=2), {1})
    assert fewer.same_answer == 1 and 0 < fewer.order < 1
    assert (fewer.same_commits, fewer.diverged, fewer.confidence_drift) == (None, None, None)
