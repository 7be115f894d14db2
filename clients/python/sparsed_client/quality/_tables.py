"""The tables of a summary, as rows of text: for the terminal and for the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ._suites import COUNTING
from ._summary import EVERYTHING, NON_COUNTING

_DASH = "-"
_WORDS = ("variant", "task", "worst other task", "pattern", "domain", "kind")


@dataclasses.dataclass(frozen=True)
class Table:
    """Titles, the first of a column of words, the others of numbers."""

    title: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def overview(summary: Mapping[str, Any]) -> Table:
    """A row for each variant: scores, what is lost against its baseline, and what it costs."""
    rows = []
    for name, variant in summary["variants"].items():
        score = _get(variant, "scores", EVERYTHING, "all")
        lost = _get(variant, "differences", EVERYTHING, "all")
        costs = list(variant["work"].values())
        densities = [cost["density"] for cost in costs if cost["density"] is not None]
        rows.append(
            (
                name,
                _percent(score, "strict"),
                _percent(score, "partial"),
                _difference(lost, "strict"),
                _difference(lost, "partial"),
                f"{lost['worse']} / {lost['better']}" if lost else _DASH,
                p_value(lost["p"]) if lost else _DASH,
                f"{sum(densities) / len(densities):.3f}" if densities else _DASH,
                str(score["examples"]) if score else "0",
            )
        )
    titles = (
        "variant",
        "strict",
        "partial",
        "strict, points",
        "partial, points",
        "worse / better",
        "p",
        "density",
        "answers",
    )
    return Table("Variants, all tasks and lengths", titles, tuple(rows))


def apart(summary: Mapping[str, Any]) -> Table:
    """What a mean hides: the points lost in counting and in the rest, and in its worst task."""
    rows = []
    for name, variant in summary["variants"].items():
        lost = {
            row: columns["all"]
            for row, columns in variant.get("differences", {}).items()
            if "all" in columns
        }
        others = [task for task in summary["tasks"] if task in lost and task not in COUNTING]
        if lost:
            worst = min(others, key=lambda task: lost[task]["partial"]["difference"], default=None)
            rest = lost.get(NON_COUNTING, lost[EVERYTHING])
            groups = (rest, *(lost.get(task) for task in COUNTING))
            cells = (_difference(one, "partial") for one in groups)
            at_worst = _difference(lost[worst], "partial") if worst else _DASH
            rows.append((name, *cells, worst or _DASH, at_worst))
    titles = ("variant", NON_COUNTING, *COUNTING, "worst other task", "points")
    return Table("Partial credit, points against the baseline", titles, tuple(rows))


def scores(summary: Mapping[str, Any], metric: str) -> list[Table]:
    """For each variant: a row for each task, a column for each length."""
    columns = [*map(str, summary["lengths"]), "all"]
    tables = []
    for name, variant in summary["variants"].items():
        rows = []
        for row, cells in variant["scores"].items():
            lost = variant.get("differences", {}).get(row, {})
            shown = tuple(_with(cells.get(c), lost.get(c), metric) for c in columns)
            rows.append((row, *shown))
        against = f", points against {variant['against']}" if "differences" in variant else ""
        tables.append(Table(f"{name}: {metric} credit{against}", ("task", *columns), tuple(rows)))
    return tables


def likeness(summary: Mapping[str, Any]) -> Table:
    """How alike the answers of a variant and of its baseline are, by length."""
    rows = []
    for name, variant in summary["variants"].items():
        for length, one in variant.get("likeness", {}).items():
            rows.append(
                (
                    name,
                    length,
                    *(_share(one[key]) for key in ("same_answer", "same_tokens", "same_commits")),
                    _plain(one["order"]),
                    _share(one["diverged"]),
                    _plain(one["confidence_drift"]),
                )
            )
    titles = (
        "variant",
        "length",
        "same answer",
        "same tokens",
        "same commits",
        "order (tau)",
        "diverged at",
        "confidence drift",
    )
    return Table("Agreement with the baseline", titles, tuple(rows))


def work(summary: Mapping[str, Any]) -> Table:
    """Steps, density and times, by length."""
    rows = []
    for name, variant in summary["variants"].items():
        base = summary["variants"].get(variant["against"], {}).get("work", {})
        for length, one in variant["work"].items():
            other = base.get(length)
            fair = other is not None and other["alone"] == one["alone"] and one["seconds"] > 0
            rows.append(
                (
                    name,
                    length,
                    f"{one['steps']:.1f}",
                    _plain(one["density"]),
                    *(
                        _DASH if one[f"{kind}_step_ms"] is None else f"{one[f'{kind}_step_ms']:.2f}"
                        for kind in ("full", "select", "sparse")
                    ),
                    f"{one['seconds']:.3f}",
                    f"{other['seconds'] / one['seconds']:.2f}x" if fair else _DASH,
                    f"{one['examples']} {'alone' if one['alone'] else 'shared'}",
                )
            )
    titles = (
        "variant",
        "length",
        "steps",
        "density",
        "full step ms",
        "select step ms",
        "sparse step ms",
        "seconds in steps",
        "speedup",
        "timed",
    )
    return Table("Work", titles, tuple(rows))


def elsewhere(summary: Mapping[str, Any]) -> Table:
    """The time of each variant's steps over its baseline's, by measured step times; beside it the
    points of all tasks."""
    times = summary["step_times"]
    rows = []
    for name, variant in summary["variants"].items():
        lost = _get(variant, "differences", EVERYTHING, "all")
        if lost and times:
            shares = (f"{100 * share:.1f}%" for share in variant["elsewhere"])
            rows.append((name, *shares, _difference(lost, "partial")))
    titles = ("variant", *(f"at {one['context']:,} tokens" for one in times), "partial, points")
    names = ", ".join(dict.fromkeys(f"{one['model']} on {one['device']}" for one in times))
    return Table(f"Time in steps over the baseline's, as of {names}", titles, tuple(rows))


def p_value(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _get(variant: Mapping[str, Any], *path: str) -> Any:
    found: Any = variant
    for key in path:
        found = found.get(key) if found else None
    return found


def _percent(entry: Mapping[str, Any] | None, metric: str) -> str:
    return _DASH if entry is None else f"{100 * entry[metric]:.1f}%"


def _difference(entry: Mapping[str, Any] | None, metric: str) -> str:
    if entry is None:
        return _DASH
    one = entry[metric]
    numbers = (100 * one[key] for key in ("difference", "low", "high"))
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*numbers)


def _with(score: Mapping[str, Any] | None, lost: Mapping[str, Any] | None, metric: str) -> str:
    if score is None:
        return _DASH
    share = f"{100 * score[metric]:.1f}%"
    return share if lost is None else f"{share} ({100 * lost[metric]['difference']:+.1f})"


def _share(value: float | None) -> str:
    return _DASH if value is None else f"{100 * value:.1f}%"


def _plain(value: float | None) -> str:
    return _DASH if value is None else f"{value:.3f}"


def words(table: Table) -> Sequence[str]:
    """The titles of columns that are words."""
    return [title for title in table.titles if title in _WORDS]
