"""The inspection service on nano: against the goldens' patterns, and as a request like any other."""

import base64
import gzip
import html.parser
import json
import os
import pathlib
import struct
import subprocess
import time
import zlib

import grpc
import pytest

from sparsed_server import Server, failure_of, g, h, m
from sparsed.v1 import inspection_pb2 as i

INSPECTION = "sparsed.v1.InspectionService"
SPARSEDCTL = str(pathlib.Path(os.environ["SPARSED_BINARY"]).with_name("sparsedctl"))
GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "nano" / "golden.json.gz"


def inspector(server):
    return server.client.channel.unary_stream(
        f"/{INSPECTION}/Inspect", i.InspectRequest.SerializeToString, i.InspectResponse.FromString)


@pytest.fixture(scope="module")
def server():
    with Server("--enable-inspection", "--max-inspection-mib", "1") as running:
        yield running


@pytest.fixture
def inspect(server):
    return inspector(server)


def ctl(server, *arguments, check=0):
    done = subprocess.run([SPARSEDCTL, "-a", f"127.0.0.1:{server.port}", *map(str, arguments)],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == check, done.stdout + done.stderr
    return done


def sparse_request(**options):
    """16 steps over 224 tokens of prompt and 32 of canvas; the select step is 4."""
    case = next(c for c in json.load(gzip.open(GOLDEN))["cases"] if c["task"] == "niah_single")
    run = next(r for r in case["runs"] if r["steps"] == 16 and r["setting"] == ["sparsed", 0.3])
    request = g.GenerateRequest(
        token_ids=g.TokenIds(ids=case["prompt_ids"]),
        sampling=g.SamplingOptions(gen_length=32, steps=16, block_length=32, stop_at_end=False),
        sparse=g.SparseOptions(mode=g.SPARSE_MODE_SPARSED, select=0.3, block_size=32, **options))
    return request, run


def short_sparse_request(**options):
    """The same in 4 steps, of which the second selects."""
    request, _ = sparse_request(skip=0, **options)
    request.sampling.steps = 4
    return request


def kept_rows(head, blocks):
    """Rows of '0' and '1', as the goldens have them."""
    width = (blocks + 7) // 8
    rows = [head.kept[q * width:(q + 1) * width] for q in range(blocks)]
    return ["".join("01"[row[k // 8] >> (k % 8) & 1] for k in range(blocks)) for row in rows]


def split(events):
    assert events[0].HasField("started") and events[-1].HasField("final")
    assert all(event.HasField("head") for event in events[1:-1])
    return events[0].started, [event.head for event in events[1:-1]], events[-1].final


def test_off_by_default(tmp_path):
    with Server() as plain:
        error = failure_of(lambda: list(inspector(plain)(i.InspectRequest())))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
        error = failure_of(lambda: plain.client.check(h.HealthCheckRequest(service=INSPECTION)))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        failed = ctl(plain, "masks", "--prompt", "a", "-o", tmp_path / "no.html", check=1)
        assert "--enable-inspection" in failed.stderr and not (tmp_path / "no.html").exists()


def test_patterns_recall_and_similarity(server, inspect):
    check = server.client.check(h.HealthCheckRequest(service=INSPECTION))
    assert check.status == h.HealthCheckResponse.SERVING
    request, run = sparse_request()
    started, heads, final = split(list(inspect(
        i.InspectRequest(request=request, steps=[15, 1, 9], importance=True))))
    assert list(started.steps) == [1, 4, 9, 15] and started.select_step == 4
    assert (started.blocks, started.block_size, started.first_canvas_block) == (8, 32, 7)
    assert started.accepted.planned_steps == 16
    order = [(step, layer, head) for step in (1, 4, 9, 15) for layer in range(8)
             for head in range(6)]
    assert [(one.step, one.layer, one.head) for one in heads] == order

    # Nothing but the answer's times is another than without an inspection.
    plain = server.client.generate(request)
    assert final.token_ids == plain.token_ids and final.text == plain.text
    assert final.usage == plain.usage and final.sparse.density == plain.sparse.density
    assert not plain.sparse.HasField("recall")

    patterns = {key: kept_rows(one, 8) for key, one in zip(order, heads)}
    tiles = wrong = 0
    for layer in range(8):
        for head in range(6):
            ours, theirs = patterns[4, layer, head], run["block_mask"][layer][head]
            tiles += 64
            wrong += sum(a != b for x, y in zip(ours, theirs) for a, b in zip(x, y))
    # Importances that are equal but for rounding may come out in another order.
    assert tiles == 3072 and wrong <= 4

    recalls = []
    for key, one in zip(order, heads):
        step, layer, head = key
        importance = [one.importance[8 * q:8 * q + 8] for q in range(8)]
        for row in importance:
            assert sum(row) == pytest.approx(1 / 32, rel=1e-4)

        def share(rows):
            return sum(value for row, bits in zip(importance, rows)
                       for value, bit in zip(row, bits) if bit == "1") / sum(map(sum, importance))

        assert one.fresh_recall == pytest.approx(share(patterns[key]), abs=1e-6)
        assert one.HasField("recall") == (step >= 4)
        if step >= 4:
            assert one.recall == pytest.approx(share(patterns[4, layer, head]), abs=1e-6)
            recalls.append(one.recall)
        before = [s for s in (1, 4, 9, 15) if s <= step]
        assert len(one.similarity) == len(before)
        for other, similarity in zip(before, one.similarity):
            mine = {(q, k) for q in range(8) for k in range(8) if patterns[key][q][k] == "1"}
            its = {(q, k) for q in range(8) for k in range(8)
                   if patterns[other, layer, head][q][k] == "1"}
            assert similarity == pytest.approx(len(mine & its) / len(mine | its))
    assert 0.1 < min(recalls) < max(recalls) <= 1
    assert final.sparse.recall == pytest.approx(sum(recalls) / len(recalls), abs=1e-6)


def test_a_choice_of_layers_and_heads(inspect):
    request = short_sparse_request(scale=g.SELECTION_SCALE_N_HEADS)
    _, heads, final = split(list(inspect(
        i.InspectRequest(request=request, layers=[7, 2], heads=[5]))))
    assert [(one.step, one.layer, one.head) for one in heads] == [(1, 2, 5), (1, 7, 5)]
    for one in heads:
        # The selection's softmax is not the attention's.
        assert not one.importance and not one.HasField("recall")
    assert not final.sparse.HasField("recall")


def test_wrong_fields_are_named(server, inspect):
    request = short_sparse_request()
    request.sampling.temperature = -1
    error = failure_of(lambda: list(inspect(
        i.InspectRequest(request=request, layers=[8], heads=[1, 6], steps=[4]))))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    fields = {violation.field for violation in error.rich["BadRequest"].field_violations}
    assert fields == {"layers[0]", "heads[1]", "steps[0]", "sampling.temperature"}
    request = short_sparse_request()
    request.sparse.mode = g.SPARSE_MODE_AUTO
    error = failure_of(lambda: list(inspect(i.InspectRequest(request=request))))
    violation, = error.rich["BadRequest"].field_violations
    assert violation.field == "steps" and "full attention" in violation.description
    _, heads, _ = split(list(inspect(i.InspectRequest(request=request, steps=[3], layers=[0]))))
    assert len(heads) == 6


def test_limits_and_cancellation(server, inspect):
    limits = server.client.server_info(m.GetServerInfoRequest()).limits
    assert limits["max_inspection_bytes"] == 1 << 20
    # 21 blocks: of a step's 48 heads 100 kB, and there are 17 steps, then 7.
    large = i.InspectRequest(importance=True, steps=range(16), request=g.GenerateRequest(
        token_ids=g.TokenIds(ids=[100] * 400),
        sampling=g.SamplingOptions(gen_length=256, stop_at_end=False),
        sparse=g.SparseOptions(mode=g.SPARSE_MODE_SPARSED, block_size=32)))
    error = failure_of(lambda: list(inspect(large)))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    violation, = error.rich["QuotaFailure"].violations
    assert violation.subject == "max_inspection_bytes"
    assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "-1"

    del large.steps[6:]
    before = server.metric('sparsed_requests_total{outcome="cancelled",surface="grpc"}')
    call = inspect(large)
    assert next(call).HasField("started")
    error = failure_of(lambda: list(inspect(large)))
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.rich["RetryInfo"].retry_delay.ToMilliseconds() == 1000
    assert next(call).head.step == 0
    call.cancel()
    server.wait_until_idle()
    assert server.metric('sparsed_requests_total{outcome="cancelled",surface="grpc"}') == before + 1
    # The call is over a moment after its request.
    end = time.monotonic() + 10
    again = None
    while again is None and time.monotonic() < end:
        attempt = inspect(large)
        try:
            again = next(attempt)
        except grpc.RpcError as refused:
            assert refused.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            time.sleep(0.05)
    assert again is not None and again.HasField("started")
    attempt.cancel()
    server.wait_until_idle()


class Page(html.parser.HTMLParser):
    """What a report holds: pictures by their titles, tags, everything that could be fetched."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.references, self.open, self.cells = {}, [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        assert tag not in ("script", "link", "iframe", "base")
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.references += [attributes[key] for key in ("src", "href") if key in attributes]
        if tag == "img":
            self.pictures[attributes["title"]] = attributes["src"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def png_size(source):
    data = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    at = data.index(b"IDAT")
    length, = struct.unpack(">I", data[at - 4:at])
    assert len(zlib.decompress(data[at + 4:at + 4 + length])) == height * (width + 1)
    return width, height


def test_sparsedctl_writes_a_report(server, tmp_path):
    page = tmp_path / "report.html"
    flags = ["masks", "--message", "What is 3 + 6671?", "--gen-length", 64, "--steps", 16,
             "--block-size", 32, "--no-stop-at-end", "-o", page]
    table = ctl(server, *flags, "--inspect-steps", "1,12").stdout.splitlines()
    assert table[0].split()[:3] == ["STEP", "KIND", "RECALL"]
    assert [line.split()[:2] for line in table[1:4]] == [
        ["1", "full"], ["4", "select"], ["12", "sparse"]]
    assert table[-1].endswith(str(page))

    everything = json.loads(ctl(server, *flags, "--inspect-steps", "1,12", "--json").stdout)
    heads = everything["heads"]
    blocks = everything["started"]["blocks"]
    assert len(heads) == 3 * 8 * 6 and blocks >= 3
    report = Page(page.read_text())
    assert report.open == []
    assert len(report.pictures) == len(heads)
    assert all(reference.startswith("data:image/png;base64,") for reference in report.references)
    assert "http" not in page.read_text().replace("http-equiv", "")
    assert {png_size(source) for source in report.pictures.values()} == {(blocks, blocks)}
    last = [head for head in heads if head["step"] == 12]
    for head in last:
        title = f"step 12, layer {head['layer']}, head {head['head']}, recall {head['recall']:.3f}"
        assert title in report.pictures
    mean = sum(head["recall"] for head in last) / len(last)
    assert f"{mean:.3f}" in report.cells and f"{mean:.3f}" == table[3].split()[2]
    assert everything["final"]["usage"]["sparse_steps"] == 11
    wrong = ctl(server, *flags, "--layers", "9", check=1)
    assert "\n  layers[0]: 9 is not below the 8 layers\n" in wrong.stderr
