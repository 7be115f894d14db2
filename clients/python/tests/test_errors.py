"""Every way in which calls fail, as exceptions with what the server said."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from requests_to_nano import LONG, SHORT
from sparsed_server import Server

import sparsed_client
from sparsed_client import AsyncClient, Client, FieldViolation, Progress, SparsedError


def failure_of(kind, call):
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind
    return caught.value


def test_wrong_fields(client):
    error = failure_of(sparsed_client.InvalidRequest, lambda: client.generate(
        "x", steps=5, temperature=-1, request_id="mine"))
    assert error.code == "INVALID_ARGUMENT" and error.request_id == "mine"
    assert [violation.field for violation in error.violations] == [
        "sampling.steps", "sampling.temperature"]
    assert error.violations[1] == FieldViolation(
        "sampling.temperature", "-1 is not a number from 0 to 100")
    assert error.retry_after is None
    for part in ("INVALID_ARGUMENT", "  sampling.steps: ", "request id: mine"):
        assert part in str(error)


def test_wrong_fields_asynchronously(address):
    async def run():
        async with AsyncClient(address) as client:
            for call in (client.generate("x", steps=5), client.stream("x", steps=5).__anext__()):
                with pytest.raises(sparsed_client.InvalidRequest) as caught:
                    await call
                assert caught.value.violations[0].field == "sampling.steps"
                assert caught.value.request_id
    asyncio.run(run())


def test_a_refused_stream(client):
    stream = client.stream("x", steps=5)
    error = failure_of(sparsed_client.InvalidRequest, lambda: next(stream))
    assert error.violations[0].field == "sampling.steps" and stream.result is None


def test_too_long(client):
    error = failure_of(sparsed_client.InvalidRequest,
                       lambda: client.generate("x", gen_length=9000, steps=1, block_length=9000))
    assert error.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert error.metadata["canvas_tokens"] == "9000"
    assert "reason: CONTEXT_LENGTH_EXCEEDED" in str(error) and "canvas_tokens = 9000" in str(error)


def test_an_unknown_model_and_service(client):
    for call in (lambda: client.generate("x", model="gpt"), lambda: client.model("gpt"),
                 lambda: client.tokenize("x", model="gpt"), lambda: client.health("gpt")):
        failure_of(sparsed_client.NotFound, call)


def test_deadlines(client):
    start = time.monotonic()
    error = failure_of(sparsed_client.DeadlineExceeded,
                       lambda: client.generate(**LONG, timeout=0.2))
    assert error.code == "DEADLINE_EXCEEDED" and time.monotonic() - start < 5


def test_no_server():
    with Client("127.0.0.1:1", timeout=5) as client:
        failure_of(sparsed_client.Unavailable, client.models)
        failure_of(sparsed_client.Unavailable, lambda: next(client.stream("x")))


@pytest.fixture
def small(tmp_path):
    """A server that asks for a token and lets one request run and one wait."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"ann:{hashlib.sha256(b'secret').hexdigest()}\n")
    with Server("--auth-token-file", str(tokens), "--queue-requests", "1",
                "--max-running", "1") as server:
        yield server


def test_tokens_and_a_full_queue(small):
    address = f"127.0.0.1:{small.port}"
    for token, reason in ((None, "TOKEN_MISSING"), ("guess", "TOKEN_INVALID")):
        with Client(address, token=token) as client:
            error = failure_of(sparsed_client.Unauthenticated, client.models)
            assert error.reason == reason
    with Client(address, token="secret") as client:
        with client.stream(**LONG, progress=True) as running:
            while not isinstance(next(running), Progress):
                pass
            with client.stream(**LONG) as waiting:
                next(waiting)
                error = failure_of(sparsed_client.QueueFull,
                                   lambda: client.generate("x", **SHORT))
        assert isinstance(error, sparsed_client.ResourceExhausted)
        assert error.retry_after > 0 and error.request_id
        assert error.violations[0].field == "queue_requests"
        assert "retry after: " in str(error)
        small.wait_until_idle(3)
        large = {"gen_length": 64, "steps": 1, "block_length": 64}
        assert client.generate("x", **large).token_ids


def test_a_request_that_never_fits():
    with Server("--max-batch-tokens", "256") as server:
        with Client(f"127.0.0.1:{server.port}") as client:
            error = failure_of(sparsed_client.ResourceExhausted,
                               lambda: client.generate("x", gen_length=512))
            assert error.retry_after is None and error.violations


def test_other_codes_are_errors_too():
    assert all(issubclass(kind, SparsedError) for kind in vars(sparsed_client).values()
               if isinstance(kind, type) and issubclass(kind, Exception))


CANCELLED = 'sparsed_requests_total{outcome="cancelled",surface="grpc"}'

INTERRUPTED = """
import sys
sys.path.insert(0, sys.argv[2])
from requests_to_nano import LONG
from sparsed_client import Client
with Client(sys.argv[1]) as client:
    try:
        client.generate(**LONG)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    sys.stdin.read()
"""


def test_an_interrupt_cancels_the_call_that_waits(server, address):
    server.wait_until_idle()
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, address, os.path.dirname(__file__)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    patience = threading.Timer(30, process.kill)
    patience.start()
    try:
        while server.metric("sparsed_requests_running") == 0:
            assert process.poll() is None
            time.sleep(0.05)
        # It runs there; here the client may still be on its way from sending to waiting.
        time.sleep(0.3)
        cancelled = server.metric(CANCELLED)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        # It lives on, as a notebook does: the call itself was cancelled.
        server.wait_until_idle(10)
        assert server.metric(CANCELLED) == cancelled + 1
        assert process.poll() is None
        process.communicate("")
    finally:
        patience.cancel()
        process.kill()
        process.wait()
