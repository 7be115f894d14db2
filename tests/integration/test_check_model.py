"""`sparsed check-model` and `sparsed plan` on nano, whole and damaged, and what a server makes of the
same folder."""

import json
import pathlib
import re
import subprocess

import pytest

from shallow_model import shallow_model
from sparsed_server import BINARY, MODEL_DIR, Server, ShallowServer, g, m, short_request


@pytest.fixture
def folder(tmp_path):
    """nano by links, to be changed."""
    for path in pathlib.Path(MODEL_DIR).iterdir():
        if path.is_file():
            (tmp_path / path.name).symlink_to(path)
    return tmp_path


def change(folder, name, content):
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_text(content)


def check(folder):
    return subprocess.run([BINARY, "check-model", str(folder)], capture_output=True, text=True,
                          timeout=60)


def value(done, name):
    """Of a line of the report."""
    return re.search(f"^{re.escape(name)}  +(.*)$", done.stdout, re.MULTILINE)[1]


def test_nano(client):
    done = check(MODEL_DIR)
    assert (done.returncode, done.stderr) == (0, "")
    assert value(done, "architecture") == "LLaDAModelLM"
    assert value(done, "family") == "llada"
    assert value(done, "parameters") == "17308032"
    assert value(done, "context") == "8192 tokens"
    assert value(done, "tokenizer") == "BPE from tokenizer.json, 6 added tokens, 4096 ids"
    assert value(done, "mask token") == '5 "<|mdm_mask|>"'
    assert value(done, "end tokens") == '1 "<|endoftext|>", 4 "<|eot_id|>"'
    assert value(done, "chat template") == "yes"
    assert value(done, "tensors") == "75 of bf16, 33.0 MiB; 0 missing, 0 not of the model"
    assert "MiB: weights" in value(done, "memory on cuda")
    # What is told is what a server takes.
    model = client.get_model(m.GetModelRequest()).model
    assert value(done, "memory on cpu").startswith(f"{model.memory_bytes / 2**20:.1f} MiB: ")
    with Server("--weights", "int8") as server:
        rounded = server.client.get_model(m.GetModelRequest()).model
        assert "int8" in server.client.server_info(m.GetServerInfoRequest()).device
        assert server.client.generate(short_request(), timeout=60).text
    assert (model.weights, rounded.weights) == ("f32", "int8")
    assert value(done, "memory on cpu, int8 weights").startswith(
        f"{rounded.memory_bytes / 2**20:.1f} MiB: ")
    assert rounded.memory_bytes < model.memory_bytes - 2 * model.parameters


def test_missing_tensors_are_named(folder):
    config = json.loads((folder / "config.json").read_text())
    change(folder, "config.json", json.dumps({**config, "n_layers": 12}))
    done = check(folder)
    assert done.returncode == 2
    assert value(done, "tensors").endswith("36 missing, 0 not of the model")
    names = re.findall("^missing  +(.*)$", done.stdout, re.MULTILINE)
    assert names[0] == "model.transformer.blocks.10.attn_norm.weight"
    assert (len(names), names[-1]) == (21, "and 16 more")
    assert done.stderr == (f"sparsed: {folder}: 36 tensors are missing, the first is "
                           "model.transformer.blocks.10.attn_norm.weight\n")


def test_every_problem_is_told(folder):
    change(folder, "tokenizer.json", "{}")
    change(folder, "generation_config.json", '{"top_p": 2}')
    (folder / "model-00002-of-00003.safetensors").unlink()
    done = check(folder)
    assert done.returncode == 2
    problems = done.stderr.splitlines()
    assert len(problems) == 3
    assert problems[0].startswith(f"sparsed: {folder}/tokenizer.json: ")
    assert problems[1].startswith(f"sparsed: {folder}/generation_config.json: top_p is 2; ")
    assert problems[2].startswith(f"sparsed: {folder}/model.safetensors.index.json: names ")
    assert value(done, "layers") == "8"


def test_no_folder():
    done = check("/nowhere")
    assert done.returncode == 2
    assert "sparsed: /nowhere/config.json: no such file" in done.stderr


def test_generation_config_counts(folder):
    change(folder, "generation_config.json", json.dumps(
        {"eos_token_id": [1, 2], "temperature": 4, "top_p": 0.95, "alg": "entropy", "steps": 512}))
    done = check(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert value(done, "end tokens").endswith(', 2 "<|start_header_id|>"')
    assert value(done, "default temperature") == "4"
    assert value(done, "default remasking") == "entropy"
    assert value(done, "default top_p, top_k") == "0.95, 0"
    with Server(model_dir=str(folder), env={"SPARSED_MODEL_NAME": "nano"}) as server:
        model = server.client.get_model(m.GetModelRequest()).model
        assert model.default_temperature == 4
        assert model.default_remasking == g.REMASKING_ENTROPY
        assert model.default_top_p == pytest.approx(0.95)
        assert [token.id for token in model.end_tokens] == [1, 4, 2]
        request = g.GenerateRequest(prompt="The river", sampling=g.SamplingOptions(
            gen_length=16, steps=16, seed=5))
        sampled = server.client.generate(request, timeout=60).text
        request.sampling.temperature = 4
        assert server.client.generate(request, timeout=60).text == sampled
        request.sampling.temperature = 0
        assert server.client.generate(request, timeout=60).text != sampled


def plan(model, *flags):
    return subprocess.run([BINARY, "plan", "--model", str(model), *flags], capture_output=True,
                          text=True, timeout=60)


def mib(text, name):
    return float(re.search(rf"{name} ([0-9.]+) MiB", text)[1])


def test_a_server_of_the_plan_takes_what_was_planned():
    done = plan(shallow_model(MODEL_DIR), "--context", "1000", "--requests", "2")
    assert (done.returncode, done.stderr) == (0, "")
    memory = value(done, "memory on cpu")
    with ShallowServer(*value(done, "settings").split(), "--device", "cpu") as server:
        model = server.client.get_model(m.GetModelRequest()).model
        told = mib(memory, "weights") + mib(memory, "tokens")
        assert model.memory_bytes / 2**20 == pytest.approx(told, abs=0.11)
        request = g.GenerateRequest(
            token_ids=g.TokenIds(ids=[100] * 984),
            sampling=g.SamplingOptions(gen_length=16, block_length=16, steps=4),
            sparse=g.SparseOptions(mode=g.SPARSE_MODE_SPARSED))
        assert server.client.generate(request, timeout=60).usage.sparse_steps > 0


def test_what_cannot_be_planned(folder):
    done = plan(MODEL_DIR, "--context", "8193")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sparsed: --context 8193: the model's is 8192 tokens\n"
    done = plan(MODEL_DIR, "--context", "8192", "--requests", "4096", "--memory-mib", "1000")
    assert done.returncode == 0 and re.search(r"^in 1000 MiB  ", done.stdout, re.MULTILINE)
    change(folder, "tokenizer.json", "{}")
    done = plan(folder, "--context", "64")
    assert done.returncode == 2 and "/tokenizer.json: " in done.stderr
    assert plan("/nowhere", "--context", "64").returncode == 2
