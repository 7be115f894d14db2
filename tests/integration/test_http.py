"""The HTTP port beneath OpenAI's interface: its bytes, its bounds, slow readers, draining."""

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from openai_sdk import ask, flat, http_server, sdk

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def server():
    with http_server("--max-message-mib", "1", "--slow-client-seconds", "1",
                     "--drain-timeout-seconds", "0") as running:
        yield running


def connect(server, receive_bytes=None):
    connection = socket.socket()
    if receive_bytes:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", server.http_port))
    return connection


def head_of(path, body, *headers):
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def exchange(server, data):
    """Head and body of what the server answers until it closes."""
    with connect(server) as connection:
        connection.sendall(data)
        answer = connection.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode(), body


def post(server, body, path=CHAT, *headers):
    body = body if isinstance(body, bytes) else json.dumps(flat(body)).encode()
    return exchange(server, head_of(path, body, *headers) + body)


def unchunk(body):
    data = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size, 16)
        data, body = data + rest[:count], rest[count + 2:]
        if count == 0:
            break
    return data.decode()


def test_the_bytes_of_a_stream(server):
    head, body = post(server, ask(stream=True, stream_options={"include_usage": True}))
    lines = head.lower().split("\r\n")
    assert lines[0] == "http/1.1 200 ok"
    for line in ["content-type: text/event-stream", "cache-control: no-cache",
                 "x-accel-buffering: no"]:
        assert line in lines
    events = unchunk(body).split("\n\n")
    assert events[-1] == "" and events[-2] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 32


def test_frames_have_their_own_event(server):
    _, body = post(server, ask(stream=True, diffusion={"steps": 4, "stream_frames": True}))
    events = unchunk(body).split("\n\n")
    frames = [event for event in events if event.startswith("event: diffusion_frame\ndata: {")]
    assert frames and all("event:" not in event or event in frames for event in events)


@pytest.mark.parametrize("data,status", [
    (b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 404),
    (b"GET /v1/chat/completions HTTP/1.1\r\n\r\n", 404),
    (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", 404),
    (b"PUT /v1/models HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 405),
    (head_of(CHAT, b"{") + b"{", 400),
    (head_of(CHAT, b"[]") + b"[]", 400),
    (head_of(CHAT, b"\xff") + b"\xff", 400),
    (head_of(CHAT, b"{}", "Content-Type: multipart/form-data; boundary=a") + b"{}", 400),
    (head_of(CHAT, b"a" * (2 << 20)) + b"a" * (2 << 20), 413),
    (f"POST {CHAT} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
     + (b"%x\r\n" % (1 << 19) + b"a" * (1 << 19) + b"\r\n") * 3 + b"0\r\n\r\n", 413),
    (b"GET /v1/models HTTP/1.1\r\nX-Long: " + b"a" * 20000 + b"\r\n\r\n", 400),
    (b"GET /v1/models HTTP/1.1\r\n" + b"X-More: a\r\n" * 3000 + b"\r\n", 400),
    (b"\x16\x03\x01\x00\xa5\x01\x00\r\n\r\n", 400),
], ids=lambda value: str(value)[:40])
def test_what_is_refused(server, data, status):
    head, body = exchange(server, data)
    assert head.split(" ")[:2] == ["HTTP/1.1", str(status)]
    assert set(json.loads(body)["error"]) == {"message", "type", "param", "code"}


def test_a_body_in_chunks(server):
    body = json.dumps(flat(ask())).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7])
                      for i in range(0, len(body), 7))
    head, answer = exchange(server, f"POST {CHAT} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                            .encode() + chunks + b"0\r\n\r\n")
    assert head.startswith("HTTP/1.1 200") and json.loads(answer)["choices"]


def stream_of(client, question):
    """What the chunks of an answer join to."""
    with client.completions.create(**question, stream=True) as stream:
        return "".join(choice.text for chunk in stream for choice in chunk.choices)


def begin_stream(server, question, *headers):
    """A connection whose client takes little in at a time, and has asked for a stream of a text."""
    connection = connect(server, receive_bytes=4096)
    body = json.dumps(flat({**question, "stream": True})).encode()
    connection.sendall(head_of("/v1/completions", body, *headers) + body)
    return connection


def text_of(max_tokens, steps, prompt="The river", **options):
    """The arguments of a text of so many tokens, of which eight come at a time."""
    return {"model": "nano", "prompt": prompt, "max_tokens": max_tokens, "seed": 1,
            "extra_body": {"diffusion": {"steps": steps, "block_length": 8, "stop_at_end": False,
                                         **options}}}


def read_slowly(connection):
    data = b""
    while part := connection.recv(2000):
        data += part
        time.sleep(0.01)
    events = unchunk(data.partition(b"\r\n\r\n")[2]).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if "data: {" in event[:7]]
    return "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])


def test_ten_streams_a_slow_reader_and_one_that_stops(server):
    with sdk(server) as client, ThreadPoolExecutor(11) as pool:
        questions = [text_of(16, 4, prompt=f"River {i}") for i in range(10)]
        expected = [client.completions.create(**question).choices[0].text
                    for question in questions]
        assert len(set(expected)) > 1
        whole = client.completions.create(**text_of(64, 16)).choices[0].text
        stopped = begin_stream(server, text_of(256, 256, stream_frames=True), "x-request-id: stopped")
        slow = pool.submit(read_slowly, begin_stream(server, text_of(64, 16, stream_frames=True)))
        # First it loses its place, then its connection.
        end = time.monotonic() + 100
        while server.metric("sparsed_slow_clients_total") < 2:
            assert list(pool.map(lambda question: stream_of(client, question), questions)) == expected
            assert time.monotonic() < end
        assert slow.result() == whole
    line = server.wait_for("access", 10, request_id="stopped")
    assert line["reason"] == "slow_consumer" and line["status"] == 429
    assert 0 < line["steps"] < 256
    server.wait_until_idle(5)
    received = stopped.makefile("rb").read()
    assert b"diffusion_frame" in received and b"[DONE]" not in received
    stopped.close()


def test_draining_ends_streams_and_stops(server):
    """The last: the server is gone then."""
    with connect(server) as idle, connect(server) as half:
        half.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Le")
        with begin_stream(server, text_of(256, 256)) as running:
            assert running.recv(1000)
            begin = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            received = running.makefile("rb").read().decode()
        assert '"code":"drain_timeout"' in received and "[DONE]" not in received
        assert server.process.wait(10) == 0
        assert time.monotonic() - begin < 5
        assert idle.recv(10) == b""
