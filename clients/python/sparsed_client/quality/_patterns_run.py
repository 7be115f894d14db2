"""Inspects the prompts of an experiment on patterns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from .._client import Client
from .._types import Model
from ._domains import DOMAINS, prompt_ids
from ._patterns import Inspected, inspected
from ._run import encoder, patiently
from ._variants import Options, check_options

# At most 16 steps can be inspected beside the one that selects.
_MOST_STEPS = 16


@dataclasses.dataclass(frozen=True)
class Questions:
    """What to inspect. tokens: of prompt and canvas together. prompts: of each domain. options:
    of the requests, over those that are given here."""

    domains: tuple[str, ...]
    prompts: int
    tokens: int
    gen_length: int
    steps: int
    inspect_steps: tuple[int, ...]
    options: Options
    seed: int

    def request(self) -> dict[str, Any]:
        """The options of a request. Errors: ValueError."""
        common = {
            "gen_length": self.gen_length,
            "block_length": self.gen_length,
            "steps": self.steps,
            "temperature": 0.0,
            "stop_at_end": False,
            "sparse": "sparsed",
            "skip": 0.2,
            "select": 0.3,
        }
        options = check_options(self.options, "--set")
        if "confidence_threshold" in options:
            raise ValueError("--set: confidence_threshold: prompts would end at different steps")
        return {**common, **options}


@dataclasses.dataclass(frozen=True)
class Answered:
    """What came of it; blocks are the same for all prompts."""

    prompts: tuple[Inspected, ...]
    layers: int
    block_size: int
    first_canvas_block: int


def spread(steps: int, count: int = 9) -> tuple[int, ...]:
    """That many steps, evenly from the first to the last."""
    count = min(count, steps, _MOST_STEPS)
    return tuple(sorted({round(at * (steps - 1) / max(1, count - 1)) for at in range(count)}))


def ask(
    client: Client, model: Model, questions: Questions, on_done: Callable[[int, int, None], None]
) -> Answered:
    """One prompt after the other: what an inspection returns takes memory of the server.
    Errors: SparsedError, ValueError."""
    if questions.tokens > model.max_tokens:
        raise ValueError(f"{questions.tokens} tokens: {model.name} takes {model.max_tokens}")
    encode = encoder(client, model.chat_template, False)
    options = questions.request()
    budget = questions.tokens - questions.gen_length
    found: list[Inspected] = []
    jobs = [(name, index) for index in range(questions.prompts) for name in questions.domains]
    for number, (domain, index) in enumerate(jobs, 1):
        ids = prompt_ids(domain, index, questions.seed, budget, encode)

        def inspect(ids: Sequence[int] = ids) -> Any:
            return client.masks(token_ids=ids, inspect_steps=questions.inspect_steps, **options)

        masks = patiently(inspect)
        found.append(inspected(domain, masks))
        on_done(number, len(jobs), None)
    shape = (len(masks.layers), masks.block_size, masks.first_canvas_block)
    order = list(DOMAINS)
    return Answered(tuple(sorted(found, key=lambda one: order.index(one.domain))), *shape)
