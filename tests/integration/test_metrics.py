"""Every metric that docs/metrics.md names exists, is of its type, and moves; there is no other."""

import pathlib
import re
import time

from sparsed_server import PROTO_DIR, Client, ShallowServer, failure_of, g, short_request
from test_flow import SMALL_WINDOW, wide_request
from test_limits import accepted_stream, start_stream

PAGE = pathlib.Path(PROTO_DIR).parent / "docs" / "metrics.md"
# sparsed_ready falls in a drain: test_drain.py.
CONSTANT = {"sparsed_build_info", "sparsed_ready", "process_max_fds"}
# With a GPU; with TLS, where test_security.py looks at it.
ABSENT_HERE = {"sparsed_gpu_memory_used_bytes", "sparsed_gpu_memory_total_bytes",
               "sparsed_certificate_expiry_timestamp_seconds"}
IN_COMPANY = "sparsed_steps_sat_out_total"  # moves only where several run


def documented():
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    assert len(rows) > 20
    return dict(rows)


def scrape(server):
    """Types by name; and for each name the sum of its values, or of a histogram's counts."""
    types, sums = {}, {}
    for line in server.http("/metrics")[1].splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            types[name] = kind
        elif not line.startswith("#"):
            name, value = re.match(r"(\w+)(?:{.*})? (\S+)$", line).groups()
            if name not in types and name.endswith("_count"):
                name = name[:-len("_count")]
            if name in types:
                sums[name] = sums.get(name, 0.0) + float(value)
    return types, sums


def test_the_documented_metrics_exist_and_move():
    with ShallowServer("--device", "cpu", "--slow-client-seconds", "0.5", "--max-running", "1") as server:
        client = server.client
        pages, seen = documented(), {}
        for name in ABSENT_HERE:
            assert pages.pop(name) == "gauge"

        def look():
            sums = scrape(server)[1]
            # A counter whose labels have not come up yet is not on the page.
            for name in pages:
                seen.setdefault(name, set()).add(sums.get(name, 0.0))
        look()
        # All phases of SparseD; what ran, what was refused, what was left, what was not read.
        sparse = short_request(sparse=g.SparseOptions(
            mode=g.SPARSE_MODE_SPARSED, block_size=32, skip=0.25, select=0.1, recall_every=1,
            recall_floor=1))
        sparse.prompt = "The river flows through the old town. " * 20
        sparse.sampling.steps = 16
        assert client.generate(sparse).usage.sparse_steps > 0
        failure_of(lambda: client.generate(g.GenerateRequest()))
        slow = Client(server.port, options=SMALL_WINDOW)
        unread = slow.stream(g.StreamGenerateRequest(request=wide_request(512), frames=True))
        assert next(unread).WhichOneof("event") == "accepted"
        waits = accepted_stream(client, short_request())
        look()
        end = time.monotonic() + 60
        while server.metric("sparsed_slow_clients_total") == 0:
            assert time.monotonic() < end
            look()
        list(waits)
        request = wide_request(512)
        request.sparse.mode = g.SPARSE_MODE_SPARSED
        left = start_stream(client, request)
        look()
        left.cancel()
        server.wait_until_idle(30)
        look()
        types, _ = scrape(server)
        assert types == pages
        still = [name for name in pages if len(seen.get(name, ())) < 2]
        assert sorted(still) == sorted(CONSTANT | {IN_COMPANY})
        for labels in ('phase="full"', 'phase="select"', 'phase="sparse"'):
            assert server.metric(f"sparsed_step_seconds_count{{{labels}}}") > 0
        assert server.metric('sparsed_requests_total{outcome="cancelled",surface="grpc"}') == 1
        assert server.metric(
            'sparsed_requests_total{outcome="resource_exhausted",surface="grpc"}') == 1
        slow.close()


def test_turns_that_are_sat_out_are_counted():
    with ShallowServer("--max-batch-tokens", "600") as server:
        both = [start_stream(server.client, wide_request(512)) for _ in range(2)]
        end = time.monotonic() + 60
        while server.metric(IN_COMPANY) < 10:
            assert time.monotonic() < end
        for call in both:
            call.cancel()
