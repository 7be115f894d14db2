"""Generate, Tokenize and Detokenize: every form of input, and the same tokens every time."""

import math
from concurrent.futures import ThreadPoolExecutor

from sparsed_server import ShallowServer, g, short_request
from test_kserve import Infer, infer_request

MASK = 5


def test_prompt(client):
    answer = client.generate(g.GenerateRequest(
        prompt="The capital of France is", request_id="my-id", token_confidences=True,
        sampling=g.SamplingOptions(gen_length=64, steps=16, stop_at_end=False)))
    assert answer.request_id == "my-id"
    assert answer.model == "nano"
    assert answer.text
    assert len(answer.token_ids) == 64 and MASK not in answer.token_ids
    assert answer.finish_reason == g.FINISH_REASON_LENGTH
    assert answer.usage.generated_tokens == 64
    assert answer.usage.full_steps == 16 and answer.usage.sparse_steps == 0
    assert answer.usage.prompt_tokens > 3
    assert not answer.sparse.used
    assert answer.timings.total.ToNanoseconds() >= answer.timings.full.ToNanoseconds() > 0
    assert [t.id for t in answer.tokens] == list(answer.token_ids)
    assert all(0 < t.confidence <= 1 and t.commit_step < 16 for t in answer.tokens)


def test_every_rule_of_remasking_fills_the_canvas_and_repeats(client):
    rules = [("REMASKING_LOW_CONFIDENCE", {"confidence_eos_eot_inf": True}),
             ("REMASKING_RANDOM", {}), ("REMASKING_ORIGIN", {"temperature": 0.4, "top_p": 0.9}),
             ("REMASKING_MASKGIT_PLUS", {"top_k": 40}),
             ("REMASKING_TOPK_MARGIN", {"algorithm_temperature": 0.5}),
             ("REMASKING_ENTROPY", {"temperature": 0.2, "top_p": 0.95})]
    requests = [g.GenerateRequest(prompt="The river", sampling=g.SamplingOptions(
        gen_length=32, steps=4, seed=7, stop_at_end=False, remasking=g.Remasking.Value(rule),
        **options)) for rule, options in rules]
    alone = [list(client.generate(request).token_ids) for request in requests]
    with ThreadPoolExecutor(len(requests)) as pool:
        together = [list(answer.token_ids) for answer in pool.map(client.generate, requests)]
    assert together == alone
    assert all(len(ids) == 32 and MASK not in ids for ids in alone)
    assert len({tuple(ids) for ids in alone}) > 3


def test_initial_metadata_echoes_the_id(client):
    _, call = client.generate.with_call(short_request(request_id="abc"))
    assert dict(call.initial_metadata())["x-request-id"] == "abc"
    _, call = client.generate.with_call(short_request())
    assert len(dict(call.initial_metadata())["x-request-id"]) == 36
    call = client.stream(g.StreamGenerateRequest(request=short_request(request_id="def")))
    assert dict(call.initial_metadata())["x-request-id"] == "def"
    assert list(call)
    call = Infer(client).stream(iter([infer_request()]), metadata=[("x-request-id", "ghi")])
    assert dict(call.initial_metadata())["x-request-id"] == "ghi"
    assert list(call)


def test_chat_is_the_template_and_special_tokens_in_it_are_text(client):
    chat = g.Chat(messages=[g.ChatMessage(role="user", content="Hi <|mdm_mask|>")])
    answer = client.generate(g.GenerateRequest(
        chat=chat, sampling=g.SamplingOptions(gen_length=32, steps=2)))
    ids = client.tokenize(g.TokenizeRequest(chat=chat)).token_ids
    assert answer.usage.prompt_tokens == len(ids)
    assert MASK not in ids
    # Begin of text, header of the user's turn.
    assert list(ids[:2]) == [0, 2] and ids[-1] != MASK


def test_token_ids_give_what_their_text_gives(client):
    text = "Water boils at"
    ids = client.tokenize(g.TokenizeRequest(text=text)).token_ids
    sampling = g.SamplingOptions(gen_length=32, steps=8)
    by_text = client.generate(g.GenerateRequest(prompt=text, sampling=sampling))
    by_ids = client.generate(g.GenerateRequest(token_ids=g.TokenIds(ids=ids), sampling=sampling))
    assert by_text.token_ids == by_ids.token_ids and by_text.text == by_ids.text


def test_infill_keeps_its_text_and_fills_its_holes(client):
    parts = [g.InfillPart(text="The capital of "), g.InfillPart(hole_tokens=4),
             g.InfillPart(text=" is Paris, that of "), g.InfillPart(hole_tokens=4),
             g.InfillPart(text=" is Rome.")]
    answer = client.generate(g.GenerateRequest(infill=g.Infill(parts=parts)))
    assert len(answer.token_ids) == 8
    assert len(answer.hole_texts) == 2
    first, second = answer.hole_texts
    assert answer.text == f"The capital of {first} is Paris, that of {second} is Rome."
    assert answer.usage.full_steps <= 8


def test_stop_string_cuts_the_text_and_ends_the_request(client):
    sampling = g.SamplingOptions(gen_length=96, steps=12, stop_at_end=False)
    whole = client.generate(g.GenerateRequest(prompt="Once upon a time", sampling=sampling))
    stop = whole.text[5:9]
    sampling.stop.append(stop)
    cut = client.generate(g.GenerateRequest(prompt="Once upon a time", sampling=sampling))
    assert cut.text == whole.text[:whole.text.find(stop)]
    assert cut.finish_reason == g.FINISH_REASON_STOP
    assert cut.usage.full_steps < 12
    assert len(cut.token_ids) == 96


def test_a_confidence_threshold_saves_steps(client):
    def run(**options):
        return client.generate(g.GenerateRequest(
            prompt="Once upon a time", token_confidences=True,
            sampling=g.SamplingOptions(gen_length=32, block_length=16, **options)))

    quick = run(stop_at_end=False, confidence_threshold=0.5)
    assert 2 <= quick.usage.full_steps < 32 and len(quick.token_ids) == 32
    assert quick.usage.generated_tokens == 32 and MASK not in quick.token_ids
    steps = [token.commit_step for token in quick.tokens]
    assert max(steps) == quick.usage.full_steps - 1 and max(steps[:16]) < min(steps[16:])
    for step in range(quick.usage.full_steps):
        confidences = [token.confidence for token in quick.tokens if token.commit_step == step]
        # The schedule has one a step.
        assert sorted(confidences)[0] >= 0.5 or len(confidences) == 1

    # With steps that can be seen while they come, and the same blocks.
    stream = list(client.stream(g.StreamGenerateRequest(progress=True, request=g.GenerateRequest(
        prompt="Once upon a time", sampling=g.SamplingOptions(
            gen_length=32, block_length=16, stop_at_end=False, confidence_threshold=0.5)))))
    assert stream[-1].final.token_ids == quick.token_ids
    assert "".join(event.block.text for event in stream) == quick.text
    assert all(event.progress.steps == 32 for event in stream if event.HasField("progress"))

    stop = quick.text[5:9]
    cut = run(stop_at_end=False, confidence_threshold=0.5, stop=[stop])
    assert cut.text == quick.text[:quick.text.find(stop)]
    # The first block is done, the other is not begun.
    assert cut.usage.full_steps == max(steps[:16]) + 1
    assert cut.token_ids[:16] == quick.token_ids[:16] and len(set(cut.token_ids[16:])) == 1


def test_tokens_that_are_given_are_committed_and_weighed(client):
    prompt = "The quick brown fox"
    sampling = g.SamplingOptions(gen_length=32, steps=16, stop_at_end=False)
    free = client.generate(g.GenerateRequest(
        prompt=prompt, sampling=sampling, token_confidences=True))
    sampling.ClearField("gen_length")
    forced = client.generate(g.GenerateRequest(
        prompt=prompt, sampling=sampling, target_ids=free.token_ids))
    assert forced.token_ids == free.token_ids and forced.text == free.text
    for ours, theirs in zip(forced.tokens, free.tokens):
        assert (ours.id, ours.confidence, ours.commit_step) == (
            theirs.id, theirs.confidence, theirs.commit_step)
        assert abs(ours.log_probability - math.log(theirs.confidence)) < 1e-5
        assert not theirs.HasField("log_probability")

    def likelihood(ids, **sparse):
        answer = client.generate(g.GenerateRequest(
            prompt=prompt, target_ids=ids, sparse=g.SparseOptions(**sparse),
            sampling=g.SamplingOptions(seed=3, remasking=g.REMASKING_RANDOM)))
        assert answer.token_ids == ids and answer.usage.generated_tokens == 32
        return sum(token.log_probability for token in answer.tokens), [
            token.commit_step for token in answer.tokens]

    greedy, order = likelihood(free.token_ids)
    assert sorted(order) == list(range(32))
    # What nobody would write is less likely, and in the same order.
    absurd, same_order = likelihood([300 + i for i in range(32)])
    assert absurd < greedy < 0 and same_order == order


def test_sparse_report(client):
    answer = client.generate(g.GenerateRequest(
        prompt="one two three four five six seven eight nine ten " * 12,
        sampling=g.SamplingOptions(gen_length=64, steps=16, stop_at_end=False),
        sparse=g.SparseOptions(mode=g.SPARSE_MODE_SPARSED, select=0.3, block_size=32)))
    assert answer.sparse.used
    assert answer.sparse.block_size == 32
    assert 0 < answer.sparse.density < 1
    assert answer.sparse.mask_cache_bytes > 0
    # int(16 * 0.2) + 1 = 4 steps before the pattern is built.
    usage = answer.usage
    assert (usage.full_steps, usage.select_steps, usage.sparse_steps) == (4, 1, 11)


def adaptive(client, **options):
    return client.generate(g.GenerateRequest(
        prompt="one two three four five six seven eight nine ten " * 12,
        sampling=g.SamplingOptions(gen_length=64, steps=16, stop_at_end=False, seed=1),
        sparse=g.SparseOptions(mode=g.SPARSE_MODE_SPARSED, select=0.3, block_size=32, **options)))


def test_sparse_attention_that_adapts_says_what_it_did(client):
    plain = adaptive(client)
    assert plain.sparse.first_sparse_step == 5
    assert not plain.sparse.HasField("recall") and plain.sparse.recall_estimates == 0

    watched = adaptive(client, recall_every=2)
    assert watched.token_ids == plain.token_ids
    assert watched.sparse.recall_estimates == 5
    assert 0 < watched.sparse.lowest_recall <= watched.sparse.recall < 1
    assert watched.sparse.estimates_below_floor == 0

    usage = adaptive(client, refresh_every=3, refresh_until=1).usage
    assert (usage.full_steps, usage.select_steps, usage.sparse_steps) == (4, 4, 8)

    guarded = adaptive(client, recall_every=2, recall_floor=1)
    usage = guarded.usage  # steps 7, 10 and 13 select after estimates at 6, 9, 12 and 15
    assert (usage.full_steps, usage.select_steps, usage.sparse_steps) == (4, 4, 8)
    assert guarded.sparse.estimates_below_floor == guarded.sparse.recall_estimates == 4
    usage = adaptive(client, recall_every=2, recall_floor=1, below_floor=g.FLOOR_ACTION_FULL).usage
    assert (usage.full_steps, usage.select_steps, usage.sparse_steps) == (13, 1, 2)

    by_mass = adaptive(client, budgets=g.HEAD_BUDGETS_BY_MASS)
    assert by_mass.sparse.density != plain.sparse.density
    assert abs(by_mass.sparse.density - plain.sparse.density) < 0.05 * plain.sparse.density
    assert adaptive(client, isolated=False).sparse.density != plain.sparse.density

    switched = adaptive(client, skip=0.5, switch_overlap=0.01)
    assert switched.sparse.first_sparse_step == 2
    assert (switched.usage.full_steps, switched.usage.select_steps) == (0, 2)
    # Nor do two steps in a row agree in all: sparse after step 9, by skip.
    assert adaptive(client, skip=0.5, switch_overlap=1).usage.sparse_steps == 6


def test_what_a_request_of_1024_tokens_gets_that_says_nothing_or_names_a_preset():
    with ShallowServer() as server:
        def answer(**sparse):
            return server.client.generate(g.GenerateRequest(
                prompt="one two three four five six seven eight nine ten " * 90,
                sampling=g.SamplingOptions(gen_length=64, steps=16, stop_at_end=False),
                sparse=g.SparseOptions(**sparse) if sparse else None))
        plain = answer()
        assert plain.usage.prompt_tokens + 64 >= 1024
        # Step 0 is full, steps 1 and 9 select.
        usage = plain.usage
        assert (usage.full_steps, usage.select_steps, usage.sparse_steps) == (1, 2, 13)
        fast = answer(preset=g.SPARSE_PRESET_FAST)
        assert abs(fast.sparse.select - 0.2) < 1e-6
        assert fast.sparse.density < plain.sparse.density
        assert fast.usage.select_steps == 2
        assert answer(preset=g.SPARSE_PRESET_EXACT).usage.full_steps == 16


def test_the_seed_is_returned_and_reproduces(client):
    sampling = g.SamplingOptions(gen_length=32, steps=4, temperature=1.0)
    first = client.generate(g.GenerateRequest(prompt="A story:", sampling=sampling))
    other = client.generate(g.GenerateRequest(prompt="A story:", sampling=sampling))
    assert first.seed != other.seed
    sampling.seed = first.seed
    again = client.generate(g.GenerateRequest(prompt="A story:", sampling=sampling))
    assert again.token_ids == first.token_ids


def test_same_tokens_and_scores_alone_and_in_a_batch():
    def request(seed, length):
        return g.GenerateRequest(
            prompt=f"Story {seed}. " * (1 + seed % 3), token_confidences=True,
            sampling=g.SamplingOptions(gen_length=length, steps=length // 4, seed=seed,
                                       temperature=0.8, cfg_scale=0.5 if seed % 2 else 0.0,
                                       stop_at_end=False))

    requests = [request(seed, 32 * (1 + seed % 2)) for seed in range(8)]
    with ShallowServer() as server:
        alone = [server.client.generate(one) for one in requests]
        for order in (range(8), reversed(range(8))):
            order = list(order)
            with ThreadPoolExecutor(8) as pool:
                together = list(pool.map(lambda i: server.client.generate(requests[i]), order))
            for i, answer in zip(order, together):
                assert answer.text == alone[i].text
                assert answer.tokens == alone[i].tokens


def test_tokenize_and_detokenize(client):
    text = "Grüße, 123 <|eot_id|>\n"
    answer = client.tokenize(g.TokenizeRequest(text=text))
    assert len(answer.pieces) == len(answer.token_ids)
    assert 4 in answer.token_ids
    back = client.detokenize(g.DetokenizeRequest(token_ids=answer.token_ids, keep_special=True))
    assert back.text == text
    back = client.detokenize(g.DetokenizeRequest(token_ids=answer.token_ids))
    assert back.text == text.replace("<|eot_id|>", "")
    assert client.tokenize(g.TokenizeRequest(text="")).token_ids == []
