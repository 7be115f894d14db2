"""What goes wrong around a server: it is killed, stopped, and spoken to by broken clients. Nobody
else's answer changes, and afterwards its counters and memory are what they were."""

import os
import random
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from raw_http2 import (DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS,
                       WINDOW_UPDATE, RawHttp2, frame, header_block)
from shallow_model import shallow_model
from sparsed_server import (BINARY, GENERATION, MODEL_DIR, Client, ShallowServer, failure_of, g,
                            h, kept_addresses, short_request)
from test_flow import wide_request
from test_limits import start_stream


def request(number):
    """One of a few requests whose answers are known."""
    made = short_request()
    made.sampling.seed = number % 4
    made.sampling.temperature = 1.0
    return made


class Neighbours:
    """Other callers, all the time; every answer of theirs must be the one they got before."""

    def __init__(self, server, callers=2):
        self.client = Client(server.port)
        self.expected = [self.client.generate(request(i)).text for i in range(4)]
        self.done = 0
        self.wrong = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(callers)]
        for thread in self._threads:
            thread.start()

    def _run(self, number):
        while not self._stop.is_set():
            number += 1
            try:
                text = self.client.generate(request(number), timeout=60).text
                if text != self.expected[number % 4]:
                    self.wrong.append(text)
            except grpc.RpcError as error:
                self.wrong.append(error)
            self.done += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        before = self.done
        end = time.monotonic() + 60
        while self.done < before + 2 and time.monotonic() < end:  # they still get answers
            time.sleep(0.01)
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.client.close()
        assert self.wrong == []
        assert self.done >= before + 2


def settles(value, limit, seconds=15):
    """Waits until value() is at most limit."""
    end = time.monotonic() + seconds
    while value() > limit:
        assert time.monotonic() < end, (value(), limit)
        time.sleep(0.1)


def idle_connections(server):
    """How many this process and the server can both hold, 5,000 at most."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = min(hard, int(server.metric("process_max_fds")))
    count = min(5000, (most - 200) // 2)
    assert count >= 400
    return count


def open_idle(server, count):
    idle = [RawHttp2(server.port) for _ in range(count)]
    settles(lambda: count - server.metric("process_open_fds"), 0)
    return idle


@pytest.fixture(scope="module")
def shared():
    # One arena: with many, freed memory stays with whichever thread has had it.
    with ShallowServer("--max-running", "8", env={"MALLOC_ARENA_MAX": "1"}) as server:
        # What memory it will ever need it takes now: the rows of a full batch, the allocator's
        # share for many connections.
        with ThreadPoolExecutor(8) as pool:
            wide = wide_request(1)
            wide.sampling.block_length = 512
            list(pool.map(lambda _: server.client.generate(wide), range(8)))
        for _ in range(2):
            for raw in open_idle(server, idle_connections(server)):
                raw.close()
            settles(lambda: server.metric("process_open_fds"), 50)
        yield server


@pytest.fixture
def server(shared):
    """The shared server; after each test it must hold what it held before."""
    descriptors = shared.metric("process_open_fds")
    memory = shared.metric("process_resident_memory_bytes")
    yield shared
    shared.wait_until_idle(10)
    settles(lambda: shared.metric("process_open_fds"), descriptors + 4)
    assert shared.metric("process_resident_memory_bytes") < memory + (32 << 20)
    assert shared.metric('sparsed_requests_total{outcome="internal",surface="grpc"}') == 0
    assert shared.http("/readyz")[0] == 200


def test_killed_and_started_again_it_serves_on_the_same_ports():
    ports = kept_addresses()
    with ShallowServer(*ports) as server:
        expected = server.client.generate(request(1)).text
        running = start_stream(server.client, wide_request(512))
        server.process.kill()
        assert failure_of(lambda: list(running)).code() == grpc.StatusCode.UNAVAILABLE
        server.process.wait()
        with ShallowServer(*ports) as again:
            assert (again.port, again.admin_port) == (server.port, server.admin_port)
            assert again.client.generate(request(1)).text == expected
            # The old channel finds its way back by itself.
            text = server.client.generate(request(1), wait_for_ready=True, timeout=30).text
            assert text == expected


def test_stopped_and_continued_nobody_fails(server):
    with Neighbours(server) as others:
        server.process.send_signal(signal.SIGSTOP)
        done = others.done
        time.sleep(2.5)  # longer than the server takes for a slow tick
        assert others.done <= done + 2
        server.process.send_signal(signal.SIGCONT)
    assert server.http("/livez")[0] == 200


def reset(connection):
    """Closes with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_clients_that_reset_their_connections(server):
    with Neighbours(server):
        message = g.StreamGenerateRequest(request=wide_request(512)).SerializeToString()
        for _ in range(5):
            raws = []
            for _ in range(4):
                raw = RawHttp2(server.port)
                raw.call(f"/{GENERATION}/StreamGenerate", message)
                raws.append(raw)
            for raw in raws:
                for kind, *_ in raw.frames(30):
                    if kind == DATA:  # accepted
                        break
                reset(raw.socket)


def test_clients_that_do_not_read_are_forgotten_when_they_leave(server):
    with Neighbours(server):
        message = g.StreamGenerateRequest(request=wide_request(64), frames=True).SerializeToString()
        raws = [RawHttp2(server.port, window=0) for _ in range(6)]
        for raw in raws:
            raw.call(f"/{GENERATION}/StreamGenerate", message)
        time.sleep(1)
        for raw in raws:
            raw.close()


GARBAGE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    b"\x00" * 4096,
    PREFACE[:10],
    PREFACE + b"\xff" * 1000,
    PREFACE + frame(SETTINGS, 0, 0, b"\x00"),
    PREFACE + frame(SETTINGS, 0, 5),
    PREFACE + frame(SETTINGS, 0, 0) + frame(DATA, 0, 0, b"x"),
    PREFACE + frame(SETTINGS, 0, 0) + frame(DATA, 0, 7, b"x" * 100),
    PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 2, b"\x82"),
    PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, b"\xff" * 64),
    PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 0, 1, b"\x82") + frame(PING, 0, 0, b"x" * 8),
    PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, b"\x00" * 4),
    PREFACE + frame(SETTINGS, 0, 0) + struct.pack(">I", 0xFFFFFF)[1:] + b"\x00" * 6 + b"y" * 1000,
    PREFACE + frame(SETTINGS, 0, 0) + frame(PING, 0, 0, b"12345678") * 500,
    PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, 0, 0, b"\x00\x04\x7f\xff\xff\xff") * 500,
    PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, header_block(
        [(":method", "POST"), (":scheme", "http"), (":path", f"/{GENERATION}/Generate"),
         ("content-type", "application/grpc"), ("te", "trailers")]))
    + frame(DATA, END_STREAM, 1, b"\x00\xff\xff\xff\xffabc"),
    PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS | END_STREAM, 1, header_block(
        [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("a" * 100, "b" * 100)])),
    # Streams that are opened and reset at once.
    PREFACE + frame(SETTINGS, 0, 0) + b"".join(
        frame(HEADERS, END_HEADERS, stream, header_block(
            [(":method", "POST"), (":scheme", "http"), (":path", f"/{GENERATION}/Generate"),
             ("content-type", "application/grpc"), ("te", "trailers")]))
        + frame(3, 0, stream, b"\x00\x00\x00\x08") for stream in range(1, 2000, 2)),
]


def test_bytes_that_are_no_http2(server):
    rng = random.Random(7)
    inputs = GARBAGE + [rng.randbytes(rng.randint(1, 3000)) for _ in range(20)] + [
        PREFACE + frame(SETTINGS, 0, 0) + rng.randbytes(rng.randint(9, 3000)) for _ in range(20)]
    with Neighbours(server):
        for port in (server.port, server.admin_port):
            for data in inputs:
                with socket.create_connection(("127.0.0.1", port), 10) as connection:
                    try:
                        connection.sendall(data)
                        connection.shutdown(socket.SHUT_WR)
                        connection.settimeout(0.05)
                        while connection.recv(65536):
                            pass
                    except OSError:
                        pass


def test_thousands_of_idle_connections(server):
    with Neighbours(server):
        idle = open_idle(server, idle_connections(server))
        assert server.client.generate(request(1), timeout=60).token_ids
        for raw in idle:
            raw.close()


def test_deadlines_that_are_over_or_short(server):
    with Neighbours(server):
        def call(i):
            return failure_of(lambda: server.client.generate(
                wide_request(512), timeout=0.001 * (i % 40))).code()
        with ThreadPoolExecutor(16) as pool:
            codes = set(pool.map(call, range(200)))
        assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}


def test_a_full_disk_for_the_log_stops_nothing():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    addresses = kept_addresses()
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen([BINARY, "serve", "--model", shallow_model(MODEL_DIR),
                                    *addresses, "--drain-delay-seconds", "0"], stderr=full)
        try:
            client = Client(addresses[1].partition(":")[2])
            watch = client.watch(h.HealthCheckRequest(), wait_for_ready=True, timeout=60)
            while next(watch).status != h.HealthCheckResponse.SERVING:  # it loads
                pass
            watch.cancel()
            assert client.generate(request(1), timeout=60).token_ids
            client.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
