"""The canvas denoising, on a terminal. Needs rich, the extra `live`."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ._client import Stream
from ._terminal import printable
from ._types import Accepted, Frame, Progress, Result

_MASK = "\u2591"


def show(stream: Stream, console: Console) -> Result | None:
    """Shows the frames of a stream in place until it ends, then leaves nothing behind."""
    step, steps, canvas = 0, 0, Text()
    with stream, Live(console=console, refresh_per_second=20, transient=True) as live:
        for event in stream:
            if isinstance(event, Accepted):
                steps = event.planned_steps
            elif isinstance(event, Progress):
                step, steps = event.step, event.steps
            elif isinstance(event, Frame):
                step, canvas = event.step, paint(event.text)
            foot = Table.grid(padding=(0, 1))
            foot.add_row(
                ProgressBar(total=max(steps, 1), completed=step, width=40),
                Text(f"step {step} of {steps}", style="dim"),
            )
            live.update(Group(canvas, foot))
    return stream.result


def paint(text: str) -> Text:
    """The canvas, its masks dimmed."""
    painted = Text()
    for character in printable(text):
        painted.append(character, style="dim" if character == _MASK else "")
    return painted
