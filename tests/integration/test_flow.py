"""Clients that read slowly or not at all, and the limits of connections, streams and messages."""

import select
import socket
import threading
import time

import grpc
import pytest

from raw_http2 import DATA, GOAWAY, RST_STREAM, RawHttp2
from sparsed_server import (GENERATION, Client, ShallowServer, failure_of, g, h, long_request, m,
                            short_request)
from test_limits import start_stream

# What a client takes in unread: one HTTP/2 window, of a few frames.
SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 8192)]


def wide_request(steps):
    """Many events, large frames, and quick steps."""
    return g.GenerateRequest(prompt="The river", sampling=g.SamplingOptions(
        gen_length=512, steps=steps, seed=1, stop_at_end=False))


def stream_request(request, **options):
    return g.StreamGenerateRequest(request=request, **options)


def test_a_client_that_stops_reading_loses_its_place():
    with ShallowServer("--slow-client-seconds", "0.5", "--max-running", "2") as server:
        expected = server.client.generate(short_request()).text
        slow = Client(server.port, options=SMALL_WINDOW)
        request = wide_request(512)
        call = slow.stream(stream_request(request, frames=True, progress=True))
        assert next(call).WhichOneof("event") == "accepted"
        # Others are served meanwhile, with the same result.
        end = time.monotonic() + 60
        while server.metric("sparsed_slow_clients_total") == 0:
            assert server.client.generate(short_request(), timeout=30).text == expected
            assert time.monotonic() < end
        server.wait_until_idle(5)
        server.wait_for("slow_clients")
        line = server.wait_for("access", reason="slow_consumer")
        assert line["code"] == "RESOURCE_EXHAUSTED" and 0 < line["steps"] < 512
        assert server.metric("sparsed_wasted_steps_total") == line["steps"]
        # Once it reads on it gets what was under way, then the reason.
        error = failure_of(lambda: list(call))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.rich["ErrorInfo"].reason == "SLOW_CONSUMER"
        slow.close()


def test_a_client_that_reads_slowly_keeps_its_place():
    with ShallowServer("--slow-client-seconds", "1") as server:
        slow = Client(server.port, options=SMALL_WINDOW)
        request = wide_request(128)
        events = []
        for event in slow.stream(stream_request(request, frames=True)):
            events.append(event)
            time.sleep(0.05)
        text = "".join(e.block.text for e in events if e.WhichOneof("event") == "block")
        assert events[-1].WhichOneof("event") == "final"
        assert getattr(events[-1], "final").text == text
        assert server.metric("sparsed_slow_clients_total") == 0
        slow.close()


def test_an_end_that_nobody_reads_does_not_stay():
    with ShallowServer("--slow-client-seconds", "0.3") as server:
        raw = RawHttp2(server.port, window=0)
        raw.call(f"/{GENERATION}/StreamGenerate",
                 stream_request(short_request(request_id="unread")).SerializeToString())
        # The engine is done with it at once; nothing of it can be sent.
        assert server.wait_for("access", 10, request_id="unread")["code"] == "OK"
        seen = []
        for kind, *_ in raw.frames(10):
            seen.append(kind)
            if kind == RST_STREAM:
                break
        assert DATA not in seen and RST_STREAM in seen
        server.wait_for("slow_clients", 10)
        assert server.metric("sparsed_slow_clients_total") == 1
        raw.close()
        assert server.client.generate(short_request()).token_ids
        assert server.stop(10) == 0


def test_calls_beyond_the_streams_of_a_connection_wait():
    with ShallowServer("--max-concurrent-streams", "2") as server:
        first = [start_stream(server.client, long_request(seed)) for seed in (1, 2)]
        late = server.client.stream(stream_request(short_request()))
        got = threading.Event()
        events = []

        def read():
            for event in late:
                events.append(event.WhichOneof("event"))
                got.set()
        reader = threading.Thread(target=read)
        reader.start()
        assert not got.wait(0.5)
        # Another connection has streams of its own.
        other = Client(server.port)
        assert other.generate(short_request(), timeout=30).token_ids
        other.close()
        first[0].cancel()
        assert got.wait(10)
        reader.join()
        assert events[0] == "accepted" and events[-1] == "final"
        first[1].cancel()


def test_the_size_of_messages_is_bounded_where_the_flag_says():
    with ShallowServer("--max-message-mib", "1") as server:
        ids = g.TokenIds(ids=[100])
        request = g.GenerateRequest(token_ids=ids,
                                    sampling=g.SamplingOptions(gen_length=32, steps=1))
        assert server.client.generate(request).token_ids
        large = g.TokenizeRequest(text="a" * (1 << 20))
        error = failure_of(lambda: server.client.tokenize(large))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        limits = server.client.server_info(m.GetServerInfoRequest()).limits
        assert limits["max_message_bytes"] == 1 << 20


def test_metadata_over_the_limit_is_refused(server, client):
    sender = Client(server.port)
    error = failure_of(lambda: sender.generate(short_request(),
                                               metadata=[("x-large", "v" * 20000)]))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and not error.rich
    # gRPC may end the connection such metadata came on; it costs no other connection anything.
    assert client.generate(short_request()).token_ids


@pytest.mark.parametrize("flag,speaks", [("--handshake-timeout-seconds", False),
                                         ("--max-connection-idle-seconds", True)])
def test_connections_that_do_nothing_are_closed(flag, speaks):
    with ShallowServer(flag, "1") as server:
        if speaks:
            raw = RawHttp2(server.port)
            begin = time.monotonic()
            kinds = [kind for kind, *_ in raw.frames(10)]
            assert GOAWAY in kinds
            raw.close()
        else:
            silent = socket.create_connection(("127.0.0.1", server.port), 10)
            begin = time.monotonic()
            silent.settimeout(10)
            while silent.recv(4096):
                pass
            silent.close()
        assert 0.5 < time.monotonic() - begin < 8
        assert server.client.generate(short_request()).token_ids


def test_a_silent_peer_is_asked_for_a_sign_of_life():
    with ShallowServer("--keepalive-seconds", "1", "--keepalive-timeout-seconds", "1") as server:
        raw = RawHttp2(server.port)
        raw.call("/grpc.health.v1.Health/Watch", h.HealthCheckRequest().SerializeToString())
        # Reads nothing, so answers nothing; the end of the connection shows without reading.
        end = select.poll()
        end.register(raw.socket, select.POLLRDHUP)
        assert end.poll(10_000)
        raw.close()
        assert server.client.generate(short_request()).token_ids


def test_an_old_connection_is_asked_to_reconnect_without_a_failed_call():
    # A slow step, so that the call ends well after the connection's age has been told.
    with ShallowServer("--max-connection-age-seconds", "1", faults=["slow:1:1:2500"]) as server:
        raw = RawHttp2(server.port)
        assert any(kind == GOAWAY for kind, *_ in raw.frames(4))
        raw.close()
        # A call that is running keeps its connection for as long as it may run.
        request = short_request()
        events = [e.WhichOneof("event") for e in server.client.stream(stream_request(request))]
        assert events[-1] == "final"
