"""Variants: named options of a request, from the command line or a file."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .._requests import OPTION_TABLE, generate_request

Options = dict[str, Any]

# What the bench decides itself; the rest of a request's options may vary.
_OWN = ("gen_length", "model", "request_id", "priority", "token_confidences", "stop")
# Commas that are not within a list.
_BETWEEN = re.compile(r",(?![^\[]*\])")
_NAME = re.compile(r"[A-Za-z0-9._=-]{1,40}")


@dataclasses.dataclass(frozen=True)
class Variant:
    """Options by name, beside them `steps_per_token`. against: the variant it is compared with;
    empty for one that is not."""

    name: str
    options: Options
    against: str = ""


def check_options(options: Mapping[str, Any], where: str) -> Options:
    """The options, with SparseD on where one of its own is set. Errors: ValueError."""
    checked = dict(options)
    for name in checked:
        if name != "steps_per_token" and (name not in OPTION_TABLE or name in _OWN):
            known = sorted({*OPTION_TABLE, "steps_per_token"} - set(_OWN))
            raise ValueError(f"{where}: {name!r} is none of {', '.join(known)}")
    if "sparse" not in checked and any(_is_of_sparsed(name) for name in checked):
        checked["sparse"] = "sparsed"
    per_token = checked.get("steps_per_token", 1)
    if not isinstance(per_token, (int, float)) or not 0 < per_token <= 1:
        raise ValueError(f"{where}: steps_per_token: {per_token!r} is not above 0 and at most 1")
    if "steps_per_token" in checked and "steps" in checked:
        raise ValueError(f"{where}: give one of steps and steps_per_token")
    try:
        generate_request("x", None, None, None, request_options(checked, 32))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None
    return checked


def _is_of_sparsed(name: str) -> bool:
    # A preset is for auto, too.
    return name != "preset" and name in OPTION_TABLE and OPTION_TABLE[name][0] == "sparse"


def request_options(options: Mapping[str, Any], gen_length: int) -> Options:
    """Those of the call: the steps counted, as many in each decoding block."""
    asked = dict(options)
    per_token = asked.pop("steps_per_token", None)
    block_length = asked.get("block_length")
    # A block longer than the canvas is the canvas.
    if block_length is not None and block_length > gen_length:
        asked["block_length"] = block_length = gen_length
    if per_token is not None:
        blocks = max(1, gen_length // (block_length or min(32, gen_length)))
        asked["steps"] = max(1, round(gen_length * per_token / blocks)) * blocks
    return {**asked, "gen_length": gen_length}


def parse_variant(text: str) -> Variant:
    """`NAME`, or `NAME:option=value,...`; `full` alone is full attention. Errors: ValueError."""
    name, _, rest = text.partition(":")
    options: Options = {"sparse": "off"} if name == "full" and not rest else {}
    for part in filter(None, _BETWEEN.split(rest)):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"variant {name}: {part!r} is not option=value")
        options[key.strip().replace("-", "_")] = _value(value.strip())
    return _variant(name, options)


def parse_options(texts: Sequence[str]) -> Options:
    """`option=value` each. Errors: ValueError."""
    return parse_variant("options:" + ",".join(texts)).options if texts else {}


def read_variants(path: pathlib.Path) -> list[Variant]:
    """A JSON object: the options of each variant by its name. Errors: ValueError, OSError."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not all(isinstance(one, dict) for one in content.values()):
        raise ValueError(f"{path}: not an object of variants, each an object of options")
    return [_variant(name, options) for name, options in content.items()]


def compared(variants: Sequence[Variant], baseline: str | None) -> list[Variant]:
    """With what each is compared: the baseline, by default the first. Errors: ValueError."""
    names = [variant.name for variant in variants]
    if len(set(names)) < len(names):
        raise ValueError(f"variants: {', '.join(names)}: two have the same name")
    if baseline is None:
        baseline = names[0]
    if baseline not in names:
        raise ValueError(f"baseline: {baseline!r} is none of {', '.join(names)}")
    return [
        dataclasses.replace(one, against="" if one.name == baseline else baseline)
        for one in variants
    ]


def _variant(name: str, options: Mapping[str, Any]) -> Variant:
    if not _NAME.fullmatch(name):
        raise ValueError(f"variant {name!r}: up to 40 letters, digits and ._=- make a name")
    return Variant(name, check_options(options, f"variant {name}"))


def _value(text: str) -> Any:
    """As JSON has it, else a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text
