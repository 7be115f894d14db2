"""The client for threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import grpc

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


class Stream(Iterator[Event]):
    """The events of a generation that runs.

    Closing it cancels the generation, if it still runs: `close()`, the end of a `with` block, an
    interrupt while waiting, or that nobody holds the stream any more, as after a `break`.
    Threads: one thread iterates; any may close, which ends that iteration.
    """

    def __init__(self, call: Any) -> None:
        self._call = call
        self._closed = False
        self.result: Result | None = None
        """The result, once the final event was read."""

    def __next__(self) -> Event:
        while not self._closed:
            try:
                event = event_of(next(self._call))
            except grpc.RpcError as error:
                if self._closed:
                    break
                raise error_of(error) from None
            except BaseException:  # Its traceback may keep the stream alive for long.
                self.close()
                raise
            if event is None:
                continue
            if isinstance(event, Final):
                self.result = event.result
            return event
        raise StopIteration

    def close(self) -> None:
        """Cancels what still runs. May be called again."""
        self._closed = True
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class Client:
    """A connection to a server; close it, or use it in a `with` block.

    address: HOST:PORT, or unix:PATH. token: the bearer token. root_certificates: PEM of the
    authority of the server's certificate; with it the connection is TLS. client_certificate: PEM
    of the client's own certificate chain, and of its key. timeout: seconds that a call may take
    unless it says otherwise, None for no limit but the server's. retries: calls that find no
    server, or one with too much to do, are made again, up to three times and when it says.
    Options of a generation are those of `Options`, by name. Failed calls raise SparsedError.
    Threads: every method may be called by many threads at once.
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
        self._channel = target.open(grpc)

    def close(self) -> None:
        """Cancels what still runs and disconnects."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def generate(
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
        return convert(Result, self._call(_channel.GENERATE, request, timeout))

    def chat(
        self, messages: Messages, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Result:
        """The next turn of a conversation; a text is its only turn."""
        return self.generate(messages=messages, timeout=timeout, **options)

    def infill(
        self, template: InfillTemplate, *, timeout: float | None = None, **options: Unpack[Options]
    ) -> Result:
        """Fills the holes: `"The capital of {{4}} is Paris."`, or `["The capital of ", 4]`."""
        return self.generate(infill=template, timeout=timeout, **options)

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
    ) -> Stream:
        """As generate; starts at once and gives the events as they come."""
        request = _requests.generate_request(prompt, messages, token_ids, infill, options)
        call = _channel.STREAM_GENERATE.on(self._channel.unary_stream)
        return Stream(
            call(
                _requests.stream_request(request, frames, progress),
                timeout=self._timeout if timeout is None else timeout,
                metadata=self._metadata,
            )
        )

    def masks(
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
        return received(self._inspect(inspection, timeout))

    def tokenize(
        self,
        text: str | None = None,
        *,
        messages: Messages | None = None,
        model: str = "",
        timeout: float | None = None,
    ) -> Tokens:
        """Encodes a text, or a conversation through the model's chat template."""
        request = _requests.tokenize_request(text, messages, model)
        return convert(Tokens, self._call(_channel.TOKENIZE, request, timeout))

    def detokenize(
        self,
        token_ids: Iterable[int],
        *,
        keep_special: bool = False,
        model: str = "",
        timeout: float | None = None,
    ) -> str:
        """Decodes ids into text."""
        request = _requests.detokenize_request(token_ids, keep_special, model)
        return self._call(_channel.DETOKENIZE, request, timeout).text

    def models(self, *, timeout: float | None = None) -> list[Model]:
        """All models of the server."""
        models: list[Model] = []
        request = model_pb2.ListModelsRequest()
        while True:
            page = self._call(_channel.LIST_MODELS, request, timeout)
            models += [convert(Model, model) for model in page.models]
            if not page.next_page_token:
                return models
            request.page_token = page.next_page_token

    def model(self, name: str = "", *, timeout: float | None = None) -> Model:
        """One model; the served one without a name."""
        request = model_pb2.GetModelRequest(name=name)
        return convert(Model, self._call(_channel.GET_MODEL, request, timeout).model)

    def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """The server and its limits."""
        request = model_pb2.GetServerInfoRequest()
        return convert(ServerInfo, self._call(_channel.GET_SERVER_INFO, request, timeout))

    def is_serving(self, service: str = "", *, timeout: float | None = None) -> bool:
        """Whether a service takes calls; the whole server without a name."""
        request = health_pb2.HealthCheckRequest(service=service)
        response = self._call(_channel.CHECK, request, timeout)
        return response.status == health_pb2.HealthCheckResponse.SERVING

    def _inspect(
        self, request: inspection_pb2.InspectRequest, timeout: float | None
    ) -> list[inspection_pb2.InspectResponse]:
        call = _channel.INSPECT.on(self._channel.unary_stream)(
            request,
            timeout=self._timeout if timeout is None else timeout,
            metadata=self._metadata,
        )
        try:
            return list(call)
        except grpc.RpcError as error:
            raise error_of(error) from None
        except BaseException:
            call.cancel()
            raise

    def _call(
        self, method: Method[Request, Response], request: Request, timeout: float | None
    ) -> Response:
        # A future, so that an interrupt cancels the call.
        call = method.on(self._channel.unary_unary).future(
            request,
            timeout=self._timeout if timeout is None else timeout,
            metadata=self._metadata,
        )
        try:
            response: Response = call.result()
            return response
        except grpc.RpcError as error:
            raise error_of(error) from None
        except BaseException:
            call.cancel()
            raise
