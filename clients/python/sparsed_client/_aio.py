"""The client for asyncio."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from . import _channel, _requests
from ._channel import Method, Request, Response
from ._convert import convert, event_of
from ._errors import error_of
from ._masks import Masks, received
from ._proto import generation_pb2, health_pb2, inspection_pb2, model_pb2
from ._types import Event, Final, Model, Result, ServerInfo, Tokens

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ._requests import InfillTemplate, Messages, Options


class AsyncStream(AsyncIterator[Event]):
    """The events of a generation that runs.

    Closing it cancels the generation, if it still runs: `aclose()`, the end of an `async with`
    block, cancelling the task that waits for an event, or that nobody holds the stream any more,
    as after a `break`.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._closed = False
        self.result: Result | None = None
        """The result, once the final event was read."""

    async def __anext__(self) -> Event:
        while not self._closed:
            try:
                message = await self._call.read()
            except grpc.RpcError as error:
                if self._closed:
                    break
                raise error_of(error) from None
            except BaseException:
                if self._closed:
                    break
                self._close()
                raise
            if message is grpc.aio.EOF:
                break
            event = event_of(message)
            if event is None:
                continue
            if isinstance(event, Final):
                self.result = event.result
            return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cancels what still runs. May be called again."""
        self._close()

    def _close(self) -> None:
        self._closed = True
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    def __del__(self) -> None:
        self._close()


class AsyncClient:
    """`Client` for asyncio: the same arguments and methods, to be awaited.

    Make and use it within one event loop. Cancelling the task that awaits a call cancels the call.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:8001",
        *,
        token: str | None = None,
        root_certificates: bytes | None = None,
        client_certificate: tuple[bytes, bytes] | None = None,
        timeout: float | None = None,
        retries: bool = True,
    ) -> None:
        target = _channel.Target(address, token, root_certificates, client_certificate, retries)
        self._metadata = target.metadata()
        self._timeout = timeout
        self._channel = target.open(grpc.aio)
        self._streams: weakref.WeakSet[AsyncStream] = weakref.WeakSet()

    async def close(self) -> None:
        """Cancels what still runs and disconnects."""
        # grpc.aio itself finds only calls that some task waits for.
        for stream in list(self._streams):
            await stream.aclose()
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        token_ids: Iterable[int] | None = None,
        infill: InfillTemplate | None = None,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Result:
        """Generates from one of a prompt, a conversation, token ids and an infill template; the
        options are those of `Options`."""
        request = _requests.generate_request(prompt, messages, token_ids, infill, options)
        response = await self._call(_channel.GENERATE, request, timeout)
        return convert(Result, response)

    async def chat(
        self, messages: Messages, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Result:
        """The next turn of a conversation; a text is its only turn."""
        return await self.generate(messages=messages, timeout=timeout, **options)

    async def infill(
        self, template: InfillTemplate, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Result:
        """Fills the holes: `"The capital of {{4}} is Paris."`, or `["The capital of ", 4]`."""
        return await self.generate(infill=template, timeout=timeout, **options)

    def stream(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        token_ids: Iterable[int] | None = None,
        infill: InfillTemplate | None = None,
        frames: bool = False,
        progress: bool = False,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> AsyncStream:
        """As generate, for `async for`; starts at once and gives the events as they come."""
        request = _requests.generate_request(prompt, messages, token_ids, infill, options)
        call = _channel.STREAM_GENERATE.on(self._channel.unary_stream)
        stream = AsyncStream(
            call(
                _requests.stream_request(request, frames, progress),
                timeout=self._timeout if timeout is None else timeout,
                metadata=self._metadata,
            )
        )
        self._streams.add(stream)
        return stream

    async def masks(
        self,
        prompt: str | None = None,
        *,
        messages: Messages | None = None,
        token_ids: Iterable[int] | None = None,
        infill: InfillTemplate | None = None,
        layers: Iterable[int] | None = None,
        heads: Iterable[int] | None = None,
        inspect_steps: Iterable[int] | None = None,
        importance: bool = True,
        timeout: float | None = None,
        **options: Unpack[Options],
    ) -> Masks:
        """Generates as generate does, and returns with the result which blocks of its attention
        SparseD keeps, for the layers and heads given or all; at the step that selects the pattern,
        and beside it what other steps, counted from 0, would select. SparseD is used at any length
        unless `sparse` says otherwise. The server must have been started with
        --enable-inspection."""
        request = _requests.generate_request(prompt, messages, token_ids, infill, options)
        inspection = _requests.inspect_request(request, layers, heads, inspect_steps, importance)
        return received(await self._inspect(inspection, timeout))

    async def tokenize(
        self,
        text: str | None = None,
        *,
        messages: Messages | None = None,
        model: str = "",
        timeout: float | None = None,
    ) -> Tokens:
        """Encodes a text, or a conversation through the model's chat template."""
        request = _requests.tokenize_request(text, messages, model)
        response = await self._call(_channel.TOKENIZE, request, timeout)
        return convert(Tokens, response)

    async def detokenize(
        self,
        token_ids: Iterable[int],
        *,
        keep_special: bool = False,
        model: str = "",
        timeout: float | None = None,
    ) -> str:
        """Decodes ids into text."""
        request = _requests.detokenize_request(token_ids, keep_special, model)
        response = await self._call(_channel.DETOKENIZE, request, timeout)
        return response.text

    async def models(self, *, timeout: float | None = None) -> list[Model]:
        """All models of the server."""
        models: list[Model] = []
        request = model_pb2.ListModelsRequest()
        while True:
            page = await self._call(_channel.LIST_MODELS, request, timeout)
            models += [convert(Model, model) for model in page.models]
            if not page.next_page_token:
                return models
            request.page_token = page.next_page_token

    async def model(self, name: str = "", *, timeout: float | None = None) -> Model:
        """One model; the served one without a name."""
        request = model_pb2.GetModelRequest(name=name)
        response = await self._call(_channel.GET_MODEL, request, timeout)
        return convert(Model, response.model)

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """The server and its limits."""
        request = model_pb2.GetServerInfoRequest()
        response = await self._call(_channel.GET_SERVER_INFO, request, timeout)
        return convert(ServerInfo, response)

    async def is_serving(self, service: str = "", *, timeout: float | None = None) -> bool:
        """Whether a service takes calls; the whole server without a name."""
        request = health_pb2.HealthCheckRequest(service=service)
        response = await self._call(_channel.CHECK, request, timeout)
        return response.status == health_pb2.HealthCheckResponse.SERVING

    async def _inspect(
        self, request: inspection_pb2.InspectRequest, timeout: float | None
    ) -> list[inspection_pb2.InspectResponse]:
        call = _channel.INSPECT.on(self._channel.unary_stream)(
            request,
            timeout=self._timeout if timeout is None else timeout,
            metadata=self._metadata,
        )
        try:
            return [message async for message in call]
        except grpc.RpcError as error:
            raise error_of(error) from None

    async def _call(
        self, method: Method[Request, Response], request: Request, timeout: float | None
    ) -> Response:
        try:
            response: Response = await method.on(self._channel.unary_unary)(
                request,
                timeout=self._timeout if timeout is None else timeout,
                metadata=self._metadata,
            )
            return response
        except grpc.RpcError as error:
            raise error_of(error) from None
