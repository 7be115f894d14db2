"""The report: one HTML page without scripts that fetches nothing."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from . import _svg, _tables
from ._summary import EVERYTHING

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 1.5rem auto; padding: 0 1rem;
  background: light-dark(#fff, #1b1b1b); color: light-dark(#222, #ddd); }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p, li { max-width: 56rem; } .note { color: light-dark(#666, #aaa); font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .3rem 0 1rem; font-variant-numeric: tabular-nums;
  font-size: .9rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .18rem .6rem; text-align: right; border-bottom: 1px solid
  light-dark(#e4e4e4, #383838); }
th { font-weight: 600; white-space: normal; vertical-align: bottom; }
td { white-space: nowrap; }
td.w, th.w { text-align: left; }
tr.sum td { font-weight: 600; }
svg { max-width: 100%; height: auto; display: block; margin: .6rem 0; }
code { font-size: .88em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }
dt { color: light-dark(#666, #aaa); } dd { margin: 0; }
"""

_MEANING = (
    ("strict", "the share of the answers in which everything asked for is right"),
    ("partial", "the mean share of what was asked for that an answer has"),
    ("all tasks", "the mean over tasks and lengths, each of which counts the same"),
    (
        "points",
        "the variant less its baseline on the same prompts, in percentage points, with the 95%"
        " interval of a bootstrap over the prompts of each task and length. Where no answer"
        " differs the interval has no width: that does not mean that nothing can be lost",
    ),
    (
        "worse / better",
        "prompts that only the baseline, or only the variant, answers strictly right; p is"
        " McNemar's exact test of whether the two are equally likely",
    ),
    (
        "agreement",
        "of the positions up to the later end of both answers: all tokens the same, the share of"
        " tokens, and of tokens that the same step committed; order is Kendall's tau-b of the"
        " committing steps; diverged at is the first step that committed something else, as a share"
        " of the steps, 100% if none; confidence drift is the mean distance of the confidences of"
        " equal commits",
    ),
    (
        "work",
        "alone: prompts that ran once more with nothing beside them, whose times compare. shared:"
        " steps were shared with other requests, whose time is in them",
    ),
)


def page(summary: Mapping[str, Any], extra: Sequence[tuple[str, str]] = ()) -> str:
    """The report of a summary. extra: titles and SVG of more plots, shown first."""
    settings = summary["settings"]
    title = f"Quality of {settings['model']['name']}: {settings['suite']} tasks"
    parts = [f"<h1>{html.escape(title)}</h1>", _facts(summary)]
    for name, plot in extra:
        parts += [f"<h2>{html.escape(name)}</h2>", plot]
    parts += ["<h2>Variants</h2>", table(_tables.overview(summary))]
    apart = _tables.apart(summary)
    parts += [table(apart), _options(summary)] if apart.rows else [_options(summary)]
    plots = [*differences(summary), *elsewhere(summary), *fronts(summary)]
    parts += ["<h2>Against the baseline</h2>", *plots] if plots else []
    for metric in ("partial", "strict"):
        parts.append(f"<h2>By task and length: {metric} credit</h2>")
        parts += [table(one) for one in _tables.scores(summary, metric)]
    if any("likeness" in variant for variant in summary["variants"].values()):
        parts += ["<h2>Agreement</h2>", table(_tables.likeness(summary))]
    parts += ["<h2>Work</h2>", table(_tables.work(summary))]
    if summary["step_times"]:
        parts.append(table(_tables.elsewhere(summary)))
    parts.append("<h2>What the words mean</h2><dl>")
    parts += [
        f"<dt>{html.escape(word)}</dt><dd>{html.escape(what)}</dd>" for word, what in _MEANING
    ]
    return document(title, [*parts, "</dl>"])


def document(title: str, parts: Sequence[str]) -> str:
    """A whole page. The title is text, the parts are HTML."""
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body>{body}</body></html>\n"
    )


def differences(summary: Mapping[str, Any]) -> list[str]:
    """The differences of all variants, of all tasks and of the counting ones."""
    plots = []
    for row, title in (
        (EVERYTHING, "Partial credit, all tasks"),
        ("all but cwe and fwe", "Partial credit, all tasks but cwe and fwe"),
        ("cwe", "Partial credit, cwe"),
        ("fwe", "Partial credit, fwe"),
    ):
        points = []
        for name, variant in summary["variants"].items():
            one = variant.get("differences", {}).get(row, {}).get("all")
            if one:
                points.append(point(name, 0, one["partial"]))
        if points:
            plots.append(_svg.forest(title, points, "points against the baseline, 95% interval"))
    return plots


def fronts(summary: Mapping[str, Any]) -> list[str]:
    """What is lost over the time of a request's steps, for each length with more than a variant and
    its baseline."""
    plots = []
    for length in map(str, summary["lengths"]):
        points = []
        alone = set()
        for name, variant in summary["variants"].items():
            work = variant["work"].get(length)
            baseline = summary["variants"].get(variant["against"])
            one = variant.get("differences", {}).get(EVERYTHING, {}).get(length)
            if not work or (variant["against"] and not one):
                continue
            base = baseline["work"].get(length) if baseline else work
            if not base or not base["seconds"]:
                continue
            alone.add(work["alone"] and base["alone"])
            relative = work["seconds"] / base["seconds"]
            zero = {"difference": 0.0, "low": 0.0, "high": 0.0}
            points.append(point(name, relative, one["partial"] if one else zero))
        if len(points) > 1:
            how = "alone" if alone == {True} else "steps shared with others"
            plots.append(
                _svg.front(
                    f"{length} tokens: time against loss",
                    points,
                    f"time in steps over the baseline's ({how})",
                    "partial credit, points",
                )
            )
    return plots


def elsewhere(summary: Mapping[str, Any]) -> list[str]:
    """What all tasks lose over the time of the steps by measured step times, for each of these."""
    plots = []
    for number, times in enumerate(summary["step_times"]):
        points = [_svg.Point("baseline", 1.0, 0.0, 0.0, 0.0)]
        for name, variant in summary["variants"].items():
            one = variant.get("differences", {}).get(EVERYTHING, {}).get("all")
            if one:
                points.append(point(name, variant["elsewhere"][number], one["partial"]))
        plots.append(
            _svg.front(
                f"{times['model']} at {times['context']:,} tokens on {times['device']}: time"
                " against loss",
                points,
                "time in steps over the baseline's",
                "partial credit, points",
            )
        )
    return plots


def point(label: str, x: float, one: Mapping[str, float]) -> _svg.Point:
    """A difference in percentage points."""
    return _svg.Point(label, x, *(100 * one[key] for key in ("difference", "low", "high")))


def _facts(summary: Mapping[str, Any]) -> str:
    settings = summary["settings"]
    model, server = settings["model"], settings["server"]
    lengths = ", ".join(map(str, summary["lengths"]))
    facts = (
        f"{model['name']} ({model['family']}, {model['parameters'] / 1e6:.1f} M parameters,"
        f" {model['weights']} weights) on {server['device']}; sparsed {server['version']}"
        f" ({server['commit']}); {settings['date']}; suite {settings['suite']}, seed"
        f" {settings['seed']}; lengths {lengths}; {summary['resamples']} resamples"
    )
    return f'<p class="note">{html.escape(facts)}</p>'


def _options(summary: Mapping[str, Any]) -> str:
    items = []
    for name, variant in summary["variants"].items():
        options = json.dumps(variant["options"])
        against = f" against {variant['against']}" if variant["against"] else ""
        items.append(
            f"<dt>{html.escape(name + against)}</dt><dd><code>{html.escape(options)}</code></dd>"
        )
    return "<dl>" + "".join(items) + "</dl>"


def table(one: _tables.Table) -> str:
    """As HTML."""
    texts = _tables.words(one)

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=w' if title in texts else ''}>{html.escape(cell)}</{tag}>"
            for title, cell in zip(one.titles, cells)
        )

    rows = "".join(
        f"<tr{' class=sum' if row[0].startswith('all ') else ''}>{line('td', row)}</tr>"
        for row in one.rows
    )
    return (
        f'<div class="wide"><table><caption>{html.escape(one.title)}</caption>'
        f"<thead><tr>{line('th', one.titles)}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
