"""Whether an answer is right, and how much of it."""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence


def plain(text: str) -> str:
    """Runs of white space as one blank, none at the ends."""
    return " ".join(text.split())


def _all_of(answers: Sequence[str], text: str) -> float:
    """RULER's: the share of the answers that occur in the text, in any case."""
    folded = text.lower()
    return sum(answer.lower() in folded for answer in answers) / len(answers)


def _any_of(answers: Sequence[str], text: str) -> float:
    """RULER's for questions: whether one of the answers occurs in the text."""
    return float(_all_of(answers, text) > 0)


def _exact(answers: Sequence[str], text: str) -> float:
    """The answer and nothing else; case and punctuation count."""
    return float(plain(answers[0]) == plain(text))


def _items(text: str) -> list[str]:
    return [item.strip() for item in plain(text).split(",")]


def _list(answers: Sequence[str], text: str) -> float:
    """Items with commas between: the share that is in its place, of the longer list."""
    right, given = list(answers), _items(text)
    return sum(a == b for a, b in zip(right, given)) / max(len(right), len(given))


def _set(answers: Sequence[str], text: str) -> float:
    """As list, in any order."""
    right, given = collections.Counter(answers), collections.Counter(_items(text))
    return sum((right & given).values()) / max(sum(right.values()), sum(given.values()))


CHECKERS: dict[str, Callable[[Sequence[str], str], float]] = {
    "all": _all_of,
    "any": _any_of,
    "exact": _exact,
    "list": _list,
    "set": _set,
}


def credit(checker: str, answers: Sequence[str], text: str) -> tuple[bool, float]:
    """Strict and partial: everything right, and the share that is."""
    share = CHECKERS[checker](answers, text)
    return share == 1.0, share
