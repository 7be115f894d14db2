"""Pictures of what the server returns, as figures of matplotlib: needs the extra `plot`.

`trajectory(result).savefig("result.svg")`, or as a notebook's last line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ._masks import HeadPattern, Masks
from ._types import Result, TokenDetail

# The colours of the report of sparsedctl masks. A kept block is seen even where it has no mass.
_PAPER, _KEPT, _KEPT_LEAST, _DROPPED = "#fafaf8", "#005288", "#bbd0dc", "#d55e00"
_KEPT_COLOURS = LinearSegmentedColormap.from_list("kept", [_KEPT_LEAST, _KEPT])
_DROPPED_COLOURS = LinearSegmentedColormap.from_list("dropped", [_PAPER, _DROPPED])
# Of the share of a row: most blocks have little, and would not be seen on a linear scale.
_SHARE_TICKS = (0, 0.01, 0.1, 0.3, 1)
_LINE = {"linewidth": 1.2, "marker": "o", "markersize": 3.5}


def trajectory(source: Result | Sequence[TokenDetail], steps: int | None = None) -> Figure:
    """Which step committed which position, and how sure the model was. The result must have been
    asked for with token_confidences; of tokens alone, steps is how many steps were done.
    Errors: ValueError."""
    if isinstance(source, Result):
        steps, source = source.steps, source.tokens
    if not source:
        raise ValueError("no tokens: ask with token_confidences=True")
    # What a text that ended early left out has a step that was never done.
    done = [
        (position, token)
        for position, token in enumerate(source)
        if steps is None or token.commit_step < steps
    ]
    last = max((token.commit_step for _, token in done), default=0)
    confidences = [token.confidence for _, token in done]
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    # Marks as large as their place allows, that stay apart.
    side = min(430 / len(source), 220 / (last + 1), 9)
    marks = axes.scatter(
        [position for position, _ in done],
        [token.commit_step for _, token in done],
        c=confidences,
        cmap="viridis_r",
        # Probabilities, but for some rules of remasking: entropy's are below zero.
        vmin=min([0.0, *confidences]),
        vmax=max([1.0, *confidences]),
        s=max(side, 2) ** 2,
        marker="s",
        linewidths=0,
    )
    left_out = sorted(set(range(len(source))) - {position for position, _ in done})
    if left_out:
        axes.axvspan(left_out[0] - 0.5, len(source), color="0.95", linewidth=0)
        axes.text(
            (left_out[0] + len(source)) / 2, last / 2, "not computed", color="0.4", ha="center"
        )
    axes.set_xlim(-1, len(source))
    axes.set_ylim(last + 1, -1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("position in the canvas (tokens)")
    axes.set_ylabel("step that committed it")
    figure.colorbar(marks, label="confidence when committed")
    figure.suptitle(f"{len(done)} tokens in {last + 1} steps")
    return figure


def masks(source: Masks, step: int | None = None) -> Figure:
    """The pattern that a step selects, by layer and head, and over the inspected steps its recall
    and similarity. Default: the step that selects the pattern in use. Errors: ValueError."""
    if not source.steps:
        raise ValueError("no step was inspected")
    if step is None:
        step = source.select_step if source.select_step in source.steps else source.steps[-1]
    heads = source.of_step(step)
    rows, columns = len(source.layers), len(source.heads)
    side = 0.85
    figure = Figure(
        figsize=(max(columns * side, 3) + 5.2, max(rows * side + 1.6, 5.6)), layout="constrained"
    )
    parts: Any = figure.subfigures(1, 2, width_ratios=(max(columns * side, 3) + 1, 4.2))
    grid, panels = parts
    figure.suptitle(
        f"Blocks kept by SparseD: {source.result.model}, {source.blocks} blocks of"
        f" {source.block_size} tokens, {heads[0].kind} step {step} (dotted: the canvas begins)",
        fontsize=11,
    )
    _patterns(grid, source, heads)
    axes = iter(panels.subplots(3))
    for draw in (_recall, _similarity, _by_head):
        draw(axes, source, step)
    for unused in axes:
        unused.remove()
    return figure


def _patterns(figure: Any, source: Masks, heads: Sequence[HeadPattern]) -> None:
    rows, columns = len(source.layers), len(source.heads)
    all_axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for index, (head, axes) in enumerate(zip(heads, all_axes.flat)):
        axes.imshow(_picture(head, source.block_size), interpolation="nearest")
        # Where the canvas begins.
        for line in (axes.axhline, axes.axvline):
            line(source.first_canvas_block - 0.5, color="0.35", linewidth=0.5, linestyle=":")
        axes.set_xticks([0, source.blocks - 1])
        axes.set_yticks([0, source.blocks - 1])
        axes.tick_params(labelsize=6, length=2, pad=1, color="0.7")
        for spine in axes.spines.values():
            spine.set(color="0.7", linewidth=0.5)
        if index < columns:
            axes.set_title(f"head {head.head}", fontsize=8, pad=2)
        if index % columns == 0:
            axes.set_ylabel(f"layer {head.layer}\nquery block", fontsize=7, labelpad=2)
        if index >= columns * (rows - 1):
            axes.set_xlabel("key block", fontsize=7, labelpad=2)
    if not heads[0].importance:
        figure.supxlabel("blue: kept", fontsize=8)
        return
    norm = PowerNorm(0.5, vmin=0, vmax=1)
    for colours, word in ((_DROPPED_COLOURS, "dropped"), (_KEPT_COLOURS, "kept")):
        bar = figure.colorbar(
            ScalarMappable(norm, colours),
            ax=all_axes,
            location="bottom",
            aspect=45,
            pad=0.015,
            ticks=_SHARE_TICKS,
        )
        bar.ax.set_xticklabels([f"{share:.0%}" for share in _SHARE_TICKS], fontsize=7)
        bar.set_label(f"{word}: share of the query block's attention", fontsize=8)


def _picture(head: HeadPattern, block_size: int) -> Any:
    """[n, n, 4]: kept blocks blue, dropped ones orange, by their share of the row."""
    kept = np.frombuffer(head.kept, bool).reshape(head.blocks, head.blocks)
    if head.importance:
        share = np.asarray(head.importance).reshape(kept.shape) * block_size
        shade = np.sqrt(np.clip(share, 0, 1))
    else:
        shade = kept.astype(float)
    return np.where(kept[..., None], _KEPT_COLOURS(shade), _DROPPED_COLOURS(shade))


# The panels: each takes the next axes where it has something to show.


def _recall(panels: Iterator[Any], source: Masks, step: int) -> None:
    summaries = source.summaries()
    if all(one.fresh_recall is None for one in summaries):
        return
    axes = next(panels)
    lines = [
        ("if selected at that step", _DROPPED, "fresh_recall"),
        ("pattern in use, mean of the heads", _KEPT, "recall"),
        ("pattern in use, worst head", "0.55", "least_recall"),
    ]
    if len(source.of_step(step)) == 1:
        lines = [lines[0], ("pattern in use", _KEPT, "recall")]
    for label, colour, name in lines:
        values = [getattr(one, name) for one in summaries]
        points = [(one.step, value) for one, value in zip(summaries, values) if value is not None]
        if points:
            axes.plot(*zip(*points), color=colour, label=label, **_LINE)
    axes.set_ylim(0, 1.02)
    axes.grid(color="0.92")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xticks(source.steps)
    axes.tick_params(labelsize=8)
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel("attention covered", fontsize=8)
    axes.set_title("Recall", fontsize=9)
    axes.legend(fontsize=7, loc="lower left", frameon=False)


def _similarity(panels: Iterator[Any], source: Masks, step: int) -> None:
    if len(source.steps) < 2:
        return
    axes = next(panels)
    values = [[source.similarity(a, b) for b in source.steps] for a in source.steps]
    names = [str(one) for one in source.steps]
    _heat(axes, values, names, names, "Jaccard index")
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel("step", fontsize=8)
    axes.set_title("Similarity of the steps' patterns", fontsize=9)


def _by_head(panels: Iterator[Any], source: Masks, step: int) -> None:
    """The recall of the pattern in use where it has been longest in use, else of the step's own."""
    used = source.select_step is not None and source.steps[-1] >= source.select_step
    at = source.steps[-1] if used else step
    shares = [one.recall if used else one.fresh_recall for one in source.of_step(at)]
    if any(share is None for share in shares):
        return
    axes = next(panels)
    values = np.array(shares, float).reshape(len(source.layers), len(source.heads))
    names = [str(one) for one in source.heads], [str(one) for one in source.layers]
    _heat(axes, values.tolist(), *names, "attention covered")
    axes.set_xlabel("head", fontsize=8)
    axes.set_ylabel("layer", fontsize=8)
    axes.set_title(f"Recall by head at step {at}", fontsize=9)


def _heat(
    axes: Any, values: list[list[float]], columns: list[str], rows: list[str], label: str
) -> None:
    """Shares on one scale, whatever they are; with their numbers where there is room."""
    image = axes.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for axis, names in ((axes.xaxis, columns), (axes.yaxis, rows)):
        # Not more names than can be read.
        every = math.ceil(len(names) / 12)
        axis.set_ticks(range(0, len(names), every), names[::every], fontsize=8)
    if len(rows) * len(columns) <= 80:
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                colour = "black" if value > 0.6 else "white"
                axes.text(
                    x, y, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=6.5
                )
    bar = axes.figure.colorbar(image, ax=axes)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, fontsize=8)
