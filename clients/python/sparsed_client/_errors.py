"""How calls fail: one exception a status code, decoded from google.rpc's details."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from ._proto import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
# What QuotaFailure calls the limits that waiting helps against.
_QUEUE_LIMITS = ("queue_requests", "queue_tokens")


@dataclasses.dataclass(frozen=True)
class FieldViolation:
    """A field that is wrong, by its path ("sampling.steps"), and how."""

    field: str
    description: str


class SparsedError(Exception):
    """A call that failed. What each code and reason means, and what to do: docs/errors.md."""

    def __init__(self, code: str, message: str, details: bytes = b"") -> None:
        """details: a serialized google.rpc.Status."""
        self.code = code
        """The gRPC status code: "INVALID_ARGUMENT"."""
        self.message = message
        """For people; decide by code and reason."""
        self.request_id = ""
        """The id that the server's log has; empty where no server answered."""
        self.reason = ""
        """`ErrorInfo.reason`, "CONTEXT_LENGTH_EXCEEDED" for one; empty where there is none."""
        self.metadata: dict[str, str] = {}
        """Numbers and names that belong to the reason."""
        self.retry_after: float | None = None
        """Seconds after which it is worth to try again; None: not, as it is."""
        self.violations: tuple[FieldViolation, ...] = ()
        """The fields that are wrong; for quotas and preconditions what was violated."""
        for detail in _status(details).details:
            self._read(detail)
        self._details = details
        super().__init__(code, message)

    def __reduce__(self) -> tuple[Any, ...]:  # Process pools send exceptions home.
        return type(self), (self.code, self.message, self._details)

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.message}"]
        lines += [f"  {v.field}: {v.description}" for v in self.violations]
        if self.reason:
            facts = "".join(f", {key} = {value}" for key, value in sorted(self.metadata.items()))
            lines.append(f"  reason: {self.reason}{facts}")
        if self.retry_after is not None:
            lines.append(f"  retry after: {self.retry_after:.3g} s")
        if self.request_id:
            lines.append(f"  request id: {self.request_id}")
        return "\n".join(lines)

    def _read(self, detail: Any) -> None:
        # By name: the generated messages have a package of their own.
        kind = detail.type_url.rsplit("/", 1)[-1]
        if kind == "google.rpc.RequestInfo":
            self.request_id = error_details_pb2.RequestInfo.FromString(detail.value).request_id
        elif kind == "google.rpc.ErrorInfo":
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            self.reason, self.metadata = info.reason, dict(info.metadata)
        elif kind == "google.rpc.RetryInfo":
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            self.retry_after = delay.seconds + delay.nanos / 1e9
        elif kind == "google.rpc.BadRequest":
            bad = error_details_pb2.BadRequest.FromString(detail.value)
            self._violated((v.field, v.description) for v in bad.field_violations)
        elif kind == "google.rpc.QuotaFailure":
            quota = error_details_pb2.QuotaFailure.FromString(detail.value)
            self._violated((v.subject, v.description) for v in quota.violations)
        elif kind == "google.rpc.PreconditionFailure":
            failure = error_details_pb2.PreconditionFailure.FromString(detail.value)
            self._violated((v.type, v.description) for v in failure.violations)

    def _violated(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.violations += tuple(FieldViolation(*pair) for pair in pairs)


class InvalidRequest(SparsedError):
    """Fields of the request are wrong: see `violations`."""


class NotFound(SparsedError):
    """The server has another model."""


class FailedPrecondition(SparsedError):
    """The model cannot do that: a conversation without a chat template."""


class ResourceExhausted(SparsedError):
    """The request is too large, or its reader too slow."""


class QueueFull(ResourceExhausted):
    """Too much waits already; try again after `retry_after` seconds."""


class DeadlineExceeded(SparsedError):
    """The time was over, or would not have been enough."""


class Cancelled(SparsedError):
    """The call was cancelled, and not by closing its stream."""


class Unavailable(SparsedError):
    """No server, or one that loads or shuts down."""


class Unimplemented(SparsedError):
    """The server does not offer that: masks without --enable-inspection."""


class Unauthenticated(SparsedError):
    """The server asks for another token."""


class PermissionDenied(SparsedError):
    """The token is limited to other models."""


class InternalError(SparsedError):
    """A fault of the server; its log has the cause, by `request_id`."""


def _status(serialized: bytes) -> status_pb2.Status:
    """What is not one, as a proxy may have it, says nothing."""
    try:
        return status_pb2.Status.FromString(serialized)
    except DecodeError:
        return status_pb2.Status()


_KINDS: dict[str, type[SparsedError]] = {
    "INVALID_ARGUMENT": InvalidRequest,
    "NOT_FOUND": NotFound,
    "FAILED_PRECONDITION": FailedPrecondition,
    "RESOURCE_EXHAUSTED": ResourceExhausted,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "CANCELLED": Cancelled,
    "UNAVAILABLE": Unavailable,
    "UNIMPLEMENTED": Unimplemented,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "INTERNAL": InternalError,
}


def error_of(failure: grpc.RpcError) -> SparsedError:
    """The exception for a failed call; of grpc or grpc.aio."""
    code = failure.code().name
    trailers = failure.trailing_metadata() or ()
    details = next((value for key, value in trailers if key == _DETAILS), b"")
    error = _KINDS.get(code, SparsedError)(code, failure.details() or "", details)
    if any(v.field in _QUEUE_LIMITS for v in error.violations):
        return QueueFull(code, error.message, details)
    return error
