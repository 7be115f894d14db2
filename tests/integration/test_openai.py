"""OpenAI's interface, by OpenAI's own Python package."""

import hashlib
import pathlib
import time

import pytest

from openai_sdk import ask, http_server, long_ask, openai, sdk
from sparsed_server import g


TOKEN = "secret"
GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "openai.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With tokens, and with room for one request that runs and one that waits."""
    tokens = tmp_path_factory.mktemp("openai") / "tokens"
    lines = ["me:" + hashlib.sha256(TOKEN.encode()).hexdigest(),
             "other:" + hashlib.sha256(b"limited").hexdigest() + ":elsewhere"]
    tokens.write_text("\n".join(lines) + "\n")
    with http_server("--auth-token-file", str(tokens), "--max-running", "1",
                     "--queue-requests", "1") as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with sdk(server, TOKEN) as made:
        yield made


def refusal(error_type, call):
    with pytest.raises(error_type) as caught:
        call()
    assert set(caught.value.body) == {"message", "type", "param", "code"}
    return caught.value


def test_the_guide_prints_what_it_says(server, capsys):
    text = GUIDE.read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    printed = text.partition("It prints:\n\n```\n")[2].partition("```")[0]
    assert "127.0.0.1:8000" in code and 'api_key="none"' in code
    exec(code.replace("127.0.0.1:8000", f"127.0.0.1:{server.http_port}").replace(
        'api_key="none"', f'api_key="{TOKEN}"'), {})
    assert capsys.readouterr().out == printed != ""


def test_models(client):
    assert [model.id for model in client.models.list()] == ["nano"]
    assert client.models.retrieve("nano").owned_by == "sparsed"
    error = refusal(openai.NotFoundError, lambda: client.models.retrieve("other/model"))
    assert error.code == "model_not_found" and error.param == "model"


def test_chat_answers_as_grpc_does(server, client):
    answer = client.chat.completions.create(**ask())
    same = server.client.generate(g.GenerateRequest(
        chat=g.Chat(messages=[g.ChatMessage(role="user", content="What is 3 + 6671?")]),
        sampling=g.SamplingOptions(gen_length=32, steps=4, seed=1)),
        metadata=[("authorization", f"Bearer {TOKEN}")])
    assert answer.choices[0].message.content == same.text != ""
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == same.usage.prompt_tokens
    assert answer.usage.completion_tokens == same.usage.generated_tokens
    assert answer.object == "chat.completion" and answer.system_fingerprint
    assert answer.model_extra["diffusion"]["seed"] == 1


def test_a_stream_joins_to_the_answer(client):
    whole = client.chat.completions.create(**ask())
    chunks = list(client.chat.completions.create(
        **ask(stream=True, stream_options={"include_usage": True})))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_completions_stop_and_infill(client):
    plain = client.completions.create(model="nano", prompt="The river", max_tokens=32, seed=1,
                                    extra_body={"diffusion": {"steps": 8}})
    text = plain.choices[0].text
    assert plain.object == "text_completion" and plain.choices[0].finish_reason
    word = text.split()[1]
    cut = client.completions.create(model="nano", prompt="The river", max_tokens=32, seed=1,
                                    stop=word, extra_body={"diffusion": {"steps": 8}})
    assert cut.choices[0].text == text[:text.index(word)]
    infill = dict(model="nano", prompt="The old ", suffix=" is by the river.", max_tokens=8, seed=1)
    filled = client.completions.create(**infill).choices[0].text
    assert filled and "river." not in filled
    pieces = client.completions.create(**infill, stream=True)
    assert "".join(choice.text for chunk in pieces for choice in chunk.choices) == filled


def test_diffusion_options_and_frames(server, client):
    options = {"steps": 8, "algorithm": "low_confidence", "stop_at_end": False,
               "sparse": {"mode": "sparsed", "skip": 0.25, "block_size": 32}}
    answer = client.chat.completions.create(**ask(extra_body={"diffusion": options}))
    report = answer.model_extra["diffusion"]
    assert report["full_steps"] + report["select_steps"] + report["sparse_steps"] == 8
    assert report["sparse_steps"] > 0
    chunks = list(client.chat.completions.create(
        **ask(stream=True, extra_body={"diffusion": {**options, "stream_frames": True}})))
    frames = [chunk.model_extra["frame"] for chunk in chunks if "frame" in chunk.model_extra]
    assert frames and len(frames[0]["token_ids"]) == 32
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == answer.choices[0].message.content


def test_refusals_name_the_field(client):
    for options, param in [({"n": 2}, "n"), ({"logit_bias": {"5": 1}}, "logit_bias"),
                           ({"presence_penalty": 1}, "presence_penalty"),
                           ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
                           ({"response_format": {"type": "json_object"}}, "response_format"),
                           ({"extra_body": {"unheard_of": 1}}, "unheard_of"),
                           ({"extra_body": {"diffusion": {"steps": 5, "block_length": 8}}},
                            "diffusion.steps"),
                           ({"temperature": -1}, "temperature"),
                           ({"max_tokens": 100000, "extra_body": {}}, "max_tokens")]:
        error = refusal(openai.BadRequestError,
                        lambda: client.chat.completions.create(**ask(**options)))
        assert error.param == param and error.type == "invalid_request_error"
        assert param in error.message
    error = refusal(openai.NotFoundError,
                    lambda: client.chat.completions.create(**ask(model="gpt")))
    assert error.code == "model_not_found"


def test_ids_traces_log_and_metrics(server, client):
    trace = "0af7651916cd43dd8448eb211c80319c"
    raw = client.chat.completions.with_raw_response.create(**ask(), extra_headers={
        "x-request-id": "mine-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert raw.headers["x-request-id"] == "mine-1"
    line = server.wait_for("access", request_id="mine-1")
    assert line["surface"] == "openai" and line["method"] == "ChatCompletions"
    assert line["status"] == 200 and line["trace_id"] == trace and line["generated_tokens"] == 32
    assert line["peer"].startswith("ipv4:127.0.0.1:")
    assert server.metric('sparsed_requests_total{outcome="ok",surface="openai"}') >= 1


def test_tokens(server):
    with sdk(server, "no") as stranger, sdk(server, "limited") as guest:
        error = refusal(openai.AuthenticationError, lambda: stranger.models.list())
        assert error.code == "invalid_api_key"
        assert error.response.headers["www-authenticate"] == "Bearer"
        refusal(openai.AuthenticationError, lambda: stranger.chat.completions.create(**ask()))
        assert list(guest.models.list()) == []
        error = refusal(openai.PermissionDeniedError,
                        lambda: guest.chat.completions.create(**ask()))
        assert error.type == "permission_error"


def test_a_full_queue_and_cancelling(server, client):
    streams = [client.chat.completions.create(**long_ask(stream=True))]
    while server.metric("sparsed_requests_running") == 0:
        time.sleep(0.01)
    streams.append(client.chat.completions.create(**long_ask(stream=True)))
    assert next(iter(streams[0])).choices[0].delta.role == "assistant"
    error = refusal(openai.RateLimitError, lambda: client.chat.completions.create(**ask()))
    assert error.code == "queue_full" and int(error.response.headers["retry-after"]) >= 1

    # Who closes a stream, or leaves while waiting, gives the place back within a step.
    for stream in streams:
        stream.close()
    server.wait_until_idle(5)
    line = server.wait_for("access", code="CANCELLED", surface="openai")
    assert line["status"] == 499
    cancelled = 'sparsed_requests_total{outcome="cancelled",surface="openai"}'
    assert server.metric(cancelled) == 2
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(**long_ask())
    server.wait_until_idle(5)
    assert server.metric(cancelled) == 3
    assert client.chat.completions.create(**ask()).choices[0].message.content
