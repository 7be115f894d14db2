"""Client of sparsed, an inference server for diffusion language models.

    with Client("127.0.0.1:8001") as client:
        print(client.chat("What is 3 + 6671?", gen_length=32))

`Client` is for threads, `AsyncClient` for asyncio; both have the same methods.
"""

from ._aio import AsyncClient, AsyncStream
from ._client import Client, Stream
from ._errors import (
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    InternalError,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    QueueFull,
    ResourceExhausted,
    SparsedError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from ._masks import HeadPattern, Masks, StepSummary
from ._requests import ChatTurn, InfillTemplate, Options
from ._types import (
    Accepted,
    Block,
    Event,
    Final,
    Frame,
    Model,
    Progress,
    Result,
    ServerInfo,
    SparseReport,
    Timings,
    Token,
    TokenDetail,
    Tokens,
    Usage,
)

__all__ = [
    "Accepted",
    "AsyncClient",
    "AsyncStream",
    "Block",
    "Cancelled",
    "ChatTurn",
    "Client",
    "DeadlineExceeded",
    "Event",
    "FailedPrecondition",
    "FieldViolation",
    "Final",
    "Frame",
    "HeadPattern",
    "InfillTemplate",
    "InternalError",
    "InvalidRequest",
    "Masks",
    "Model",
    "NotFound",
    "Options",
    "PermissionDenied",
    "Progress",
    "QueueFull",
    "ResourceExhausted",
    "Result",
    "ServerInfo",
    "SparseReport",
    "SparsedError",
    "StepSummary",
    "Stream",
    "Timings",
    "Token",
    "TokenDetail",
    "Tokens",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Usage",
]

# Tracebacks have the names by which exceptions are caught.
for _kind in [SparsedError, *SparsedError.__subclasses__(), QueueFull]:
    _kind.__module__ = __name__
