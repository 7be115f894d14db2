"""StreamGenerate: which events come, in which order, and what clients that leave cost."""

import os
import signal
import subprocess
import sys
import time

import pytest

from sparsed_server import ShallowServer, failure_of, g, long_request, short_request

KINDS = ("accepted", "progress", "frame", "block", "final")


@pytest.fixture(scope="module")
def server():
    with ShallowServer() as running:
        yield running


def events_of(client, request, **options):
    return list(client.stream(g.StreamGenerateRequest(request=request, **options)))


def test_blocks_join_to_the_text_and_events_keep_their_order(client):
    request = g.GenerateRequest(
        prompt="The history of", request_id="s1",
        sampling=g.SamplingOptions(gen_length=128, steps=64, temperature=1.0, seed=3,
                                   stop_at_end=False))
    events = events_of(client, request, progress=True, frames=True)
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "accepted" and kinds[-1] == "final"
    assert kinds.count("accepted") == 1 and kinds.count("final") == 1
    assert set(kinds) == set(KINDS)
    accepted, final = events[0].accepted, getattr(events[-1], "final")
    assert accepted.request_id == final.request_id == "s1"
    assert accepted.planned_steps == 64 and accepted.seed == final.seed == 3
    blocks = [event.block for event in events if event.WhichOneof("event") == "block"]
    assert len(blocks) >= 4
    assert "".join(block.text for block in blocks) == final.text
    position = 0
    for block in blocks:
        assert block.position == position
        assert list(block.token_ids) == list(
            final.token_ids[position:position + len(block.token_ids)])
        position += len(block.token_ids)
    progress = [event.progress for event in events if event.WhichOneof("event") == "progress"]
    assert [p.step for p in progress] == sorted(p.step for p in progress)
    assert all(p.steps == 64 for p in progress)
    assert len(progress) <= 2 + 10 * final.timings.total.ToNanoseconds() / 1e9
    frames = [event.frame for event in events if event.WhichOneof("event") == "frame"]
    assert all(len(frame.token_ids) == 128 for frame in frames)
    assert "\u2591" in frames[0].text
    # The streamed result is the unary one.
    assert client.generate(request).text == final.text


def test_only_what_was_asked_for(client):
    kinds = {e.WhichOneof("event") for e in events_of(client, short_request())}
    assert kinds == {"accepted", "block", "final"} or kinds == {"accepted", "final"}


def test_infill_streams_its_fixed_text(client):
    parts = [g.InfillPart(text="Start "), g.InfillPart(hole_tokens=8), g.InfillPart(text=" end")]
    events = events_of(client, g.GenerateRequest(infill=g.Infill(parts=parts)))
    text = "".join(e.block.text for e in events if e.WhichOneof("event") == "block")
    final = getattr(events[-1], "final")
    assert text == final.text
    assert text.startswith("Start ") and text.endswith(" end")


def test_a_refused_stream_has_no_events(client):
    request = short_request()
    request.sampling.steps = 0
    error = failure_of(lambda: events_of(client, request))
    assert error.code().name == "INVALID_ARGUMENT"
    assert error.rich["BadRequest"].field_violations[0].field == "sampling.steps"


def test_a_cancelled_stream_stops_within_a_step(server, client):
    call = client.stream(g.StreamGenerateRequest(
        request=long_request(), progress=True))
    for event in call:
        if event.WhichOneof("event") == "progress":
            break
    assert server.metric("sparsed_requests_running") == 1
    cancelled = server.metric('sparsed_requests_total{outcome="cancelled",surface="grpc"}')
    call.cancel()
    server.wait_until_idle(5)
    assert server.metric(
        'sparsed_requests_total{outcome="cancelled",surface="grpc"}') == cancelled + 1
    assert server.metric("sparsed_wasted_steps_total") > 0
    client.generate(short_request())


DEAD_CLIENT = """
import os, sys
sys.path.insert(0, sys.argv[2])
from sparsed_server import Client, g, long_request
client = Client(int(sys.argv[1]))
for event in client.stream(g.StreamGenerateRequest(request=long_request(), progress=True)):
    print(event.WhichOneof("event"), flush=True)
"""


def test_a_client_that_is_killed_frees_its_place(server, client):
    process = subprocess.Popen(
        [sys.executable, "-c", DEAD_CLIENT, str(server.port), os.path.dirname(__file__)],
        stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "accepted"
    assert process.stdout.readline().strip() == "progress"
    assert server.metric("sparsed_requests_running") == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.wait_until_idle(10)
    client.generate(short_request())


def test_a_client_that_does_not_read_holds_up_nobody(server, client):
    stalled = client.stream(g.StreamGenerateRequest(
        request=long_request(steps=32), frames=True, progress=True))
    start = time.monotonic()
    client.generate(short_request())
    assert time.monotonic() - start < 60
    server.wait_until_idle(120)
    events = list(stalled)
    assert events[-1].WhichOneof("event") == "final"
    assert "".join(e.block.text for e in events
                   if e.WhichOneof("event") == "block") == getattr(events[-1], "final").text
