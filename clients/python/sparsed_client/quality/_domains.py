"""Prompts of several kinds and one length in tokens, to compare their patterns block by block."""

from __future__ import annotations

import random
from collections.abc import Callable

from ._nano import NANO
from ._task import Draft, Encode
from ._words import NOUNS, distinct

Make = Callable[[random.Random, int, int], Draft]

# Of the end of a prompt: the question and the turn's end stay whole.
_END_TOKENS = 48


def _code(rng: random.Random, size: int, length: int) -> Draft:
    own = random.Random(rng.getrandbits(64))
    names = distinct(own, min(size, 300), lambda r: f"{r.choice(NOUNS)}_{r.choice(NOUNS)}")
    return Draft(
        "Here is some code.\n"
        + "\n".join(_function(own, names[at % len(names)]) for at in range(size))
        + "\nWhat is the name of the last function?",
        (names[(size - 1) % len(names)],),
    )


def _function(rng: random.Random, name: str) -> str:
    a, b = rng.sample("abcdefghkmnpqrstuvwxyz", 2)
    n = rng.randrange(2, 100)
    body = (
        f"    return {a} {rng.choice('+-*')} {n} * {b}\n",
        f"    if {a} > {b}:\n        return {a} - {n}\n    return {b}\n",
        f"    s = 0\n    for {b} in range({a}):\n        s += {b} * {n}\n    return s\n",
        f"    while {a} < {n}:\n        {a} = {a} * {b} + 1\n    return {a}\n",
    )
    return f"def {name}({a}, {b}):\n{rng.choice(body)}"


def _sums(rng: random.Random, size: int, length: int) -> Draft:
    own = random.Random(rng.getrandbits(64))
    lines = []
    for _ in range(size):
        a, b = own.randrange(10, 10000), own.randrange(10, 1000)
        plus = own.random() < 0.5
        lines.append(f"{a} {'+' if plus else '-'} {b} = {a + b if plus else a - b}")
    a, b = rng.randrange(10, 1000), rng.randrange(10, 1000)
    text = "\n".join(lines)
    return Draft(f"Here are some sums.\n{text}\nWhat is {a} + {b}?", (str(a + b),))


def _of_task(name: str) -> Make:
    return next(task.make for task in NANO if task.name == name)


# The first two are the same kind of text with other questions.
DOMAINS: dict[str, Make] = {
    "prose-find": _of_task("niah_multikey"),
    "prose-quote": _of_task("quote"),
    "words": _of_task("cwe"),
    "table": _of_task("kv_lookup"),
    "json": _of_task("json_lookup"),
    "code": _code,
    "sums": _sums,
}


def prompt_ids(domain: str, index: int, seed: int, tokens: int, encode: Encode) -> tuple[int, ...]:
    """A prompt of exactly that many tokens: of a longer text what is too much is cut out before the
    question. Errors: ValueError where there is no such text."""
    if tokens < 2 * _END_TOKENS:
        raise ValueError(f"{tokens} tokens are too few for a prompt: {2 * _END_TOKENS} at least")
    size = max(1, tokens // 24)
    while size <= 4 * tokens:
        draft = DOMAINS[domain](random.Random(f"{seed}/{domain}/{index}"), size, tokens)
        ids = encode(draft)
        if len(ids) >= tokens:
            return ids[: tokens - _END_TOKENS] + ids[-_END_TOKENS:]
        size = max(size + 1, size * tokens // len(ids) + 1)
    raise ValueError(f"{domain}: no text of {tokens} tokens")
