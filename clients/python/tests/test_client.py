"""What each method of the client answers, in both flavours."""

import asyncio
import dataclasses
import inspect
import re
from importlib.metadata import version

import pytest
from requests_to_nano import SHORT

import sparsed_client
from sparsed_client import AsyncClient, Client, Result


class Both:
    """The methods of Client, answered by AsyncClient in a loop of its own each time."""

    def __init__(self, target):
        self._target = target

    def __getattr__(self, name):
        async def call(*args, **kwargs):
            async with AsyncClient(**self._target) as client:
                return await getattr(client, name)(*args, **kwargs)
        return lambda *args, **kwargs: asyncio.run(call(*args, **kwargs))


@pytest.fixture(params=["threads", "asyncio"])
def any_client(request, target, client):
    return client if request.param == "threads" else Both(target)


def test_a_prompt(any_client):
    result = any_client.generate("The river", request_id="mine", token_confidences=True, **SHORT)
    assert str(result) == result.text and result.request_id == "mine" and result.model == "nano"
    assert result.seed == 1 and len(result.token_ids) == len(result.tokens) == 32
    assert result.finish_reason in ("stop", "length")
    assert result.usage.full_steps == result.steps == 4 and result.usage.prompt_tokens > 0
    assert 0 < result.timings.full <= result.timings.total < 60
    assert not result.sparse.used and result.sparse.recall is None
    assert {token.commit_step for token in result.tokens} == {0, 1, 2, 3}
    assert all(0 <= token.confidence <= 1 for token in result.tokens)
    assert tuple(token.id for token in result.tokens) == result.token_ids
    assert not result.hole_texts
    ids = any_client.tokenize("The river").token_ids
    assert any_client.generate(token_ids=ids, **SHORT).text == result.text


def test_a_conversation(any_client):
    turns = [{"role": "user", "content": "What is 3 + 6671?"}]
    result = any_client.chat(turns, gen_length=8, steps=4)
    assert result.text == "6674" and result.finish_reason == "stop"
    ids = any_client.tokenize(messages=turns).token_ids
    assert len(ids) == result.usage.prompt_tokens
    assert any_client.tokenize(messages="What is 3 + 6671?").token_ids == ids


def test_infill(any_client):
    result = any_client.infill("The capital of {{4}} is {{2}}.", steps=2, seed=1)
    assert len(result.hole_texts) == 2 and len(result.token_ids) == 6
    first, second = result.hole_texts
    assert result.text == f"The capital of {first} is {second}."
    pieces = ["The capital of ", 4, " is ", 2, "."]
    assert any_client.infill(pieces, steps=2, seed=1).text == result.text


def test_sparse_attention(any_client):
    result = any_client.generate(
        "The river " * 40, gen_length=32, steps=4, sparse="sparsed", select=0.3, block_size=32,
        scale="n_heads", skip=0.2)
    assert result.sparse.used and result.sparse.block_size == 32
    assert result.sparse.select == 0.3 and result.sparse.skip == 0.2
    assert 0 < result.sparse.density < 1 and result.usage.sparse_steps > 0
    assert "density" in repr(result)


def test_tokens(any_client):
    tokens = any_client.tokenize("The river flows")
    assert "".join(tokens.pieces) == "The river flows"
    assert any_client.detokenize(tokens.token_ids) == "The river flows"
    end = any_client.model().end_tokens[0]
    assert any_client.detokenize([end.id]) == ""
    assert any_client.detokenize([end.id], keep_special=True) == end.text


def test_the_server_and_its_model(any_client):
    model = any_client.model("nano")
    assert any_client.models() == [model] == [any_client.model()]
    assert model.family == "llada" and model.ready and model.chat_template
    assert model.default_remasking == "low_confidence" and model.max_tokens == 8192
    info = any_client.server_info()
    assert info.version == version("sparsed-client")
    assert info.uptime > 0 and info.limits["queue_requests"] > 0
    assert any_client.is_serving() is any_client.is_serving("sparsed.v1.GenerationService") is True


def test_what_a_notebook_shows(client):
    result = client.chat("What is 3 + 6671?", gen_length=8, steps=4)
    shown = dataclasses.replace(result, text="<b>6674</b>")._repr_html_()
    assert "&lt;b&gt;6674&lt;/b&gt;" in shown and f"{result.steps} steps" in shown
    assert repr(result).startswith("<Result '6674': ")
    tokens = client.tokenize("<a>")
    assert "&lt;a&gt;" in "".join(re.sub("<[^>]*>", "", tokens._repr_html_()).split())
    assert f"{len(tokens.token_ids)} tokens" in tokens._repr_html_()
    assert "<td>kv_heads</td><td>6</td>" in client.model()._repr_html_()
    assert "queue_requests" in client.server_info()._repr_html_()
    assert isinstance(result, Result)


def test_both_clients_have_the_same_methods():
    def methods(kind):
        return {name: str(inspect.signature(method).parameters)
                for name, method in inspect.getmembers(kind, inspect.isfunction)
                if not name.startswith("_")}
    assert methods(Client) == methods(AsyncClient)


def test_everything_public_is_there():
    assert all(hasattr(sparsed_client, name) for name in sparsed_client.__all__)
