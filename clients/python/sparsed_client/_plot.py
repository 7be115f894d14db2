"""Which step committed which position, as a picture. Needs matplotlib, the extra `plot`."""

from __future__ import annotations

import json
import pathlib
from typing import Any


def plot_trajectory(source: pathlib.Path, out: pathlib.Path) -> None:
    """Plots the `tokens` of a result, as `generate --json` here and of sparsedctl prints it with
    --token-confidences. The picture's format is that of the name's ending.
    Errors: ValueError (no such result in the file), OSError."""
    tokens = _tokens(source)
    # Here, since it takes a while: a bad file is refused at once.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    dots = axes.scatter(
        range(len(tokens)),
        [token["commit_step"] for token in tokens],
        c=[token["confidence"] for token in tokens],
        vmin=0,
        vmax=1,
        s=14,
    )
    axes.set_xlabel("position in the canvas")
    axes.set_ylabel("step that committed it")
    figure.colorbar(dots, label="confidence")
    # The same result gives the same file.
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


def _tokens(source: pathlib.Path) -> list[dict[str, Any]]:
    result = json.loads(source.read_text(encoding="utf-8"))
    tokens = result.get("tokens") if isinstance(result, dict) else None
    if not tokens:
        raise ValueError(f"{source}: no tokens; make it with --token-confidences --json")
    if not all({"commit_step", "confidence"} <= set(token) for token in tokens):
        raise ValueError(f"{source}: tokens without commit_step and confidence")
    return list(tokens)
