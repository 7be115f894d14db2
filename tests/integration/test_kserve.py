"""The Open Inference Protocol, by its messages here and by Triton's own client."""

import json
import os
import queue
import struct
import subprocess

import grpc
import pytest

from sparsed_server import ShallowServer, failure_of, g, k, short_request

SERVICE = "inference.GRPCInferenceService"


class Infer:
    def __init__(self, client):
        def unary(method, request, response):
            return client.channel.unary_unary(f"/{SERVICE}/{method}", request.SerializeToString,
                                              response.FromString)
        self.server_live = unary("ServerLive", k.ServerLiveRequest, k.ServerLiveResponse)
        self.server_ready = unary("ServerReady", k.ServerReadyRequest, k.ServerReadyResponse)
        self.model_ready = unary("ModelReady", k.ModelReadyRequest, k.ModelReadyResponse)
        self.server_metadata = unary("ServerMetadata", k.ServerMetadataRequest,
                                     k.ServerMetadataResponse)
        self.model_metadata = unary("ModelMetadata", k.ModelMetadataRequest,
                                    k.ModelMetadataResponse)
        self.model_config = unary("ModelConfig", k.ModelConfigRequest, k.ModelConfigResponse)
        self.model_statistics = unary("ModelStatistics", k.ModelStatisticsRequest,
                                      k.ModelStatisticsResponse)
        self.repository_index = unary("RepositoryIndex", k.RepositoryIndexRequest,
                                      k.RepositoryIndexResponse)
        self.infer = unary("ModelInfer", k.ModelInferRequest, k.ModelInferResponse)
        self.stream = client.channel.stream_stream(
            f"/{SERVICE}/ModelStreamInfer", k.ModelInferRequest.SerializeToString,
            k.ModelStreamInferResponse.FromString)


@pytest.fixture(scope="module")
def server():
    with ShallowServer() as running:
        yield running


@pytest.fixture
def infer(client):
    return Infer(client)


def bytes_tensor(name, text):
    return k.ModelInferRequest.InferInputTensor(
        name=name, datatype="BYTES", shape=[1],
        contents=k.InferTensorContents(bytes_contents=[text.encode()]))


def infer_request(text="The river", stream=None, empty_final=False, id="", model="nano", **sampling):
    sampling = {"gen_length": 32, "steps": 4, "seed": 1, **sampling}
    request = k.ModelInferRequest(model_name=model, id=id, inputs=[
        bytes_tensor("text_input", text),
        bytes_tensor("sampling_parameters", json.dumps(sampling))])
    if stream is not None:
        request.inputs.append(k.ModelInferRequest.InferInputTensor(
            name="stream", datatype="BOOL", shape=[1],
            contents=k.InferTensorContents(bool_contents=[stream])))
    if empty_final:
        request.parameters["triton_enable_empty_final_response"].bool_param = True
    return request


def text_of(response):
    if not response.outputs:
        return None
    raw = response.raw_output_contents[0]
    assert response.outputs[0].name == "text_output" and list(response.outputs[0].shape) == [1]
    assert struct.unpack("<I", raw[:4])[0] == len(raw) - 4
    return raw[4:].decode()


def is_final(response):
    return response.parameters["triton_final_response"].bool_param


def test_the_server_and_its_model(infer):
    assert infer.server_live(k.ServerLiveRequest()).live
    assert infer.server_ready(k.ServerReadyRequest()).ready
    assert infer.model_ready(k.ModelReadyRequest(name="nano")).ready
    assert infer.model_ready(k.ModelReadyRequest(name="nano", version="1")).ready
    assert not infer.model_ready(k.ModelReadyRequest(name="other")).ready
    metadata = infer.server_metadata(k.ServerMetadataRequest())
    assert metadata.name == "sparsed" and metadata.version
    model = infer.model_metadata(k.ModelMetadataRequest(name="nano"))
    assert [(t.name, t.datatype, list(t.shape)) for t in model.inputs] == [
        ("text_input", "BYTES", [1]), ("stream", "BOOL", [1]), ("sampling_parameters", "BYTES", [1])]
    assert [t.name for t in model.outputs] == ["text_output"]
    for call in (lambda **name: infer.model_metadata(k.ModelMetadataRequest(**name)),
                 lambda **name: infer.model_config(k.ModelConfigRequest(**name)),
                 lambda **name: infer.model_statistics(k.ModelStatisticsRequest(**name))):
        call(name="nano", version="1")
        for name in ({"name": "other"}, {"name": "nano", "version": "2"}):
            error = failure_of(lambda: call(**name))
            assert error.code() == grpc.StatusCode.NOT_FOUND
            assert error.rich["ResourceInfo"].resource_type == "model"
    error = failure_of(
        lambda: infer.repository_index(k.RepositoryIndexRequest(repository_name="other")))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.rich["BadRequest"].field_violations[0].field == "repository_name"


def test_statistics_are_those_of_the_metrics(server, client, infer):
    def statistics():
        found = infer.model_statistics(k.ModelStatisticsRequest()).model_stats
        assert [model.name for model in found] == ["nano"]
        return found[0]
    before = statistics()
    client.generate(short_request())
    infer.infer(infer_request())
    failure_of(lambda: infer.infer(infer_request(steps=0)))
    after = statistics()
    was, now = before.inference_stats, after.inference_stats
    assert after.inference_count == now.success.count == was.success.count + 2
    assert now.fail.count == was.fail.count + 1
    assert after.execution_count == before.execution_count + 8
    names = {"queue": "sparsed_request_queue_seconds",
             "compute_infer": "sparsed_request_inference_seconds"}
    for field, name in names.items():
        duration = getattr(now, field)
        assert duration.count == getattr(was, field).count + 2 == server.metric(f"{name}_count")
        assert abs(duration.ns / 1e9 - server.metric(f"{name}_sum")) < 1e-6
    ended = (now.success.ns + now.fail.ns) / 1e9
    assert abs(ended - server.metric("sparsed_request_e2e_seconds_sum")) < 1e-6
    assert now.compute_infer.ns <= now.success.ns and now.success.ns > was.success.ns


def test_the_index_knows_when_the_model_takes_requests():
    with ShallowServer("--drain-delay-seconds", "60") as server:
        infer = Infer(server.client)

        def index(**fields):
            models = infer.repository_index(k.RepositoryIndexRequest(**fields)).models
            return [(model.name, model.version, model.state, model.reason) for model in models]
        assert index() == index(ready=True) == [("nano", "1", "READY", "")]
        server.process.terminate()
        server.wait_for("drain_started")
        assert index() == [("nano", "1", "UNAVAILABLE", "draining")]
        assert index(ready=True) == []
        server.process.terminate()


def test_the_text_is_that_of_the_native_api(server, client, infer):
    expected = client.generate(short_request()).text
    response = infer.infer(infer_request(id="k-1"))
    assert text_of(response) == expected and is_final(response)
    assert (response.model_name, response.id) == ("nano", "k-1")
    line = server.wait_for("access", request_id="k-1")
    assert line["surface"] == "kserve" and line["steps"] == 4
    assert server.metric('sparsed_requests_total{outcome="ok",surface="kserve"}') >= 1
    turn = g.GenerateRequest(sampling=short_request().sampling)
    turn.chat.messages.add(role="user", content="What is 3 + 6671?")
    assert text_of(infer.infer(infer_request("What is 3 + 6671?", chat=True))) == client.generate(
        turn).text


def test_bad_requests(infer):
    for request, field in (
            (k.ModelInferRequest(model_name="nano"), "inputs"),
            (infer_request(steps=0), "sampling.steps"),
            (infer_request(nope=1), "sampling_parameters"),
            (infer_request(stream=True), "stream")):
        error = failure_of(lambda: infer.infer(request))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert error.rich["BadRequest"].field_violations[0].field == field
    error = failure_of(lambda: infer.infer(infer_request(model="other")))
    assert error.code() == grpc.StatusCode.NOT_FOUND


def test_a_stream_of_requests(client, infer):
    long = short_request()
    long.sampling.gen_length, long.sampling.steps = 64, 8
    expected = client.generate(short_request()).text, client.generate(long).text
    responses = list(infer.stream(iter([
        infer_request(id="whole"),
        infer_request(id="pieces", stream=True, gen_length=64, steps=8),
        infer_request(id="empty", stream=True, empty_final=True, gen_length=64, steps=8),
        infer_request(id="bad", steps=0),
        infer_request(id="nobody", model="other"),
        infer_request(id="again")])))
    by_id = {}
    for response in responses:
        by_id.setdefault(response.infer_response.id, []).append(response)
    texts = {name: [text_of(r.infer_response) for r in rs] for name, rs in by_id.items()}
    assert texts["whole"] == texts["again"] == [expected[0]]
    assert "".join(texts["pieces"]) == expected[1]
    assert texts["empty"][-1] is None and "".join(texts["empty"][:-1]) == expected[1]
    for name, rs in by_id.items():
        assert [is_final(r.infer_response) for r in rs] == [False] * (len(rs) - 1) + [True]
        assert all(bool(r.error_message) == (name in ("bad", "nobody")) for r in rs)
    assert "INVALID_ARGUMENT" in by_id["bad"][0].error_message
    assert "NOT_FOUND" in by_id["nobody"][0].error_message


def test_many_requests_on_one_stream(infer):
    requests = [infer_request(id=f"n-{i}", steps=1) for i in range(100)]
    responses = list(infer.stream(iter(requests)))
    assert {r.infer_response.id for r in responses} == {r.id for r in requests}
    assert len({text_of(r.infer_response) for r in responses}) == 1


def test_a_stream_that_is_left_frees_its_places(server, infer):
    sent = queue.Queue()
    for i in range(4):
        sent.put(infer_request(id=f"left-{i}", stream=True, gen_length=512, steps=512,
                               stop_at_end=False))
    call = infer.stream(iter(sent.get, None))
    begun = set()
    while len(begun) < 4:  # what has not been sent when the stream is left never comes
        begun.add(next(call).infer_response.id)
    call.cancel()
    server.wait_until_idle(10)
    for i in range(4):
        assert server.wait_for("access", request_id=f"left-{i}")["code"] == "CANCELLED"
    sent.put(None)


def test_tokens_are_asked_for_here_too(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("a:" + "0" * 64 + "\n")
    with ShallowServer("--auth-token-file", str(tokens)) as server:
        infer = Infer(server.client)
        for call in (lambda: infer.infer(infer_request()),
                     lambda: list(infer.stream(iter([infer_request()])))):
            error = failure_of(call)
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED
            assert error.rich["ErrorInfo"].reason == "TOKEN_MISSING"
        assert server.stop(10) == 0


TRITON = r"""
import json, queue, sys
import numpy as np
import tritonclient.grpc as triton

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("nano")
assert client.get_server_metadata().name == "sparsed"
assert client.get_model_metadata("nano").outputs[0].name == "text_output"
assert client.is_model_ready("nano", "1") and not client.is_model_ready("other")
config = client.get_model_config("nano").config
assert [i.name for i in config.input if not i.optional] == ["text_input"]
assert config.output[0].data_type == 13 and config.model_transaction_policy.decoupled
models = client.get_model_repository_index().models
assert [(m.name, m.state) for m in models] == [("nano", "READY")]

def inputs(text, stream, **sampling):
    made = [triton.InferInput("text_input", [1], "BYTES"),
            triton.InferInput("stream", [1], "BOOL"),
            triton.InferInput("sampling_parameters", [1], "BYTES")]
    made[0].set_data_from_numpy(np.array([text.encode()], dtype=object))
    made[1].set_data_from_numpy(np.array([stream], dtype=bool))
    made[2].set_data_from_numpy(np.array([json.dumps(sampling).encode()], dtype=object))
    return made

options = dict(gen_length=64, steps=8, seed=1)
whole = client.infer("nano", inputs("The river", False, **options)).as_numpy("text_output")[0]
answers = queue.Queue()
client.start_stream(callback=lambda result, error: answers.put((result, error)))
client.async_stream_infer("nano", inputs("The river", True, **options), request_id="s1",
                          enable_empty_final_response=True)
pieces = b""
while True:
    result, error = answers.get(timeout=60)
    assert error is None, error
    response = result.get_response()
    if response.parameters["triton_final_response"].bool_param:
        break
    pieces += result.as_numpy("text_output")[0]
assert pieces == whole, (pieces, whole)
client.async_stream_infer("nano", inputs("The river", True, steps=0), request_id="s2")
result, error = answers.get(timeout=60)
assert error is not None and "INVALID_ARGUMENT" in str(error), error
client.stop_stream()
stats = client.get_inference_statistics("nano", as_json=True)["model_stats"][0]
# Both texts at the least, and what had steps=0.
assert int(stats["inference_count"]) >= 2 and int(stats["inference_stats"]["fail"]["count"]) >= 1
assert int(stats["inference_stats"]["compute_infer"]["ns"]) > 0
assert client.get_inference_statistics().model_stats[0].name == "nano"

def fails_with(code, call, *args):
    try:
        call(*args)
    except triton.InferenceServerException as error:
        assert code in error.status(), error.status()
        return
    raise SystemExit(f"no {code}")

fails_with("NOT_FOUND", client.infer, "other", inputs("a", False))
fails_with("NOT_FOUND", client.get_model_config, "other")
fails_with("NOT_FOUND", client.get_inference_statistics, "other")
fails_with("UNIMPLEMENTED", client.load_model, "nano")
fails_with("UNIMPLEMENTED", client.unload_model, "nano")
print(whole.decode())
"""


def test_tritons_client(server, client):
    python = os.environ.get("SPARSED_VENV_PYTHON", "")
    if not os.access(python, os.X_OK):
        pytest.skip("no tritonclient: tests/run.sh installs it")
    ran = subprocess.run([python, "-c", TRITON, f"127.0.0.1:{server.port}"], capture_output=True,
                         text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    request = short_request()
    request.sampling.gen_length, request.sampling.steps = 64, 8
    assert ran.stdout.strip("\n") == client.generate(request).text.strip("\n")
