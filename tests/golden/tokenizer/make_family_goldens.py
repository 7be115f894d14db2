#!/usr/bin/env python3
"""Writes family_goldens.json.gz: small tokenizers in the layouts of the model families, trained here, and what
the real libraries make of a hard corpus with them.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make_family_goldens.py
"""

import gzip
import json
import os
import random
import tempfile

import tokenizers
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

import corpus
from make_goldens import BAILING, QWEN2, added, byte_level, sequence, split

HERE = os.path.dirname(os.path.abspath(__file__))

LLADA_TOKENS = (
    ["<|startoftext|>", "<|endoftext|>", "[CLS]", "[gMASK]"]
    + [f"<|reserved_token_{i}|>" for i in range(252)]
    + ["<|mdm_mask|>"]
    + [f"<|reserved_token_{i}|>" for i in (253, 254, 255)]
    + [
        "<role>",
        "</role>",
        "<|arithmetic_start|>",
        "<|arithmetic_end|>",
        "<|number_start|>",
        "<|number_end|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
    ]
)
QWEN_SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
QWEN_PLAIN = [
    "<tool_call>",
    "</tool_call>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
]
DREAM_SPECIAL = ["<|beginoftext|>", "<|mask|>"]
MOE_SPECIAL = ["<|startoftext|>", "<|endoftext|>", "[CLS]", "<|mask|>", "<role>", "</role>", "<|role_end|>"]
MOE_PLAIN = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
# What the corpus has of them.
TOKENS = [
    "<|startoftext|>",
    "<|endoftext|>",
    "<|mdm_mask|>",
    "<|eot_id|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|mask|>",
    "<role>",
    "</role>",
    "<|role_end|>",
    "<tool_call>",
    "[gMASK]",
    "<|reserved_token_25|>",
    "<|reserved_token_2|>",
]


def train(pattern, size, seed):
    """A byte-level model."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    texts = corpus.SENTENCES * 4 + corpus.CODE * 4 + corpus.CONTRACTIONS + corpus.EMOJI * 2 + corpus.WHITESPACE * 2
    random.Random(seed).shuffle(texts)
    tokenizer.train_from_iterator(texts, trainer)
    return json.loads(tokenizer.to_str())["model"]


def numbered(first, special, plain=()):
    return [added(first + i, t, special=t in special) for i, t in enumerate([*special, *plain])]


def decoder_of(tokens):
    return {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in tokens}


def file_of(model, pattern, tokens, **changes):
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": tokens,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": sequence(split("Regex", pattern), byte_level()),
        "post_processor": None,
        "decoder": byte_level(),
        "model": model,
    }
    content.update(changes)
    return json.dumps(content, ensure_ascii=False)


def merge_lines(model):
    return "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"])


def layouts():
    """File contents by layout and name."""
    bailing = train(BAILING, 1500, 1)
    qwen = train(QWEN2, 1500, 2)
    size = len(qwen["vocab"])
    llada = numbered(len(bailing["vocab"]), LLADA_TOKENS)
    qwen_tokens = numbered(size, QWEN_SPECIAL, QWEN_PLAIN) + numbered(
        size + len(QWEN_SPECIAL) + len(QWEN_PLAIN), DREAM_SPECIAL
    )
    moe = numbered(len(bailing["vocab"]), MOE_SPECIAL, MOE_PLAIN)
    vocab = json.dumps(qwen["vocab"], ensure_ascii=False)
    slow_config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": decoder_of(qwen_tokens),
        "additional_special_tokens": QWEN_SPECIAL + DREAM_SPECIAL,
        "bos_token": "<|beginoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "mask_token": "<|mask|>",
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "split_special_tokens": False,
    }
    legacy_config = {k: v for k, v in slow_config.items() if k != "added_tokens_decoder"}
    stripping = [
        dict(t, lstrip=i % 3 != 0, rstrip=i % 3 != 1, normalized=i % 2 == 0) for i, t in enumerate(qwen_tokens)
    ]
    shuffled = list(qwen["merges"])
    random.Random(3).shuffle(shuffled)
    return {
        "llada": {
            "tokenizer.json": file_of(bailing, BAILING, llada),
            "tokenizer_config.json": json.dumps(
                {
                    "tokenizer_class": "PreTrainedTokenizerFast",
                    "bos_token": "<|startoftext|>",
                    "eos_token": "<|endoftext|>",
                }
            ),
        },
        "qwen2": {
            "tokenizer.json": file_of(
                dict(qwen, merges=[" ".join(m) for m in qwen["merges"]]),
                QWEN2,
                qwen_tokens,
                post_processor=byte_level(),
            )
        },
        "llada_moe": {
            "tokenizer.json": file_of(
                bailing,
                BAILING,
                moe,
                normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}]},
                decoder={"type": "Sequence", "decoders": [byte_level()]},
            )
        },
        "qwen2_slow": {
            "vocab.json": vocab,
            "merges.txt": merge_lines(qwen),
            "tokenizer_config.json": json.dumps(slow_config),
        },
        "qwen2_slow_legacy": {
            "vocab.json": vocab,
            "merges.txt": merge_lines(qwen),
            "tokenizer_config.json": json.dumps(legacy_config),
            "added_tokens.json": json.dumps({t["content"]: t["id"] for t in qwen_tokens}),
        },
        "qwen2_slow_strips": {
            "vocab.json": vocab,
            "merges.txt": merge_lines(qwen),
            "tokenizer_config.json": json.dumps(dict(slow_config, added_tokens_decoder=decoder_of(stripping))),
        },
        "qwen2_slow_shuffled": {
            "vocab.json": vocab,
            "merges.txt": merge_lines({"merges": shuffled}),
            "tokenizer_config.json": json.dumps(slow_config),
        },
    }


def open_tokenizer(files):
    """The real library's."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as file:
                file.write(content)
        kind = PreTrainedTokenizerFast if "tokenizer.json" in files else Qwen2Tokenizer
        return kind.from_pretrained(folder)


def decode(tokenizer, ids):
    """With special tokens, and without."""
    return [
        tokenizer.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False) for skip in (False, True)
    ]


def specials(tokenizer):
    return {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}


def golden(name, files, texts):
    tokenizer = open_tokenizer(files)
    fast = "tokenizer.json" in files
    if fast:
        # Of transformers, skipping knows the tokens with a name only; all of these are marked.
        backend = tokenizer.backend_tokenizer
        encode = lambda text: backend.encode(text, add_special_tokens=False).ids
        both = lambda ids: [backend.decode(ids, skip_special_tokens=skip) for skip in (False, True)]
    else:
        assert specials(tokenizer) == set(tokenizer.all_special_ids), name
        encode = lambda text: tokenizer.encode(text, add_special_tokens=False)
        both = lambda ids: decode(tokenizer, ids)
    all_ids = [encode(text) for text in texts]
    if fast:
        assert all_ids == [tokenizer.encode(text, add_special_tokens=False) for text in texts], name
    rng = random.Random(11)
    known = sorted(tokenizer.get_vocab().values())
    lists = [[rng.choice(known) for _ in range(rng.randint(1, 30))] for _ in range(200)]
    result = {
        "name": name,
        "files": files,
        "special": sorted(specials(tokenizer)),
        "ids": all_ids,
        "texts": [both(ids) for ids in all_ids],
        "decodings": [{"ids": ids, "texts": both(ids)} for ids in lists],
    }
    if fast:
        backend.encode_special_tokens = True
        result["plain_ids"] = [encode(text) for text in texts]
    return result


def main():
    invalid = [{"hex": b.hex(), "text": b.decode("utf-8", "replace")} for b in corpus.INVALID]
    texts = corpus.texts(TOKENS) + [item["text"] for item in invalid]
    result = {
        "source": f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}",
        "texts": texts,
        "invalid": invalid,
        "layouts": [golden(name, files, texts) for name, files in layouts().items()],
    }
    # Most layouts give back the text: then it is not repeated.
    for layout in result["layouts"]:
        layout["texts"] = [
            [None if kept == text else kept, skipped if skipped != kept else None]
            for text, (kept, skipped) in zip(texts, layout["texts"])
        ]
    content = json.dumps(result, separators=(",", ":"))
    with open(os.path.join(HERE, "family_goldens.json.gz"), "wb") as file:
        file.write(gzip.compress(content.encode(), mtime=0))
    print(len(texts), "texts,", len(content), "bytes of JSON")


if __name__ == "__main__":
    main()
