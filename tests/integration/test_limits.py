"""A full queue, deadlines, memory limits and priorities."""

import json
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from sparsed_server import (BINARY, GENERATION, Client, ShallowServer, failure_of, g, long_request,
                            short_request)


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
    with ShallowServer("--max-running", "1", "--queue-requests", "2") as server:
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


# By itself such a client would wait up to a minute between two attempts.
RETRIES = [("grpc.enable_retries", 1), ("grpc.service_config", json.dumps({"methodConfig": [{
    "name": [{"service": GENERATION}], "retryPolicy": {
        "maxAttempts": 5, "initialBackoff": "60s", "maxBackoff": "60s", "backoffMultiplier": 1,
        "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}}]}))]


def test_clients_with_a_retry_policy_come_again_when_they_are_told():
    with ShallowServer("--max-running", "1", "--queue-requests", "1") as server:
        running = start_stream(server.client, long_request())
        waiting = accepted_stream(server.client, short_request())
        patient = Client(server.port, options=RETRIES)
        refused = 'sparsed_admission_rejections_total{reason="queue_full"}'

        def attempts(call):
            before, begin = server.metric(refused), time.monotonic()
            error = failure_of(call)
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            # At least 50 ms apart.
            made = server.metric(refused) - before
            assert 0.05 * (made - 1) < time.monotonic() - begin < 30
            # The id is where such clients look: nothing comes before the trailers.
            assert not error.initial_metadata()
            assert (dict(error.trailing_metadata())["x-request-id"]
                    == error.rich["RequestInfo"].request_id)
            return made
        stream = g.StreamGenerateRequest(request=short_request())
        assert attempts(lambda: patient.generate(short_request(), timeout=50)) == 5
        assert attempts(lambda: list(patient.stream(stream, timeout=50))) == 5
        assert attempts(lambda: server.client.generate(short_request())) == 1
        # sparsedctl is such a client, of four attempts.
        before = server.metric(refused)
        ran = subprocess.run([os.path.join(os.path.dirname(BINARY), "sparsedctl"), "-a",
                              f"127.0.0.1:{server.port}", "generate", "--prompt", "a"],
                             capture_output=True, text=True, timeout=60)
        assert ran.returncode == 1 and "RESOURCE_EXHAUSTED" in ran.stderr
        assert server.metric(refused) == before + 4
        for call in (running, waiting):
            call.cancel()
        server.wait_until_idle()
        assert patient.generate(short_request()).token_ids
        patient.close()


def test_the_servers_time_limit_ends_running_and_waiting_requests():
    with ShallowServer("--max-running", "1", "--max-request-seconds", "1") as server:
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


def test_a_clients_deadline_frees_the_place():
    with ShallowServer() as server:
        error = failure_of(lambda: server.client.generate(long_request(), timeout=0.5))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        server.wait_until_idle(5)
        total = 'sparsed_requests_total{outcome="%s",surface="grpc"}'
        assert server.metric(total % "deadline_exceeded") + server.metric(total % "cancelled") == 1
        assert server.client.generate(short_request(), timeout=30).token_ids


def test_what_can_never_fit_is_refused_before_it_waits():
    with ShallowServer("--max-batch-tokens", "256") as server:
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
    with ShallowServer("--max-running", "2") as server:
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
    with ShallowServer("--max-running", "1") as server:
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
