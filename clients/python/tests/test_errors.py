"""Every way in which calls fail, as exceptions with what the server said."""

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from requests_to_nano import LONG, SHORT

import sparsed_client
from sparsed_client import AsyncClient, Client, FieldViolation, Progress, SparsedError

REFUSED = 'sparsed_admission_rejections_total{reason="queue_full"}'


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
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and vars(copy) == vars(error)


def test_wrong_fields_asynchronously(target):
    async def run():
        async with AsyncClient(**target) as client:
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
                 lambda: client.tokenize("x", model="gpt"), lambda: client.is_serving("gpt")):
        failure_of(sparsed_client.NotFound, call)


def test_deadlines(client, target):
    error = failure_of(sparsed_client.DeadlineExceeded,
                       lambda: client.generate(**LONG, timeout=0.2))
    assert error.code == "DEADLINE_EXCEEDED"
    with Client(**target, timeout=0.2) as hasty:
        failure_of(sparsed_client.DeadlineExceeded, lambda: list(hasty.stream(**LONG)))
        assert hasty.generate("x", **SHORT, timeout=60).token_ids


def test_no_server():
    with Client("127.0.0.1:1", retries=False) as client:
        failure_of(sparsed_client.Unavailable, client.models)
        failure_of(sparsed_client.Unavailable, lambda: next(client.stream("x")))


def test_certificates(target):
    without = {**target, "client_certificate": None}
    with Client(**without, retries=False) as client:
        failure_of(sparsed_client.Unavailable, client.models)
    with pytest.raises(TypeError, match="root_certificates"):
        Client(**{**target, "root_certificates": None})


def test_tokens(target):
    for token, reason in ((None, "TOKEN_MISSING"), ("guess", "TOKEN_INVALID")):
        with Client(**{**target, "token": token}) as client:
            assert failure_of(sparsed_client.Unauthenticated, client.models).reason == reason
            assert client.is_serving()


@pytest.fixture
def full(server, client):
    """What fills the server's queue; those that wait are short, so that coming again is soon."""
    server.wait_until_idle()
    running = client.stream(**LONG, progress=True)
    while not isinstance(next(running), Progress):
        pass
    waiting = [client.stream(**{**LONG, "steps": 6}) for _ in range(4)]
    for stream in waiting:
        next(stream)
    yield [running, *waiting]
    for stream in [running, *waiting]:
        stream.close()
    server.wait_until_idle()


def test_a_full_queue(server, target, full):
    before = server.metric(REFUSED)
    with Client(**target, retries=False) as client:
        error = failure_of(sparsed_client.QueueFull, lambda: client.generate("x", **SHORT))
    assert server.metric(REFUSED) == before + 1
    assert isinstance(error, sparsed_client.ResourceExhausted)
    assert error.retry_after > 0 and error.request_id
    assert error.violations[0].field == "queue_requests"
    assert "retry after: " in str(error)


def test_what_is_refused_comes_again(server, target, client, full):
    async def streamed():
        async with AsyncClient(**target) as client:
            return [event async for event in client.stream("x", **SHORT)][-1].result

    before = server.metric(REFUSED)
    with ThreadPoolExecutor() as pool:
        results = [pool.submit(client.generate, "x", **SHORT),
                   pool.submit(asyncio.run, streamed())]
        while server.metric(REFUSED) < before + 2:
            assert not any(result.done() for result in results)
        for stream in full:
            stream.close()
        first, second = (result.result(60) for result in results)
    assert first.text == second.text


def test_a_request_that_never_fits(client):
    error = failure_of(sparsed_client.ResourceExhausted,
                       lambda: client.generate("x", gen_length=512))
    assert error.retry_after is None and error.violations


def test_details_that_are_none():
    assert str(SparsedError("UNKNOWN", "from a proxy", b"\xff")) == "UNKNOWN: from a proxy"


def test_what_tracebacks_say():
    kinds = [kind for kind in vars(sparsed_client).values()
             if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, SparsedError) and kind.__module__ == "sparsed_client"
