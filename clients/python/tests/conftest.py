"""One real server for all tests, started as the integration tests start theirs."""

import hashlib
import io
import itertools
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests" / "integration"))

from certificates import Authority, read  # noqa: E402
from sparsed_server import Server  # noqa: E402

from sparsed_client import Client, _cli  # noqa: E402

TOKEN = "secret"


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """What lets a client in, as flags of the command and their files."""
    folder = tmp_path_factory.mktemp("files")
    authority = Authority(folder)
    certificate, key = authority.issue("ann", folder)
    (folder / "token").write_text(TOKEN + "\n")
    return {"--tls-ca": authority.cert, "--tls-cert": certificate, "--tls-key": key,
            "--token-file": str(folder / "token")}


@pytest.fixture(scope="session")
def server(files, tmp_path_factory):
    """It asks for a certificate and a token, runs one request at a time and lets four wait."""
    tokens = tmp_path_factory.mktemp("server") / "tokens"
    tokens.write_text(f"ann:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    with Server("--tls-cert", files["--tls-cert"], "--tls-key", files["--tls-key"],
                "--tls-client-ca", files["--tls-ca"], "--auth-token-file", str(tokens),
                "--max-batch-tokens", "192", "--max-running", "1",
                "--queue-requests", "4", "--enable-inspection") as running:
        yield running


@pytest.fixture(scope="session")
def target(server, files):
    """Arguments of a client."""
    return {"address": f"127.0.0.1:{server.port}", "token": TOKEN,
            "root_certificates": read(files["--tls-ca"]),
            "client_certificate": (read(files["--tls-cert"]), read(files["--tls-key"]))}


@pytest.fixture
def client(target):
    with Client(**target) as client:
        yield client


@pytest.fixture
def flags(target, files):
    return ["--address", target["address"], *itertools.chain(*files.items())]


@pytest.fixture
def run(flags, capsys, monkeypatch):
    """Exit status, output and errors of the command, in this process."""
    def run(*arguments, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        status = _cli.main([*flags, *map(str, arguments)])
        return status, *capsys.readouterr()
    return run
