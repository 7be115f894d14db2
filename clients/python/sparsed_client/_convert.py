"""From the messages of the contract to the dataclasses of _types."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any, TypeVar, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from . import _types
from ._proto import generation_pb2

T = TypeVar("T")

_NESTED: dict[str, type] = {
    "SparseReport": _types.SparseReport,
    "Timings": _types.Timings,
    "Token": _types.Token,
    "TokenDetail": _types.TokenDetail,
    "Usage": _types.Usage,
}
_EVENTS: dict[str, type] = {
    "accepted": _types.Accepted,
    "progress": _types.Progress,
    "frame": _types.Frame,
    "block": _types.Block,
}


def convert(kind: type[T], message: Message) -> T:
    """A dataclass from the message with fields of the same names."""
    fields = message.DESCRIPTOR.fields_by_name
    names = [field.name for field in dataclasses.fields(cast(Any, kind))]
    return kind(**{name: _field(fields[name], message) for name in names})


def event_of(message: generation_pb2.StreamGenerateResponse) -> _types.Event | None:
    """The event; none for a kind that is newer than this client."""
    name = message.WhichOneof("event")
    if name == "final":
        return _types.Final(convert(_types.Result, getattr(message, name)))
    if name in _EVENTS:
        event: _types.Event = convert(_EVENTS[name], getattr(message, name))
        return event
    return None


def enum_names(field: Any) -> dict[int, str]:
    """The values of an enum by their short names: REMASKING_MASKGIT_PLUS is "maskgit_plus"."""
    values = {value.name: value.number for value in field.enum_type.values}
    prefix = next(name for name, number in values.items() if number == 0)[: -len("UNSPECIFIED")]
    return {number: name[len(prefix) :].lower() for name, number in values.items()}


def _field(field: Any, message: Message) -> Any:
    value = getattr(message, field.name)
    if hasattr(value, "items"):
        return dict(value)
    if hasattr(value, "append"):
        return tuple(_single(field, item) for item in value)
    if field.message_type is None and field.has_presence and not message.HasField(field.name):
        return None
    return _single(field, value)


def _single(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Duration":
            return value.seconds + value.nanos / 1e9
        return convert(_NESTED[field.message_type.name], value)
    if field.enum_type is not None:
        return enum_names(field).get(value, str(value))
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return _shortest(value)
    return value


def _shortest(value: float) -> float:
    """The shortest decimal that is the same float32: 0.2, not 0.20000000298023224."""
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        if struct.pack("f", short) == struct.pack("f", value):
            return short
    return value
