"""sparsedctl load against the real server on nano; and deadlines that cannot be met."""

import json
import os
import pathlib
import subprocess
import xml.etree.ElementTree

import grpc

from sparsed_server import ShallowServer, failure_of, g, long_request, short_request

SPARSEDCTL = str(pathlib.Path(os.environ["SPARSED_BINARY"]).with_name("sparsedctl"))
MIX = """{"name": "short", "weight": 4, "prompt_tokens": 16, "gen_length": 32, "steps": 2}
{"name": "longer", "prompt_tokens": 200, "gen_length": 32, "steps": 2}
"""


def load(server, *arguments):
    return subprocess.run([SPARSEDCTL, "--address", f"127.0.0.1:{server.port}", "load",
                           *map(str, arguments)], capture_output=True, text=True, timeout=120)


def test_rates_are_sent_and_reported(server, tmp_path):
    (tmp_path / "mix.jsonl").write_text(MIX)
    done = load(server, "--rates", "5,10", "--seconds", 2, "--arrivals", "fixed",
                "--mix", tmp_path / "mix.jsonl", "--json", tmp_path / "load.json",
                "--plot", tmp_path / "load.svg")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["kind"] + ["all", "short", "longer"] * 2
    report = json.loads((tmp_path / "load.json").read_text())
    assert report["settings"]["arrivals"] == "fixed"
    by_all = [one for one in report["rates"] if one["kind"] == "all"]
    assert [one["requests"] for one in by_all] == [10, 20]
    for one in report["rates"]:
        assert one["errors"] == {}
        seconds = one["total_seconds"]
        assert 0 < seconds["p50"] <= seconds["p90"] <= seconds["p95"] <= seconds["p99"]
        assert one["first_block_seconds"]["p50"] <= seconds["p50"]
    assert by_all[0]["tokens_per_second"] > 0
    svg = xml.etree.ElementTree.parse(tmp_path / "load.svg").getroot()
    assert svg.tag.endswith("svg")
    assert len(svg.findall("{*}polyline")) == 4


def test_refusals_are_counted_by_code(tmp_path):
    with ShallowServer("--max-running", "1", "--queue-requests", "1") as server:
        done = load(server, "--rate", 100, "--seconds", 0.5, "--arrivals", "fixed", "--steps", 32,
                    "--json", tmp_path / "load.json")
        assert done.returncode == 0, done.stderr
        (report,) = json.loads((tmp_path / "load.json").read_text())["rates"]
        assert report["requests"] == 50
        assert 0 < report["errors"]["RESOURCE_EXHAUSTED"] < 50
        assert "RESOURCE_EXHAUSTED" in done.stdout
        refused = server.metric('sparsed_admission_rejections_total{reason="queue_full"}')
        # Each was sent once.
        assert refused == report["errors"]["RESOURCE_EXHAUSTED"]


def test_a_wrong_mix_is_told_before_anything_is_sent(server, tmp_path):
    (tmp_path / "mix.jsonl").write_text('{"stepz": 3}\n')
    done = load(server, "--mix", tmp_path / "mix.jsonl")
    assert done.returncode == 2
    assert "mix.jsonl:1: stepz: is not known" in done.stderr


def test_the_tokens_that_wait_are_bounded():
    with ShallowServer("--max-running", "1", "--queue-tokens", "128") as server:
        call = server.client.stream(g.StreamGenerateRequest(request=long_request(), progress=True))
        for event in call:
            if event.WhichOneof("event") == "progress":
                break
        waiting = server.client.stream(g.StreamGenerateRequest(request=long_request(2)))
        next(waiting)
        assert server.metric("sparsed_queue_tokens") > 128
        error = failure_of(lambda: server.client.generate(short_request()))
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.rich["QuotaFailure"].violations[0].subject == "queue_tokens"
        assert 50 <= int(dict(error.trailing_metadata())["grpc-retry-pushback-ms"]) <= 30000
        assert server.metric('sparsed_admission_rejections_total{reason="queue_tokens_full"}') == 1
        call.cancel()
        waiting.cancel()
        server.wait_until_idle()


def test_a_deadline_that_cannot_be_met_is_refused_at_once():
    # The server's own limit, so that its answer does not race against the client's clock.
    with ShallowServer("--max-request-seconds", "3") as server:
        request = short_request()
        request.sampling.steps = 16
        assert server.client.generate(request).token_ids
        steps = server.metric("sparsed_step_batch_size_count")
        hopeless = short_request()
        hopeless.sampling.gen_length = hopeless.sampling.steps = 4096
        hopeless.sampling.stop_at_end = False
        error = failure_of(lambda: server.client.generate(hopeless))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert error.rich["ErrorInfo"].reason == "DEADLINE_TOO_SHORT"
        assert (float(error.rich["ErrorInfo"].metadata["least_seconds"])
                > float(error.rich["ErrorInfo"].metadata["seconds_left"]))
        assert server.metric("sparsed_step_batch_size_count") == steps
        rejected = 'sparsed_admission_rejections_total{reason="deadline_too_short"}'
        assert server.metric(rejected) == 1
        # What can be done in the time still is.
        assert server.client.generate(request).token_ids
