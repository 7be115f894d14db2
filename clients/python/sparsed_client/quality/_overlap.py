"""Patterns of blocks as numbers: how alike two are, and what of an attention one covers.

A pattern is bytes, [blocks, blocks], 1 for what is kept; an importance floats, [blocks, blocks], by
query block. Nothing here knows about requests.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations, compress

from ._stats import mean

Floats = Sequence[float]


def jaccard(a: bytes, b: bytes) -> float:
    """Blocks in both over blocks in either; 1 of two that keep nothing."""
    x, y = int.from_bytes(a, "little"), int.from_bytes(b, "little")
    either = (x | y).bit_count()
    return (x & y).bit_count() / either if either else 1.0


def by_chance(density: float) -> float:
    """The overlap of two patterns that keep this share of the blocks and know nothing of each
    other, about."""
    return density / (2 - density)


def recall(kept: bytes, importance: Floats, first: int = 0) -> float:
    """The share of the mass in what is kept, of the places from `first` on."""
    mass = importance[first:]
    return math.fsum(compress(mass, kept[first:])) / math.fsum(mass)


def mean_overlap(patterns: Sequence[bytes]) -> list[float]:
    """Of each with the others, the mean. Errors: ZeroDivisionError with fewer than two."""
    sums = [0.0] * len(patterns)
    for i, j in combinations(range(len(patterns)), 2):
        overlap = jaccard(patterns[i], patterns[j])
        sums[i] += overlap
        sums[j] += overlap
    return [one / (len(patterns) - 1) for one in sums]


def averaged(importances: Sequence[Floats]) -> list[float]:
    return [mean(values) for values in zip(*importances)]


def _per_row(kept: bytes, choose: Callable[[int, int], Iterable[int]]) -> bytes:
    """A pattern that keeps as many blocks in each row: choose(row, count) says which."""
    blocks = math.isqrt(len(kept))
    pattern = bytearray(len(kept))
    for row in range(blocks):
        begin = row * blocks
        for key in choose(row, kept.count(1, begin, begin + blocks)):
            pattern[begin + key] = 1
    return bytes(pattern)


def most_mass(kept: bytes, importance: Floats) -> bytes:
    """In each row the most important blocks, as many as `kept` has there."""
    blocks = math.isqrt(len(kept))

    def choose(row: int, count: int) -> list[int]:
        mass = importance[row * blocks : (row + 1) * blocks]
        return sorted(range(blocks), key=lambda key: -mass[key])[:count]

    return _per_row(kept, choose)


def local(kept: bytes) -> bytes:
    """In each row the diagonal, the first block and the nearest, as many as `kept` has there."""
    blocks = math.isqrt(len(kept))

    def choose(row: int, count: int) -> list[int]:
        return sorted(range(blocks), key=lambda key: (key != row, key != 0, abs(key - row)))[:count]

    return _per_row(kept, choose)


def at_random(kept: bytes, rng: random.Random) -> bytes:
    """In each row any blocks, as many as `kept` has there."""
    blocks = math.isqrt(len(kept))
    return _per_row(kept, lambda _, count: rng.sample(range(blocks), count))
