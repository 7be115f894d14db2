"""Table, plot and page of a likelihood."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from . import _page, _svg, _tables


def table(summary: Mapping[str, Any]) -> _tables.Table:
    """A row for each variant."""
    times = summary["step_times"]
    rows = []
    for name, one in summary["variants"].items():
        lost, drift = one.get("difference"), one.get("drift")
        shares = one.get("elsewhere", [])
        rows.append(
            (
                name,
                f"{one['nats']:.4f}",
                f"{one['perplexity']:.2f}",
                f"{lost['nats']:+.4f} [{lost['low']:+.4f}, {lost['high']:+.4f}]" if lost else "-",
                f"{drift['mean']:.4f}" if drift else "-",
                f"{drift['p99']:.3f}" if drift else "-",
                "-" if one["density"] is None else f"{one['density']:.3f}",
                f"{one['tokens']:,}",
                *((f"{100 * share:.1f}%" for share in shares) if shares else "-" * len(times)),
            )
        )
    titles = (
        "variant",
        "nats a token",
        "perplexity",
        "nats against the baseline",
        "drift",
        "p99",
        "density",
        "tokens",
        *(f"time at {one['context']:,}" for one in times),
    )
    return _tables.Table("Likelihood of the given tokens", titles, tuple(rows))


def plots(summary: Mapping[str, Any]) -> dict[str, str]:
    """The difference of every variant, and the drift over the steps, as SVG by name."""
    losses, drifts = [], []
    for name, one in summary["variants"].items():
        if lost := one.get("difference"):
            losses.append(_svg.Point(name, 0, *(1000 * lost[key] for key in ("nats", "low", "high"))))
        if drift := one.get("drift"):
            points = [
                _svg.Point(f"{25 * at} to {25 * at + 25}%", at, *[value] * 3)
                for at, value in enumerate(drift["quarters"])
                if value is not None
            ]
            drifts.append((name, points))
    drawn = {}
    if losses:
        drawn["loss"] = _svg.forest(
            "Likelihood", losses, "thousandths of a nat a token against the baseline, 95% interval"
        )
    if drifts:
        drawn["drift"] = _svg.lines(
            "Drift of the log-probabilities", drifts, "share of the steps", "mean distance, nats"
        )
    return drawn


def page(summary: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    """As one file of HTML."""
    settings = summary["settings"]
    title = f"Likelihood by {settings['model']['name']}: {settings['suite']}"
    note = (
        "Tokens of a text are given: each step commits one or more of them at random positions. Less"
        " nats are better. Drift is the mean distance of the log-probabilities of a token under the"
        " same canvas; p99 the distance that one in a hundred exceeds."
    )
    parts = [f"<h1>{html.escape(title)}</h1>", f'<p class="note">{html.escape(note)}</p>']
    return _page.document(title, [*parts, _page.table(table(summary)), *drawn.values()])
