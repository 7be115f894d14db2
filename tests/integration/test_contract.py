"""The contract as clients that are not ours see it: `buf curl` by reflection alone, grpcio for the
failures that need a server in a certain state, and docs/errors.md against the source."""

import base64
import json
import os
import pathlib
import re
import subprocess
import time

import grpc
import pytest

from shallow_model import shallow_model
from sparsed_server import (GENERATION, MODEL_DIR, PROTO_DIR, Client, Server, ShallowServer,
                            failure_of, g, h, k, m, short_request)
from test_kserve import Infer

BUF = os.path.join(os.path.dirname(os.environ.get("SPARSED_VENV_PYTHON", "")), "buf")
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
SERVICES = [service for file in (g, m, h, k)
            for service in file.DESCRIPTOR.services_by_name.values()]
PAGE = pathlib.Path(PROTO_DIR).parent / "docs" / "errors.md"
SOURCE = pathlib.Path(PROTO_DIR).parent / "server" / "errors.cc"


class Buf:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def run(self, *arguments, path=""):
        return subprocess.run([BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge",
                               *arguments, self.url + path], capture_output=True, text=True,
                              timeout=60)

    def call(self, method, request):
        """The messages of the answer."""
        ran = self.run("--data", json.dumps(request), path=f"/{method}")
        assert ran.returncode == 0, ran.stderr
        messages, text = [], ran.stdout.strip()
        while text:
            message, end = json.JSONDecoder().raw_decode(text)
            messages.append(message)
            text = text[end:].strip()
        return messages

    def failure(self, method, request):
        """The code, and the encoded details by type."""
        ran = self.run("--data", json.dumps(request), path=f"/{method}")
        assert ran.returncode != 0, ran.stdout
        error = json.loads(ran.stderr)
        return error["code"], {detail["type"]: detail["value"] for detail in error["details"]}

    @staticmethod
    def decode(details, name):
        """One of the details, decoded by buf; one that is not there fails."""
        value = details[f"google.rpc.{name}"]
        schema = os.path.join(PROTO_DIR, "google/rpc/error_details.proto")
        ran = subprocess.run([BUF, "convert", schema, "--type", f"google.rpc.{name}", "--from",
                              "-#format=binpb"], input=base64.b64decode(value + "=="),
                             capture_output=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)


def buf_of(server):
    if not os.access(BUF, os.X_OK):
        pytest.skip("no buf: tests/run.sh installs it")
    return Buf(server.port)


@pytest.fixture(scope="module")
def buf(server):
    return buf_of(server)


def generation(**changes):
    return {"prompt": "The river", "sampling": {"genLength": 32, "steps": 4, "seed": "1"},
            **changes}


class HeldServer(Server):
    """A server that is loading until release(). Its model has no chat template, its batch is
    small."""

    def __init__(self, folder):
        for file in pathlib.Path(shallow_model(MODEL_DIR)).iterdir():
            if file.name != "tokenizer_config.json":
                (folder / file.name).symlink_to(file)
        config = json.loads((pathlib.Path(MODEL_DIR) / "tokenizer_config.json").read_text())
        del config["chat_template"]
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
        self._hold = folder.parent / "hold"
        self._hold.touch()
        super().__init__("--max-batch-tokens", "256", "--model-name", "nano",
                         model_dir=str(folder), faults=[f"hold:{self._hold}"])
        self.loading = True

    def __enter__(self):
        self.port = self.wait_for("listening")["grpc_port"]
        self.client = Client(self.port)
        return self

    def release(self):
        if self.loading:
            self._hold.unlink()
            self.wait_for("serving")
            self.loading = False

    def __exit__(self, *args):
        if self.loading:
            self.process.kill()
        super().__exit__(*args)


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    with HeldServer(tmp_path_factory.mktemp("held")) as server:
        yield server


def test_while_the_model_loads(held):
    client, infer = held.client, Infer(held.client)
    assert held.loading
    for call in (lambda: client.generate(short_request()),
                 lambda: list(client.stream(g.StreamGenerateRequest(request=short_request()))),
                 lambda: client.tokenize(g.TokenizeRequest(text="a")),
                 lambda: client.get_model(m.GetModelRequest()),
                 lambda: infer.infer(k.ModelInferRequest(model_name="nano")),
                 lambda: infer.model_config(k.ModelConfigRequest(name="nano"))):
        error = failure_of(call)
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert error.rich["RetryInfo"].retry_delay.ToMilliseconds() == 1000
        assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
    assert not infer.server_ready(k.ServerReadyRequest()).ready
    assert not infer.model_ready(k.ModelReadyRequest(name="nano")).ready
    assert not infer.repository_index(k.RepositoryIndexRequest()).models
    if os.access(BUF, os.X_OK):
        buf = Buf(held.port)
        code, details = buf.failure(f"{GENERATION}/Generate", generation())
        assert code == "unavailable"
        assert buf.decode(details, "RetryInfo") == {"retryDelay": "1s"}
    held.release()
    assert client.generate(short_request()).token_ids


def test_a_conversation_needs_a_chat_template(held):
    held.release()
    chat = g.Chat(messages=[g.ChatMessage(role="user", content="a")])
    for call in (lambda: held.client.generate(g.GenerateRequest(chat=chat)),
                 lambda: held.client.tokenize(g.TokenizeRequest(chat=chat))):
        error = failure_of(call)
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        violation, = error.rich["PreconditionFailure"].violations
        assert (violation.type, violation.subject) == ("CHAT_TEMPLATE", "nano")


def test_a_deadline_that_passes_in_the_queue():
    # The only step of the one that runs lasts longer than any request may; what arrives meanwhile
    # waits.
    with ShallowServer("--max-request-seconds", "0.1", faults=["slow:9:0:1500"]) as server:
        slow = short_request()
        slow.sampling.steps, slow.sampling.seed = 1, 9
        running = server.client.generate.future(slow)
        end = time.monotonic() + 10
        while server.metric("sparsed_requests_running") == 0:
            assert time.monotonic() < end
        error = failure_of(lambda: server.client.generate(short_request()))
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        info = error.rich["ErrorInfo"]
        assert (info.reason, info.domain) == ("QUEUE_DEADLINE", "sparsed")
        assert running.result().token_ids


def test_buf_lists_every_service_and_method(buf):
    services = {service.full_name for service in SERVICES}
    assert set(buf.run("--list-services").stdout.split()) == services | {REFLECTION}
    methods = {f"{service.full_name}/{method.name}"
               for service in SERVICES for method in service.methods}
    listed = buf.run("--list-methods")
    assert listed.returncode == 0, listed.stderr
    assert set(listed.stdout.split()) == methods | {f"{REFLECTION}/ServerReflectionInfo"}


def test_buf_calls(buf, client):
    expected = client.generate(short_request())
    answer, = buf.call(f"{GENERATION}/Generate", generation(requestId="by-buf"))
    assert answer["text"] == expected.text and answer["requestId"] == "by-buf"
    assert answer["tokenIds"] == list(expected.token_ids)
    events = buf.call(f"{GENERATION}/StreamGenerate", {"request": generation()})
    assert "accepted" in events[0] and events[0]["accepted"]["plannedSteps"] == 4
    assert "".join(e["block"]["text"] for e in events if "block" in e) == expected.text
    assert events[-1]["final"]["text"] == expected.text
    tokens, = buf.call(f"{GENERATION}/Tokenize", {"text": "The river"})
    ids = client.tokenize(g.TokenizeRequest(text="The river")).token_ids
    assert tokens["tokenIds"] == list(ids)
    back, = buf.call(f"{GENERATION}/Detokenize", {"tokenIds": tokens["tokenIds"]})
    assert back["text"] == "The river"
    for service in ("", GENERATION):
        assert buf.call("grpc.health.v1.Health/Check", {"service": service}) == [
            {"status": "SERVING"}]


def test_buf_reads_every_detail(held):
    # RetryInfo: see above, while it loads.
    buf, method = buf_of(held), f"{GENERATION}/Generate"
    held.release()
    code, details = buf.failure(method, generation(sampling={"steps": 0}, requestId="by-buf"))
    assert code == "invalid_argument"
    violation, = buf.decode(details, "BadRequest")["fieldViolations"]
    assert violation["field"] == "sampling.steps"
    assert buf.decode(details, "RequestInfo") == {"requestId": "by-buf"}
    code, details = buf.failure(method, generation(sampling={"genLength": 9000, "steps": 1}))
    assert code == "invalid_argument"
    info = buf.decode(details, "ErrorInfo")
    assert info["reason"] == "CONTEXT_LENGTH_EXCEEDED" and info["domain"] == "sparsed"
    assert info["metadata"]["canvas_tokens"] == "9000"
    code, details = buf.failure(method, generation(model="gpt"))
    assert code == "not_found"
    assert buf.decode(details, "ResourceInfo")["resourceName"] == "gpt"
    code, details = buf.failure(method, {"chat": {"messages": [{"role": "user", "content": "a"}]}})
    assert code == "failed_precondition"
    violation, = buf.decode(details, "PreconditionFailure")["violations"]
    assert violation["type"] == "CHAT_TEMPLATE"
    code, details = buf.failure(method, generation(sampling={"genLength": 512, "steps": 16}))
    assert code == "resource_exhausted"
    violation, = buf.decode(details, "QuotaFailure")["violations"]
    assert violation["subject"] == "max_batch_tokens"


def failures_of_the_source():
    """Of every maker of server/errors.cc: its word, its code, its details, its reason."""
    details = {"AddErrorInfo": "ErrorInfo", "AddRetry": "RetryInfo", "Unavailable(": "RetryInfo",
               "AddQuota": "QuotaFailure", "rpc::BadRequest": "BadRequest",
               "rpc::ResourceInfo": "ResourceInfo", "BadFields(": "BadRequest",
               "rpc::PreconditionFailure": "PreconditionFailure"}
    makers = SOURCE.read_text().split("}  // namespace\n", 1)[1].split("\nFailure ")[1:]
    assert len(makers) > 15
    for text in makers:
        word = re.search(r'"([a-z_]+)"[;)]', text.replace("reason = ", ""))
        reason = re.search(r'AddErrorInfo\(\s*failure, "(\w+)"', text)
        code = re.search(r"StatusCode::(\w+)", text)
        code = (code.group(1) if code else "UNAVAILABLE" if "Unavailable(" in text
                else "INVALID_ARGUMENT")
        yield (word.group(1), code,
               frozenset(kind for call, kind in details.items() if call in text),
               reason.group(1) if reason else "")


def test_the_page_of_errors_is_what_the_source_says():
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z_]+) \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE)
    page = [(word, code, frozenset(re.findall(r"[A-Z][a-z]+[A-Z]\w+", details)),
             "".join(re.findall(r"`(\w+)`", details))) for word, code, details in rows]
    assert len(page) == len(set(page)) > 15
    assert set(page) == set(failures_of_the_source())
