"""Faults of the device, made on purpose in a binary of the tests: the client that is hit is told,
nobody else's answer changes, and afterwards nothing of it is left."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from sparsed_server import (BINARY, MODEL_DIR, Client, ShallowServer, failure_of, g, h,
                            kept_addresses)
from test_health import NOT_SERVING, SERVING, collect
from test_kserve import Infer, infer_request, is_final, text_of
from test_limits import accepted_stream, start_stream

HIT = 66  # the seed of the request that is hit


def request(seed, steps=16, length=32, sparse=False, name=""):
    made = g.GenerateRequest(
        prompt="The river flows through the old town. " * 3, request_id=name,
        sampling=g.SamplingOptions(gen_length=length, steps=steps, seed=seed, temperature=1.0,
                                   stop_at_end=False))
    if sparse:
        made.sparse.mode = g.SPARSE_MODE_SPARSED
        made.sparse.block_size = 32
    return made


def others(seed):
    """A request that runs for as long as the test needs company."""
    return request(seed, steps=160, length=160)


def final_text(call):
    *_, last = call
    return last.final.text


@pytest.fixture(scope="module")
def expected():
    """Texts without faults, of the product itself."""
    with ShallowServer() as server, ThreadPoolExecutor(4) as pool:
        dense, sparse, one, two = pool.map(lambda r: server.client.generate(r).text, [
            request(HIT), request(HIT, sparse=True), others(1), others(2)])
    return {"dense": dense, "sparse": sparse, 1: one, 2: two}


def requests_total(server, outcome, surface="grpc"):
    return server.metric(f'sparsed_requests_total{{outcome="{outcome}",surface="{surface}"}}')


def assert_as_before(server):
    server.wait_until_idle(10)
    assert server.metric("sparsed_mask_cache_entries") == 0
    assert server.http("/readyz")[0] == server.http("/livez")[0] == 200
    assert server.client.check(h.HealthCheckRequest()).status == SERVING


def test_the_product_has_no_such_hook():
    done = subprocess.run([BINARY, "--fault", "nan:1:1", "serve", "--model", MODEL_DIR],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 2 and "--fault" in done.stderr

    def has_it(path):
        with open(path, "rb") as file:
            return b"FaultyBackend" in file.read()
    assert has_it(os.environ["SPARSED_FAULTY_BINARY"]) and not has_it(BINARY)


def test_nan_logits_end_their_own_request(expected):
    faults = [f"nan:{HIT}:7", "nan:67:0", "nan:68:0"]
    with ShallowServer(faults=faults) as server:
        company = [start_stream(server.client, others(seed)) for seed in (1, 2)]
        # The pattern has been selected by then.
        error = failure_of(lambda: server.client.generate(
            request(HIT, sparse=True, name="hit")))
        # Those that shared its steps are still running.
        assert server.metric("sparsed_requests_running") == 2
        assert error.code() == grpc.StatusCode.INTERNAL
        assert set(error.rich) == {"RequestInfo"}
        assert error.rich["RequestInfo"].request_id == "hit"
        assert "NaN" not in error.details()
        cause = server.wait_for("sequence_failed", request_id="hit")
        assert cause["step"] == 7 and "NaN" in cause["cause"]
        assert requests_total(server, "internal") == 1
        assert server.metric("sparsed_wasted_steps_total") == 7
        assert server.metric("sparsed_mask_cache_bytes") == 0
        infer = Infer(server.client)
        error = failure_of(lambda: infer.infer(infer_request(seed=67)))
        assert error.code() == grpc.StatusCode.INTERNAL and set(error.rich) == {"RequestInfo"}
        hit, same_again = infer.stream(iter([infer_request(seed=68), infer_request(seed=68)]))
        if not hit.error_message:  # they ran together
            hit, same_again = same_again, hit
        assert hit.error_message.startswith("INTERNAL: ") and is_final(hit.infer_response)
        assert not same_again.error_message and text_of(same_again.infer_response)
        assert requests_total(server, "internal", "kserve") == 2
        # They end as if alone.
        assert [final_text(call) for call in company] == [expected[1], expected[2]]
        assert server.client.generate(request(HIT, sparse=True)).text == expected["sparse"]
        assert_as_before(server)


def test_without_memory_a_request_waits_for_others_or_is_told(expected):
    with ShallowServer(faults=["alloc:1", "alloc:3"]) as server:
        error = failure_of(lambda: server.client.generate(request(HIT, sparse=True, name="hit")))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.rich["QuotaFailure"].violations[0].subject == "device_memory"
        assert error.rich["RetryInfo"].retry_delay.ToMilliseconds() == 1000
        assert error.rich["RequestInfo"].request_id == "hit"
        assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        assert "bytes" in server.wait_for("start_failed", request_id="hit")["cause"]
        assert requests_total(server, "resource_exhausted") == 1
        server.wait_until_idle(5)
        # The client comes again.
        assert server.client.generate(request(HIT, sparse=True)).text == expected["sparse"]
        company = start_stream(server.client, others(1))
        assert server.client.generate(request(HIT, sparse=True)).text == expected["sparse"]
        server.wait_for("fault", fault="alloc:3")
        assert final_text(company) == expected[1]
        assert_as_before(server)
        assert [line["event"] for line in server.lines].count("start_failed") == 1


@pytest.mark.parametrize("kind", ["operation", "sync"])
def test_a_device_fault_ends_the_process_for_its_supervisor(expected, kind):
    # The slow step gives the time to queue one more.
    faults = [f"slow:{HIT}:1:500", f"{kind}:{HIT}:2"]
    ports = kept_addresses()
    with ShallowServer(*ports, "--max-running", "2", faults=faults) as server:
        health = collect(server.client.watch(h.HealthCheckRequest()))
        assert health.get(timeout=10) == SERVING
        company = start_stream(server.client, others(1))
        hit = start_stream(server.client, request(HIT, sparse=True, name="hit"))
        waiting = accepted_stream(server.client, request(3, name="waiting"))
        assert server.metric("sparsed_requests_running") == 2
        for call in (hit, company):
            error = failure_of(lambda: list(call))
            assert error.code() == grpc.StatusCode.INTERNAL
            assert set(error.rich) == {"RequestInfo"}
            assert "made to fail" not in error.details()
        error = failure_of(lambda: list(waiting))
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert error.rich["RetryInfo"].retry_delay.seconds == 1
        assert error.rich["RequestInfo"].request_id == "waiting"
        assert health.get(timeout=10) == NOT_SERVING
        assert health.get(timeout=10) is None
        assert server.process.wait(10) == 1
        failed = server.wait_for("engine_failed")
        assert "made to fail" in failed["cause"]
        assert (failed["running"], failed["waiting"]) == (2, 1)
        assert "made to fail" in server.wait_for("exit")["cause"]
        # What a supervisor does then.
        with ShallowServer(*ports) as again:
            text = again.client.generate(request(HIT)).text
            assert text == expected["dense"]
            assert_as_before(again)


def test_a_pause_of_the_process_is_not_taken_for_a_slow_step(expected):
    # Of a step's 4.5 seconds the process stands still for 4: it may last 3, and a busy machine may
    # add to the half that is left.
    with ShallowServer("--stall-seconds", "3", faults=[f"slow:{HIT}:2:4500"]) as server:
        hit = start_stream(server.client, request(HIT))
        server.wait_for("fault")
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        server.process.send_signal(signal.SIGCONT)
        assert final_text(hit) == expected["dense"]
        assert not any(line["event"] == "engine_stalled" for line in server.lines), server.lines
        assert_as_before(server)


def test_a_slow_step_is_told_and_deadlines_hold(expected):
    with ShallowServer("--stall-seconds", "0.3", "--max-running", "3",
                faults=[f"slow:{HIT}:2:3000"]) as server:
        health = collect(server.client.watch(h.HealthCheckRequest()))
        assert health.get(timeout=10) == SERVING
        company = start_stream(server.client, others(1))
        late = server.client.stream(g.StreamGenerateRequest(
            request=others(2), progress=True), timeout=2)
        next(late)
        begin = time.monotonic()
        hit = server.client.stream(g.StreamGenerateRequest(request=request(HIT)))
        assert next(hit).WhichOneof("event") == "accepted"
        server.wait_for("fault")
        with ThreadPoolExecutor(2) as pool:
            client = Client(server.port)
            in_queue = pool.submit(lambda: failure_of(lambda: client.generate(
                request(4, name="in-queue"), timeout=1)))
            patient = pool.submit(lambda: client.generate(request(HIT), timeout=30).text)
            assert health.get(timeout=10) == NOT_SERVING
            assert server.http("/livez")[0] == 503
            status, body = server.http("/readyz")
            assert status == 503 and "stalled" in body
            # A client hears of its deadline whatever the step does.
            assert in_queue.result().code() == grpc.StatusCode.DEADLINE_EXCEEDED
            error = failure_of(lambda: list(late))
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert time.monotonic() - begin < 2.9
            assert server.metric("sparsed_requests_running") == 3
            # Then the step ends, and with it whatever had no time left.
            assert health.get(timeout=10) == SERVING
            assert final_text(hit) == expected["dense"]
            assert patient.result() == expected["dense"]
            client.close()
        queued = server.wait_for("access", request_id="in-queue")
        assert queued["code"] == "DEADLINE_EXCEEDED" and queued["steps"] == 0
        assert final_text(company) == expected[1]
        assert requests_total(server, "deadline_exceeded") == 2
        assert requests_total(server, "ok") == 3
        assert_as_before(server)
        events = [line["event"] for line in server.lines]
        assert events.count("engine_stalled") == events.count("engine_recovered") == 1
