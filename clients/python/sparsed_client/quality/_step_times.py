"""What a request's steps would take with another model and length, from measured step times."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class StepTimes:
    """Seconds of the steps of one model at one length."""

    model: str
    device: str
    context: int
    full: float
    select: float
    sparse: tuple[tuple[float, float], ...]
    """Density and seconds, by ascending density; at least one, the last below density 1."""

    def of(self, record: Mapping[str, Any]) -> float:
        """All steps of an answer, at the density of its pattern."""
        usage = record["usage"]
        seconds: float = usage["full_steps"] * self.full + usage["select_steps"] * self.select
        if usage["sparse_steps"]:
            seconds += usage["sparse_steps"] * self.sparse_at(record["sparse"]["density"])
        return seconds

    def sparse_at(self, density: float) -> float:
        """Along the line through the two measured neighbours; full attention is one of them."""
        points = [*self.sparse, (1.0, self.full)]
        above = next((i for i, point in enumerate(points) if point[0] >= density), len(points) - 1)
        (x1, y1), (x2, y2) = points[max(0, above - 1)], points[max(1, above)]
        return y1 + (density - x1) * (y2 - y1) / (x2 - x1)


def read(paths: Iterable[pathlib.Path]) -> list[StepTimes]:
    """From files of `sparsed-bench step --json`, each with another `--select`; by length. Errors:
    ValueError, OSError."""
    found: dict[tuple[str, str, int], dict[str, list[tuple[float, float]]]] = {}
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            name = content["model"]["name"]
            device = content["machine"]["backend"].partition(",")[0]
            for result in content["results"]:
                kinds = found.setdefault((name, device, result["context"]), {})
                for kind in result["kinds"]:
                    timed = (kind["density"], kind["seconds"]["total"]["median"])
                    kinds.setdefault(kind["kind"], []).append(timed)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: {error!r}, so it is not of sparsed-bench step") from None
    return [_of(key, kinds) for key, kinds in sorted(found.items(), key=lambda one: one[0][2])]


def _of(
    key: tuple[str, str, int], kinds: Mapping[str, Sequence[tuple[float, float]]]
) -> StepTimes:
    for kind in ("full", "select", "sparse"):
        if kind not in kinds:
            raise ValueError(f"step times of {key[0]} at {key[2]} tokens: none of a {kind} step")
    full, select = (
        statistics.median(seconds for _, seconds in kinds[kind]) for kind in ("full", "select")
    )
    by_density: dict[float, list[float]] = {}
    for density, seconds in kinds["sparse"]:
        if density < 1:
            by_density.setdefault(density, []).append(seconds)
    if not by_density:
        raise ValueError(f"step times of {key[0]} at {key[2]} tokens: no sparse step below density 1")
    points = tuple((density, statistics.median(by_density[density])) for density in sorted(by_density))
    return StepTimes(*key, full, select, points)


def relative(
    pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], times: StepTimes
) -> float:
    """The variant's time over its baseline's."""
    return sum(times.of(mine) for mine, _ in pairs) / sum(times.of(other) for _, other in pairs)
