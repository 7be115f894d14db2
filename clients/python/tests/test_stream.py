"""Streams: their events, and that the server stops when nobody wants them any more."""

import asyncio
import contextlib
import gc
import signal
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import pytest
from requests_to_nano import LONG, SHORT

from sparsed_client import Accepted, AsyncClient, Block, Client, Final, Frame, Progress

RUNNING = "sparsed_requests_running"
CANCELLED = 'sparsed_requests_total{outcome="cancelled",surface="grpc"}'


class Leaves:
    """Of what happens in its block: one generation ran, and was cancelled."""

    def __init__(self, server):
        self._server = server

    def __enter__(self):
        self._server.wait_until_idle()
        self._before = self._server.metric(CANCELLED)
        return self

    def runs(self):
        return self._server.metric(RUNNING) == 1

    def left(self):
        patience = time.monotonic() + 30
        while self._server.metric(CANCELLED) == self._before and time.monotonic() < patience:
            time.sleep(0.01)
        assert self._server.metric(CANCELLED) == self._before + 1
        self._server.wait_until_idle()

    def __exit__(self, kind, *_):
        if kind is None:
            self.left()


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
    assert events[0].planned_steps == 8 and events[0].seed == 3


ALL_EVENTS = {"gen_length": 32, "steps": 8, "seed": 3, "temperature": 1.0, "stop_at_end": False,
              "frames": True, "progress": True}


def test_the_events(client):
    stream = client.stream("The history of", **ALL_EVENTS)
    assert stream.result is None
    events = list(stream)
    check_events(events, stream.result.text)
    assert list(stream) == []


def test_the_events_asynchronously(target):
    async def run():
        async with AsyncClient(**target) as client:
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
        assert leaves.runs()
        stream.close()
        stream.close()
        assert list(stream) == []


def test_the_end_of_a_with_block_cancels(server, client):
    with Leaves(server) as leaves, client.stream(**LONG, progress=True) as stream:
        until_progress(stream)
        assert leaves.runs()


def test_a_break_cancels(server, client):
    with Leaves(server) as leaves:
        for event in client.stream(**LONG, progress=True):
            if isinstance(event, Progress):
                assert leaves.runs()
                break
        del event
        gc.collect()


def test_a_closed_generator_around_a_stream_cancels(server, client):
    def events():
        yield from client.stream(**LONG, progress=True)
    with Leaves(server) as leaves:
        generator = events()
        until_progress(generator)
        assert leaves.runs()
        generator.close()


def test_closing_from_another_thread_ends_the_iteration(server, client):
    begun = threading.Event()

    def read(stream):
        for event in stream:
            if isinstance(event, Progress):
                begun.set()
        return stream.result

    with Leaves(server) as leaves, ThreadPoolExecutor() as pool:
        stream = client.stream(**LONG, progress=True)
        result = pool.submit(read, stream)
        assert begun.wait(60) and leaves.runs()
        stream.close()
        assert result.result(60) is None


def test_closing_the_client_cancels(server, target):
    with Leaves(server) as leaves:
        with Client(**target) as client:
            stream = client.stream(**LONG, progress=True)
            until_progress(stream)
            assert leaves.runs()
        assert stream.result is None


@contextlib.contextmanager
def interrupted(when):
    """Its block is interrupted, as by Ctrl-C, as soon as when() is true."""
    over = threading.Event()

    def wait():
        while not over.wait(0.01):
            if when():
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                return

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupter = threading.Thread(target=wait)
    interrupter.start()
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            yield caught
    finally:
        over.set()
        interrupter.join()
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_cancels_the_call_that_waits(server, client, monkeypatch):
    # The server may be at work before gRPC gives the call to the client, which can only then
    # cancel it.
    held = threading.Event()
    unary_unary = client._channel.unary_unary

    def telling(*method, **how):
        future = unary_unary(*method, **how).future

        def call(*args, **kwargs):
            started = future(*args, **kwargs)

            def result():
                held.set()
                return started.result()
            return types.SimpleNamespace(result=result, cancel=started.cancel)
        return types.SimpleNamespace(future=call)

    monkeypatch.setattr(client._channel, "unary_unary", telling)
    with Leaves(server) as leaves:
        # A notebook keeps the last traceback, and with it the call.
        with interrupted(lambda: held.is_set() and leaves.runs()) as caught:
            client.generate(**LONG)
        leaves.left()
    assert caught.tb


def test_an_interrupt_cancels_the_stream_that_waits(server, client):
    held = threading.Event()
    with Leaves(server) as leaves:
        stream = client.stream(**LONG, progress=True)
        with interrupted(lambda: held.is_set() and leaves.runs()):
            for event in stream:
                if isinstance(event, Progress):
                    held.set()
        assert list(stream) == []


def test_an_interrupt_cancels_the_masks_that_wait(server, client, monkeypatch):
    held = threading.Event()
    unary_stream = client._channel.unary_stream

    class Call:
        def __init__(self, call):
            self._call, self.cancel = call, call.cancel

        def __iter__(self):
            held.set()
            return iter(self._call)

    monkeypatch.setattr(client._channel, "unary_stream", lambda *method, **how: (
        lambda *args, **kwargs: Call(unary_stream(*method, **how)(*args, **kwargs))))
    with Leaves(server) as leaves, interrupted(lambda: held.is_set() and leaves.runs()):
        client.masks(**LONG)


def in_loop(target, body):
    async def run():
        async with AsyncClient(**target) as client:
            await body(client)
    asyncio.run(run())


def test_closing_cancels_asynchronously(server, target):
    async def body(client):
        with Leaves(server) as leaves:
            stream = client.stream(**LONG, progress=True)
            await until_progress_async(stream)
            assert leaves.runs()
            await stream.aclose()
            assert [event async for event in stream] == []
    in_loop(target, body)


def test_closing_the_client_cancels_asynchronously(server, target):
    async def run():
        client = AsyncClient(**target)
        stream = client.stream(**LONG, progress=True)
        await until_progress_async(stream)
        assert leaves.runs()
        await client.close()
        assert [event async for event in stream] == []
    with Leaves(server) as leaves:
        asyncio.run(run())


def test_a_break_cancels_asynchronously(server, target):
    async def body(client):
        with Leaves(server) as leaves:
            async for event in client.stream(**LONG, progress=True):
                if isinstance(event, Progress):
                    assert leaves.runs()
                    break
            # The loop of this client must run for the cancellation to leave.
            await asyncio.to_thread(leaves.left)
    in_loop(target, body)


@pytest.mark.parametrize("method", ["stream", "generate", "masks"])
def test_cancelling_the_task_cancels(server, target, method):
    async def use(client):
        if method == "stream":
            async for _ in client.stream(**LONG):
                pass
        else:
            await getattr(client, method)(**LONG)

    async def body(client):
        with Leaves(server) as leaves:
            task = asyncio.create_task(use(client))
            while not leaves.runs():
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(leaves.left)
    in_loop(target, body)


def test_another_task_may_close_a_stream(server, target):
    async def body(client):
        begun = asyncio.Event()

        async def read(stream):
            async for event in stream:
                if isinstance(event, Progress):
                    begun.set()
            return stream.result

        with Leaves(server) as leaves:
            stream = client.stream(**LONG, progress=True)
            reader = asyncio.create_task(read(stream))
            await begun.wait()
            assert leaves.runs()
            await stream.aclose()
            assert await reader is None
    in_loop(target, body)


def test_streams_side_by_side(target):
    async def body(client):
        async def text(seed):
            stream = client.stream("The river", temperature=1.0, **{**SHORT, "seed": seed})
            joined = "".join([e.text async for e in stream if isinstance(e, Block)])
            assert joined == stream.result.text
            return joined
        texts = await asyncio.gather(*(text(seed) for seed in range(1, 5)))
        assert len(set(texts)) > 1
    in_loop(target, body)
