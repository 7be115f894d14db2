"""The container images, built and run: see images.py.

    ctest --test-dir build/release -R integration/image    needs root, the packages of
                                                            `install-packages.sh test`, Debian's mirror
"""

import json
import re
import subprocess
import time

import pytest

from images import BUILD, LABELS, ROOT, Container, Store
from sparsed_server import Client, g, h, kept_addresses
from test_health import NOT_SERVING, SERVING, collect

CUDA = BUILD / "lib" / "libsparsed_cuda.so"


@pytest.fixture(scope="module")
def store():
    made = Store()
    try:
        made.bootstrap()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def image(store):
    return store.build("cpu", "build")


@pytest.fixture(scope="module")
def check(store, image):
    """The words of its health check; OCI's part of an image has none."""
    told = json.loads(store.run("buildah", "inspect", "--type", "image", image))
    kind, *words = told["Docker"]["config"]["Healthcheck"]["Test"]
    assert kind == "CMD"
    return words


def sum_request():
    return g.GenerateRequest(
        chat=g.Chat(messages=[g.ChatMessage(role="user", content="What is 3 + 6671?")]),
        sampling=g.SamplingOptions(gen_length=8, steps=8))


def assert_confined(store, container):
    status, mounts = store.process_of(container)
    assert status["Name"] == "sparsed"
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"65532"}
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1"
    root, = [line.split() for line in mounts if line.split()[4] == "/"]
    assert "ro" in root[5].split(",")


def test_an_image_says_what_it_is(store, image):
    config = store.inspect(image)["Config"]
    labels = {name.rsplit(".", 1)[1]: text for name, text in config["Labels"].items()
              if name.startswith("org.opencontainers.image.")}
    assert labels.keys() == {"title", "description", "licenses", *map(str.lower, LABELS)}
    assert all(labels.values())
    for name, text in LABELS.items():
        assert labels[name.lower()] == text
    assert (config["User"], config["StopSignal"]) == ("65532:65532", "SIGTERM")
    assert config["Volumes"].keys() == {"/models"}
    # Small: 185 MB when this was written, and nothing that is only for building.
    assert store.inspect(image)["Size"] < 230e6
    shell = store.ran("podman", "run", "--rm", "--no-healthcheck", "--network", "none",
                      "--entrypoint", "sh", image, "-c",
                      "command -v gcc c++ cmake python3 curl; ls /var/lib/apt/lists; echo end")
    assert shell.stdout == "end\n"


def test_it_serves_by_its_defaults(store, image, check):
    """As `docker run IMAGE` does, and the health check asks it."""
    store.run("podman", "run", "--detach", "--name", "defaults", "--pull", "never",
              "--no-healthcheck", "--network", "none", "--read-only", "--cap-drop", "ALL",
              "--env", "SPARSED_DRAIN_DELAY_SECONDS=0", image)
    end = time.monotonic() + 60
    while store.ran("podman", "exec", "defaults", *check).returncode != 0:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert "SERVING" in store.run("podman", "exec", "defaults", *check)
    assert store.run("podman", "exec", "defaults", "sparsedctl", "chat", "--gen-length", "8",
                     "--message", "What is 3 + 6671?") == "6674"
    store.run("podman", "stop", "--time", "30", "defaults")
    assert store.inspect("defaults")["State"]["ExitCode"] == 0


def test_it_is_confined_and_drains(store, image):
    with Container(store, image, "--drain-delay-seconds", "0.5") as server:
        assert_confined(store, server.name)
        client = server.client
        assert client.generate(sum_request(), timeout=60).text == "6674"
        assert server.metric('sparsed_requests_total{outcome="ok",surface="grpc"}') == 1
        seen = collect(client.watch(h.HealthCheckRequest()))
        longer = sum_request()
        longer.sampling.MergeFrom(g.SamplingOptions(gen_length=96, steps=96, stop_at_end=False))
        running = client.generate.future(longer, timeout=60)
        while server.metric("sparsed_requests_running") == 0:
            assert not running.done()
        assert server.stop() == 0
        assert running.result().usage.full_steps == 96
        assert [seen.get(timeout=10) for _ in range(3)] == [SERVING, NOT_SERVING, None]
    assert store.inspect(server.name)["State"]["ExitCode"] == 0


@pytest.mark.skipif(not CUDA.exists(), reason="this build has no CUDA backend")
def test_the_image_of_a_gpu_serves_without_one(store, image):
    # Half a gigabyte that is the toolkit's own: mounted, not copied.
    needs = subprocess.run(["ldd", CUDA], check=True, capture_output=True, text=True).stdout
    library = re.search(r"libcublasLt\.so\.13 => (\S+)", needs)[1]
    mount = ["--volume", f"{library}:/usr/lib/sparsed/libcublasLt.so.13:ro"]
    made = store.build("cuda", "build-cuda", *mount, cuda=True)
    with Container(store, made, options=mount) as server:
        assert_confined(store, server.name)
        devices = [line for line in server.lines if line["event"] == "device"]
        assert [line["device"] for line in devices] == ["cpu"]
        assert devices[0]["no_gpu_because"].startswith("CUDA: no CUDA device: ")
        assert server.client.generate(sum_request(), timeout=60).text == "6674"
        assert server.stop() == 0


def test_the_kubernetes_deployment_runs(store, image):
    base = ROOT / "deploy" / "kustomize" / "base"
    text = "---\n".join((base / name).read_text() for name in ("deployment.yaml", "configmap.yaml"))
    store.run("podman", "tag", image, "localhost/" + re.search(r" image: (\S+)", text)[1])
    # On the machine's network, where podman takes no ports and two of them must be free.
    text, ports = re.subn(r" +ports:\n(?: +- .*\n)+", "", text)
    assert ports == 1
    addresses = kept_addresses()
    grpc_port, admin_port = (address.rsplit(":", 1)[1] for address in addresses[1::2])
    text = text.replace(":8001", ":" + grpc_port).replace(":8002", ":" + admin_port)
    text = text.replace("port: admin", "port: " + admin_port)
    manifest = store.folder / "deployment.yaml"
    manifest.write_text(text)
    store.run("podman", "kube", "play", "--network", "host", manifest)
    name, = [name for name in store.run("podman", "ps", "--format", "{{.Names}}").split()
             if name.endswith("-sparsed")]
    client = Client(int(grpc_port))
    for response in client.watch(h.HealthCheckRequest(), wait_for_ready=True, timeout=60):
        if response.status == SERVING:
            break
    assert client.generate(sum_request(), timeout=60).text == "6674"
    assert_confined(store, name)
    grace = int(re.search(r"terminationGracePeriodSeconds: (\d+)", text)[1])
    store.run("podman", "stop", "--time", grace, name)
    assert store.inspect(name)["State"]["ExitCode"] == 0
    assert '"event":"drained"' in store.ran("podman", "logs", name).stderr
    client.close()
    store.run("podman", "kube", "down", manifest)
