"""The file of a run: JSON lines, first the settings, then a record for every answer.

It only ever grows, so that a run that was cut off goes on from where it was. A line that was cut
off itself is not there.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from ._variants import Variant

_FORMAT = 1
# What two runs must share for their answers to be compared.
_SAME = ("format", "suite", "seed", "gen_length", "prefix", "model", "server")


@dataclasses.dataclass
class Settings:
    """What was asked, and whom."""

    suite: str
    seed: int
    gen_length: int | None
    """Of every task; None: each has its own."""
    prefix: bool
    """Whether answers begin with the task's first words."""
    model: dict[str, Any]
    server: dict[str, str]
    date: str
    variants: dict[str, Variant]
    format: int = _FORMAT

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclasses.dataclass
class Results:
    """The settings and records of one file or several."""

    settings: Settings
    records: dict[tuple[str, str, bool], dict[str, Any]]
    """By example, variant, and whether it ran alone."""


def key_of(record: Mapping[str, Any]) -> tuple[str, str, bool]:
    return record["id"], record["variant"], record["alone"]


def read(path: pathlib.Path) -> Results | None:
    """None of an empty file. Errors: ValueError, OSError."""
    settings: Settings | None = None
    records: dict[tuple[str, str, bool], dict[str, Any]] = {}
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line or number == len(lines):  # What no line break ends was cut off.
            continue
        try:
            content = json.loads(line)
            if "settings" in content:
                settings = _merged(settings, _settings(content["settings"]), path)
            else:
                records[key_of(content)] = content
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number}: {error!r}, so this is no file of results") from None
    if settings is None:
        if records:
            raise ValueError(f"{path}: no settings")
        return None
    return Results(settings, records)


def read_all(paths: Iterable[pathlib.Path]) -> Results:
    """Files of the same suite, seed, model and server as one. Errors: ValueError, OSError."""
    whole: Results | None = None
    for path in paths:
        results = read(path)
        if results is None:
            raise ValueError(f"{path}: empty")
        if whole is None:
            whole = results
        else:
            whole.settings = _merged(whole.settings, results.settings, path)
            whole.records.update(results.records)
    assert whole is not None
    return whole


class Writer:
    """Appends to a file; every line is on disk when write returns, as far as the process goes."""

    def __init__(self, path: pathlib.Path, settings: Settings) -> None:
        """Completes an existing file of the same settings, or makes one. Errors: ValueError where
        the file has others; OSError."""
        self.results = Results(settings, {})
        if path.exists():
            earlier = read(path)
            if earlier is not None:
                merged = _merged(earlier.settings, settings, path)
                self.results = Results(merged, earlier.records)
            _drop_cut_line(path)
        self._file: TextIO = path.open("a", encoding="utf-8")
        self._line({"settings": self.results.settings.as_json()})

    def write(self, record: dict[str, Any]) -> None:
        self.results.records[key_of(record)] = record
        self._line(record)

    def close(self) -> None:
        self._file.close()

    def _line(self, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(content, separators=(",", ":")) + "\n")
        self._file.flush()


def _drop_cut_line(path: pathlib.Path) -> None:
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with path.open("r+b") as file:
            file.truncate(end)


def _settings(content: Mapping[str, Any]) -> Settings:
    variants = {name: Variant(**variant) for name, variant in content["variants"].items()}
    return Settings(**{**content, "variants": variants})


def _merged(old: Settings | None, new: Settings, path: pathlib.Path) -> Settings:
    """The new settings with the variants of both."""
    if old is None:
        return new
    for name in _SAME:
        if getattr(old, name) != getattr(new, name):
            raise ValueError(
                f"{path}: {name} is {getattr(old, name)!r} there and {getattr(new, name)!r} here"
            )
    for name, variant in new.variants.items():
        if name in old.variants and old.variants[name] != variant:
            raise ValueError(f"{path}: variant {name} has other options there")
    return dataclasses.replace(new, variants={**old.variants, **new.variants})
