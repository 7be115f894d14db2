"""Starts the real server and speaks to it: what the integration tests share."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import grpc

from shallow_model import shallow_model

PROTO_DIR = os.environ["SPARSED_PROTO_DIR"]
MODEL_DIR = os.environ["SPARSED_MODEL_DIR"]
BINARY = os.environ["SPARSED_BINARY"]
START_SECONDS = 60


def _generate_messages():
    folder = tempfile.TemporaryDirectory(prefix="sparsed-proto-")
    files = ["sparsed/v1/generation.proto", "sparsed/v1/inspection.proto",
             "sparsed/v1/model.proto",
             "grpc/health/v1/health.proto", "google/rpc/status.proto",
             "google/rpc/error_details.proto", "inference/grpc_service.proto"]
    subprocess.run([os.environ.get("SPARSED_PROTOC", "protoc"), "-I", PROTO_DIR,
                    f"--python_out={folder.name}", *files], check=True)
    # Beside the packages grpc and google that are installed.
    import google
    import google.protobuf
    google.__path__.append(str(pathlib.Path(folder.name) / "google"))
    grpc.__path__.append(str(pathlib.Path(folder.name) / "grpc"))
    sys.path.insert(0, folder.name)
    return folder


_FOLDER = _generate_messages()

from sparsed.v1 import generation_pb2 as g  # noqa: E402
from sparsed.v1 import model_pb2 as m  # noqa: E402
from google.rpc import error_details_pb2 as details  # noqa: E402
from google.rpc import status_pb2  # noqa: E402
from grpc.health.v1 import health_pb2 as h  # noqa: E402
from inference import grpc_service_pb2 as k  # noqa: E402

GENERATION = "sparsed.v1.GenerationService"
MODEL = "sparsed.v1.ModelService"


class Client:
    """One channel and all methods; over TLS where there are credentials."""

    def __init__(self, port, credentials=None, options=()):
        # A channel of its own: equal ones share a connection. Of two equal options the first counts.
        options = [*options, ("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        address = f"127.0.0.1:{port}"
        self.channel = (grpc.secure_channel(address, credentials, options) if credentials
                        else grpc.insecure_channel(address, options))
        self.generate = self._unary(GENERATION, "Generate", g.GenerateRequest, g.GenerateResponse)
        self.stream = self.channel.unary_stream(
            f"/{GENERATION}/StreamGenerate", g.StreamGenerateRequest.SerializeToString,
            g.StreamGenerateResponse.FromString)
        self.tokenize = self._unary(GENERATION, "Tokenize", g.TokenizeRequest, g.TokenizeResponse)
        self.detokenize = self._unary(GENERATION, "Detokenize", g.DetokenizeRequest,
                                      g.DetokenizeResponse)
        self.list_models = self._unary(MODEL, "ListModels", m.ListModelsRequest,
                                       m.ListModelsResponse)
        self.get_model = self._unary(MODEL, "GetModel", m.GetModelRequest, m.GetModelResponse)
        self.server_info = self._unary(MODEL, "GetServerInfo", m.GetServerInfoRequest,
                                       m.GetServerInfoResponse)
        self.check = self._unary("grpc.health.v1.Health", "Check", h.HealthCheckRequest,
                                 h.HealthCheckResponse)
        self.watch = self.channel.unary_stream(
            "/grpc.health.v1.Health/Watch", h.HealthCheckRequest.SerializeToString,
            h.HealthCheckResponse.FromString)

    def _unary(self, service, method, request, response):
        return self.channel.unary_unary(f"/{service}/{method}", request.SerializeToString,
                                        response.FromString)

    def raw(self, method, payload):
        """Sends bytes as they are, to Generate by default."""
        return self.channel.unary_unary(f"/{GENERATION}/{method}", lambda b: b,
                                        lambda b: b)(payload, timeout=30)

    def close(self):
        self.channel.close()


class Server:
    """A running `sparsed serve` on free ports; use it as a context manager. With faults, as
    tests/testing/faulty_backend.h has them, it is the binary that can have them; `program` starts
    it otherwise."""

    def __init__(self, *flags, model_dir=MODEL_DIR, env=None, credentials=None, faults=(),
                 program=(BINARY,)):
        self.credentials = credentials
        if faults:
            program = [os.environ["SPARSED_FAULTY_BINARY"]]
            program += [word for fault in faults for word in ("--fault", fault)]
        command = [*program, "serve", "--model", model_dir, "--grpc-address", "127.0.0.1:0",
                   "--admin-address", "127.0.0.1:0", "--drain-delay-seconds", "0", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})
        self.lines = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": "not json", "text": line}
            with self._changed:
                self.lines.append(entry)
                self._changed.notify_all()

    def wait_for(self, event, seconds=START_SECONDS, **fields):
        """The first log line with this event and these fields."""
        def find():
            for line in self.lines:
                if line["event"] == event and all(line.get(k) == v for k, v in fields.items()):
                    return line
            return None
        with self._changed:
            assert self._changed.wait_for(find, seconds), f"no {event} {fields} in {self.lines}"
            return find()

    def __enter__(self):
        listening = self.wait_for("listening")
        self.port = listening["grpc_port"]
        self.admin_port = listening["admin_port"]
        self.http_port = listening["http_port"]
        self.wait_for("serving")
        self.client = Client(self.port, self.credentials)
        return self

    def __exit__(self, *_):
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(10)
        assert [line for line in self.lines if line["event"] == "not json"] == []

    def stop(self, seconds=60):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def http(self, path):
        """Status and body of an admin page."""
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name):
        """The value on the line of a metric, labels included in its name; 0 if there is none."""
        for line in self.http("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def wait_until_idle(self, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            names = ["sparsed_requests_running", "sparsed_requests_waiting",
                     "sparsed_mask_cache_bytes"]
            if all(self.metric(name) == 0 for name in names):
                return
            time.sleep(0.05)
        raise AssertionError(self.http("/metrics")[1])


def kept_addresses():
    """Flags for ports to which a server can come back: the system gives them to nobody else."""
    given = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    flags = []
    for flag in ("--grpc-address", "--admin-address"):
        while True:
            address = ("127.0.0.1", random.randrange(given - 10000, given))
            with socket.socket() as probe:
                if probe.connect_ex(address) != 0:
                    break
        flags += [flag, "%s:%d" % address]
    return flags


class ShallowServer(Server):
    """A server of the shallow model: for what does not depend on the answer's text."""

    def __init__(self, *flags, **options):
        super().__init__(*flags, **{"model_dir": shallow_model(MODEL_DIR), **options})


def failure_of(call):
    """The RpcError that the call ends with; its details by type name in `.rich`."""
    try:
        call()
    except grpc.RpcError as error:
        error.rich = {}
        error.status = status_pb2.Status()
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                error.status.ParseFromString(value)
        for any_detail in error.status.details:
            name = any_detail.TypeName().rsplit(".", 1)[1]
            detail = getattr(details, name)()
            assert any_detail.Unpack(detail)
            error.rich[name] = detail
        return error
    raise AssertionError("the call succeeded")


def short_request(**changes):
    """A generation of 4 steps."""
    request = g.GenerateRequest(prompt="The river", sampling=g.SamplingOptions(
        gen_length=32, steps=4, seed=1))
    for name, value in changes.items():
        getattr(request, name).CopyFrom(value) if hasattr(value, "CopyFrom") else setattr(
            request, name, value)
    return request


def long_request(seed=1, steps=1024):
    """A generation that takes many seconds: one token a step, over long context."""
    return g.GenerateRequest(
        prompt="The river flows through the old town and the people stand at its banks. " * 40,
        sampling=g.SamplingOptions(gen_length=1024, steps=steps, seed=seed, stop_at_end=False))
