"""ModelService, reflection, the admin port, and how the process starts."""

import json
import os
import shutil
import subprocess

import grpc
import pytest

from sparsed_server import (BINARY, GENERATION, MODEL, MODEL_DIR, Server, failure_of, g, m,
                            short_request)


def test_models(client):
    models = client.list_models(m.ListModelsRequest()).models
    assert [model.name for model in models] == ["nano"]
    model = client.get_model(m.GetModelRequest(name="nano")).model
    assert model == models[0] == client.get_model(m.GetModelRequest()).model
    assert (model.family, model.layers, model.heads, model.kv_heads) == ("llada", 8, 6, 6)
    assert (model.head_dim, model.vocabulary, model.max_tokens) == (64, 4096, 8192)
    assert model.mask_token_id == 5 and model.dtype == "bf16" and model.device == "cpu"
    assert model.parameters == 17308032
    assert (model.hidden_size, model.ffn_size, model.default_temperature) == (384, 1024, 0)
    assert model.tokenizer == "BPE from tokenizer.json, 6 added tokens" and model.chat_template
    assert model.mask_token == "<|mdm_mask|>"
    assert [(t.id, t.text) for t in model.end_tokens] == [(1, "<|endoftext|>"), (4, "<|eot_id|>")]
    assert model.memory_bytes > 4 * model.parameters
    assert model.ready
    assert failure_of(
        lambda: client.get_model(m.GetModelRequest(name="x"))).code().name == "NOT_FOUND"
    assert failure_of(lambda: client.list_models(
        m.ListModelsRequest(page_token="2"))).code().name == "INVALID_ARGUMENT"


def test_server_info(client):
    info = client.server_info(m.GetServerInfoRequest())
    assert info.version and info.commit and info.device
    assert info.limits["queue_requests"] == 256
    assert info.limits["max_tokens"] == 8192
    assert info.limits["max_message_bytes"] == 4 << 20
    assert {"max_running", "max_batch_tokens", "max_request_seconds",
            "max_mask_cache_bytes"} <= set(info.limits)
    assert info.uptime.ToNanoseconds() > 0


def message(*fields):
    """A protobuf message of (number, bytes) fields."""
    return b"".join(bytes([number << 3 | 2, len(value)]) + value for number, value in fields)


def fields_of(data):
    """The length-delimited fields of a message, by number."""
    found, at = {}, 0

    def varint(at):
        value, shift = 0, 0
        while True:
            byte = data[at]
            value |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                return value, at
    while at < len(data):
        tag, at = varint(at)
        size, at = varint(at)
        if tag & 7 == 0:
            continue
        found.setdefault(tag >> 3, []).append(data[at:at + size])
        at += size
    return found


@pytest.fixture
def reflect(client):
    # The protocol's messages by their field numbers: no package here has them.
    call = client.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", lambda b: b, lambda b: b)
    return lambda request: fields_of(next(iter(call(iter([request])))))


def test_reflection_lists_and_describes_every_service(reflect):
    services = fields_of(reflect(message((7, b"*")))[6][0])[1]
    names = {fields_of(service)[1][0].decode() for service in services}
    assert {GENERATION, MODEL, "grpc.health.v1.Health"} <= names
    for name in (GENERATION, MODEL, "grpc.health.v1.Health"):
        answer = reflect(message((4, name.encode())))
        assert 4 in answer, f"{name} has no descriptor"


def test_reflection_can_be_turned_off():
    with Server("--no-reflection") as server:
        call = server.client.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", lambda b: b,
            lambda b: b)
        error = failure_of(lambda: next(iter(call(iter([message((7, b"*"))])))))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def test_admin_pages(server):
    assert server.http("/livez")[0] == 200
    assert server.http("/readyz")[0] == 200
    assert server.http("/healthz")[0] == 200
    status, body = server.http("/readyz?verbose")
    assert status == 200 and json.loads(body) == {
        "ready": True,
        "checks": {"phase": "serving", "model_loaded": True, "engine": "ok"}}
    status, body = server.http("/version")
    assert status == 200 and json.loads(body)["version"]
    assert server.http("/nothing")[0] == 404


def test_metrics_count_requests_and_are_clean(server, client):
    ok = 'sparsed_requests_total{outcome="ok",surface="grpc"}'
    before = server.metric(ok)
    tokens = server.metric("sparsed_generated_tokens_total")
    client.generate(short_request())
    failure_of(lambda: client.generate(g.GenerateRequest()))
    assert server.metric(ok) == before + 1
    assert server.metric("sparsed_generated_tokens_total") == tokens + 32
    assert server.metric('sparsed_requests_total{outcome="invalid_argument",surface="grpc"}') >= 1
    assert server.metric('sparsed_admission_rejections_total{reason="invalid_argument"}') >= 1
    assert server.metric('sparsed_step_seconds_count{phase="full"}') >= 4
    assert server.metric("process_resident_memory_bytes") > 1e6
    text = server.http("/metrics")[1]
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                             capture_output=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_access_lines(server, client):
    client.generate(short_request(request_id="line-1"))
    line = server.wait_for("access", request_id="line-1")
    assert line["surface"] == "grpc" and line["code"] == "OK" and line["steps"] == 4
    assert line["generated_tokens"] == 32 and line["run_ms"] > 0
    assert line["peer"].startswith("ipv4:127.0.0.1")
    assert line["ts"].endswith("Z") and line["level"] == "info"


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_the_callers_trace_and_request_id_are_taken_up(server, client):
    calls = {
        "Generate": lambda **kw: client.generate.with_call(short_request(), **kw)[1],
        "Tokenize": lambda **kw: client.tokenize.with_call(g.TokenizeRequest(text="a"), **kw)[1],
        "ListModels": lambda **kw: client.list_models.with_call(m.ListModelsRequest(), **kw)[1],
    }
    for method, call in calls.items():
        name = f"caller-{method}"
        made = call(metadata=[("x-request-id", name), ("traceparent", f"00-{TRACE}-{SPAN}-01"),
                              ("tracestate", "vendor=1")])
        assert dict(made.initial_metadata())["x-request-id"] == name
        line = server.wait_for("access", request_id=name)
        assert line["method"] == method
        assert line["trace_id"] == TRACE and line["parent_span_id"] == SPAN
        assert line["trace_state"] == "vendor=1"
        assert len(line["span_id"]) == 16 and line["span_id"] != SPAN


def test_a_trace_or_id_that_is_wrong_is_replaced(server, client):
    for i, (parent, request_id) in enumerate((
            (f"00-{TRACE}-{SPAN}", "a b"), (f"00-{TRACE.upper()}-{SPAN}-01", "x" * 129),
            (f"00-{'0' * 32}-{SPAN}-01", ""), ("text", "a b"))):
        made = client.list_models.with_call(m.ListModelsRequest(), metadata=[
            ("x-request-id", request_id), ("traceparent", parent), ("tracestate", f"n=v{i}")])[1]
        given = dict(made.initial_metadata())["x-request-id"]
        assert given and given != request_id
        line = server.wait_for("access", request_id=given)
        assert len(line["trace_id"]) == 32 and line["trace_id"] != TRACE
        assert "parent_span_id" not in line and "trace_state" not in line
    # A request's own id goes before the header's.
    client.generate(short_request(request_id="own"), metadata=[("x-request-id", "header")])
    assert server.wait_for("access", request_id="own")


def run(*args, **kwargs):
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=60, **kwargs)


def test_command_line():
    assert run("--version").stdout.startswith("sparsed ")
    assert run().returncode == 2
    bad = run("serve", "--model", MODEL_DIR, "--device", "tpu")
    assert bad.returncode == 2 and "--device" in bad.stderr


def test_a_taken_port_is_one_clear_line(server):
    for flag, port, other in (("--grpc-address", server.port, "--admin-address"),
                              ("--admin-address", server.admin_port, "--grpc-address")):
        taken = run("serve", "--model", MODEL_DIR, flag, f"127.0.0.1:{port}", other, "127.0.0.1:0")
        assert taken.returncode == 1
        last = json.loads(taken.stderr.strip().splitlines()[-1])
        assert last["level"] == "error" and f"127.0.0.1:{port}" in last["cause"]


def test_a_bad_checkpoint_is_one_clear_line(tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(MODEL_DIR, folder, ignore=shutil.ignore_patterns("recipe"))
    os.truncate(folder / "model-00002-of-00003.safetensors", 1000)
    broken = run("serve", "--model", str(folder), "--grpc-address", "127.0.0.1:0",
                 "--admin-address", "127.0.0.1:0")
    assert broken.returncode == 1
    last = json.loads(broken.stderr.strip().splitlines()[-1])
    assert "model-00002-of-00003.safetensors" in last["cause"]


def test_model_name_and_environment():
    with Server("--model-name", "other", env={"SPARSED_QUEUE_REQUESTS": "7"}) as server:
        assert server.client.list_models(m.ListModelsRequest()).models[0].name == "other"
        assert server.client.server_info(m.GetServerInfoRequest()).limits["queue_requests"] == 7
        error = failure_of(lambda: server.client.generate(short_request(model="nano")))
        assert error.code() == grpc.StatusCode.NOT_FOUND
