"""TLS, client certificates and bearer tokens, and both replaced while requests run."""

import hashlib
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import grpc
import pytest

from certificates import Authority, end_of, read
from sparsed_server import (BINARY, MODEL_DIR, Client, ShallowServer, failure_of, g, h, k, m,
                            short_request)
from test_kserve import Infer, infer_request

CTL = os.path.join(os.path.dirname(BINARY), "sparsedctl")


def write_tokens(path, **tokens):
    """Replaces the file as editors and mounted secrets do: by renaming."""
    fresh = f"{path}.new"
    with open(fresh, "w") as file:
        for name, token in tokens.items():
            file.write(f"{name}:{hashlib.sha256(token.encode()).hexdigest()}\n")
    os.rename(fresh, path)


def bearer(token):
    return [("authorization", f"Bearer {token}")]


def served_certificate(port, authority):
    context = ssl.create_default_context(cafile=authority.cert)
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            return dict(part[0] for part in secure.getpeercert()["subject"])["commonName"]


@pytest.fixture
def authority(tmp_path):
    return Authority(str(tmp_path / "ca"))


def tls_flags(cert, key):
    return ["--tls-cert", cert, "--tls-key", key]


class Load:
    """Calls over and over, each on a connection of its own, until stopped."""

    def __init__(self, call, callers=3):
        self.call, self.done, self.failures = call, 0, []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                self.call()
                self.done += 1
            except Exception as error:  # whatever it is, the test shows it
                self.failures.append(error)
                return

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self.failures == []
        assert self.done > 3


def test_tls(authority, tmp_path):
    cert, key = authority.issue("server", str(tmp_path / "server"))
    trusted = grpc.ssl_channel_credentials(read(authority.cert))
    with ShallowServer(*tls_flags(cert, key), credentials=trusted) as server:
        assert server.client.generate(short_request()).token_ids
        # The probes of orchestrators need no certificate on the admin port.
        assert server.http("/readyz")[0] == 200
        plain = Client(server.port)
        error = failure_of(lambda: plain.check(h.HealthCheckRequest(), timeout=10))
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        other = Client(server.port, grpc.ssl_channel_credentials(
            read(Authority(str(tmp_path / "other")).cert)))
        error = failure_of(lambda: other.check(h.HealthCheckRequest(), timeout=10))
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        asked = subprocess.run([CTL, "-a", f"127.0.0.1:{server.port}", "--tls-ca", authority.cert,
                                "health"], capture_output=True, text=True, timeout=30)
        assert asked.stdout == "SERVING\n", asked.stderr
        asked = subprocess.run([CTL, "-a", f"127.0.0.1:{server.port}", "health"],
                               capture_output=True, text=True, timeout=30)
        assert asked.returncode == 1


def test_handshakes_that_fail_do_not_fill_the_log(authority, tmp_path):
    cert, key = authority.issue("server", str(tmp_path / "server"))
    trusted = grpc.ssl_channel_credentials(read(authority.cert))
    with ShallowServer(*tls_flags(cert, key), credentials=trusted) as server:
        begin = time.monotonic()
        for _ in range(60):
            with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                while connection.recv(4096):
                    pass
        seconds = time.monotonic() - begin
        end = time.monotonic() + 10
        written = told = 0
        while written + told < 60:
            assert time.monotonic() < end, (written, told)
            time.sleep(0.1)
            lines = [line for line in server.lines if line["event"] == "grpc"]
            written = sum("cause" in line for line in lines)
            told = sum(line.get("suppressed", 0) for line in lines)
        assert written + told == 60
        assert written <= 10 * (int(seconds) + 1) and told > 0
        assert server.client.generate(short_request()).token_ids


def test_client_certificates(authority, tmp_path):
    cert, key = authority.issue("server", str(tmp_path / "server"))
    client_cert, client_key = authority.issue("someone", str(tmp_path / "client"))
    strangers = Authority(str(tmp_path / "strangers"))
    bad_cert, bad_key = strangers.issue("stranger", str(tmp_path / "stranger"))
    root = read(authority.cert)
    known = grpc.ssl_channel_credentials(root, read(client_key), read(client_cert))
    with ShallowServer(*tls_flags(cert, key), "--tls-client-ca", authority.cert,
                credentials=known) as server:
        server.client.generate(short_request(request_id="known"))
        assert server.wait_for("access", request_id="known")["client"] == "someone"
        for credentials in (grpc.ssl_channel_credentials(root),
                            grpc.ssl_channel_credentials(root, read(bad_key), read(bad_cert))):
            client = Client(server.port, credentials)
            error = failure_of(lambda: client.check(h.HealthCheckRequest(), timeout=10))
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            client.close()
        command = [CTL, "-a", f"127.0.0.1:{server.port}", "--tls-ca", authority.cert]
        good = [*command, "--tls-cert", client_cert, "--tls-key", client_key, "health"]
        assert subprocess.run(good, capture_output=True, timeout=30).returncode == 0
        half = subprocess.run([*command, "--tls-cert", client_cert, "health"], capture_output=True,
                              text=True, timeout=30)
        assert half.returncode == 2 and "--tls-key" in half.stderr
    # HTTP cannot ask for certificates: it must ask for tokens.
    write_tokens(tmp_path / "tokens", someone="secret")
    check = [BINARY, "serve", "--model", MODEL_DIR, *tls_flags(cert, key), "--tls-client-ca",
             authority.cert, "--http-address", "127.0.0.1:0", "--check-config"]
    open_to_all = subprocess.run(check, capture_output=True, text=True, timeout=30)
    assert open_to_all.returncode == 2 and "--http-address" in open_to_all.stderr
    check += ["--auth-token-file", str(tmp_path / "tokens")]
    assert subprocess.run(check, capture_output=True, timeout=30).returncode == 0


def test_a_certificate_is_replaced_while_requests_run(authority, tmp_path):
    # As Kubernetes mounts secrets: a link to the folder of the day, replaced as a whole.
    first, _ = authority.issue("first", str(tmp_path / "day1"))
    second, _ = authority.issue("second", str(tmp_path / "day2"), days=3)
    # A chain is as good as its certificate that ends first.
    shorter, _ = authority.issue("intermediate", str(tmp_path / "other"), days=1)
    with open(second, "ab") as file:
        file.write(read(shorter))
    assert end_of(shorter) < end_of(first) < end_of(second)
    expiry = "sparsed_certificate_expiry_timestamp_seconds"
    link = tmp_path / "current"
    link.symlink_to("day1")
    trusted = grpc.ssl_channel_credentials(read(authority.cert))
    with ShallowServer(*tls_flags(str(link / "tls.crt"), str(link / "tls.key")),
                credentials=trusted) as server:
        assert served_certificate(server.port, authority) == "first"
        assert server.metric(expiry) == end_of(first)

        def call():
            client = Client(server.port, trusted)
            assert client.generate(short_request(), timeout=30).token_ids
            client.close()
        load = Load(call)
        open_before = server.client.watch(h.HealthCheckRequest())
        assert next(open_before).status == h.HealthCheckResponse.SERVING
        os.symlink("day2", tmp_path / "next")
        os.rename(tmp_path / "next", link)
        server.wait_for("certificate_changed", 10)
        assert server.metric(expiry) == end_of(shorter)
        end = time.monotonic() + 10
        while served_certificate(server.port, authority) != "second":
            assert time.monotonic() < end
            time.sleep(0.1)
        time.sleep(0.5)
        load.stop()
        # The connections that were open are still.
        assert open_before.is_active()
        assert server.client.generate(short_request()).token_ids
        # Files that do not fit together are told, and the log says which.
        with open(tmp_path / "day2" / "tls.key", "wb") as file:
            file.write(read(str(tmp_path / "day1" / "tls.key")))
        assert "--tls-key" in server.wait_for("certificate_wrong", 10)["cause"]


@pytest.fixture
def tokens(tmp_path):
    path = str(tmp_path / "tokens")
    write_tokens(path, ann="secret-of-ann", bob="secret-of-bob")
    return path


def test_tokens(tokens, tmp_path):
    with ShallowServer("--auth-token-file", tokens) as server:
        client = server.client
        calls = [
            lambda metadata: client.generate(short_request(), metadata=metadata),
            lambda metadata: list(client.stream(g.StreamGenerateRequest(request=short_request()),
                                                metadata=metadata)),
            lambda metadata: client.tokenize(g.TokenizeRequest(text="a"), metadata=metadata),
            lambda metadata: client.detokenize(g.DetokenizeRequest(), metadata=metadata),
            lambda metadata: client.list_models(m.ListModelsRequest(), metadata=metadata),
            lambda metadata: client.get_model(m.GetModelRequest(), metadata=metadata),
            lambda metadata: client.server_info(m.GetServerInfoRequest(), metadata=metadata),
        ]
        for call in calls:
            for metadata, reason in ((None, "TOKEN_MISSING"), (bearer("wrong"), "TOKEN_INVALID"),
                                     (bearer("secret-of-ann") * 2, "TOKEN_INVALID")):
                error = failure_of(lambda: call(metadata))
                assert error.code() == grpc.StatusCode.UNAUTHENTICATED
                assert error.rich["ErrorInfo"].reason == reason
                assert error.rich["RequestInfo"].request_id
            call(bearer("secret-of-ann"))
        # What is wrong with a request is told to those alone who may make one.
        error = failure_of(lambda: client.generate(g.GenerateRequest()))
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        client.generate(short_request(request_id="by-bob"), metadata=bearer("secret-of-bob"))
        assert server.wait_for("access", request_id="by-bob")["client"] == "bob"
        # Probes carry none.
        assert client.check(h.HealthCheckRequest()).status == h.HealthCheckResponse.SERVING
        assert server.http("/metrics")[0] == 200
        assert server.metric('sparsed_admission_rejections_total{reason="unauthenticated"}') >= 14
        command = [CTL, "-a", f"127.0.0.1:{server.port}"]
        token_file = tmp_path / "token"
        token_file.write_text("secret-of-ann\n")
        good = subprocess.run([*command, "--token-file", str(token_file), "models"],
                              capture_output=True, text=True, timeout=30)
        assert good.returncode == 0 and "nano" in good.stdout, good.stderr
        bad = subprocess.run([*command, "models"], capture_output=True, text=True, timeout=30)
        assert bad.returncode == 1 and "UNAUTHENTICATED" in bad.stderr
        assert "secret-of" not in str(server.lines)


def test_a_token_for_some_models_is_refused_for_others(tokens):
    digest = hashlib.sha256(b"secret-of-carl").hexdigest()

    def limit_carl(models):
        with open(tokens, "a") as file:
            file.write(f"carl:{digest}:{models}\n")
    limit_carl("other,third")
    with ShallowServer("--auth-token-file", tokens) as server:
        client = server.client
        infer = Infer(client)

        def streamed(request, **options):
            return list(client.stream(g.StreamGenerateRequest(request=request), **options))
        calls = [
            lambda model, **o: client.generate(short_request(model=model), **o),
            lambda model, **o: streamed(short_request(model=model), **o),
            lambda model, **o: client.tokenize(g.TokenizeRequest(model=model, text="a"), **o),
            lambda model, **o: client.detokenize(g.DetokenizeRequest(model=model), **o),
            lambda model, **o: client.get_model(m.GetModelRequest(name=model), **o),
            lambda model, **o: infer.model_ready(k.ModelReadyRequest(name=model), **o),
            lambda model, **o: infer.model_metadata(k.ModelMetadataRequest(name=model), **o),
            lambda model, **o: infer.infer(infer_request(model=model), **o),
        ]
        carl = {"metadata": bearer("secret-of-carl")}
        for call in calls:
            for model in ("nano", ""):  # which means nano
                error = failure_of(lambda: call(model, **carl))
                assert error.code() == grpc.StatusCode.PERMISSION_DENIED
                assert error.rich["ErrorInfo"].reason == "MODEL_FORBIDDEN"
                assert error.rich["ErrorInfo"].domain == "sparsed"
                assert error.rich["ErrorInfo"].metadata["model"] == "nano"
                assert error.rich["RequestInfo"].request_id
            # Whether there is a model of that name, such a token cannot find out.
            error = failure_of(lambda: call("no-such-model", **carl))
            assert error.code() == grpc.StatusCode.PERMISSION_DENIED
            call("nano", metadata=bearer("secret-of-ann"))
        (response,) = infer.stream(iter([infer_request()]), **carl)
        assert response.error_message.startswith("PERMISSION_DENIED: ")
        assert not client.list_models(m.ListModelsRequest(), **carl).models
        assert client.list_models(m.ListModelsRequest(), metadata=bearer("secret-of-ann")).models
        # What it may use is not served here.
        error = failure_of(lambda: client.generate(short_request(model="other"), **carl))
        assert error.code() == grpc.StatusCode.NOT_FOUND
        # Without a model in it a call is anyone's who is known.
        assert client.server_info(m.GetServerInfoRequest(), **carl).version
        refused = server.wait_for("access", code="PERMISSION_DENIED")
        assert refused["client"] == "carl" and refused["reason"] == "permission_denied"
        assert server.metric(
            'sparsed_admission_rejections_total{reason="permission_denied"}') == 3 * len(calls) + 1
        write_tokens(tokens, ann="secret-of-ann")
        limit_carl("nano,other")
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while not client.list_models(m.ListModelsRequest(), **carl).models:
            assert time.monotonic() < end
            time.sleep(0.05)
        for call in calls:
            call("nano", **carl)
            call("", **carl)


def test_tokens_are_replaced_while_requests_run(tokens):
    with ShallowServer("--auth-token-file", tokens) as server:
        load = Load(lambda: server.client.generate(
            short_request(), metadata=bearer("secret-of-ann"), timeout=30))

        def ends_as(token, code, seconds=10):
            end = time.monotonic() + seconds
            while True:
                try:
                    server.client.list_models(m.ListModelsRequest(), metadata=bearer(token))
                    found = grpc.StatusCode.OK
                except grpc.RpcError as error:
                    found = error.code()
                if found == code:
                    return
                assert time.monotonic() < end, (token, found)
                time.sleep(0.05)
        # The new one is there while the old one still counts, then the old one goes.
        write_tokens(tokens, ann="secret-of-ann", bob="new-secret")
        ends_as("new-secret", grpc.StatusCode.OK)
        ends_as("secret-of-bob", grpc.StatusCode.UNAUTHENTICATED)
        # A file that is wrong changes nothing.
        with open(tokens, "w") as file:
            file.write("ann:not-a-digest\n")
        assert "line 1" in server.wait_for("tokens_not_reloaded", 10)["cause"]
        ends_as("new-secret", grpc.StatusCode.OK)
        os.remove(tokens)
        ends_as("new-secret", grpc.StatusCode.OK)
        load.stop()
        write_tokens(tokens, carl="third")
        server.process.send_signal(signal.SIGHUP)
        ends_as("third", grpc.StatusCode.OK, 1)
        ends_as("secret-of-ann", grpc.StatusCode.UNAUTHENTICATED, 1)


def test_hangup_reads_the_log_level_again(tmp_path):
    config = tmp_path / "config.json"
    config.write_text('{"log_level": "info"}')
    with ShallowServer("--config", str(config)) as server:
        server.client.generate(short_request(request_id="seen"))
        server.wait_for("access", request_id="seen")
        config.write_text('{"log_level": "warning"}')
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 10
        while True:
            name = f"quiet-{time.monotonic()}"
            server.client.generate(short_request(request_id=name))
            time.sleep(0.1)
            if not any(line.get("request_id") == name for line in server.lines):
                break
            assert time.monotonic() < end
        config.write_text('{"log_level": "loud"}')
        server.process.send_signal(signal.SIGHUP)
        assert "log_level" in server.wait_for("settings_not_reloaded", 10)["cause"]
        assert server.client.generate(short_request()).token_ids


def test_tokens_do_not_cross_a_network_in_clear_text(tokens, authority, tmp_path):
    def check(*flags):
        return subprocess.run([BINARY, "serve", "--model", MODEL_DIR, "--auth-token-file", tokens,
                               "--grpc-address", "0.0.0.0:0", *flags, "--check-config"],
                              capture_output=True, text=True, timeout=30)
    refused = check()
    assert refused.returncode == 2
    assert "--insecure-allow-plaintext-tokens" in refused.stderr
    assert check("--insecure-allow-plaintext-tokens").returncode == 0
    cert, key = authority.issue("server", str(tmp_path / "server"))
    assert check(*tls_flags(cert, key)).returncode == 0
    assert check(*tls_flags(cert, authority.key)).returncode == 2
