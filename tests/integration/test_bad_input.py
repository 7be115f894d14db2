"""Every kind of bad request: its code, its details, and that the next request works."""

import pytest

from sparsed_server import ShallowServer, failure_of, g, short_request

NAN = float("nan")


@pytest.fixture(scope="module")
def server():
    with ShallowServer() as running:
        yield running


def violations(error):
    return {v.field: v.description for v in error.rich["BadRequest"].field_violations}


def with_sampling(**options):
    request = short_request()
    for name, value in options.items():
        if name == "stop":
            request.sampling.stop.extend(value)
        else:
            setattr(request.sampling, name, value)
    return request


def with_sparse(**options):
    return short_request(sparse=g.SparseOptions(**options))


def infill(*parts, **fields):
    made = [g.InfillPart(text=p) if isinstance(p, str) else g.InfillPart(hole_tokens=p)
            for p in parts]
    return g.GenerateRequest(infill=g.Infill(parts=made), **fields)


def chat(*turns):
    return g.GenerateRequest(chat=g.Chat(messages=[
        g.ChatMessage(role=role, content=content) for role, content in turns]))


def with_targets(*ids, **sampling):
    request = with_sampling(**sampling)
    request.target_ids.extend(ids)
    return request


CASES = [
    ("no input", g.GenerateRequest(), "input", "missing"),
    ("empty prompt", g.GenerateRequest(prompt=""), "prompt", "empty"),
    ("mask in the prompt", g.GenerateRequest(prompt="a <|mdm_mask|> b"), "prompt", "mask token"),
    ("no ids", g.GenerateRequest(token_ids=g.TokenIds()), "token_ids.ids", "empty"),
    ("mask id", g.GenerateRequest(token_ids=g.TokenIds(ids=[9, 5])), "token_ids.ids[1]", "mask"),
    ("id too large", g.GenerateRequest(token_ids=g.TokenIds(ids=[4096])), "token_ids.ids[0]",
     "4096"),
    ("no messages", chat(), "chat.messages", "empty"),
    ("unknown role", chat(("user", "a"), ("tool", "b")), "chat.messages[1].role", "tool"),
    ("no holes", infill("text"), "infill.parts", "hole"),
    ("empty hole", infill("text", 0), "infill.parts[1].hole_tokens", "0"),
    ("nothing but holes", infill(4), "infill.parts", "fixed text"),
    ("mask in a template", infill("a <|mdm_mask|>", 4), "infill.parts[0].text", "mask token"),
    ("template and gen_length", infill("a", 4, sampling=g.SamplingOptions(gen_length=4)),
     "sampling.gen_length", "infill"),
    ("template and stop", infill("a", 4, sampling=g.SamplingOptions(stop=["x"])),
     "sampling.stop", "infill"),
    ("gen_length 0", with_sampling(gen_length=0), "sampling.gen_length", "0"),
    ("steps 0", with_sampling(steps=0), "sampling.steps", "0"),
    ("steps over the canvas", with_sampling(steps=33), "sampling.steps", "32"),
    ("steps not divisible", with_sampling(gen_length=64, steps=3), "sampling.steps", "2"),
    ("block_length 0", with_sampling(block_length=0), "sampling.block_length", "0"),
    ("block_length does not divide", with_sampling(block_length=7), "sampling.block_length", "7"),
    ("temperature NaN", with_sampling(temperature=NAN), "sampling.temperature", "nan"),
    ("temperature infinite", with_sampling(temperature=float("inf")), "sampling.temperature",
     "inf"),
    ("temperature negative", with_sampling(temperature=-1), "sampling.temperature", "-1"),
    ("cfg_scale NaN", with_sampling(cfg_scale=NAN), "sampling.cfg_scale", "nan"),
    ("cfg_scale too large", with_sampling(cfg_scale=101), "sampling.cfg_scale", "100"),
    ("unknown remasking", with_sampling(remasking=77), "sampling.remasking", "77"),
    ("blocks for Dream's remasking",
     with_sampling(remasking=g.REMASKING_ENTROPY, block_length=16), "sampling.block_length", "32"),
    ("logits_eos_inf", with_sampling(remasking=g.REMASKING_ENTROPY, logits_eos_inf=True),
     "sampling.logits_eos_inf", "LLaDA"),
    ("top_p", with_sampling(top_p=0.5), "sampling.top_p", "Dream"),
    ("top_k", with_sampling(top_k=5), "sampling.top_k", "Dream"),
    ("algorithm_temperature", with_sampling(algorithm_temperature=0.5),
     "sampling.algorithm_temperature", "Dream"),
    ("threshold 0", with_sampling(confidence_threshold=0), "sampling.confidence_threshold", "0"),
    ("threshold of another rule",
     with_sampling(remasking=g.REMASKING_RANDOM, confidence_threshold=0.9),
     "sampling.confidence_threshold", "low_confidence"),
    ("too few targets", with_targets(*[9] * 31), "target_ids", "31"),
    ("mask as a target", with_targets(5, *[9] * 31), "target_ids[0]", "mask"),
    ("target too large", with_targets(*[9] * 31, 4096), "target_ids[31]", "4096"),
    ("targets and a temperature", with_targets(*[9] * 32, temperature=1), "sampling.temperature",
     "target_ids"),
    ("too many stops", with_sampling(stop=["x"] * 17), "sampling.stop", "16"),
    ("empty stop", with_sampling(stop=[""]), "sampling.stop[0]", "0"),
    ("long stop", with_sampling(stop=["x" * 257]), "sampling.stop[0]", "256"),
    ("unknown sparse mode", with_sparse(mode=9), "sparse.mode", "9"),
    ("skip NaN", with_sparse(skip=NAN), "sparse.skip", "nan"),
    ("skip above 1", with_sparse(skip=1.1), "sparse.skip", "1.1"),
    ("select 0", with_sparse(select=0), "sparse.select", "0"),
    ("select NaN", with_sparse(select=NAN), "sparse.select", "nan"),
    ("block size", with_sparse(block_size=33), "sparse.block_size", "33"),
    ("unknown scale", with_sparse(scale=5), "sparse.scale", "5"),
    ("refresh too early", with_sparse(refresh_steps=[1]), "sparse.refresh_steps[0]", "1"),
    ("refresh too late", with_sparse(refresh_steps=[9999]), "sparse.refresh_steps[0]", "9999"),
    ("refresh until of none", with_sparse(refresh_every=0, refresh_until=0.5), "sparse.refresh_until",
     "refresh_every"),
    ("refresh until", with_sparse(refresh_every=2, refresh_until=NAN), "sparse.refresh_until", "nan"),
    ("recall 0", with_sparse(recall_every=0), "sparse.recall_every", "0"),
    ("recall floor", with_sparse(recall_floor=1.5), "sparse.recall_floor", "1.5"),
    ("no floor", with_sparse(below_floor=g.FLOOR_ACTION_FULL), "sparse.below_floor", "recall_floor"),
    ("budgets", with_sparse(budgets=3), "sparse.budgets", "3"),
    ("switch overlap", with_sparse(switch_overlap=0), "sparse.switch_overlap", "0"),
    ("long request id", short_request(request_id="x" * 129), "request_id", "129"),
    ("request id with a space", short_request(request_id="a b"), "request_id", "ASCII"),
]


@pytest.mark.parametrize("request_message,field,names", [c[1:] for c in CASES],
                         ids=[c[0] for c in CASES])
def test_bad_field(client, request_message, field, names):
    error = failure_of(lambda: client.generate(request_message))
    assert error.code().name == "INVALID_ARGUMENT"
    found = violations(error)
    assert list(found) == [field]
    assert names in found[field]
    assert field in error.details()
    assert error.rich["RequestInfo"].request_id
    assert client.generate(with_sampling(steps=1)).text is not None


def test_all_violations_at_once(client):
    request = g.GenerateRequest(
        prompt="", request_id="a b", sampling=g.SamplingOptions(steps=0, top_k=1, temperature=NAN),
        sparse=g.SparseOptions(block_size=3))
    assert set(violations(failure_of(lambda: client.generate(request)))) == {
        "prompt", "request_id", "sampling.steps", "sampling.top_k", "sampling.temperature",
        "sparse.block_size"}


def test_many_violations_fit_into_the_trailers(client):
    request = g.GenerateRequest(token_ids=g.TokenIds(ids=[5000] * 100000))
    error = failure_of(lambda: client.generate(request))
    assert error.code().name == "INVALID_ARGUMENT"
    listed = error.rich["BadRequest"].field_violations
    assert len(listed) == 16
    assert "more" in listed[-1].description
    assert len(error.status.SerializeToString()) < 6000


def test_one_token_over_the_context(client):
    ids = [100] * (8192 - 32)
    sampling = g.SamplingOptions(gen_length=32, steps=1)
    over = g.GenerateRequest(token_ids=g.TokenIds(ids=ids + [100]), sampling=sampling)
    error = failure_of(lambda: client.generate(over))
    assert error.code().name == "INVALID_ARGUMENT"
    assert "8193" in violations(error)["token_ids"]
    info = error.rich["ErrorInfo"]
    assert info.reason == "CONTEXT_LENGTH_EXCEEDED" and info.domain == "sparsed"
    assert info.metadata["tokens"] == "8193" and info.metadata["max_tokens"] == "8192"
    fits = g.GenerateRequest(token_ids=g.TokenIds(ids=ids), sampling=sampling)
    assert len(client.generate(fits).token_ids) == 32


def test_canvas_over_the_context(client):
    error = failure_of(lambda: client.generate(with_sampling(gen_length=4294967295, steps=1)))
    assert "sampling.gen_length" in violations(error)
    assert error.rich["ErrorInfo"].reason == "CONTEXT_LENGTH_EXCEEDED"


def test_unknown_model(client):
    error = failure_of(lambda: client.generate(short_request(model="gpt")))
    assert error.code().name == "NOT_FOUND"
    assert error.rich["ResourceInfo"].resource_type == "model"
    assert error.rich["ResourceInfo"].resource_name == "gpt"
    assert client.generate(short_request(model="nano")).model == "nano"


@pytest.mark.parametrize("method", ["Generate", "StreamGenerate"])
def test_invalid_utf8(client, method):
    # Field 2, the prompt, of a GenerateRequest; in a stream that is field 1.
    payload = b"\x12\x03ab\xff"
    if method == "StreamGenerate":
        payload = b"\x0a\x05" + payload
        call = client.channel.unary_stream(f"/sparsed.v1.GenerationService/{method}",
                                           lambda b: b, lambda b: b)
        error = failure_of(lambda: list(call(payload)))
    else:
        error = failure_of(lambda: client.raw(method, payload))
    assert error.code().name == "INVALID_ARGUMENT"
    assert "UTF-8" in violations(error)["prompt"]
    client.generate(short_request())


# The last one is a text that is cut off, and not UTF-8: nothing but the log may speak of it.
@pytest.mark.parametrize("payload", [b"\xff" * 20, b"\x12\x03ab", b"\x12\x03\xff"])
def test_bytes_that_are_no_message(server, client, payload):
    error = failure_of(lambda: client.raw("Generate", payload))
    assert error.code().name == "INVALID_ARGUMENT"
    assert "GenerateRequest" in violations(error)["request"]
    server.wait_for("access", request_id=error.rich["RequestInfo"].request_id)
    assert not any(line["event"] == "not json" for line in server.lines)


def test_message_over_the_size_limit(client):
    error = failure_of(lambda: client.raw("Generate", b"\x12" + b"x" * (4 << 20)))
    assert error.code().name == "RESOURCE_EXHAUSTED" and not error.rich
    client.generate(short_request())


def test_bad_tokenize_and_detokenize(client):
    error = failure_of(lambda: client.tokenize(g.TokenizeRequest()))
    assert error.code().name == "INVALID_ARGUMENT" and "input" in violations(error)
    error = failure_of(lambda: client.tokenize(g.TokenizeRequest(text="a", model="gpt")))
    assert error.code().name == "NOT_FOUND"
    error = failure_of(lambda: client.detokenize(g.DetokenizeRequest(token_ids=[1, 4096])))
    assert "token_ids[1]" in violations(error)


def test_prompts_are_not_in_errors_or_logs(server, client):
    secret = "xyzzy-secret-prompt"
    failure_of(lambda: client.generate(g.GenerateRequest(
        prompt=secret, sampling=g.SamplingOptions(steps=0))))
    client.generate(g.GenerateRequest(prompt=secret, request_id="logged",
                                      sampling=g.SamplingOptions(gen_length=32, steps=1)))
    line = server.wait_for("access", request_id="logged")
    assert line["code"] == "OK" and line["steps"] == 1 and line["method"] == "Generate"
    assert secret not in str(server.lines)
