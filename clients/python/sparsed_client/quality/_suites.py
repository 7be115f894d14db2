"""The suites by name, and what their requests have in common unless variants say otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ._nano import NANO
from ._ruler import RULER
from ._task import SHORT_LENGTH, Task
from ._variants import Options

# Counting falls first and would hide in an average.
COUNTING = ("cwe", "fwe")


@dataclasses.dataclass(frozen=True)
class Suite:
    """prefix: whether answers begin with the task's first words. options: of every request that
    does not say otherwise; block_length 0 is the whole canvas."""

    name: str
    tasks: tuple[Task, ...]
    lengths: tuple[int, ...]
    prefix: bool
    options: Options

    def chosen(self, names: Sequence[str]) -> list[Task]:
        """The tasks of these names; all of them without one. Errors: ValueError."""
        known = [task.name for task in self.tasks]
        for name in names:
            if name not in known:
                raise ValueError(f"task {name!r} is none of {', '.join(known)}")
        return [task for task in self.tasks if not names or task.name in names]

    def cells(self, names: Sequence[str], lengths: Sequence[int]) -> list[tuple[Task, int]]:
        """Tasks and the lengths that they come in: short ones in their own alone."""
        return [
            (task, length)
            for length in lengths
            for task in self.chosen(names)
            if task.scales == (length > SHORT_LENGTH)
        ]


SUITES = {
    suite.name: suite
    for suite in (
        # One decoding block, a token a step: as SparseD was evaluated.
        Suite("ruler", RULER, (4096, 8192), True, {"steps_per_token": 1, "block_length": 0}),
        # As nano's held-out evaluation.
        Suite("nano", NANO, (128, 1024), False, {"steps_per_token": 0.5, "block_length": 32}),
    )
}
