"""The founding experiments: sets of variants that change one thing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import _svg
from ._page import differences, elsewhere, point
from ._page import fronts as fronts_of
from ._summary import EVERYTHING, NON_COUNTING
from ._variants import Variant

_FULL = Variant("full", {"sparse": "off"})
_SPARSED = {"sparse": "sparsed", "skip": 0.2, "select": 0.3}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """what: the x axis. values: what it takes. of: the variants of one value. whole_canvas: its
    answers are as long as its largest value, in one decoding block. by_length: x is the length.
    ordered: there is an x axis; otherwise time is it."""

    name: str
    title: str
    what: str
    values: tuple[Any, ...]
    of: Callable[[Any], list[Variant]]
    whole_canvas: bool = False
    by_length: bool = False
    ordered: bool = True

    def variants(self, values: Sequence[Any]) -> list[Variant]:
        """Full attention and those of all values. Errors: ValueError."""
        found: dict[str, Variant] = {} if self.whole_canvas else {"full": _FULL}
        for value in values:
            found.update({variant.name: variant for variant in self.of(value)})
        return list(found.values())

    def gen_length(self, values: Sequence[Any]) -> int | None:
        return max(values) if self.whole_canvas else None


def _front() -> dict[str, dict[str, Any]]:
    """By name: plain SparseD, without its full steps, refreshes, the switch by overlap, a floor for
    the recall, budgets."""
    later = {"skip": 0.0, "refresh_until": 1.0}
    kinds: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
        "plain": ((10, 20, 30, 50), {"skip": 0.2}),
        "start": ((20, 30), {"skip": 0.0}),
        "early": ((20,), {"skip": 0.0, "refresh_every": 2}),
        "every-4": ((10, 20), {**later, "refresh_every": 4}),
        "every-8": ((10, 20, 30), {**later, "refresh_every": 8}),
        "every-16": ((20,), {**later, "refresh_every": 16}),
        "switch": ((20, 30), {"skip": 0.5, "switch_overlap": 0.95}),
        "floor": ((20,), {"skip": 0.0, "recall_every": 4, "recall_floor": 0.9}),
        "mass": ((10, 20, 30), {"skip": 0.2, "budgets": "by_mass"}),
        "mass-every-8": ((10, 20), {**later, "refresh_every": 8, "budgets": "by_mass"}),
    }
    return {
        f"{kind}-{percent}": {**options, "select": percent / 100}
        for kind, (percents, options) in kinds.items()
        for percent in percents
    }


_FRONT = _front()


def _one(name: str, **options: Any) -> list[Variant]:
    return [Variant(name, {**_SPARSED, **options}, "full")]


def _steps(count: int) -> list[Variant]:
    common = {"steps": count, "block_length": 0}
    return [
        Variant(f"full-{count}", {"sparse": "off", **common}),
        Variant(f"sparsed-{count}", {**_SPARSED, **common}, f"full-{count}"),
    ]


EXPERIMENTS = {
    one.name: one
    for one in (
        Experiment(
            "baseline",
            "SparseD against full attention",
            "length in tokens",
            ("sparsed",),
            lambda name: _one(name),
            by_length=True,
        ),
        Experiment(
            "switch",
            "When to switch to sparse attention",
            "skip: share of the steps in full attention",
            (0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
            lambda skip: _one(f"skip-{skip:g}", skip=skip),
        ),
        Experiment(
            "select",
            "How much to keep",
            "select: share of the key blocks kept",
            (0.05, 0.1, 0.2, 0.3, 0.4, 0.5),
            lambda select: _one(f"select-{select:g}", select=select),
        ),
        Experiment(
            "block",
            "The size of a block",
            "block_size: side of a block in tokens",
            (32, 64, 128),
            lambda side: _one(f"block-{side}", block_size=side),
        ),
        Experiment(
            "scale",
            "The scale of the scores that select",
            "scale: what scores are divided by when blocks are chosen",
            ("head_dim", "n_heads"),
            lambda scale: _one(f"scale-{scale}", scale=scale),
        ),
        Experiment(
            "isolated",
            "Prompt and canvas ranked apart, or together",
            "isolated",
            ("true", "false"),
            lambda value: _one(f"isolated-{value}", isolated=value == "true"),
        ),
        Experiment(
            "front",
            "Time against loss: SparseD, and what adapts",
            "variant",
            tuple(_FRONT),
            lambda name: [Variant(name, {"sparse": "sparsed", **_FRONT[name]}, "full")],
            ordered=False,
        ),
        Experiment(
            "presets",
            "The presets",
            "preset",
            ("balanced", "fast"),
            lambda name: [Variant(name, {"sparse": "sparsed", "preset": name}, "full")],
            ordered=False,
        ),
        Experiment(
            "steps",
            "The number of steps",
            "steps, of a canvas as long as the most steps",
            (16, 32, 64, 128, 256, 512, 1024),
            _steps,
            whole_canvas=True,
        ),
    )
}


def plots(
    experiment: Experiment, values: Sequence[Any], summary: Mapping[str, Any]
) -> dict[str, str]:
    """Loss and time over the experiment's values, or over the length, as SVG by name. Without order:
    the losses, and over time by the given step times or at the longest length."""
    if not experiment.ordered:
        fronts = elsewhere(summary) or fronts_of(summary)[-1:]
        drawn = {"loss": plot for plot in differences(summary)[:1]}
        return drawn | {f"front-{number}": plot for number, plot in enumerate(fronts, 1)}
    x_of: list[tuple[float, str, str, str]] = []
    if experiment.by_length:
        variant = experiment.of(experiment.values[0])[0]
        for number, length in enumerate(summary["lengths"]):
            x_of.append((number, str(length), variant.name, str(length)))
    else:
        for number, value in enumerate(values):
            name = experiment.of(value)[-1].name
            label = f"{value:g}" if isinstance(value, (int, float)) else str(value)
            x_of.append((number, label, name, "all"))
    drawn = {"loss": _losses(experiment, x_of, summary)}
    if experiment.whole_canvas:
        drawn["accuracy"] = _accuracies(experiment, values, summary)
    drawn["time"] = _times(experiment, x_of, summary)
    return {name: plot for name, plot in drawn.items() if plot}


def _losses(
    experiment: Experiment, x_of: Sequence[tuple[float, str, str, str]], summary: Mapping[str, Any]
) -> str:
    # Without counting tasks there is one row, of all.
    rows = (NON_COUNTING, "cwe", "fwe") if _has(summary, NON_COUNTING) else (EVERYTHING,)
    series = []
    for row in rows:
        points = [
            point(label, x, one["partial"])
            for x, label, name, column in x_of
            if (one := summary["variants"][name].get("differences", {}).get(row, {}).get(column))
        ]
        if points:
            series.append((row, points))
    if not series:
        return ""
    return _svg.lines(
        f"{experiment.title}: loss", series, experiment.what, "partial credit, points"
    )


def _has(summary: Mapping[str, Any], row: str) -> bool:
    return any(row in variant["scores"] for variant in summary["variants"].values())


def _accuracies(experiment: Experiment, values: Sequence[Any], summary: Mapping[str, Any]) -> str:
    series: dict[str, list[_svg.Point]] = {}
    for number, value in enumerate(values):
        for variant in experiment.of(value):
            one = summary["variants"][variant.name]["scores"].get(EVERYTHING, {}).get("all")
            if one:
                y = 100 * one["partial"]
                name = variant.name.rpartition("-")[0]
                series.setdefault(name, []).append(_svg.Point(str(value), number, y, y, y))
    if not series:
        return ""
    return _svg.lines(
        f"{experiment.title}: accuracy",
        list(series.items()),
        experiment.what,
        "partial credit",
        in_percent=True,
    )


def _times(
    experiment: Experiment, x_of: Sequence[tuple[float, str, str, str]], summary: Mapping[str, Any]
) -> str:
    """Time in steps over the baseline's, by length."""
    variants = summary["variants"]
    series = []
    for length in map(str, summary["lengths"]):
        points = []
        for x, label, name, column in x_of:
            if column not in ("all", length):
                continue
            mine = variants[name]["work"].get(length)
            base = variants[variants[name]["against"]]["work"].get(length)
            if mine and base and base["seconds"] and mine["alone"] == base["alone"]:
                y = 100 * mine["seconds"] / base["seconds"]
                points.append(_svg.Point(label, x, y, y, y))
        if points:
            series.append((f"{length} tokens", points))
    if not series:
        return ""
    if experiment.by_length:
        series = [("time", [points[0] for _, points in series])]
    return _svg.lines(
        f"{experiment.title}: time in steps",
        series,
        experiment.what,
        "of the baseline's",
        in_percent=True,
    )
