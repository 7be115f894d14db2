"""How alike two answers to the same prompt are, token by token and step by step."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from ._stats import kendall, mean


@dataclasses.dataclass(frozen=True)
class Likeness:
    """Of the positions up to the later end of the two answers, its end token included."""

    same_answer: float
    """1 if all of these tokens are the same."""
    same_tokens: float
    """The share that is."""
    same_commits: float | None
    """The share that is and that the same step committed; None where steps differ in number."""
    order: float | None
    """Kendall's tau-b of the steps that committed them; None where one has a single step."""
    diverged: float | None
    """The first step at which the two committed something else, over the steps; 1: they never
    did. None where the steps differ in number."""
    confidence_drift: float | None
    """Mean distance of the confidences of the same tokens of the same steps; None without any."""


def likeness(a: Mapping[str, Any], b: Mapping[str, Any], ends: Collection[int]) -> Likeness:
    """Of two records of the same prompt. ends: the ids that end a text."""
    reach = max(_length(a["token_ids"], ends), _length(b["token_ids"], ends))
    positions = range(reach)
    tokens = [a["token_ids"][i] == b["token_ids"][i] for i in positions]
    steps_a, steps_b = a["commit_steps"][:reach], b["commit_steps"][:reach]
    planned = _planned(a)
    commits = diverged = drift = None
    if planned == _planned(b):
        both = [same and steps_a[i] == steps_b[i] for i, same in enumerate(tokens)]
        commits = mean(both)
        apart = [min(steps_a[i], steps_b[i]) for i in positions if not both[i]]
        diverged = min(apart, default=planned) / planned
        drifts = [abs(a["confidences"][i] - b["confidences"][i]) for i in positions if both[i]]
        drift = mean(drifts) if drifts else None
    return Likeness(
        float(all(tokens)), mean(tokens), commits, kendall(steps_a, steps_b), diverged, drift
    )


def _length(ids: list[int], ends: Collection[int]) -> int:
    """Up to the first end token, which counts."""
    return next((at for at, token in enumerate(ids, 1) if token in ends), len(ids))


def _planned(record: Mapping[str, Any]) -> int:
    """Steps of the request; a text that ended early has done fewer of them."""
    planned: int = record["planned_steps"]
    return planned
