import pytest

from sparsed_server import Server


@pytest.fixture(scope="module")
def server():
    """One server for the tests of a file that leave it as it was."""
    with Server() as running:
        yield running


@pytest.fixture
def client(server):
    return server.client
