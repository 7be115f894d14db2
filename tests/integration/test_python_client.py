"""clients/python: its wheel, built and installed without a network, passes the package's tests."""

import asyncio
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "clients" / "python"
VENV = os.environ["SPARSED_VENV_PYTHON"]


def run(*command, **environment):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A virtual environment with nothing but the wheel in it. What the wheel asks for comes from
    where tests/requirements.txt was installed, pytest from the distribution."""
    folder = tmp_path_factory.mktemp("client")
    # Building writes into the source's folder.
    shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    site = run(VENV, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    own = pathlib.Path(sysconfig.get_path("purelib", "venv", {"base": folder / "venv"}))
    (own / "requirements.pth").write_text(site + "\n")
    run(python, "-m", "pip", "--disable-pip-version-check", "install", "--no-index",
        "--no-build-isolation", "--no-compile", f"{folder / 'source'}[live,plot]")
    return python, own


def test_it_passes_in_a_clean_virtual_environment(clean):
    python, own = clean
    where = run(python, "-c", "import sparsed_client; print(sparsed_client.__file__)").strip()
    assert pathlib.Path(where).parent == own / "sparsed_client"
    print(run(python, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", PACKAGE / "tests"))


def test_it_calls_with_the_distributions_grpc_and_protobuf(
        clean, server, monkeypatch, capsys):
    # Debian 12 has the oldest that pyproject.toml takes.
    monkeypatch.syspath_prepend(clean[1])
    import sparsed_client
    address, options = f"127.0.0.1:{server.port}", {"gen_length": 8, "steps": 4, "seed": 1}

    async def asynchronously():
        async with sparsed_client.AsyncClient(address) as client:
            with pytest.raises(sparsed_client.InvalidRequest) as caught:
                await client.generate("The river", gen_length=8, steps=9)
            assert caught.value.violations[0].field == "sampling.steps"
            return [event async for event in client.stream("The river", **options)][-1].result

    with sparsed_client.Client(address) as client:
        result = client.generate("The river", **options)
        assert list(client.stream("The river", **options))[-1].result.text == result.text
        with pytest.raises(sparsed_client.Unimplemented):  # without --enable-inspection
            client.masks("The river", **options)
    from sparsed_client import _cli
    assert _cli.main(["--address", address, "masks", "The river"]) == 1
    assert "--enable-inspection" in capsys.readouterr().err
    assert asyncio.run(asynchronously()).text == result.text
