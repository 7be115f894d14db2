"""Two replicas behind deploy/envoy/envoy.yaml under load: one drains, one is killed.

    ctest --test-dir build/release -R integration/balancing    needs tests/requirements.txt
"""

import json
import os
import pathlib
import signal
import threading
import time
import urllib.request

import grpc
import pytest

from program import Program
from sparsed_server import Client, ShallowServer, g

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVOY = pathlib.Path(os.environ["SPARSED_VENV_PYTHON"]).parent / "envoy"
ENDPOINT = """\
              - endpoint:
                  address:
                    socket_address: {address: %s, port_value: %d}
"""
# docs/errors.md: whoever calls may come again after UNAVAILABLE.
RETRIES = {"methodConfig": [{"name": [{"service": "sparsed.v1.GenerationService"}], "retryPolicy": {
    "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"]}}]}
RETRYING = [("grpc.enable_retries", 1), ("grpc.service_config", json.dumps(RETRIES))]
SECONDS = 30


class Proxy(Program):
    """Envoy with the file's settings, but for the addresses; use it as a context manager."""

    seconds = SECONDS

    def __init__(self, folder, replicas):
        self.replicas = len(replicas)
        self.address_file = folder / "admin"
        text = (ROOT / "deploy" / "envoy" / "envoy.yaml").read_text()
        for old, new in (
                (ENDPOINT % ("sparsed-headless", 8001),
                 "".join(ENDPOINT % ("127.0.0.1", replica.port) for replica in replicas)),
                ("{address: 0.0.0.0, port_value: 8443}", "{address: 127.0.0.1, port_value: 0}")):
            assert text.count(old) == 1
            text = text.replace(old, new)
        text += "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n"
        (folder / "envoy.yaml").write_text(text)
        super().__init__(folder, [
            ENVOY, "--config-path", folder / "envoy.yaml", "--admin-address-path",
            self.address_file, "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"])

    def ready(self):
        self.admin = self.wait(
            lambda: self.address_file.exists() and self.address_file.read_text())
        self.port = self.wait(self.listener)
        self.wait_for_healthy(self.replicas)

    def ask(self, path):
        with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=10) as answer:
            return json.load(answer)

    def listener(self):
        found = self.ask("/listeners?format=json").get("listener_statuses", [])
        return found and found[0]["local_address"]["socket_address"]["port_value"]

    def stat(self, name):
        found = self.ask(f"/stats?format=json&filter=^cluster.sparsed.{name}$")["stats"]
        return found[0]["value"] if found else 0

    def wait_for_healthy(self, number):
        self.wait(lambda: self.stat("membership_healthy") == number)


class Load:
    """So many callers, each with a channel of its own, who call again and again until `stop`; use it
    as a context manager."""

    def __init__(self, port, callers, options=()):
        self.failures, self.answers = [], 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._clients = [Client(port, options=options) for _ in range(callers)]
        self._threads = [threading.Thread(target=self._call, args=(client,))
                         for client in self._clients]
        for thread in self._threads:
            thread.start()

    def _call(self, client):
        request = g.GenerateRequest(prompt="The river", sampling=g.SamplingOptions(
            gen_length=32, steps=32, stop_at_end=False))
        # Seldom enough that the machine has other things to do too.
        while not self._stopped.wait(0.05):
            try:
                answer = client.generate(request, timeout=SECONDS)
                assert answer.usage.generated_tokens == 32
                with self._lock:
                    self.answers += 1
            except (grpc.RpcError, AssertionError) as error:
                self.failures.append(error)

    def wait_for(self, more):
        wanted, end = self.answers + more, time.monotonic() + SECONDS
        while self.answers < wanted:
            assert time.monotonic() < end, self.failures
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """The calls that failed."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(SECONDS)
        for client in self._clients:
            client.close()
        return self.failures


@pytest.fixture
def replicas():
    # It is asked for its health every two seconds, with some more for a busy machine.
    with ShallowServer("--threads", "1", "--drain-delay-seconds", "6") as first:
        with ShallowServer("--threads", "1") as second:
            yield first, second


def answered(replica):
    return replica.metric('sparsed_requests_total{outcome="ok",surface="grpc"}')


def test_a_drain_costs_no_call(replicas, tmp_path):
    first, second = replicas
    with Proxy(tmp_path, replicas) as proxy, Load(proxy.port, 2) as load:
        proxy.wait(lambda: answered(first) > 0 and answered(second) > 0)
        first.process.send_signal(signal.SIGTERM)
        # Its NOT_SERVING takes it out while it still accepts calls.
        proxy.wait_for_healthy(1)
        assert first.process.poll() is None
        assert first.process.wait(SECONDS) == 0
        load.wait_for(5)
        assert load.stop() == []
        assert proxy.stat("upstream_rq_retry") == 0


def test_a_killed_replica_costs_only_tries(replicas, tmp_path):
    first, second = replicas
    with (Proxy(tmp_path, replicas) as proxy, Load(proxy.port, 2, RETRYING) as patient,
          Load(proxy.port, 2) as hasty):
        patient.wait_for(5)
        # With calls in its hands, which it still has when it is looked at again.
        end = time.monotonic() + SECONDS
        while True:
            assert time.monotonic() < end
            started = first.metric("sparsed_requests_running")
            first.process.send_signal(signal.SIGSTOP)
            if started > 0 and proxy.stat("upstream_rq_active") > 0:
                break
            first.process.send_signal(signal.SIGCONT)
            time.sleep(0.02)
        first.process.kill()
        patient.wait_for(10)
        proxy.wait_for_healthy(1)
        assert proxy.stat("upstream_cx_destroy_remote_with_active_rq") > 0
        assert patient.stop() == []
        # At most what each of them had there.
        lost = hasty.stop()
        assert len(lost) <= 2
        assert all(error.code() == grpc.StatusCode.UNAVAILABLE for error in lost)
        assert answered(second) > 0
