"""SIGTERM: what was accepted is finished, what comes later is refused, the exit code is 0."""

import os
import signal
import subprocess
import threading
import time

import grpc

from sparsed_server import BINARY, ShallowServer, failure_of, g, long_request, short_request
from test_limits import accepted_stream, start_stream


def test_no_accepted_request_fails_under_load():
    with ShallowServer("--max-running", "4", "--drain-delay-seconds", "0.5") as server:
        client = server.client
        stop = threading.Event()
        accepted, finished, refused, failed = [], [], [], []

        def load(number):
            i = 0
            while not stop.is_set():
                i += 1
                request = short_request(request_id=f"{number}-{i}")
                request.sampling.steps = 8
                try:
                    for event in client.stream(g.StreamGenerateRequest(request=request)):
                        kind = event.WhichOneof("event")
                        if kind == "accepted":
                            accepted.append(request.request_id)
                        elif kind == "final":
                            finished.append(request.request_id)
                except grpc.RpcError as error:
                    bucket = failed if request.request_id in accepted else refused
                    bucket.append((request.request_id, error.code()))
                    time.sleep(0.05)
        threads = [threading.Thread(target=load, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        while len(finished) < 13 and not failed:
            time.sleep(0.05)
        # Twelve callers and four places: some run, some wait, some are about to call.
        assert server.stop() == 0
        stop.set()
        for thread in threads:
            thread.join()
        assert failed == []
        assert sorted(accepted) == sorted(finished)
        # gRPC itself cuts calls that arrive while it closes the connections; our code sees none.
        assert {code for _, code in refused} <= {grpc.StatusCode.UNAVAILABLE,
                                                 grpc.StatusCode.CANCELLED}
        assert {line["code"] for line in server.lines if line["event"] == "access"} <= {
            "OK", "UNAVAILABLE"}
        events = [line["event"] for line in server.lines]
        assert events.index("drain_started") < events.index("drained") < events.index("exit")


def test_timeline():
    with ShallowServer("--drain-delay-seconds", "1", "--max-running", "1") as server:
        client = server.client
        running = start_stream(client, long_request())
        waiting = accepted_stream(client, short_request())
        assert server.metric("sparsed_ready") == 1
        server.process.send_signal(signal.SIGTERM)
        started = server.wait_for("drain_started")
        assert (started["running"], started["waiting"]) == (1, 1)
        status, body = server.http("/readyz")
        assert status == 503 and "draining" in body
        assert server.http("/healthz")[0] == 503
        assert server.metric("sparsed_ready") == 0
        assert server.http("/livez")[0] == 200
        # Balancers lag: during the delay new calls are still taken.
        late = accepted_stream(client, short_request())
        time.sleep(1.2)
        error = failure_of(lambda: client.generate(short_request()))
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert error.rich["RetryInfo"].retry_delay.seconds == 1
        running.cancel()
        for call in (waiting, late):
            assert list(call)[-1].WhichOneof("event") == "final"
        assert server.process.wait(60) == 0


def test_after_the_timeout_the_rest_is_cancelled():
    with ShallowServer("--drain-timeout-seconds", "1", "--max-running", "1") as server:
        running = start_stream(server.client, long_request())
        waiting = accepted_stream(server.client, long_request(2))
        server.process.send_signal(signal.SIGTERM)
        for call in (running, waiting):
            error = failure_of(lambda: list(call))
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            assert error.rich["ErrorInfo"].reason == "DRAIN_TIMEOUT"
            assert error.rich["RetryInfo"].retry_delay.seconds == 1
        assert server.process.wait(10) == 0


def test_a_second_signal_ends_at_once():
    with ShallowServer("--drain-delay-seconds", "60") as server:
        running = start_stream(server.client, long_request())
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("drain_started")
        begin = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        error = failure_of(lambda: list(running))
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert server.process.wait(10) == 0
        assert time.monotonic() - begin < 5


def test_an_idle_server_ends_quickly():
    with ShallowServer() as server:
        begin = time.monotonic()
        assert server.stop(10) == 0
        assert time.monotonic() - begin < 3


def drain(*arguments):
    """`sparsedctl drain`, which is built beside the server."""
    return subprocess.Popen([os.path.join(os.path.dirname(BINARY), "sparsedctl"), "drain",
                             *map(str, arguments)], stderr=subprocess.PIPE, text=True)


def test_sparsedctl_drain_returns_when_the_server_has_ended():
    with ShallowServer() as server:
        request = short_request()
        request.sampling.gen_length = request.sampling.steps = 256
        running = start_stream(server.client, request)
        draining = drain("--pid", server.process.pid)
        server.wait_for("drain_started")
        assert draining.poll() is None
        assert list(running)[-1].WhichOneof("event") == "final"
        assert draining.wait(30) == 0
        # It is gone by now, not only about to go.
        assert server.process.poll() == 0
        assert [line["event"] for line in server.lines].count("drain_cut_short") == 0


def test_sparsedctl_drain_has_patience_and_no_more():
    with ShallowServer() as server:
        running = start_stream(server.client, long_request())
        begin = time.monotonic()
        draining = drain("--pid", server.process.pid, "--timeout-seconds", 0.3)
        assert draining.wait(10) == 1
        assert 0.3 <= time.monotonic() - begin < 5
        assert "still runs" in draining.stderr.read()
        assert server.process.poll() is None
        # Once more is a second signal.
        assert drain("--pid", server.process.pid).wait(10) == 0
        assert failure_of(lambda: list(running)).code() == grpc.StatusCode.UNAVAILABLE
        assert server.process.poll() == 0


def test_sparsedctl_drain_stops_no_other_process():
    other = subprocess.Popen(["sleep", "60"])
    draining = drain("--pid", other.pid)
    assert draining.wait(10) == 1
    assert "'sleep'" in draining.stderr.read()
    assert other.poll() is None
    other.kill()
    other.wait()
    draining = drain("--pid", other.pid)
    assert draining.wait(10) == 1
    assert "No such process" in draining.stderr.read()
