"""The admin port as an HTTP server: what it refuses, and clients that send slowly."""

import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparsed_server import Server


def exchange(port, data, seconds=10):
    """What the server answers to these bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(seconds)
        connection.sendall(data)
        answer = b""
        while True:
            part = connection.recv(65536)
            if not part:
                return answer
            answer += part


CLOSE = b"Connection: close\r\n\r\n"


@pytest.mark.parametrize("request_bytes,status", [
    (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + CLOSE, b"200"),
    (b"GET /livez?a=b HTTP/1.1\r\n" + CLOSE, b"200"),
    (b"HEAD /metrics HTTP/1.1\r\n" + CLOSE, b"200"),
    (b"GET /../etc/passwd HTTP/1.1\r\n" + CLOSE, b"404"),
    (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n" + CLOSE + b"abc", b"404"),
    (b"POST /metrics HTTP/1.1\r\nContent-Length: 3000\r\n" + CLOSE + b"a" * 3000, b"413"),
    (b"\x16\x03\x01\x00\xa5\x01\x00\r\n" + CLOSE, b"400"),
    (b"GET /" + b"a" * 10000 + b" HTTP/1.1\r\n" + CLOSE, b"414"),
])
def test_answers(server, request_bytes, status):
    head, _, body = exchange(server.admin_port, request_bytes).partition(b"\r\n\r\n")
    assert head.split(b" ")[:2] == [b"HTTP/1.1", status]
    if request_bytes.startswith(b"HEAD"):
        assert int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]) > 1000
        assert body == b""


def test_a_request_in_pieces(server):
    with socket.create_connection(("127.0.0.1", server.admin_port), 10) as connection:
        for byte in b"GET /version HTTP/1.1\r\n" + CLOSE:
            connection.sendall(bytes([byte]))
            time.sleep(0.005)
        assert b'"version"' in connection.makefile("rb").read()


def test_one_that_leaves_in_the_middle(server):
    for _ in range(50):
        connection = socket.create_connection(("127.0.0.1", server.admin_port), 10)
        connection.sendall(b"GET /metrics HT")
        connection.close()
    assert server.http("/livez")[0] == 200


def test_slow_senders_hold_up_nobody_and_are_cut():
    with Server() as server:
        descriptors = server.metric("process_open_fds")
        slow = []
        for _ in range(200):
            connection = socket.create_connection(("127.0.0.1", server.admin_port), 10)
            connection.sendall(b"GET /livez HTTP/1.1\r\nX-Slow: ")
            slow.append(connection)
        stop = threading.Event()

        def drip():
            while not stop.wait(0.2):
                for connection in slow:
                    try:
                        connection.sendall(b"a")
                    except OSError:
                        pass
        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        worst = 0
        end = time.monotonic() + 7
        while time.monotonic() < end:
            begin = time.monotonic()
            assert server.http("/livez")[0] == 200
            assert server.http("/metrics")[0] == 200
            worst = max(worst, time.monotonic() - begin)
            time.sleep(0.1)
        assert worst < 2
        # A request has five seconds, however steadily its bytes come, and a second more to be told so.
        end = time.monotonic() + 20
        while server.metric("process_open_fds") > descriptors + 5:
            assert time.monotonic() < end
            time.sleep(0.1)
        stop.set()
        dripping.join()
        for connection in slow:
            connection.close()


def test_many_at_once(server):
    with ThreadPoolExecutor(16) as pool:
        pages = list(pool.map(lambda _: server.http("/metrics")[0], range(300)))
    assert pages == [200] * 300


def test_promtool_takes_the_page(server):
    checked = subprocess.run(["promtool", "check", "metrics"], text=True, capture_output=True,
                             input=server.http("/metrics")[1])
    assert checked.returncode == 0, checked.stdout + checked.stderr
