"""What an inspection returns: which blocks of its attention a request keeps."""

from __future__ import annotations

import html
import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf import __version__ as protobuf_version
from google.protobuf import json_format
from google.protobuf.message import Message

from ._convert import convert, enum_names
from ._errors import InternalError
from ._proto import inspection_pb2 as pb
from ._table import html_table, text_table
from ._types import Result

T = TypeVar("T", bound=Message)

# What json_format calls writing zeros, too.
_ALL_FIELDS: dict[str, Any] = {
    (
        "always_print_fields_with_no_presence"
        if int(protobuf_version.split(".")[0]) >= 5
        else "including_default_value_fields"
    ): True
}
# The eight places of a byte of HeadPattern.kept, the lowest first.
_BITS = [bytes(byte >> bit & 1 for bit in range(8)) for byte in range(256)]


@dataclass(frozen=True)
class HeadPattern:
    """What one head selects at one step. Arrays are flat, [blocks, blocks], by query block:
    `numpy.frombuffer(head.kept, bool).reshape(head.blocks, head.blocks)`."""

    step: int
    kind: str
    """"full", "select" or "sparse"."""
    layer: int
    head: int
    blocks: int
    kept: bytes
    """1 for a block that the pattern selected at this step keeps, 0 for one that it drops."""
    importance: Sequence[float]
    """The mean over the block of the softmax over all keys, as an array of float32; empty unless
    asked for. Times the block size: the share of the query block's attention."""
    recall: float | None
    """The share of the full attention's mass in the blocks of the pattern in use."""
    fresh_recall: float | None
    """The same for `kept`."""
    similarity: tuple[float, ...]
    """Jaccard index of `kept` and the pattern of each inspected step up to this one."""

    def is_kept(self, query: int, key: int) -> bool:
        return self.kept[query * self.blocks + key] == 1

    @property
    def density(self) -> float:
        """The share of the blocks that are kept."""
        return self.kept.count(1) / len(self.kept)


@dataclass(frozen=True)
class StepSummary:
    """One inspected step, all its heads: means, and the head that loses most."""

    step: int
    kind: str
    density: float
    recall: float | None
    fresh_recall: float | None
    similarity: float | None
    """To the pattern in use."""
    least_recall: float | None
    least_layer: int | None
    least_head: int | None


@dataclass(frozen=True)
class Masks:
    """The patterns of a request, and its result. `print(masks)` is a table of the steps."""

    result: Result
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    steps: tuple[int, ...]
    """The inspected steps that were reached, ascending."""
    select_step: int | None
    """The step that selects the pattern in use; None where every step is full attention."""
    block_size: int
    """Side of a block in tokens."""
    blocks: int
    """Blocks of the sequence: as many of queries as of keys."""
    first_canvas_block: int
    patterns: tuple[HeadPattern, ...]
    """By step, then by layer, then by head."""

    @classmethod
    def from_json(cls, text: str) -> Masks:
        """What `masks --json` printed, here or of sparsedctl. Errors: ValueError."""
        saved = json.loads(text)
        try:
            messages = [
                pb.InspectResponse(started=_parse(saved["started"], pb.InspectionStarted()))
            ]
            messages += [
                pb.InspectResponse(head=_parse(one, pb.HeadPattern())) for one in saved["heads"]
            ]
            final = pb.InspectResponse()
            _parse(saved["final"], final.final)
            final.final.SetInParent()
        except (KeyError, TypeError, json_format.ParseError) as error:
            raise ValueError(f"no masks: {error}") from None
        return masks_of([*messages, final])

    def at(self, step: int, layer: int, head: int) -> HeadPattern:
        """One head's pattern. Errors: ValueError where it was not inspected."""
        row = _place("layer", self.layers, layer)
        return self.of_step(step)[row * len(self.heads) + _place("head", self.heads, head)]

    def of_step(self, step: int) -> tuple[HeadPattern, ...]:
        """All heads of a step, by layer, then by head."""
        count = len(self.layers) * len(self.heads)
        begin = _place("step", self.steps, step) * count
        return self.patterns[begin : begin + count]

    def similarity(self, step: int, other: int) -> float:
        """Jaccard index of the patterns that two steps select: the mean over the heads."""
        earlier, later = sorted(_place("step", self.steps, one) for one in (step, other))
        heads = self.of_step(self.steps[later])
        return sum(one.similarity[earlier] for one in heads) / len(heads)

    def summaries(self) -> tuple[StepSummary, ...]:
        """One for each step."""
        return tuple(self._summary(step) for step in self.steps)

    def _summary(self, step: int) -> StepSummary:
        heads = self.of_step(step)
        recalls = [(one.recall, one) for one in heads if one.recall is not None]
        least = min(recalls, key=lambda one: one[0], default=None)
        return StepSummary(
            step=step,
            kind=heads[0].kind,
            density=sum(one.density for one in heads) / len(heads),
            recall=_mean(recall for recall, _ in recalls),
            fresh_recall=_mean(one.fresh_recall for one in heads),
            similarity=(
                self.similarity(step, self.select_step) if self.select_step in self.steps else None
            ),
            least_recall=least[0] if least else None,
            least_layer=least[1].layer if least else None,
            least_head=least[1].head if least else None,
        )

    def __str__(self) -> str:
        return text_table(_TITLES, map(_cells, self.summaries()), _WORDS)

    def __repr__(self) -> str:
        steps = ", ".join(map(str, self.steps))
        return (
            f"<Masks of {len(self.layers)} layers, {len(self.heads)} heads, steps {steps}:"
            f" {self.blocks} blocks of {self.block_size} tokens>"
        )

    def _repr_html_(self) -> str:
        """What notebooks show."""
        table = html_table([title.lower() for title in _TITLES], map(_cells, self.summaries()))
        return f"{table}<div><small>{html.escape(repr(self)[1:-1])}</small></div>"


# The table of sparsedctl masks.
_TITLES = ["STEP", "KIND", "RECALL", "LEAST", "AT", "IF SELECTED HERE", "SIMILARITY", "KEPT"]
_WORDS = ("KIND", "AT")


def _cells(one: StepSummary) -> list[str]:
    at = "-" if one.least_recall is None else f"L{one.least_layer} H{one.least_head}"
    return [
        str(one.step),
        one.kind,
        _number(one.recall),
        _number(one.least_recall),
        at,
        _number(one.fresh_recall),
        _number(one.similarity),
        f"{one.density:.1%}",
    ]


def _place(word: str, among: tuple[int, ...], value: int) -> int:
    if value not in among:
        raise ValueError(f"{word} {value} was not inspected: {', '.join(map(str, among))}")
    return among.index(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _mean(values: Iterable[float | None]) -> float | None:
    """Of those that are there."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def json_of(messages: Iterable[pb.InspectResponse]) -> str:
    """The events of an inspection as sparsedctl prints them, for Masks.from_json."""
    whole: dict[str, Any] = {"started": {}, "heads": [], "final": {}}
    for message in messages:
        kind = message.WhichOneof("event")
        if kind is None:  # Newer than this client.
            continue
        event = json_format.MessageToDict(
            getattr(message, kind), preserving_proto_field_name=True, **_ALL_FIELDS
        )
        if kind == "head":
            whole["heads"].append(event)
        else:
            whole[kind] = event
    return json.dumps(whole, indent=1)


def _parse(saved: Any, message: T) -> T:
    return json_format.ParseDict(saved, message, ignore_unknown_fields=True)


def received(messages: Iterable[pb.InspectResponse]) -> Masks:
    """masks_of what a server sent."""
    try:
        return masks_of(messages)
    except ValueError as error:
        raise InternalError("INTERNAL", f"the server sent {error}") from None


def masks_of(messages: Iterable[pb.InspectResponse]) -> Masks:
    """From the events of an inspection. Errors: ValueError (they do not fit together)."""
    started, final, heads = None, None, []
    for message in messages:
        kind = message.WhichOneof("event")
        if kind == "started":
            started = message.started
        elif kind == "head":
            heads.append(message.head)
        elif kind == "final":
            final = message.final
    if started is None or final is None:
        raise ValueError("an inspection without its first or its last event")
    per_step = len(started.layers) * len(started.heads)
    if per_step == 0 or len(heads) % per_step != 0:
        raise ValueError(f"{len(heads)} heads, {per_step} a step")
    return Masks(
        result=convert(Result, final),
        layers=tuple(started.layers),
        heads=tuple(started.heads),
        steps=tuple(one.step for one in heads[::per_step]),
        select_step=started.select_step if started.HasField("select_step") else None,
        block_size=started.block_size,
        blocks=started.blocks,
        first_canvas_block=started.first_canvas_block,
        patterns=tuple(
            _head(one, started.blocks, index // per_step + 1) for index, one in enumerate(heads)
        ),
    )


def _head(message: pb.HeadPattern, blocks: int, steps: int) -> HeadPattern:
    width = (blocks + 7) // 8
    right = (
        len(message.kept) == blocks * width > 0
        and len(message.importance) in (0, blocks * blocks)
        and len(message.similarity) == steps
    )
    if not right:
        raise ValueError(f"a head that is not of {blocks} blocks, or not of its step")
    rows = (message.kept[at : at + width] for at in range(0, len(message.kept), width))
    kinds = enum_names(message.DESCRIPTOR.fields_by_name["kind"])
    return HeadPattern(
        step=message.step,
        kind=kinds.get(message.kind, str(message.kind)),
        layer=message.layer,
        head=message.head,
        blocks=blocks,
        kept=b"".join(b"".join(_BITS[byte] for byte in row)[:blocks] for row in rows),
        importance=array("f", message.importance),
        recall=message.recall if message.HasField("recall") else None,
        fresh_recall=message.fresh_recall if message.HasField("fresh_recall") else None,
        similarity=tuple(message.similarity),
    )
