"""The health service: names, and what Watch sees from start to end."""

import json
import queue
import threading

import grpc

from sparsed_server import GENERATION, MODEL, Client, ShallowServer, failure_of, g, h, short_request

SERVING = h.HealthCheckResponse.SERVING
NOT_SERVING = h.HealthCheckResponse.NOT_SERVING


def test_check(client):
    for name in ("", GENERATION, MODEL, "model/nano"):
        assert client.check(h.HealthCheckRequest(service=name)).status == SERVING
    error = failure_of(lambda: client.check(h.HealthCheckRequest(service="nobody")))
    assert error.code() == grpc.StatusCode.NOT_FOUND


def test_watch_of_an_unknown_service_stays_open(client):
    watch = client.watch(h.HealthCheckRequest(service="nobody"))
    assert next(watch).status == h.HealthCheckResponse.SERVICE_UNKNOWN
    assert watch.is_active()
    watch.cancel()


def collect(watch):
    """The statuses of a watch as they come; None at its end."""
    seen = queue.Queue()

    def read():
        try:
            for response in watch:
                seen.put(response.status)
        except grpc.RpcError:
            seen.put("error")
        seen.put(None)
    threading.Thread(target=read, daemon=True).start()
    return seen


def test_watch_sees_loading_serving_and_drain():
    server = ShallowServer("--drain-delay-seconds", "1")
    port = server.wait_for("listening")["grpc_port"]
    client = Client(port)
    seen = collect(client.watch(h.HealthCheckRequest(), wait_for_ready=True))
    named = collect(client.watch(h.HealthCheckRequest(service=GENERATION), wait_for_ready=True))
    first = seen.get(timeout=30)
    # The model may have been loaded before the watch arrived.
    assert first in (NOT_SERVING, SERVING)
    if first == NOT_SERVING:
        assert seen.get(timeout=30) == SERVING
    while named.get(timeout=30) != SERVING:
        pass
    server.process.terminate()
    assert seen.get(timeout=10) == NOT_SERVING
    # Probes are answered during the drain.
    assert client.check(h.HealthCheckRequest()).status == NOT_SERVING
    assert seen.get(timeout=10) is None
    assert named.get(timeout=10) == NOT_SERVING
    assert named.get(timeout=10) is None
    assert server.process.wait(10) == 0
    client.close()


def test_a_step_that_lasts_too_long_is_told_and_so_is_its_end():
    with ShallowServer("--stall-seconds", "0.1", faults=["slow:1:2:1500"]) as server:
        seen = collect(server.client.watch(h.HealthCheckRequest()))
        assert seen.get(timeout=10) == SERVING
        call = server.client.stream(g.StreamGenerateRequest(request=short_request()))
        assert seen.get(timeout=60) == NOT_SERVING
        server.wait_for("engine_stalled")
        status, body = server.http("/readyz?verbose")
        if status == 503:  # else the step has just ended
            assert json.loads(body)["reasons"] == ["stalled"]
            assert json.loads(body)["checks"]["engine"] == "stalled"
        assert list(call)[-1].WhichOneof("event") == "final"
        assert seen.get(timeout=10) == SERVING
        server.wait_for("engine_recovered")
        assert server.http("/readyz")[0] == 200
        assert server.http("/livez")[0] == 200


def test_open_watches_do_not_hold_up_the_end():
    with ShallowServer() as server:
        watches = [collect(server.client.watch(h.HealthCheckRequest())) for _ in range(5)]
        for seen in watches:
            assert seen.get(timeout=10) == SERVING
        assert server.stop(4) == 0
