"""A full queue, deadlines, memory limits and priorities."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from sparsed_server import Server, failure_of, g, long_request, short_request


def start_stream(client, request):
    """A stream that has begun to run."""
    call = client.stream(g.StreamGenerateRequest(request=request, progress=True))
    for event in call:
        if event.WhichOneof("event") == "progress":
            return call
    raise AssertionError("no progress")


def accepted_stream(client, request):
    call = client.stream(g.StreamGenerateRequest(request=request))
    assert next(call).WhichOneof("event") == "accepted"
    return call


def test_a_full_queue_refuses_at_once_and_recovers():
    with Server("--max-running", "1", "--queue-requests", "2") as server:
        client = server.client
        running = start_stream(client, long_request())
        waiting = [accepted_stream(client, long_request(seed)) for seed in (2, 3)]
        assert server.metric("sparsed_requests_waiting") == 2
        begin = time.monotonic()
        error = failure_of(lambda: client.generate(short_request()))
        assert time.monotonic() - begin < 2
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "2" in error.details()
        assert error.rich["QuotaFailure"].violations[0].subject == "queue_requests"
        assert error.rich["RetryInfo"].retry_delay.ToMilliseconds() > 0
        pushback = int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"])
        assert 50 <= pushback <= 30000
        assert server.metric('sparsed_admission_rejections_total{reason="queue_full"}') == 1
        for call in [running, *waiting]:
            call.cancel()
        server.wait_until_idle()
        assert client.generate(short_request()).token_ids


def test_the_servers_time_limit_ends_running_and_waiting_requests():
    with Server("--max-running", "1", "--max-request-seconds", "1") as server:
        client = server.client
        running = start_stream(client, long_request())
        waiting = accepted_stream(client, long_request(2))
        error = failure_of(lambda: list(running))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert error.rich["ErrorInfo"].reason == "RUN_DEADLINE"
        assert int(error.rich["ErrorInfo"].metadata["steps_done"]) >= 1
        error = failure_of(lambda: list(waiting))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert error.rich["ErrorInfo"].reason in ("QUEUE_DEADLINE", "RUN_DEADLINE")
        server.wait_until_idle(5)
        assert client.generate(short_request()).token_ids


def test_a_clients_deadline_frees_the_place(server, client):
    error = failure_of(lambda: client.generate(long_request(), timeout=1))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    server.wait_until_idle(5)
    total = 'sparsed_requests_total{outcome="%s",surface="grpc"}'
    assert server.metric(total % "deadline_exceeded") + server.metric(total % "cancelled") >= 1
    assert client.generate(short_request(), timeout=30).token_ids


def test_what_can_never_fit_is_refused_before_it_waits():
    with Server("--max-batch-tokens", "256") as server:
        client = server.client
        request = short_request()
        request.sampling.gen_length = 128
        request.sampling.steps = 4
        assert client.generate(request).token_ids
        request.sampling.cfg_scale = 1.0  # two passes
        error = failure_of(lambda: client.generate(request))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.rich["QuotaFailure"].violations[0].subject == "max_batch_tokens"
        assert "256" in error.details()
        assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "-1"


def test_the_batch_is_shared_and_bounded():
    with Server("--max-running", "2") as server:
        client = server.client
        most = 0
        done = threading.Event()

        def watch():
            nonlocal most
            while not done.is_set():
                most = max(most, server.metric("sparsed_requests_running"))
        watcher = threading.Thread(target=watch)
        watcher.start()
        request = short_request()
        request.sampling.steps = 32
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: client.generate(request), range(6)))
        done.set()
        watcher.join()
        assert all(answer.text == answers[0].text for answer in answers)
        assert most == 2


def test_higher_priority_goes_first():
    with Server("--max-running", "1") as server:
        client = server.client
        running = start_stream(client, long_request())
        order = []

        def call(name, priority):
            client.generate(short_request(request_id=name, priority=priority))
            order.append(name)
        threads = []
        for name, priority in (("low", -50), ("plain", 0), ("high", 50)):
            thread = threading.Thread(target=call, args=(name, priority))
            thread.start()
            threads.append(thread)
            while server.metric("sparsed_requests_waiting") != len(threads):
                time.sleep(0.02)
        running.cancel()
        for thread in threads:
            thread.join()
        assert order == ["high", "plain", "low"]
