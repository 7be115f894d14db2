"""Tables, plots and the page of a summary of patterns."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from . import _svg
from ._page import document, point, table
from ._patterns import OWN, PATTERNS
from ._stats import mean
from ._tables import Table

_ABOUT = (
    "Prompts of the same length in tokens, several of each domain, were inspected. At the step that"
    " selects, each head of each layer has a pattern: the blocks of its attention that it keeps."
    " Recall is the share of the full attention's mass in the blocks that are kept; overlap the"
    " Jaccard index of two patterns, blocks in both over blocks in either."
)


def tables(summary: Mapping[str, Any]) -> list[Table]:
    """By kind of pattern, by layer, by step and by domain."""
    return [_recalls(summary), _layers(summary), _steps(summary), _domains(summary)]


def _recalls(summary: Mapping[str, Any]) -> Table:
    everywhere, canvas = (summary["recalls"][rows] for rows in ("all", "canvas"))
    rows = [
        (
            kind,
            f"{everywhere[kind]['recall']:.3f}",
            _distance(kind, everywhere),
            f"{canvas[kind]['recall']:.3f}",
            _distance(kind, canvas),
            str(everywhere[kind]["prompts"]),
        )
        for kind in PATTERNS
        if kind in everywhere
    ]
    titles = ("pattern", "recall", "points", "recall, canvas", "points, canvas", "prompts")
    return Table("What a pattern of the same size covers", titles, tuple(rows))


def _distance(kind: str, entries: Mapping[str, Any]) -> str:
    if kind == OWN:
        return "-"
    numbers = (100 * entries[kind][key] for key in ("difference", "low", "high"))
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*numbers)


def _layers(summary: Mapping[str, Any]) -> Table:
    heads = summary["by_head"]
    rows = []
    for layer, (recalls, overlaps, densities) in enumerate(
        zip(heads["recall"], heads["overlap"], heads["density"])
    ):
        least = min(range(len(recalls)), key=recalls.__getitem__)
        rows.append(
            (
                str(layer),
                f"{mean(recalls):.3f}",
                f"{recalls[least]:.3f}",
                str(least),
                f"{max(recalls):.3f}",
                f"{mean(overlaps):.3f}",
                f"{mean(densities):.3f}",
            )
        )
    titles = ("layer", "recall", "least", "of head", "most", "overlap of its heads", "density")
    return Table("Heads by layer, at the step that selects", titles, tuple(rows))


def _steps(summary: Mapping[str, Any]) -> Table:
    rows = [
        (
            str(one["step"]),
            one["kind"],
            f"{one['overlap']:.3f}",
            f"{min(one['overlap_by_layer']):.3f}",
            *("-" if one[key] is None else f"{one[key]:.3f}" for key in ("recall", "fresh_recall")),
        )
        for one in summary["by_step"]
    ]
    titles = (
        "step",
        "kind",
        "overlap with the pattern in use",
        "least of a layer",
        "recall",
        "if selected here",
    )
    return Table("Steps", titles, tuple(rows))


def _domains(summary: Mapping[str, Any]) -> Table:
    found = summary["recall_by_domain"]
    rows = [
        (name, f"{own:.3f}", *("-" if one is None else f"{one:.3f}" for one in row))
        for name, own, row in zip(summary["domains"], found["own"], found["of"])
    ]
    titles = ("domain", "own pattern", *(f"of {name}" for name in summary["domains"]))
    return Table("Recall with the pattern of another prompt, by domain", titles, tuple(rows))


def plots(summary: Mapping[str, Any]) -> dict[str, str]:
    """SVG by name."""
    layers = [f"layer {number}" for number in range(summary["layers"])]
    heads = [str(number) for number in range(summary["heads"])]
    steps = summary["by_step"]
    domains = summary["domains"]
    by_head = summary["by_head"]
    drawn = {
        "recall": _forest(summary),
        "heads": _svg.heat(
            "Recall of a head's own pattern", layers, heads, by_head["recall"], "head", "layer"
        ),
        "heads-overlap": _svg.heat(
            "Overlap of a head's pattern with those of its layer's other heads"
            f" ({summary['overlap_by_chance']:.3f} by chance)",
            layers,
            heads,
            by_head["overlap"],
            "head",
            "layer",
        ),
        "steps-overlap": _svg.heat(
            "Overlap of what a step selects with the pattern in use",
            layers,
            [str(one["step"]) for one in steps],
            list(zip(*(one["overlap_by_layer"] for one in steps))),
            "step",
            "layer",
        ),
        "steps-recall": _over_steps(steps),
    }
    if any(value is not None for row in summary["overlaps"] for value in row):
        drawn["domains-recall"] = _svg.heat(
            "Recall with the pattern of another prompt",
            domains,
            domains,
            summary["recall_by_domain"]["of"],
            "pattern of",
            "used on",
        )
        drawn["domains-overlap"] = _svg.heat(
            "Overlap of the patterns of two prompts",
            domains,
            domains,
            summary["overlaps"],
            "domain",
            "domain",
        )
    return {name: plot for name, plot in drawn.items() if plot}


def _forest(summary: Mapping[str, Any]) -> str:
    rows = [point(kind, 0, one) for kind, one in summary["recalls"]["all"].items() if kind != OWN]
    return _svg.forest(
        "Recall of patterns of the same size, against a head's own",
        rows,
        "points against its own, 95% interval",
    )


def _over_steps(steps: Sequence[Mapping[str, Any]]) -> str:
    """Empty where the rule's scale leaves recalls out."""
    series = []
    for name, key in (("pattern in use", "recall"), ("if selected here", "fresh_recall")):
        points = []
        for number, one in enumerate(steps):
            if one[key] is not None:
                y = 100 * one[key]
                points.append(_svg.Point(str(one["step"]), number, y, y, y))
        if points:
            series.append((name, points))
    if not series:
        return ""
    return _svg.lines("Recall by step", series, "step", "of the attention", in_percent=True)


def page(summary: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    """The report. drawn: as `plots` gives them."""
    settings = summary["settings"]
    model, server = settings["model"], settings["server"]
    title = f"Patterns of {model['name']}"
    facts = (
        f"{model['name']} ({model['family']}, {model['parameters'] / 1e6:.1f} M parameters) on"
        f" {server['device']}; sparsed {server['version']} ({server['commit']});"
        f" {settings['date']}; {summary['prompts']} prompts of {settings['prompt_tokens']} tokens;"
        f" {summary['blocks']} blocks of {summary['block_size']} tokens, density"
        f" {summary['density']:.3f}; options {json.dumps(settings['options'])}; seed"
        f" {settings['seed']}; {summary['resamples']} resamples"
    )
    by_kind, by_layer, by_step, by_domain = map(table, tables(summary))
    parts = [f"<h1>{html.escape(title)}</h1>", f'<p class="note">{html.escape(facts)}</p>']
    parts += [f"<p>{html.escape(_ABOUT)}</p>"]
    for heading, text, names in (
        ("Whose pattern", by_kind, ("recall",)),
        ("Heads", by_layer, ("heads", "heads-overlap")),
        ("Steps", by_step, ("steps-overlap", "steps-recall")),
        ("Prompts and domains", by_domain, ("domains-recall", "domains-overlap")),
    ):
        parts += [f"<h2>{heading}</h2>", text, *(drawn[name] for name in names if name in drawn)]
    parts.append("<h2>The patterns</h2><dl>")
    parts += [
        f"<dt>{html.escape(kind)}</dt><dd>{html.escape(what)}</dd>"
        for kind, what in PATTERNS.items()
    ]
    return document(title, [*parts, "</dl>"])
