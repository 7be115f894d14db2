"""The statistics of paired comparisons. Nothing here knows about tasks."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Mapping, Sequence
from itertools import accumulate


def mean(values: Sequence[float]) -> float:
    """Errors: ZeroDivisionError without values."""
    return math.fsum(values) / len(values)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of ascending values, linear between them: numpy's default."""
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def mcnemar(worse: int, better: int) -> float:
    """Exact two-sided p of as uneven a split of the pairs in which the two differ, if each side
    were as likely."""
    pairs, fewer = worse + better, min(worse, better)
    tail, ways = 0, 1  # Of k in pairs, one after the other: each from nothing takes long.
    for k in range(fewer + 1):
        tail += ways
        ways = ways * (pairs - k) // (k + 1)
    two_sided: float = 2 * tail / (1 << pairs)
    return min(1.0, two_sided)


def resampled_means(
    differences: Sequence[float], resamples: int, rng: random.Random
) -> list[float]:
    """Means of as many draws with replacement, that many times."""
    count = len(differences)
    apart = [value for value in differences if value]
    # Most are zero: how many of the draws are not is binomial, and only these are drawn.
    among = list(accumulate(_binomial(count, len(apart) / count)))
    means = []
    for _ in range(resamples):
        drawn = bisect.bisect(among, rng.random(), hi=count)
        means.append(sum(rng.choices(apart, k=drawn)) / count if drawn else 0.0)
    return means


def _binomial(count: int, share: float) -> list[float]:
    """The probabilities of 0 to count."""
    if share in (0, 1):
        return [float(k == share * count) for k in range(count + 1)]
    return [
        math.exp(
            math.lgamma(count + 1)
            - math.lgamma(k + 1)
            - math.lgamma(count - k + 1)
            + k * math.log(share)
            + (count - k) * math.log1p(-share)
        )
        for k in range(count + 1)
    ]


def interval(means: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The bootstrap's percentile interval."""
    ordered = sorted(means)
    tail = (1 - confidence) / 2
    return quantile(ordered, tail), quantile(ordered, 1 - tail)


def macro(cells: Sequence[Sequence[float]]) -> list[float]:
    """The mean over the cells, replicate by replicate: every cell counts the same."""
    return [mean(values) for values in zip(*cells)]


def kendall(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Tau-b of two rankings of the same things; None where one of them says nothing."""
    concordant = discordant = ties_a = ties_b = 0
    for i in range(len(a)):
        for j in range(i):
            x, y = a[i] - a[j], b[i] - b[j]
            if x * y > 0:
                concordant += 1
            elif x * y < 0:
                discordant += 1
            elif x:
                ties_b += 1
            elif y:
                ties_a += 1
    apart = (concordant + discordant + ties_a) * (concordant + discordant + ties_b)
    return (concordant - discordant) / math.sqrt(apart) if apart else None


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Those that no other one beats in one and equals at least in the other; less is better in
    both. In order of the first."""
    kept = []
    for name, (x, y) in points.items():
        if not any(
            u <= x and v <= y and (u, v) != (x, y)
            for other, (u, v) in points.items()
            if other != name
        ):
            kept.append(name)
    return sorted(kept, key=lambda name: points[name])
