"""Tiny random checkpoints of the model families in their original layout, and the logits that small
reference models give for them in float32 on PyTorch.

    python3 -m venv VENV && VENV/bin/pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0
    VENV/bin/python tests/golden/make_goldens.py

writes tests/golden/families/. The reference models below know the published modelling code's facts
and nothing of the engine; each family is written out by itself.
"""

import gzip
import json
import math
import os
import shutil

import torch
from safetensors.torch import save_file

SEED = 1
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "families")


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rotate(x, theta):
    """Half-split rotation of x [heads, tokens, head_dim]."""
    tokens, width = x.shape[1:]
    inverse = 1.0 / theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    angles = torch.arange(tokens, dtype=torch.float32)[:, None] * inverse[None, :]
    angles = torch.cat((angles, angles), dim=-1)
    low, high = x.chunk(2, dim=-1)
    return x * angles.cos() + torch.cat((-high, low), dim=-1) * angles.sin()


def heads_of(x, heads):
    return x.view(x.shape[0], heads, -1).transpose(0, 1)


def attention(q, k, v):
    """Everything attends to everything; query head h reads key head h / (heads / key heads)."""
    group = q.shape[0] // k.shape[0]
    k = k.repeat_interleave(group, dim=0)
    v = v.repeat_interleave(group, dim=0)
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    mixed = torch.softmax(scores, dim=-1) @ v
    return mixed.transpose(0, 1).reshape(q.shape[1], -1)


def gated(x, gate, up, down):
    return (torch.nn.functional.silu(x @ gate.T) * (x @ up.T)) @ down.T


def llada(config, w, ids):
    x = w["model.transformer.wte.weight"][ids]
    kv_heads = config["n_kv_heads"] or config["n_heads"]
    for i in range(config["n_layers"]):
        def at(name):
            return w[f"model.transformer.blocks.{i}.{name}.weight"]
        h = rms_norm(x, at("attn_norm"), config["rms_norm_eps"])
        q = rotate(heads_of(h @ at("q_proj").T, config["n_heads"]), config["rope_theta"])
        k = rotate(heads_of(h @ at("k_proj").T, kv_heads), config["rope_theta"])
        v = heads_of(h @ at("v_proj").T, kv_heads)
        x = x + attention(q, k, v) @ at("attn_out").T
        h = rms_norm(x, at("ff_norm"), config["rms_norm_eps"])
        x = x + gated(h, at("ff_proj"), at("up_proj"), at("ff_out"))
    x = rms_norm(x, w["model.transformer.ln_f.weight"], config["rms_norm_eps"])
    return x @ w["model.transformer.ff_out.weight"].T


def dream(config, w, ids):
    x = w["model.embed_tokens.weight"][ids]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    theta = config.get("rope_theta", 10000.0)
    eps = config.get("rms_norm_eps", 1e-6)
    for i in range(config["num_hidden_layers"]):
        def at(name):
            return w[f"model.layers.{i}.{name}"]
        def project(h, name):
            return h @ at(f"self_attn.{name}_proj.weight").T + at(f"self_attn.{name}_proj.bias")
        h = rms_norm(x, at("input_layernorm.weight"), eps)
        q = rotate(heads_of(project(h, "q"), heads), theta)
        k = rotate(heads_of(project(h, "k"), kv_heads), theta)
        v = heads_of(project(h, "v"), kv_heads)
        x = x + attention(q, k, v) @ at("self_attn.o_proj.weight").T
        h = rms_norm(x, at("post_attention_layernorm.weight"), eps)
        x = x + gated(h, at("mlp.gate_proj.weight"), at("mlp.up_proj.weight"),
                      at("mlp.down_proj.weight"))
    x = rms_norm(x, w["model.norm.weight"], eps)
    tied = config.get("tie_word_embeddings", False)
    return x @ w["model.embed_tokens.weight" if tied else "lm_head.weight"].T


def llada_moe(config, w, ids):
    x = w["model.embed_tokens.weight"][ids]
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    theta, eps = config["rope_theta"], config["rms_norm_eps"]
    for i in range(config["num_hidden_layers"]):
        def at(name):
            return w[f"model.layers.{i}.{name}.weight"]
        h = rms_norm(x, at("input_layernorm"), eps)
        q = heads_of(h @ at("self_attn.q_proj").T, heads)
        k = heads_of(h @ at("self_attn.k_proj").T, kv_heads)
        v = heads_of(h @ at("self_attn.v_proj").T, kv_heads)
        q = rotate(rms_norm(q, at("self_attn.q_norm"), eps), theta)
        k = rotate(rms_norm(k, at("self_attn.k_norm"), eps), theta)
        x = x + attention(q, k, v) @ at("self_attn.o_proj").T
        h = rms_norm(x, at("post_attention_layernorm"), eps)
        if config["moe_layer_freq"][i] == 0:
            x = x + gated(h, at("mlp.gate_proj"), at("mlp.up_proj"), at("mlp.down_proj"))
            continue
        shares = torch.softmax(h @ at("mlp.gate").T, dim=-1)
        best, experts = torch.topk(shares, config["num_experts_per_tok"], dim=-1)
        mixed = torch.zeros_like(x)
        for e in range(config["num_experts"]):
            share = torch.where(experts == e, best, 0.0).sum(-1, keepdim=True)
            out = gated(h, at(f"mlp.experts.{e}.gate_proj"), at(f"mlp.experts.{e}.up_proj"),
                        at(f"mlp.experts.{e}.down_proj"))
            mixed = mixed + share * out
        x = x + mixed
    x = rms_norm(x, w["model.norm.weight"], eps)
    return x @ w["lm_head.weight"].T


def matrix(rows, cols, deviation=1.5):
    return torch.randn(rows, cols) * deviation / math.sqrt(cols)


def norm(size):
    return 1 + 0.3 * torch.randn(size)


def llada_weights(c):
    hidden, ffn = c["d_model"], c["mlp_hidden_size"] or c["mlp_ratio"] * c["d_model"]
    kv = hidden // c["n_heads"] * (c["n_kv_heads"] or c["n_heads"])
    w = {"model.transformer.wte.weight": torch.randn(c["embedding_size"], hidden),
         "model.transformer.ln_f.weight": norm(hidden),
         "model.transformer.ff_out.weight": matrix(c["embedding_size"], hidden, 3)}
    for i in range(c["n_layers"]):
        for name, value in {
                "attn_norm": norm(hidden), "q_proj": matrix(hidden, hidden),
                "k_proj": matrix(kv, hidden), "v_proj": matrix(kv, hidden),
                "attn_out": matrix(hidden, hidden), "ff_norm": norm(hidden),
                "ff_proj": matrix(ffn, hidden), "up_proj": matrix(ffn, hidden),
                "ff_out": matrix(hidden, ffn)}.items():
            w[f"model.transformer.blocks.{i}.{name}.weight"] = value
    return w


def shared_weights(c):
    """What Dream and LLaDA-MoE call alike."""
    hidden = c["hidden_size"]
    kv = hidden // c["num_attention_heads"] * c["num_key_value_heads"]
    w = {"model.embed_tokens.weight": torch.randn(c["vocab_size"], hidden),
         "model.norm.weight": norm(hidden)}
    if not c.get("tie_word_embeddings", False):
        w["lm_head.weight"] = matrix(c["vocab_size"], hidden, 3)
    for i in range(c["num_hidden_layers"]):
        for name, value in {
                "input_layernorm": norm(hidden), "self_attn.q_proj": matrix(hidden, hidden),
                "self_attn.k_proj": matrix(kv, hidden), "self_attn.v_proj": matrix(kv, hidden),
                "self_attn.o_proj": matrix(hidden, hidden),
                "post_attention_layernorm": norm(hidden)}.items():
            w[f"model.layers.{i}.{name}.weight"] = value
    return w


def feed_forward(w, prefix, hidden, ffn):
    w[f"{prefix}.gate_proj.weight"] = matrix(ffn, hidden)
    w[f"{prefix}.up_proj.weight"] = matrix(ffn, hidden)
    w[f"{prefix}.down_proj.weight"] = matrix(hidden, ffn)


def dream_weights(c):
    w = shared_weights(c)
    for i in range(c["num_hidden_layers"]):
        feed_forward(w, f"model.layers.{i}.mlp", c["hidden_size"], c["intermediate_size"])
        for name in ("q_proj", "k_proj", "v_proj"):
            rows = w[f"model.layers.{i}.self_attn.{name}.weight"].shape[0]
            w[f"model.layers.{i}.self_attn.{name}.bias"] = torch.randn(rows)
    return w


def llada_moe_weights(c):
    w = shared_weights(c)
    hidden = c["hidden_size"]
    head_dim = hidden // c["num_attention_heads"]
    for i in range(c["num_hidden_layers"]):
        layer = f"model.layers.{i}"
        w[f"{layer}.self_attn.q_norm.weight"] = norm(head_dim)
        w[f"{layer}.self_attn.k_norm.weight"] = norm(head_dim)
        if c["moe_layer_freq"][i] == 0:
            feed_forward(w, f"{layer}.mlp", hidden, c["dense_intermediate_size"])
            continue
        w[f"{layer}.mlp.gate.weight"] = matrix(c["num_experts"], hidden)
        for e in range(c["num_experts"]):
            feed_forward(w, f"{layer}.mlp.experts.{e}", hidden, c["expert_intermediate_size"])
    return w


LLADA = {
    "architectures": ["LLaDAModelLM"], "model_type": "llada", "d_model": 64, "n_heads": 4,
    "n_kv_heads": 2, "multi_query_attention": None, "n_layers": 3, "mlp_hidden_size": None,
    "mlp_ratio": 2, "activation_type": "silu", "block_type": "llama", "block_group_size": 1,
    "vocab_size": 150, "embedding_size": 160, "weight_tying": False, "include_bias": False,
    "include_qkv_bias": False, "bias_for_layer_norm": False, "layer_norm_type": "rms",
    "rms_norm_eps": 1e-5, "layer_norm_with_affine": True, "attention_layer_norm": False,
    "rope": True, "rope_theta": 500000.0, "rope_full_precision": True, "alibi": False,
    "scale_logits": False, "input_emb_norm": False, "max_sequence_length": 256,
    "mask_token_id": 149, "eos_token_id": 148, "pad_token_id": 148, "torch_dtype": "bfloat16"}
DREAM = {
    "architectures": ["DreamModel"], "model_type": "Dream", "hidden_size": 64,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 112, "vocab_size": 160, "hidden_act": "silu", "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0, "rope_scaling": None, "tie_word_embeddings": False,
    "use_sliding_window": False, "sliding_window": None, "max_window_layers": 28,
    "attention_dropout": 0.0, "max_position_embeddings": 256, "mask_token_id": 149,
    "bos_token_id": 148, "eos_token_id": 148, "pad_token_id": 148, "torch_dtype": "bfloat16"}
LLADA_MOE = {
    "architectures": ["LLaDAMoEModelLM"], "model_type": "llada", "hidden_size": 64,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 4, "num_experts": 8,
    "num_experts_per_tok": 3, "expert_intermediate_size": 32, "dense_intermediate_size": 112,
    "shared_expert_intermediate_size": None, "moe_layer_freq": [0, 1, 1], "qk_layernorm": True,
    "attention_bias": False, "clip_qkv": None, "hidden_act": "silu", "rms_norm_eps": 1e-5,
    "rope_theta": 50000, "rope_scaling": None, "partial_rotary_factor": 1,
    "moe_router_score_function": "softmax", "moe_router_enable_expert_bias": False,
    "norm_topk_prob": True, "routed_scaling_factor": 2.5, "tie_word_embeddings": False,
    "vocab_size": 160, "max_position_embeddings": 256, "mask_token_id": 149, "eos_token_id": 148,
    "pad_token_id": 148, "torch_dtype": "bfloat16"}


def without(config, *keys):
    return {key: value for key, value in config.items() if key not in keys}


# Folder: configuration, weights, reference, shards.
MODELS = {
    "llada-grouped": (LLADA, llada_weights, llada, 1),
    "dream": (DREAM, dream_weights, dream, 2),
    # The class's own rotation base, and an output head that is the embedding.
    "dream-tied": (without(DREAM, "rope_theta", "rms_norm_eps") | {"tie_word_embeddings": True},
                   dream_weights, dream, 1),
    "llada-moe": (LLADA_MOE, llada_moe_weights, llada_moe, 1),
}


def save(folder, config, weights, shards):
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)
        file.write("\n")
    names = sorted(weights)
    if shards == 1:
        save_file(weights, os.path.join(folder, "model.safetensors"), {"format": "pt"})
        return
    where = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: weights[name] for name in names[shard::shards]}
        save_file(part, os.path.join(folder, file), {"format": "pt"})
        where |= {name: file for name in part}
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as file:
        json.dump({"metadata": {"total_size": size}, "weight_map": where}, file, indent=1)
        file.write("\n")


def cases():
    """Token ids and canvas positions: a short prompt, holes, and more than one tile of 128."""
    def sequence(tokens, canvas):
        ids = torch.randint(0, 148, (tokens,)).tolist()
        for position in canvas:
            ids[position] = 149
        return {"ids": ids, "canvas": canvas}
    return [sequence(12, [7, 8, 9, 10, 11]), sequence(41, [1, 2, 17, 30, 31, 40]),
            sequence(150, [3, 100, 127, 128, 129, 149])]


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    for name, (config, make_weights, reference, shards) in MODELS.items():
        folder = os.path.join(HERE, name)
        os.makedirs(folder)
        weights = {key: value.to(torch.bfloat16) for key, value in make_weights(config).items()}
        save(folder, config, weights, shards)
        floats = {key: value.float() for key, value in weights.items()}
        shift = 1 if config["model_type"] == "Dream" else 0
        golden = cases()
        for case in golden:
            logits = reference(config, floats, torch.tensor(case["ids"]))
            case["logits"] = [[float(f"{x:.8g}") for x in logits[position - shift].tolist()]
                              for position in case["canvas"]]
        text = json.dumps({"torch": torch.__version__, "seed": SEED, "cases": golden})
        with gzip.GzipFile(os.path.join(folder, "golden.json.gz"), "wb", mtime=0) as file:
            file.write(text.encode())
        print(name, sum(w.numel() for w in weights.values()), "parameters")


if __name__ == "__main__":
    main()
