"""Streams: their events, and that the server stops when nobody wants them any more."""

import asyncio
import gc
import threading
import time

import pytest
from requests_to_nano import LONG, SHORT

from sparsed_client import (
    Accepted,
    AsyncClient,
    Block,
    Client,
    DeadlineExceeded,
    Final,
    Frame,
    Progress,
)

RUNNING = "sparsed_requests_running"
CANCELLED = 'sparsed_requests_total{outcome="cancelled",surface="grpc"}'


class Leaves:
    """Of what happens in its block: one generation ran, and was cancelled within a step."""

    def __init__(self, server):
        self._server = server

    def __enter__(self):
        self._server.wait_until_idle()
        self._before = self._server.metric(CANCELLED)
        return self

    def runs(self):
        assert self._server.metric(RUNNING) == 1

    def __exit__(self, kind, *_):
        if kind is None:
            self._server.wait_until_idle(10)
            assert self._server.metric(CANCELLED) == self._before + 1


def until_progress(stream):
    for event in stream:
        if isinstance(event, Progress):
            return event
    raise AssertionError("no progress")


async def until_progress_async(stream):
    async for event in stream:
        if isinstance(event, Progress):
            return event
    raise AssertionError("no progress")


def check_events(events, text):
    assert isinstance(events[0], Accepted) and isinstance(events[-1], Final)
    assert {type(event) for event in events} == {Accepted, Progress, Frame, Block, Final}
    assert "".join(event.text for event in events if isinstance(event, Block)) == text
    assert events[-1].result.text == text
    assert all(len(event.token_ids) == 32 for event in events if isinstance(event, Frame))
    assert {event.kind for event in events if isinstance(event, Progress)} == {"full"}
    assert events[0].planned_steps == 16 and events[0].seed == 3


ALL_EVENTS = {"gen_length": 32, "steps": 16, "seed": 3, "temperature": 1.0, "stop_at_end": False,
              "frames": True, "progress": True}


def test_the_events(client):
    stream = client.stream("The history of", **ALL_EVENTS)
    assert stream.result is None
    events = list(stream)
    check_events(events, stream.result.text)
    assert list(stream) == []


def test_the_events_asynchronously(address):
    async def run():
        async with AsyncClient(address) as client:
            stream = client.stream("The history of", **ALL_EVENTS)
            events = [event async for event in stream]
            check_events(events, stream.result.text)
            assert [event async for event in stream] == []
    asyncio.run(run())


def test_only_what_was_asked_for(client):
    kinds = {type(event) for event in client.stream("The river", **SHORT)}
    assert kinds <= {Accepted, Block, Final}


def test_closing_cancels(server, client):
    with Leaves(server) as leaves:
        stream = client.stream(**LONG, progress=True)
        until_progress(stream)
        leaves.runs()
        stream.close()
        stream.close()
        assert list(stream) == []


def test_the_end_of_a_with_block_cancels(server, client):
    with Leaves(server) as leaves, client.stream(**LONG, progress=True) as stream:
        until_progress(stream)
        leaves.runs()


def test_a_break_cancels(server, client):
    with Leaves(server) as leaves:
        for event in client.stream(**LONG, progress=True):
            if isinstance(event, Progress):
                leaves.runs()
                break
        del event
        gc.collect()


def test_a_closed_generator_around_a_stream_cancels(server, client):
    def texts():
        for event in client.stream(**LONG, progress=True):
            yield event
    with Leaves(server) as leaves:
        generator = texts()
        until_progress(generator)
        leaves.runs()
        generator.close()


def test_closing_from_another_thread_ends_the_iteration(server, client):
    with Leaves(server) as leaves:
        stream = client.stream(**LONG, progress=True)
        until_progress(stream)
        leaves.runs()
        threading.Timer(0.1, stream.close).start()
        events = list(stream)
        assert not any(isinstance(event, Final) for event in events)


def test_closing_the_client_cancels(server, address):
    with Leaves(server) as leaves:
        with Client(address) as client:
            stream = client.stream(**LONG, progress=True)
            until_progress(stream)
            leaves.runs()
        assert stream.result is None


def test_a_deadline_ends_a_stream(server, address):
    with Client(address, timeout=0.2) as client:
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            list(client.stream(**LONG))
        assert time.monotonic() - start < 5
    server.wait_until_idle(3)


def in_loop(address, body):
    async def run():
        async with AsyncClient(address) as client:
            await body(client)
    asyncio.run(run())


def test_closing_cancels_asynchronously(server, address):
    async def body(client):
        with Leaves(server) as leaves:
            stream = client.stream(**LONG, progress=True)
            await until_progress_async(stream)
            leaves.runs()
            await stream.aclose()
            assert [event async for event in stream] == []
    in_loop(address, body)


def test_closing_the_client_cancels_asynchronously(server, address):
    async def run():
        client = AsyncClient(address)
        stream = client.stream(**LONG, progress=True)
        await until_progress_async(stream)
        leaves.runs()
        await client.close()
        assert [event async for event in stream] == []
    with Leaves(server) as leaves:
        asyncio.run(run())


def test_a_break_cancels_asynchronously(server, address):
    async def body(client):
        before = server.metric(CANCELLED)
        async for event in client.stream(**LONG, progress=True):
            if isinstance(event, Progress):
                assert server.metric(RUNNING) == 1
                break
        # The loop of this client must run for the cancellation to leave.
        for _ in range(60):
            await asyncio.sleep(0.05)
            if server.metric(RUNNING) == 0:
                break
        assert server.metric(RUNNING) == 0 and server.metric(CANCELLED) == before + 1
    in_loop(address, body)


@pytest.mark.parametrize("streamed", [True, False])
def test_cancelling_the_task_cancels(server, address, streamed):
    async def use(client):
        if streamed:
            async for _ in client.stream(**LONG):
                pass
        else:
            await client.generate(**LONG)

    async def body(client):
        with Leaves(server) as leaves:
            task = asyncio.create_task(use(client))
            while server.metric(RUNNING) == 0:
                await asyncio.sleep(0.05)
            leaves.runs()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0)
    in_loop(address, body)


def test_another_task_may_close_a_stream(server, address):
    async def body(client):
        with Leaves(server):
            stream = client.stream(**LONG, progress=True)
            await until_progress_async(stream)

            async def rest():
                return [event async for event in stream]
            reader = asyncio.create_task(rest())
            await asyncio.sleep(0.1)
            await stream.aclose()
            assert not any(isinstance(event, Final) for event in await reader)
    in_loop(address, body)


def test_streams_side_by_side(address):
    async def body(client):
        async def text(seed):
            stream = client.stream("The river", temperature=1.0, **{**SHORT, "seed": seed})
            joined = "".join([e.text async for e in stream if isinstance(e, Block)])
            assert joined == stream.result.text
            return joined
        texts = await asyncio.gather(*(text(seed) for seed in range(1, 9)))
        assert len(set(texts)) > 1
    in_loop(address, body)
