"""From the records of a run to its tables: what the report shows and what is written as JSON."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _stats, _step_times
from ._pairs import Likeness, likeness
from ._records import Results
from ._suites import COUNTING, SUITES

Record = Mapping[str, Any]
_Cell = tuple[str, int]

EVERYTHING, NON_COUNTING = "all tasks", "all but cwe and fwe"
METRICS = ("strict", "partial")


def summarise(
    results: Results,
    resamples: int = 2000,
    seed: int = 0,
    step_times: Sequence[_step_times.StepTimes] = (),
) -> dict[str, Any]:
    """All tables. The same records, resamples and seed give the same numbers."""
    shared = {key: one for key, one in results.records.items() if not key[2]}
    cells = sorted({(one["task"], one["length"]) for one in shared.values()})
    tasks = _in_order([task for task, _ in cells], results)
    lengths = sorted({length for _, length in cells})
    by_variant = {name: _of(shared.values(), name) for name in results.settings.variants}
    groups = _groups(cells, tasks)
    variants = {}
    for name, variant in results.settings.variants.items():
        mine = by_variant[name]
        entry: dict[str, Any] = {
            "options": variant.options,
            "against": variant.against,
            "answers": len(mine),
            "scores": _scores(mine, groups),
            "work": _work(results, name),
        }
        other = by_variant.get(variant.against)
        if other:
            pairs = [(mine[key], other[key]) for key in sorted(mine.keys() & other.keys())]
            entry["differences"] = _differences(pairs, groups, resamples, f"{seed}/{name}")
            entry["likeness"] = _likenesses(pairs, lengths, results.settings.model["end_ids"])
            entry["elsewhere"] = [_step_times.relative(pairs, one) for one in step_times]
        variants[name] = entry
    settings = results.settings.as_json()
    del settings["variants"]
    return {
        "settings": settings,
        "resamples": resamples,
        "resample_seed": seed,
        "tasks": tasks,
        "lengths": lengths,
        "step_times": [dataclasses.asdict(one) for one in step_times],
        "variants": variants,
    }


def _of(records: Any, variant: str) -> dict[str, Record]:
    return {one["id"]: one for one in records if one["variant"] == variant}


def _in_order(names: Sequence[str], results: Results) -> list[str]:
    order = [task.name for task in SUITES[results.settings.suite].tasks]
    return sorted(set(names), key=order.index)


def _groups(cells: Sequence[_Cell], tasks: Sequence[str]) -> dict[str, dict[str, list[_Cell]]]:
    """The cells of each row and column: a task, or several, at one length and at all of them."""
    rows: dict[str, list[str]] = {EVERYTHING: list(tasks)}
    if any(task in COUNTING for task in tasks):
        rows[NON_COUNTING] = [task for task in tasks if task not in COUNTING]
    rows.update({task: [task] for task in tasks})
    lengths = sorted({length for _, length in cells})
    groups: dict[str, dict[str, list[_Cell]]] = {}
    for row, names in rows.items():
        mine = [cell for cell in cells if cell[0] in names]
        columns = {str(length): [cell for cell in mine if cell[1] == length] for length in lengths}
        groups[row] = {key: value for key, value in {**columns, "all": mine}.items() if value}
    return groups


def _by_cell(items: Sequence[Any], cell_of: Callable[[Any], _Cell]) -> dict[_Cell, list[Any]]:
    cells: dict[_Cell, list[Any]] = {}
    for item in items:
        cells.setdefault(cell_of(item), []).append(item)
    return cells


def _scores(records: Mapping[str, Record], groups: Mapping[str, Any]) -> dict[str, Any]:
    """Macro averages over tasks and lengths: every cell counts the same."""
    cells = _by_cell(list(records.values()), lambda one: (one["task"], one["length"]))

    def entry(group: list[_Cell]) -> dict[str, Any] | None:
        held = [cells[cell] for cell in group if cell in cells]
        if not held:
            return None
        return {
            "examples": sum(map(len, held)),
            **{
                metric: _stats.mean([_stats.mean([one[metric] for one in cell]) for cell in held])
                for metric in METRICS
            },
        }

    return _table(groups, entry)


def _differences(
    pairs: Sequence[tuple[Record, Record]], groups: Mapping[str, Any], resamples: int, seed: str
) -> dict[str, Any]:
    """Variant less baseline, with 95% intervals; McNemar's test of the strict answers."""
    cells = _by_cell(pairs, lambda pair: (pair[0]["task"], pair[0]["length"]))
    differences: dict[tuple[_Cell, str], list[float]] = {}
    draws: dict[tuple[_Cell, str], list[float]] = {}
    for cell, held in cells.items():
        for metric in METRICS:
            rng = random.Random(f"{seed}/{cell}/{metric}")
            values = [float(mine[metric]) - float(other[metric]) for mine, other in held]
            differences[cell, metric] = values
            draws[cell, metric] = _stats.resampled_means(values, resamples, rng)

    def entry(group: list[_Cell]) -> dict[str, Any] | None:
        held = [cell for cell in group if cell in cells]
        if not held:
            return None
        strict = [value for cell in held for value in differences[cell, "strict"]]
        worse, better = sum(value < 0 for value in strict), sum(value > 0 for value in strict)
        numbers: dict[str, Any] = {
            "pairs": len(strict),
            "worse": worse,
            "better": better,
            "p": _stats.mcnemar(worse, better),
        }
        for metric in METRICS:
            low, high = _stats.interval(_stats.macro([draws[cell, metric] for cell in held]))
            middle = _stats.mean([_stats.mean(differences[cell, metric]) for cell in held])
            numbers[metric] = {"difference": middle, "low": low, "high": high}
        return numbers

    return _table(groups, entry)


def _table(
    groups: Mapping[str, Mapping[str, list[_Cell]]],
    entry: Callable[[list[_Cell]], dict[str, Any] | None],
) -> dict[str, Any]:
    return {
        row: {column: found for column, cells in columns.items() if (found := entry(cells))}
        for row, columns in groups.items()
    }


def _likenesses(
    pairs: Sequence[tuple[Record, Record]], lengths: Sequence[int], ends: Sequence[int]
) -> dict[str, Any]:
    """Means over the pairs, of one length and of all."""
    found = [(mine["length"], likeness(mine, other, set(ends))) for mine, other in pairs]
    columns: dict[str, Any] = {}
    for column, held in [
        *((str(length), [one for at, one in found if at == length]) for length in lengths),
        ("all", [one for _, one in found]),
    ]:
        if held:
            columns[column] = {
                field.name: _mean_of([getattr(one, field.name) for one in held])
                for field in dataclasses.fields(Likeness)
            }
    return columns


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _stats.mean(known) if known else None


def _work(results: Results, variant: str) -> dict[str, Any]:
    """Density and times by length; of the examples that ran alone where there are some."""
    columns: dict[str, Any] = {}
    records = [one for key, one in results.records.items() if key[1] == variant]
    for length in sorted({one["length"] for one in records}):
        here = [one for one in records if one["length"] == length]
        alone = [one for one in here if one["alone"]]
        timed = alone or here
        kinds = ("full", "select", "sparse")
        steps = {kind: sum(one["usage"][f"{kind}_steps"] for one in timed) for kind in kinds}
        seconds = {kind: sum(one["seconds"][kind] for one in timed) for kind in kinds}
        used = [one["sparse"]["density"] for one in here if one["sparse"]["used"]]
        columns[str(length)] = {
            "examples": len(timed),
            "alone": bool(alone),
            "prompt_tokens": _stats.mean([one["prompt_tokens"] for one in timed]),
            "steps": sum(steps.values()) / len(timed),
            "density": _stats.mean(used) if used else None,
            "seconds": sum(seconds.values()) / len(timed),
            **{
                f"{kind}_step_ms": 1000 * seconds[kind] / steps[kind] if steps[kind] else None
                for kind in kinds
            },
        }
    return columns
