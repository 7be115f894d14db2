"""How alike the patterns of heads, steps and prompts are, and what one that is not a head's own
covers of its attention. From inspections of prompts of the same length."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._masks import HeadPattern, Masks
from . import _overlap, _stats

OWN = "its own"
SAME, OTHER = "a prompt of the same domain", "a prompt of another domain"
STATIC, SHARED, MASS = "the mean of the other prompts", "one for all heads", "most mass"
LOCAL, RANDOM = "diagonal and first block", "at random"

PATTERNS = {
    OWN: "what the rule selects from the head's own attention to this prompt",
    MASS: "in each row of blocks those with the most mass, as many as its own has: the most that a"
    " pattern of this size can cover",
    SAME: "what the same head selects for each other prompt of this domain",
    OTHER: "what the same head selects for each prompt of the other domains",
    STATIC: "the most mass by the head's mean importance over all other prompts",
    SHARED: "the most mass by the mean importance of the layer's heads for this prompt",
    LOCAL: "in each row the diagonal, the first block and those nearest to the diagonal",
    RANDOM: "in each row any blocks",
}


@dataclasses.dataclass(frozen=True)
class Inspected:
    """A prompt's heads at the step that selects, by layer, then by head; and over the steps."""

    domain: str
    heads: tuple[HeadPattern, ...]
    steps: tuple[dict[str, Any], ...]
    """For each inspected step its kind, the mean recall of the pattern in use and of one selected
    there, and by layer the mean overlap with the pattern in use."""


def inspected(domain: str, masks: Masks) -> Inspected:
    """What is kept of an inspection. Errors: ValueError (no step selects a pattern)."""
    if masks.select_step is None:
        raise ValueError(f"{domain}: every step was in full attention, so none selects a pattern")
    steps = []
    at = masks.steps.index(masks.select_step)
    chosen = masks.of_step(masks.select_step)
    for number, step in enumerate(masks.steps):
        heads = masks.of_step(step)
        # Of the two patterns the server compares the later one with the earlier.
        alike = [
            later.similarity[at] if step >= masks.select_step else own.similarity[number]
            for later, own in zip(heads, chosen)
        ]
        used = [one.recall for one in heads if one.recall is not None]
        fresh = [one.fresh_recall for one in heads if one.fresh_recall is not None]
        count = len(masks.heads)
        steps.append(
            {
                "step": step,
                "kind": heads[0].kind,
                "recall": _stats.mean(used) if used else None,
                "fresh_recall": _stats.mean(fresh) if fresh else None,
                "overlap_by_layer": [
                    _stats.mean(alike[begin : begin + count])
                    for begin in range(0, len(alike), count)
                ],
            }
        )
    return Inspected(domain, chosen, tuple(steps))


def summarise(
    prompts: Sequence[Inspected],
    layers: int,
    first_canvas_block: int,
    resamples: int,
    seed: int = 0,
) -> dict[str, Any]:
    """All tables. The same prompts, resamples and seed give the same numbers."""
    domains = list(dict.fromkeys(one.domain for one in prompts))
    heads = len(prompts[0].heads) // layers
    blocks = prompts[0].heads[0].blocks
    density = _stats.mean([head.density for one in prompts for head in one.heads])
    sums = [
        [sum(values) for values in zip(*(head.importance for head in same))]
        for same in zip(*(one.heads for one in prompts))
    ]
    cells = []
    for target in range(len(prompts)):
        cells.append(_recalls(prompts, target, sums, layers, first_canvas_block * blocks, seed))
    return {
        "prompts": len(prompts),
        "domains": domains,
        "layers": layers,
        "heads": heads,
        "blocks": blocks,
        "first_canvas_block": first_canvas_block,
        "density": density,
        "overlap_by_chance": _overlap.by_chance(density),
        "resamples": resamples,
        "resample_seed": seed,
        "by_head": _by_head(prompts, layers, heads),
        "by_step": _by_step(prompts),
        "overlaps": _between(prompts, domains),
        "recalls": {
            rows: _recall_table([one[rows] for one in cells], resamples, f"{seed}/{rows}")
            for rows in ("all", "canvas")
        },
        "recall_by_domain": _recall_by_domain([one["all"] for one in cells], prompts, domains),
    }


def _by_head(prompts: Sequence[Inspected], layers: int, heads: int) -> dict[str, Any]:
    """Means over the prompts, by layer and head."""
    overlap = [[0.0] * heads for _ in range(layers)]
    recalls = [[0.0] * heads for _ in range(layers)]
    densities = [[0.0] * heads for _ in range(layers)]
    share = 1 / len(prompts)
    for one in prompts:
        for layer in range(layers):
            mine = one.heads[layer * heads : (layer + 1) * heads]
            alike = _overlap.mean_overlap([head.kept for head in mine]) if heads > 1 else [1.0]
            for number, head in enumerate(mine):
                overlap[layer][number] += share * alike[number]
                recalls[layer][number] += share * _overlap.recall(head.kept, head.importance)
                densities[layer][number] += share * head.density
    return {"overlap": overlap, "recall": recalls, "density": densities}


def _by_step(prompts: Sequence[Inspected]) -> list[dict[str, Any]]:
    """Means over the prompts."""
    table = []
    for same in zip(*(one.steps for one in prompts)):
        entry: dict[str, Any] = {"step": same[0]["step"], "kind": same[0]["kind"]}
        for key in ("recall", "fresh_recall"):
            known = [one[key] for one in same if one[key] is not None]
            entry[key] = _stats.mean(known) if known else None
        by_layer = _overlap.averaged([one["overlap_by_layer"] for one in same])
        entry |= {"overlap": _stats.mean(by_layer), "overlap_by_layer": by_layer}
        table.append(entry)
    return table


def _between(prompts: Sequence[Inspected], domains: Sequence[str]) -> list[list[float | None]]:
    """The mean overlap of the same head's patterns of two prompts, by their domains."""
    found: dict[tuple[str, str], list[float]] = {}
    for number, one in enumerate(prompts):
        for other in prompts[:number]:
            alike = _stats.mean(
                [_overlap.jaccard(a.kept, b.kept) for a, b in zip(one.heads, other.heads)]
            )
            for key in {(one.domain, other.domain), (other.domain, one.domain)}:
                found.setdefault(key, []).append(alike)
    return [
        [_stats.mean(found[a, b]) if (a, b) in found else None for b in domains] for a in domains
    ]


def _recalls(
    prompts: Sequence[Inspected],
    target: int,
    importances: Sequence[Sequence[float]],
    layers: int,
    canvas: int,
    seed: int,
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """What patterns cover of one prompt's attention: for all rows and for the canvas's the recalls
    by kind of pattern and by domain of where it is from, each the mean over the heads.
    importances: by head, summed over the prompts."""
    one = prompts[target]
    rng = random.Random(f"{seed}/{target}")
    sums: dict[str, dict[tuple[str, int], float]] = {"all": {}, "canvas": {}}
    for number, head in enumerate(one.heads):
        for kind, source, kept in _candidates(
            prompts, target, number, importances[number], layers, rng
        ):
            for rows, first in (("all", 0), ("canvas", canvas)):
                covered = _overlap.recall(kept, head.importance, first)
                sums[rows][kind, source] = sums[rows].get((kind, source), 0.0) + covered
    table: dict[str, dict[str, dict[str, list[float]]]] = {}
    for rows, by_source in sums.items():
        entry: dict[str, dict[str, list[float]]] = {}
        for (kind, source), total in by_source.items():
            domains = entry.setdefault(kind, {})
            domains.setdefault(prompts[source].domain, []).append(total / len(one.heads))
        table[rows] = entry
    return table


def _candidates(
    prompts: Sequence[Inspected],
    target: int,
    number: int,
    importance: Sequence[float],
    layers: int,
    rng: random.Random,
) -> Iterator[tuple[str, int, bytes]]:
    """The patterns to try on one head: kind, the prompt that it is from, and the blocks."""
    one = prompts[target]
    head = one.heads[number]
    yield OWN, target, head.kept
    for source, other in enumerate(prompts):
        if source != target:
            yield SAME if other.domain == one.domain else OTHER, source, other.heads[number].kept
    heads = len(one.heads) // layers
    layer = one.heads[number // heads * heads :][:heads]
    shared = _overlap.averaged([each.importance for each in layer])
    yield MASS, target, _overlap.most_mass(head.kept, head.importance)
    if len(prompts) > 1:
        others = [whole - own for whole, own in zip(importance, head.importance)]
        yield STATIC, target, _overlap.most_mass(head.kept, others)
    yield SHARED, target, _overlap.most_mass(head.kept, shared)
    yield LOCAL, target, _overlap.local(head.kept)
    yield RANDOM, target, _overlap.at_random(head.kept, rng)


def _recall_table(
    by_prompt: Sequence[Mapping[str, Mapping[str, Sequence[float]]]], resamples: int, seed: str
) -> dict[str, Any]:
    """For each kind of pattern the mean recall over the prompts that have it, and the distance to
    that of their own pattern with a 95% interval: prompts drawn again."""
    table = {}
    for kind in PATTERNS:
        pairs = [(_all_of(one[kind]), _all_of(one[OWN])) for one in by_prompt if one.get(kind)]
        if not pairs:
            continue
        differences = [mine - own for mine, own in pairs]
        rng = random.Random(f"{seed}/{kind}")
        low, high = _stats.interval(_stats.resampled_means(differences, resamples, rng))
        table[kind] = {
            "prompts": len(pairs),
            "recall": _stats.mean([mine for mine, _ in pairs]),
            "difference": _stats.mean(differences),
            "low": low,
            "high": high,
        }
    return table


def _all_of(by_domain: Mapping[str, Sequence[float]]) -> float:
    return _stats.mean([value for values in by_domain.values() for value in values])


def _recall_by_domain(
    by_prompt: Sequence[Mapping[str, Mapping[str, Sequence[float]]]],
    prompts: Sequence[Inspected],
    domains: Sequence[str],
) -> dict[str, Any]:
    """By the domain of the prompt: what its own patterns cover, and those of other prompts by the
    domain that these are of."""
    own = []
    table: list[list[float | None]] = []
    for domain in domains:
        here = [found for found, one in zip(by_prompt, prompts) if one.domain == domain]
        own.append(_stats.mean([_all_of(found[OWN]) for found in here]))
        row: list[float | None] = []
        for source in domains:
            kind = SAME if source == domain else OTHER
            values = [value for found in here for value in found.get(kind, {}).get(source, [])]
            row.append(_stats.mean(values) if values else None)
        table.append(row)
    return {"own": own, "of": table}
