"""From arguments to the messages of the contract. Nothing here calls anybody."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, Union

from google.protobuf.message import Message

from ._convert import enum_names
from ._proto import generation_pb2 as pb
from ._proto import inspection_pb2


class ChatTurn(TypedDict):
    """One turn of a conversation; role is "system", "user" or "assistant"."""

    role: str
    content: str


class Options(TypedDict, total=False):
    """Options of a generation, as `proto/sparsed/v1/generation.proto` describes them.

    What is absent or None is the server's default. Enums are given by name: remasking="entropy",
    sparse="off", scale="n_heads". SparseOptions.mode is `sparse`, as in sparsedctl.
    """

    # SamplingOptions
    gen_length: int | None
    steps: int | None
    block_length: int | None
    temperature: float | None
    seed: int | None
    remasking: str | None
    cfg_scale: float | None
    stop_at_end: bool | None
    stop: str | Sequence[str] | None
    top_p: float | None
    top_k: int | None
    algorithm_temperature: float | None
    logits_eos_inf: bool | None
    confidence_eos_eot_inf: bool | None
    confidence_threshold: float | None
    # SparseOptions
    sparse: str | None
    preset: str | None
    skip: float | None
    select: float | None
    block_size: int | None
    scale: str | None
    refresh_steps: Sequence[int] | None
    refresh_every: int | None
    refresh_until: float | None
    recall_every: int | None
    recall_floor: float | None
    below_floor: str | None
    switch_overlap: float | None
    isolated: bool | None
    budgets: str | None
    # GenerateRequest
    model: str | None
    request_id: str | None
    priority: int | None
    token_confidences: bool | None
    target_ids: Sequence[int] | None


InfillTemplate = Union[str, Sequence[Union[str, int]]]
"""Text with `{{N}}` for a hole of N tokens, or the pieces: texts, and numbers of tokens."""

Messages = Union[str, Iterable[Mapping[str, str]]]
"""A conversation, or the text of its only turn."""

_INPUTS = ("prompt", "chat", "token_ids", "infill", "sampling", "sparse")


def _option_table() -> dict[str, tuple[str, Any]]:
    """Every option: the field of GenerateRequest that holds it ("" for itself), and its own
    descriptor."""
    table: dict[str, tuple[str, Any]] = {}
    for part, message in (("sampling", pb.SamplingOptions), ("sparse", pb.SparseOptions)):
        for field in message.DESCRIPTOR.fields:
            table["sparse" if field.name == "mode" else field.name] = (part, field)
    for field in pb.GenerateRequest.DESCRIPTOR.fields:
        if field.name not in _INPUTS:
            table[field.name] = ("", field)
    return table


OPTION_TABLE = _option_table()


def generate_request(
    prompt: str | None,
    messages: Messages | None,
    token_ids: Iterable[int] | None,
    infill: InfillTemplate | None,
    options: Mapping[str, Any],
) -> pb.GenerateRequest:
    """The request. TypeError: an unknown option, none or several inputs, a value of a wrong type.
    ValueError: an unknown name of an enum, a number that the field cannot hold, a bad template."""
    if sum(given is not None for given in (prompt, messages, token_ids, infill)) != 1:
        raise TypeError("give one of prompt, messages, token_ids and infill")
    request = pb.GenerateRequest()
    if prompt is not None:
        field = pb.GenerateRequest.DESCRIPTOR.fields_by_name["prompt"]
        _set(request, field, "prompt", prompt)
    elif messages is not None:
        request.chat.CopyFrom(chat_of(messages))
    elif token_ids is not None:
        request.token_ids.SetInParent()
        request.token_ids.ids.extend(token_ids)
    elif infill is not None:
        request.infill.CopyFrom(infill_of(infill))
    for name, value in options.items():
        if name not in OPTION_TABLE:
            raise TypeError(f"unknown option {name!r}; known are {', '.join(OPTION_TABLE)}")
        part, field = OPTION_TABLE[name]
        if value is not None:
            _set(getattr(request, part) if part else request, field, name, value)
    return request


def chat_of(messages: Messages) -> pb.Chat:
    """The conversation; a text is one turn of the user."""
    turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    chat = pb.Chat()
    for turn in turns:
        if set(turn) != {"role", "content"}:
            raise TypeError(f"a turn has 'role' and 'content', not {sorted(turn)}")
        chat.messages.add(role=turn["role"], content=turn["content"])
    return chat


def infill_of(template: InfillTemplate) -> pb.Infill:
    """The pieces of a template."""
    infill = pb.Infill()
    for piece in parse_template(template) if isinstance(template, str) else template:
        if isinstance(piece, str):
            infill.parts.add(text=piece)
        else:
            infill.parts.add(hole_tokens=piece)
    return infill


_BRACES = re.compile(r"(\\*)\{\{")


def parse_template(text: str) -> list[str | int]:
    """The pieces of `The capital of {{4}} is Paris.`, as `sparsedctl infill` reads it too: a
    backslash directly before `{{` makes the braces text, two are one backslash and a hole."""
    pieces: list[str | int] = []
    fixed, at = "", 0
    while match := _BRACES.search(text, at):
        backslashes = len(match[1])
        fixed += text[at : match.start()] + "\\" * (backslashes // 2)
        at = match.end()
        if backslashes % 2:
            fixed += "{{"
            continue
        hole = re.compile(r"\s*([0-9]+)\s*\}\}").match(text, at)
        if not hole or int(hole[1]) == 0:
            column = match.end() - 1
            raise ValueError(
                f"template: column {column}: expected {{{{N}}}} with N tokens, at least 1;"
                " write \\{{ for two literal braces"
            )
        if fixed:
            pieces.append(fixed)
        pieces.append(int(hole[1]))
        fixed, at = "", hole.end()
    fixed += text[at:]
    if fixed:
        pieces.append(fixed)
    if all(isinstance(piece, str) for piece in pieces):
        raise ValueError("template: no hole; write {{N}} where N tokens are missing")
    return pieces


def stream_request(
    request: pb.GenerateRequest, frames: bool, progress: bool
) -> pb.StreamGenerateRequest:
    return pb.StreamGenerateRequest(request=request, frames=frames, progress=progress)


def inspect_request(
    request: pb.GenerateRequest,
    layers: Iterable[int] | None,
    heads: Iterable[int] | None,
    steps: Iterable[int] | None,
    importance: bool,
) -> inspection_pb2.InspectRequest:
    """Sparse attention at any length, unless the request has chosen."""
    if request.sparse.mode == pb.SPARSE_MODE_UNSPECIFIED:
        request.sparse.mode = pb.SPARSE_MODE_SPARSED
    return inspection_pb2.InspectRequest(
        request=request, layers=layers, heads=heads, steps=steps, importance=importance
    )


def tokenize_request(
    text: str | None, messages: Messages | None, model: str
) -> pb.TokenizeRequest:
    if (text is None) == (messages is None):
        raise TypeError("give one of text and messages")
    if messages is not None:
        return pb.TokenizeRequest(model=model, chat=chat_of(messages))
    return pb.TokenizeRequest(model=model, text=text)


def detokenize_request(
    token_ids: Iterable[int], keep_special: bool, model: str
) -> pb.DetokenizeRequest:
    return pb.DetokenizeRequest(model=model, token_ids=token_ids, keep_special=keep_special)


def _set(message: Message, field: Any, name: str, value: Any) -> None:
    if field.enum_type is not None:
        numbers = {short: number for number, short in enum_names(field).items() if number}
        if value not in numbers:
            raise ValueError(f"{name}: {value!r} is none of {', '.join(numbers)}")
        value = numbers[value]
    try:
        held = getattr(message, field.name)
        if hasattr(held, "extend"):
            held.extend([value] if isinstance(value, str) else value)
        else:
            setattr(message, field.name, value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
