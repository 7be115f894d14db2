"""The likelihood of a given text, and how far its logits drift.

A window of the text is a prompt and, as the canvas, the tokens behind it, which are given: every step
commits them, at random positions that the seed alone decides, and tells their log-probabilities.
With a token a step their sum is the log-likelihood of the tokens in that order. Variants see the
same canvas in the same step, so their differences are those of the logits.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from .._client import Client
from .._types import Result
from . import _stats, _step_times
from ._records import Results, Writer
from ._run import patiently
from ._variants import Variant, request_options

_QUARTERS = 4
_OWN = ("remasking", "seed", "block_length", "target_ids")


@dataclasses.dataclass(frozen=True)
class Window:
    """Tokens of the text: what is given as the prompt, and what is behind it."""

    id: str
    prompt: tuple[int, ...]
    targets: tuple[int, ...]


def windows(ids: Sequence[int], length: int, canvas: int, most: int) -> list[Window]:
    """One behind the other, without overlap. Errors: ValueError where not one fits."""
    if canvas >= length:
        raise ValueError(f"a canvas of {canvas} tokens leaves no prompt of {length}")
    count = min(most, len(ids) // length)
    if count == 0:
        raise ValueError(f"the text has {len(ids)} tokens; a window takes {length}")
    found = []
    for number in range(count):
        part = tuple(ids[number * length : (number + 1) * length])
        found.append(Window(f"window-{number:05d}", part[: length - canvas], part[-canvas:]))
    return found


def tokens(client: Client, text: str, most: int) -> list[int]:
    """The text's first tokens: of a part of it that has at least as many, if it has, and without
    what the tokenizer puts before a text. Errors: SparsedError."""
    # A token has a few bytes; what is not enough is asked for again, longer.
    size = 4 * most
    while True:
        ids = list(patiently(lambda: client.tokenize(text[:size])).token_ids)
        if len(ids) >= most or size >= len(text):
            return ids[:most]
        size *= 2


def ask(
    client: Client,
    text: Sequence[Window],
    variants: Sequence[Variant],
    seed: int,
    concurrency: int,
    writer: Writer,
    on_done: Callable[[int, int, None], None],
) -> None:
    """What the writer's file does not have yet. Errors: SparsedError, ValueError, OSError."""
    for variant in variants:
        for name in _OWN:
            if name in variant.options:
                raise ValueError(f"variant {variant.name}: {name} is the command's own")
    jobs = [
        (window, variant)
        for window in text
        for variant in variants
        if (window.id, variant.name, False) not in writer.results.records
    ]

    def answer(window: Window, variant: Variant) -> dict[str, Any]:
        canvas = len(window.targets)
        options = request_options({"steps_per_token": 1, **variant.options}, canvas)
        if "steps" in variant.options:
            options["steps"] = variant.options["steps"]
        result: Result = patiently(
            lambda: client.generate(
                token_ids=window.prompt,
                target_ids=window.targets,
                remasking="random",
                seed=seed,
                block_length=canvas,
                **options,
            )
        )
        return _record(window, variant, result)

    with ThreadPoolExecutor(concurrency) as pool:
        futures = [pool.submit(answer, *job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                writer.write(future.result())
                on_done(done, len(jobs), None)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()
            raise


def _record(window: Window, variant: Variant, result: Result) -> dict[str, Any]:
    return {
        "id": window.id,
        "variant": variant.name,
        "alone": False,
        "log_probabilities": [token.log_probability for token in result.tokens],
        "commit_steps": [token.commit_step for token in result.tokens],
        "usage": dataclasses.asdict(result.usage),
        "seconds": dataclasses.asdict(result.timings),
        "sparse": dataclasses.asdict(result.sparse),
    }


def summarise(
    results: Results, resamples: int = 2000, step_times: Sequence[_step_times.StepTimes] = ()
) -> dict[str, Any]:
    """Of each variant: nats a token, perplexity, and against its baseline the difference with a 95%
    interval of a bootstrap over the windows, and the drift."""
    variants: dict[str, Any] = {}
    for name, variant in results.settings.variants.items():
        mine = _of(results, name)
        if not mine:
            continue
        tokens = [value for one in mine.values() for value in one["log_probabilities"]]
        nats = -_stats.mean(tokens)
        used = [one["sparse"]["density"] for one in mine.values() if one["sparse"]["used"]]
        entry: dict[str, Any] = {
            "options": variant.options,
            "against": variant.against,
            "windows": len(mine),
            "tokens": len(tokens),
            "nats": nats,
            "perplexity": math.exp(nats),
            "density": _stats.mean(used) if used else None,
        }
        other = _of(results, variant.against)
        pairs = [(mine[key], other[key]) for key in sorted(mine.keys() & other.keys())]
        if pairs:
            entry["difference"] = _difference(pairs, resamples, name)
            entry["drift"] = _drift(pairs)
            entry["elsewhere"] = [_step_times.relative(pairs, one) for one in step_times]
        variants[name] = entry
    settings = results.settings.as_json()
    del settings["variants"]
    return {
        "settings": settings,
        "resamples": resamples,
        "step_times": [dataclasses.asdict(one) for one in step_times],
        "variants": variants,
    }


def _of(results: Results, variant: str) -> dict[str, Mapping[str, Any]]:
    return {one["id"]: one for one in results.records.values() if one["variant"] == variant}


def _difference(
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], resamples: int, seed: str
) -> dict[str, float]:
    """Nats a token more than the baseline's; windows have equally many tokens."""
    values = [
        _stats.mean(other["log_probabilities"]) - _stats.mean(mine["log_probabilities"])
        for mine, other in pairs
    ]
    draws = _stats.resampled_means(values, resamples, random.Random(seed))
    low, high = _stats.interval(draws)
    return {"nats": _stats.mean(values), "low": low, "high": high}


def _drift(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any] | None:
    """Mean distance of the log-probabilities, and by quarter of the steps; None where the canvases
    differ."""
    found: list[list[float]] = [[] for _ in range(_QUARTERS)]
    for mine, other in pairs:
        if mine["commit_steps"] != other["commit_steps"]:
            return None
        steps = max(mine["commit_steps"]) + 1
        each = zip(mine["commit_steps"], mine["log_probabilities"], other["log_probabilities"])
        for step, a, b in each:
            found[step * _QUARTERS // steps].append(abs(a - b))
    everything = sorted(value for quarter in found for value in quarter)
    return {
        "mean": _stats.mean(everything),
        "p99": _stats.quantile(everything, 0.99),
        "quarters": [_stats.mean(quarter) if quarter else None for quarter in found],
    }
