"""What calls return: the messages of the contract as frozen dataclasses.

Fields have the names and meanings of `proto/sparsed/v1`. Durations are seconds, enums their names
in lower case without the prefix ("stop", "sparse"), repeated fields tuples.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, fields
from typing import Union

from ._table import html_table


@dataclass(frozen=True)
class Usage:
    """What was processed."""

    prompt_tokens: int
    generated_tokens: int
    full_steps: int
    select_steps: int
    sparse_steps: int


@dataclass(frozen=True)
class Timings:
    """Where the time went, in seconds."""

    queue: float
    full: float
    select: float
    sparse: float
    total: float


@dataclass(frozen=True)
class SparseReport:
    """What sparse attention did."""

    used: bool
    block_size: int
    skip: float
    select: float
    density: float
    mask_cache_bytes: int
    recall: float | None
    lowest_recall: float | None
    recall_estimates: int
    estimates_below_floor: int
    first_sparse_step: int | None


@dataclass(frozen=True)
class TokenDetail:
    """One token of the canvas: how sure the model was, and the step that committed it."""

    id: int
    confidence: float
    commit_step: int
    log_probability: float | None = None
    """With target_ids."""


@dataclass(frozen=True)
class Result:
    """A finished generation. `str(result)` is its text."""

    request_id: str
    model: str
    text: str
    token_ids: tuple[int, ...]
    finish_reason: str
    """"stop" or "length"."""
    usage: Usage
    timings: Timings
    sparse: SparseReport
    seed: int
    tokens: tuple[TokenDetail, ...]
    """One for each canvas token, with token_confidences=True or target_ids."""
    hole_texts: tuple[str, ...]
    """The text of each hole of an infill template."""

    @property
    def steps(self) -> int:
        return self.usage.full_steps + self.usage.select_steps + self.usage.sparse_steps

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Result {self.text!r}: {self._summary()}>"

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return (
            f'<div style="white-space: pre-wrap">{html.escape(self.text)}</div>'
            f"<div><small>{html.escape(self._summary())}</small></div>"
        )

    def _summary(self) -> str:
        words = [
            f"{self.usage.generated_tokens} tokens",
            f"{self.steps} steps",
            f"{self.timings.total:.3g} s",
            f"finish reason {self.finish_reason}",
        ]
        if self.sparse.used:
            words.insert(2, f"density {self.sparse.density:.2f}")
        return ", ".join(words)


@dataclass(frozen=True)
class Accepted:
    """The request was accepted; always the first event."""

    request_id: str
    queue_position: int
    planned_steps: int
    seed: int


@dataclass(frozen=True)
class Progress:
    """How far a generation is; with progress=True."""

    step: int
    steps: int
    committed_tokens: int
    kind: str
    """"full", "select" or "sparse"."""


@dataclass(frozen=True)
class Frame:
    """The provisional canvas after a step, with frames=True; a newer one replaces an older one."""

    step: int
    token_ids: tuple[int, ...]
    text: str
    """A mask position is U+2591 (light shade)."""


@dataclass(frozen=True)
class Block:
    """Text that is committed; the texts of all blocks, joined, equal the final text."""

    position: int
    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Final:
    """The whole result; always the last event."""

    result: Result


Event = Union[Accepted, Progress, Frame, Block, Final]


@dataclass(frozen=True)
class Tokens:
    """Encoded text: the ids, and the text of each."""

    token_ids: tuple[int, ...]
    pieces: tuple[str, ...]

    def _repr_html_(self) -> str:
        """What notebooks show: the pieces apart, their ids as hints."""
        pieces = "".join(
            f'<span title="{token}" style="border: 1px solid #8888; padding: 0 1px">'
            f"{html.escape(piece)}</span>"
            for token, piece in zip(self.token_ids, self.pieces)
        )
        return (
            f'<div style="white-space: pre-wrap">{pieces}</div>'
            f"<div><small>{len(self.token_ids)} tokens</small></div>"
        )


@dataclass(frozen=True)
class Token:
    """A token of the vocabulary."""

    id: int
    text: str


@dataclass(frozen=True)
class Model:
    """A served model."""

    name: str
    family: str
    parameters: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    max_tokens: int
    mask_token_id: int
    dtype: str
    device: str
    ready: bool
    mask_token: str
    end_tokens: tuple[Token, ...]
    hidden_size: int
    ffn_size: int
    tokenizer: str
    chat_template: bool
    memory_bytes: int
    default_temperature: float
    default_remasking: str
    default_top_p: float
    default_top_k: int
    default_algorithm_temperature: float
    weights: str

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return _fields_html(self)


@dataclass(frozen=True)
class ServerInfo:
    """The server and its limits."""

    version: str
    commit: str
    device: str
    limits: dict[str, int]
    uptime: float

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return _fields_html(self)


def _fields_html(value: Model | ServerInfo) -> str:
    shown = {field.name: getattr(value, field.name) for field in fields(value)}
    return html_table(["field", "value"], [[name, str(item)] for name, item in shown.items()])
