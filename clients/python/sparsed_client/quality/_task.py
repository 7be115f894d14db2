"""What a task is, and how an example of it is made as long as wanted."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

SHORT_LENGTH = 128


@dataclasses.dataclass(frozen=True)
class Draft:
    """A prompt and what is right. The answer begins with `prefix`, which is part of the prompt."""

    prompt: str
    answers: tuple[str, ...]
    prefix: str = ""


@dataclasses.dataclass(frozen=True)
class Task:
    """A kind of question.

    make(rng, size, length): a draft with `size` units of what surrounds the answer; `length` is
    what the prompt and its canvas shall have in tokens. The same rng and a larger size give the
    same question in a longer text. checker: one of _check.CHECKERS. scales: False for questions
    that are short and know no size; they run at SHORT_LENGTH.
    """

    name: str
    gen_length: int
    checker: str
    make: Callable[[random.Random, int, int], Draft]
    scales: bool = True


@dataclasses.dataclass(frozen=True)
class Example:
    """One question as the server gets it. prompt_ids and canvas together have at most `length`."""

    id: str
    task: str
    length: int
    index: int
    gen_length: int
    checker: str
    draft: Draft
    prompt_ids: tuple[int, ...]


Encode = Callable[[Draft], "tuple[int, ...]"]
"""The prompt's ids, by the served model's tokenizer."""


def example_id(suite: str, task: Task, length: int, index: int) -> str:
    """Which example it is, of any seed."""
    return f"{suite}-{task.name}-{length}-{index:04d}"


def build(
    task: Task, suite: str, length: int, index: int, seed: int, gen_length: int, encode: Encode
) -> Example:
    """The longest example that fits. Errors: ValueError where not even the shortest does."""
    budget = length - gen_length
    name = example_id(suite, task, length, index)

    def make(size: int) -> tuple[Draft, tuple[int, ...]]:
        rng = random.Random(f"{seed}/{name}")
        draft = task.make(rng, size, length)
        return draft, encode(draft)

    found = _longest(make, budget) if task.scales else _if_fits(make(1), budget)
    if found is None:
        raise ValueError(
            f"{task.name}: {length} tokens are too few for a question and {gen_length} of answer"
        )
    return Example(name, task.name, length, index, gen_length, task.checker, *found)


def _if_fits(
    made: tuple[Draft, tuple[int, ...]], budget: int
) -> tuple[Draft, tuple[int, ...]] | None:
    return made if len(made[1]) <= budget else None


def _longest(
    make: Callable[[int], tuple[Draft, tuple[int, ...]]], budget: int
) -> tuple[Draft, tuple[int, ...]] | None:
    """The draft of the largest size with at most `budget` ids, give or take a unit; None where that
    of size 1 has more. Tokens grow about evenly with the size, so a secant finds it in few calls,
    and the same ones each time: nothing but the example itself decides."""
    best = None
    low, low_count = 0, 0
    high, high_count = 0, 0
    size = max(1, budget // 24)
    while True:
        draft, ids = make(size)
        if len(ids) <= budget:
            if best is not None and len(ids) <= low_count:
                return best  # It grows no more.
            best, low, low_count = (draft, ids), size, len(ids)
        else:
            high, high_count = size, len(ids)
        if high and high - low <= 1:
            return best
        if not high:
            size = max(low + 1, low * budget // max(1, low_count))
            continue
        per_unit = (high_count - low_count) / (high - low)
        if best is not None and budget - low_count < per_unit:
            return best
        size = low + int((budget - low_count) / per_unit) if per_unit > 0 else (low + high) // 2
        size = min(max(size, low + 1), high - 1)
