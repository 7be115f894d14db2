"""One real server for all tests, started as the integration tests start theirs."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / "tests" / "integration"))

from sparsed_server import Server  # noqa: E402

from sparsed_client import Client  # noqa: E402


@pytest.fixture(scope="session")
def server():
    with Server() as running:
        yield running


@pytest.fixture
def address(server):
    return f"127.0.0.1:{server.port}"


@pytest.fixture
def client(address):
    with Client(address) as client:
        yield client
