"""An HTTP/2 client that does what no library lets one do: it may refuse to take any data."""

import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(
        ">I", stream) + payload


def header_block(headers):
    """HPACK without tables and without compression."""
    out = b""
    for name, value in headers:
        for text in (b"\x00" + bytes([len(name)]), name.encode(), bytes([len(value)]),
                     value.encode()):
            out += text
    return out


class RawHttp2:
    def __init__(self, port, window=65535):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.buffer = b""
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, struct.pack(
            ">HI", INITIAL_WINDOW_SIZE, window)))

    def call(self, method, message, stream=1):
        """Sends a whole gRPC call."""
        headers = header_block([(":method", "POST"), (":scheme", "http"), (":path", method),
                                (":authority", "localhost"), ("te", "trailers"),
                                ("content-type", "application/grpc")])
        body = b"\x00" + struct.pack(">I", len(message)) + message
        self.socket.sendall(frame(HEADERS, END_HEADERS, stream, headers)
                            + frame(DATA, END_STREAM, stream, body))

    def frames(self, seconds):
        """Frames (kind, flags, stream, payload) that come within this time, pings answered."""
        end = time.monotonic() + seconds
        while True:
            while len(self.buffer) >= 9:
                size = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) < 9 + size:
                    break
                kind, flags = self.buffer[3], self.buffer[4]
                stream = int.from_bytes(self.buffer[5:9], "big")
                payload = self.buffer[9:9 + size]
                self.buffer = self.buffer[9 + size:]
                if kind == SETTINGS and not flags & ACK:
                    self.socket.sendall(frame(SETTINGS, ACK, 0))
                if kind == PING and not flags & ACK:
                    self.socket.sendall(frame(PING, ACK, 0, payload))
                yield kind, flags, stream, payload
            left = end - time.monotonic()
            if left <= 0:
                return
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except socket.timeout:
                return
            except ConnectionError:
                return
            if not data:
                return
            self.buffer += data

    def close(self):
        self.socket.close()
