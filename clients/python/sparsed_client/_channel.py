"""The methods of the server, and what a channel to it needs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from ._proto import generation_pb2, health_pb2, inspection_pb2, model_pb2

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

# gRPC itself waits as long as the server says. Health is told as it is. sparsedctl has the same.
_RETRIES = json.dumps(
    {
        "methodConfig": [
            {
                "name": [
                    {"service": "sparsed.v1.GenerationService"},
                    {"service": "sparsed.v1.InspectionService"},
                    {"service": "sparsed.v1.ModelService"},
                ],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "5s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }
)

# What a server may send at most.
_MAX_RECEIVE_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True)
class Method(Generic[Request, Response]):
    """One RPC."""

    path: str
    request: type[Request]
    response: type[Response]

    def on(self, make: Callable[..., Any]) -> Any:
        """The callable of a channel's `unary_unary` or `unary_stream`."""
        return make(
            self.path,
            request_serializer=self.request.SerializeToString,
            response_deserializer=self.response.FromString,
        )


_GENERATION = "/sparsed.v1.GenerationService/"
_MODEL = "/sparsed.v1.ModelService/"

GENERATE = Method(
    _GENERATION + "Generate", generation_pb2.GenerateRequest, generation_pb2.GenerateResponse
)
STREAM_GENERATE = Method(
    _GENERATION + "StreamGenerate",
    generation_pb2.StreamGenerateRequest,
    generation_pb2.StreamGenerateResponse,
)
TOKENIZE = Method(
    _GENERATION + "Tokenize", generation_pb2.TokenizeRequest, generation_pb2.TokenizeResponse
)
DETOKENIZE = Method(
    _GENERATION + "Detokenize", generation_pb2.DetokenizeRequest, generation_pb2.DetokenizeResponse
)
INSPECT = Method(
    "/sparsed.v1.InspectionService/Inspect",
    inspection_pb2.InspectRequest,
    inspection_pb2.InspectResponse,
)
LIST_MODELS = Method(
    _MODEL + "ListModels", model_pb2.ListModelsRequest, model_pb2.ListModelsResponse
)
GET_MODEL = Method(_MODEL + "GetModel", model_pb2.GetModelRequest, model_pb2.GetModelResponse)
GET_SERVER_INFO = Method(
    _MODEL + "GetServerInfo", model_pb2.GetServerInfoRequest, model_pb2.GetServerInfoResponse
)
CHECK = Method(
    "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
)


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the server is and how to be let in."""

    address: str
    token: str | None
    root_certificates: bytes | None
    client_certificate: tuple[bytes, bytes] | None
    retries: bool

    def open(self, module: Any) -> Any:
        """A channel of `grpc` or `grpc.aio`, not yet connected."""
        options = [
            ("grpc.max_receive_message_length", _MAX_RECEIVE_BYTES),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", int(self.retries)),
            ("grpc.service_config", _RETRIES),
            ("grpc.primary_user_agent", f"sparsed-client/{version('sparsed-client')}"),
        ]
        if self.root_certificates is None:
            if self.client_certificate is not None:
                raise TypeError("client_certificate needs root_certificates")
            return module.insecure_channel(self.address, options=options)
        chain, key = self.client_certificate or (None, None)
        credentials = grpc.ssl_channel_credentials(self.root_certificates, key, chain)
        return module.secure_channel(self.address, credentials, options=options)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()
