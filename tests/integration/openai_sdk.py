"""OpenAI's own package, from the virtual environment that has it, and the server it speaks to."""

import os
import subprocess
import sys

import pytest

from sparsed_server import Server

VENV_PYTHON = os.environ.get("SPARSED_VENV_PYTHON", "")
if os.path.exists(VENV_PYTHON):
    # Behind the distribution's packages, which the other tests use too.
    sys.path.append(subprocess.run(
        [VENV_PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True).stdout.strip())
openai = pytest.importorskip("openai", reason="no openai: tests/run.sh installs it")


def http_server(*flags, **options):
    return Server("--http-address", "127.0.0.1:0", *flags, **options)


def sdk(server, token="none"):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.http_port}/v1", api_key=token,
                         max_retries=0, timeout=60)


def ask(content="What is 3 + 6671?", **options):
    """The arguments of a short chat, of 4 steps."""
    return {"model": "nano", "messages": [{"role": "user", "content": content}],
            "max_tokens": 32, "seed": 1, "extra_body": {"diffusion": {"steps": 4}}, **options}


def flat(arguments):
    """What the package makes of them: the request's JSON."""
    rest = {name: value for name, value in arguments.items() if name != "extra_body"}
    return {**arguments.get("extra_body", {}), **rest}


def long_ask(**options):
    """One that takes seconds: one token a step, over long context."""
    content = "The river flows through the old town and the people stand at its banks. " * 40
    return ask(content, max_tokens=512, **{
        "extra_body": {"diffusion": {"steps": 512, "stop_at_end": False}}, **options})
