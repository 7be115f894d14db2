"""One real server for all tests, started as the integration tests start theirs."""

import hashlib
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests" / "integration"))

from sparsed_server import Server  # noqa: E402

from sparsed_client import Client  # noqa: E402

TOKEN = "secret"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """It asks for a token, runs one request at a time and lets four wait."""
    tokens = tmp_path_factory.mktemp("server") / "tokens"
    tokens.write_text(f"ann:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    with Server("--auth-token-file", str(tokens), "--max-batch-tokens", "192",
                "--max-running", "1", "--queue-requests", "4") as running:
        yield running


@pytest.fixture
def target(server):
    """Arguments of a client."""
    return {"address": f"127.0.0.1:{server.port}", "token": TOKEN}


@pytest.fixture
def client(target):
    with Client(**target) as client:
        yield client
