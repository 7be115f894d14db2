"""Every query of the dashboard, asked of a real Prometheus that scrapes a real server.

    ctest --test-dir build/release -R integration/dashboard    needs prometheus and its promtool
"""

import json
import math
import pathlib
import re
import signal
import subprocess
import time
import urllib.parse
import urllib.request

import grpc

from certificates import Authority, read
from program import Program
from sparsed_server import ShallowServer, failure_of, g, short_request
from test_flow import wide_request
from test_limits import accepted_stream, start_stream

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
SECONDS = 40
# There is no GPU, and the file's alerts wait for minutes before they fire.
NOTHING_HERE = re.compile(r"sparsed_gpu_memory_|^ALERTS\{")
# Grafana's, as it would fill them in.
VARIABLES = {"$__rate_interval": "3s", "$instance": ".*"}


class Prometheus(Program):
    """With the settings of deploy/prometheus, but often, and of one server; use it as a context
    manager."""

    seconds = SECONDS

    def __init__(self, folder, server):
        text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
        for old, new in (("10s", "500ms"), ("- rules.yml", f"- {DEPLOY}/prometheus/rules.yml"),
                         ("sparsed:8002", f"127.0.0.1:{server.admin_port}")):
            assert old in text
            text = text.replace(old, new)
        (folder / "prometheus.yml").write_text(text)
        super().__init__(folder, [
            "prometheus", f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data", "--web.listen-address=127.0.0.1:0"])

    def ready(self):
        self.wait(lambda: "Server is ready to receive web requests" in self.told())
        self.address = re.search(r'msg="Listening on" address=(\S+)', self.told())[1]
        self.wait(lambda: self.values("up == 1"))
        self.began = time.time()

    def ask(self, path, **words):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def values(self, expression):
        return [float(series["value"][1]) for series in self.ask("query", query=expression)]

    def values_since(self, expression):
        """All of the test's time."""
        found = self.ask("query_range", query=expression, start=self.began, end=time.time(), step=0.5)
        return [float(value) for series in found for _, value in series["values"]]

    def wait_for_scrapes(self, more):
        def made():
            return sum(self.values(f"count_over_time(up[{SECONDS * 2}s])"))
        wanted = made() + more
        self.wait(lambda: made() >= wanted)


def queries():
    """Of panels and annotations by their title, as Prometheus gets them."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    found = [(panel["title"], target["expr"])
             for panel in dashboard["panels"] for target in panel.get("targets", ())]
    found += [(note["name"], note["expr"]) for note in dashboard["annotations"]["list"]]
    for name, value in VARIABLES.items():
        found = [(title, expression.replace(name, value)) for title, expression in found]
    return found


def test_every_query_of_the_dashboard_returns_data(tmp_path):
    authority = Authority(tmp_path / "authority")
    cert, key = authority.issue("server", tmp_path / "server")
    trusted = grpc.ssl_channel_credentials(read(authority.cert))
    with (ShallowServer("--device", "cpu", "--threads", "1", "--drain-timeout-seconds", str(SECONDS),
                        "--tls-cert", cert, "--tls-key", key, credentials=trusted) as server,
          Prometheus(tmp_path, server) as prometheus):
        client = server.client
        sparse = short_request(sparse=g.SparseOptions(
            mode=g.SPARSE_MODE_SPARSED, block_size=32, skip=0.25))
        sparse.sampling.steps = 16
        # A rate is of two scrapes that both know its labels.
        for _ in range(2):
            list(accepted_stream(client, sparse))
            failure_of(lambda: client.generate(g.GenerateRequest()))
            prometheus.wait_for_scrapes(2)
        # Patterns that are held for a while.
        request = wide_request(512)
        request.sparse.CopyFrom(g.SparseOptions(mode=g.SPARSE_MODE_SPARSED, skip=0, block_size=32))
        request.sampling.gen_length = request.sampling.steps = 2048  # longer than all that follows
        held = start_stream(client, request)
        prometheus.wait(lambda: prometheus.values("sparsed_mask_cache_entries > 0"))
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("drain_started")
        refused = 'sparsed_admission_rejections_total{reason="draining"}'
        prometheus.wait(lambda: failure_of(lambda: client.generate(short_request())).code() ==
                        grpc.StatusCode.UNAVAILABLE and server.metric(refused) > 0)
        prometheus.wait(lambda: prometheus.values(f"rate({refused}[3s])"))
        checked = subprocess.run(["promtool", "check", "metrics"], input=server.http("/metrics")[1],
                                 capture_output=True, text=True, timeout=60)
        held.cancel()

        nothing = {}
        asked = queries()
        for title, expression in asked:
            if not any(map(math.isfinite, prometheus.values_since(expression))):
                nothing[expression] = title
        assert len(asked) > 50
        assert {expression for expression in nothing if not NOTHING_HERE.search(expression)} == set()
        # Those that are left out would be found to have nothing.
        assert len(nothing) == 3
        assert server.process.wait(SECONDS) == 0
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
