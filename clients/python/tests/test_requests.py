"""Arguments and messages, without a server; and that both know the whole contract."""

import dataclasses
import os
import pathlib
import shutil
import subprocess

import pytest

import sparsed_client
from sparsed_client import _types
from sparsed_client._convert import convert, event_of
from sparsed_client._proto import generation_pb2 as pb
from sparsed_client._proto import model_pb2
from sparsed_client._requests import OPTION_TABLE, generate_request, parse_template

FOLDER = pathlib.Path(__file__).resolve().parents[1]


def request(**options):
    return generate_request("x", None, None, None, options)


def test_options_go_where_the_contract_has_them():
    built = request(steps=4, temperature=0.5, stop="END", remasking="maskgit_plus", sparse="off",
                    scale="n_heads", select=0.25, priority=-2, token_confidences=True,
                    model="nano", seed=None)
    assert built == pb.GenerateRequest(
        prompt="x", model="nano", priority=-2, token_confidences=True,
        sampling=pb.SamplingOptions(steps=4, temperature=0.5, stop=["END"],
                                    remasking=pb.REMASKING_MASKGIT_PLUS),
        sparse=pb.SparseOptions(mode=pb.SPARSE_MODE_OFF, select=0.25,
                                scale=pb.SELECTION_SCALE_N_HEADS))
    assert request(stop=("a", "b")).sampling.stop == ["a", "b"]
    assert request(target_ids=(7, 9), confidence_threshold=0.5) == pb.GenerateRequest(
        prompt="x", target_ids=[7, 9], sampling=pb.SamplingOptions(confidence_threshold=0.5))
    assert request(temperature=0).sampling.HasField("temperature")


def test_every_option_has_a_type():
    assert set(sparsed_client.Options.__annotations__) == set(OPTION_TABLE)


@pytest.mark.parametrize("options, kind, part", [
    ({"gen_len": 4}, TypeError, "unknown option 'gen_len'"),
    ({"prompt": "y"}, TypeError, "unknown option 'prompt'"),
    ({"steps": "4"}, TypeError, "steps: "),
    ({"steps": -1}, ValueError, "steps: "),
    ({"stop": [1]}, TypeError, "stop: "),
    ({"remasking": "unspecified"}, ValueError, "none of low_confidence, random, origin"),
    ({"sparse": "on"}, ValueError, "sparse: 'on' is none of off, sparsed, auto"),
])
def test_bad_options(options, kind, part):
    with pytest.raises(kind) as caught:
        request(**options)
    assert part in str(caught.value)


@pytest.mark.parametrize("inputs", [(None,) * 4, ("x", None, [1], None), ("", "y", None, None)])
def test_one_input(inputs):
    with pytest.raises(TypeError):
        generate_request(*inputs, {})


def test_inputs():
    assert generate_request("", None, None, None, {}).WhichOneof("input") == "prompt"
    assert generate_request(None, [], None, None, {}).WhichOneof("input") == "chat"
    assert generate_request(None, None, [], None, {}).WhichOneof("input") == "token_ids"
    assert generate_request(None, None, range(3), None, {}).token_ids.ids == [0, 1, 2]
    chat = generate_request(None, "hello", None, None, {}).chat
    assert chat == pb.Chat(messages=[pb.ChatMessage(role="user", content="hello")])
    with pytest.raises(TypeError, match="content"):
        generate_request(None, [{"role": "user"}], None, None, {})


@pytest.mark.parametrize("text, pieces", [
    ("a {{4}} b{{ 2 }}", ["a ", 4, " b", 2]),
    ("{{1}}{{2}}", [1, 2]),
    (r"a\b \{{3}} {{1}}", ["a\\b {{3}} ", 1]),
    (r"\\{{1}}", ["\\", 1]),
    (r"\\\{{1}} {{5}}", ["\\{{1}} ", 5]),
    ("} { {{1}} }}", ["} { ", 1, " }}"]),
])
def test_templates(text, pieces):
    assert parse_template(text) == pieces


@pytest.mark.parametrize("text, part", [
    ("no hole", "no hole"), ("", "no hole"), ("ab {{x}}", "column 4"), ("{{0}}", "column 1"),
    ("{{4", "column 1"), ("{{{4}}", "column 1"), ("{{-1}}", "column 1"),
])
def test_bad_templates(text, part):
    with pytest.raises(ValueError) as caught:
        parse_template(text)
    assert part in str(caught.value)


@pytest.mark.parametrize("kind, message", [
    (_types.Result, pb.GenerateResponse), (_types.Usage, pb.Usage),
    (_types.Timings, pb.Timings), (_types.SparseReport, pb.SparseReport),
    (_types.TokenDetail, pb.TokenDetail), (_types.Accepted, pb.Accepted),
    (_types.Progress, pb.Progress), (_types.Frame, pb.Frame), (_types.Block, pb.Block),
    (_types.Tokens, pb.TokenizeResponse), (_types.Model, model_pb2.Model),
    (_types.Token, model_pb2.Token), (_types.ServerInfo, model_pb2.GetServerInfoResponse),
])
def test_no_field_of_the_contract_is_lost(kind, message):
    names = [field.name for field in dataclasses.fields(kind)]
    assert sorted(names) == sorted(message.DESCRIPTOR.fields_by_name)
    assert convert(kind, message())


def test_values():
    report = convert(_types.SparseReport, pb.SparseReport(skip=0.2, select=1 / 3, recall=0.0))
    assert report.skip == 0.2 and report.select == 0.33333334 and report.recall == 0
    response = pb.GenerateResponse()
    response.timings.total.FromMilliseconds(1500)
    response.finish_reason = 7
    result = convert(_types.Result, response)
    assert result.timings.total == 1.5 and result.finish_reason == "7"
    assert event_of(pb.StreamGenerateResponse()) is None


def test_the_generated_code_is_what_the_script_makes(tmp_path):
    if shutil.which(os.environ.get("SPARSED_PROTOC", "protoc")) is None:
        pytest.fail("no protoc: run 'bash deploy/install-packages.sh'")
    subprocess.run(["bash", str(FOLDER / "generate.sh"), str(tmp_path)], check=True)
    checked_in = {path.name: path.read_text() for path in
                  (FOLDER / "sparsed_client" / "_proto").glob("*_pb2.py*")}
    assert len(checked_in) == 12
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == checked_in
