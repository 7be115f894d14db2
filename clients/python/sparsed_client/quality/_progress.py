"""How far a run is, on the terminal: with rich a bar, without it a line."""

from __future__ import annotations

import collections
import sys
import time
from typing import Any

_EVERY_SECONDS = 0.2


class Progress:
    """Shows nothing where standard error is no terminal. Use it in a `with` block."""

    def __init__(self) -> None:
        self._right: dict[str, list[float]] = collections.defaultdict(list)
        self._shown = 0.0
        self._bar: Any = None
        self._task: Any = None
        self._live = sys.stderr.isatty()
        if not self._live:
            return
        try:
            from rich import progress
            from rich.console import Console
        except ModuleNotFoundError:
            return
        self._bar = progress.Progress(
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.description}"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._live:
            print(file=sys.stderr)

    def on_done(self, done: int, total: int, record: dict[str, Any] | None) -> None:
        """As _run.OnDone."""
        if record is not None:
            self._right[record["variant"]].append(record["partial"])
        now = time.monotonic()
        if not self._live or (now - self._shown < _EVERY_SECONDS and done < total):
            return
        self._shown = now
        scores = "  ".join(
            f"{name} {100 * sum(one) / len(one):.0f}%"
            for name, one in list(self._right.items())[:4]
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, description=scores)
        else:
            print(f"\r\x1b[K{done} of {total}  {scores}", end="", file=sys.stderr, flush=True)
