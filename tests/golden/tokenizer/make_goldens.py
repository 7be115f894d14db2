#!/usr/bin/env python3
"""Writes goldens.json.gz (encodings by the tokenizers library) and templates.json (renderings by Jinja2).

    pip install tokenizers==0.23.3 jinja2==3.1.6
    python3 make_goldens.py
"""

import gzip
import json
import os
import random

import jinja2
import jinja2.ext
import jinja2.sandbox
import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
NANO = os.path.join(HERE, "../../../deploy/models/nano")

BAILING = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
           r"|\s*[\r\n]|\s+(?!\S)|\s+")
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n\n", "\r\n", "\r\r\n \n", " \n x", "\t\tx", "a", "Hello world",
    " Hello, y'all! How are you \U0001f601 ?\u6211\u60f3\u5728apple\u5de5\u4f5c1314151\u5929\uff5e",
    "w048 7tuijk dsdfhu", "ied 4 \u00bd months", "F\u00fchrer", "Fu\u0308hrer", "  Hello\n    Hello ",
    "don't DON'T we'LL you'Ve I'M he'D 'S 's 't'T 'ret", "'\u017f '\u017fT we'\u017f x'LL\u017f \u212a 'K",
    "\u043d\u0435\u0449\u043e \u043d\u0430 \u0411\u044a\u043b\u0433\u0430\u0440\u0441\u043a\u0438",
    "C\u1eeda Vi\u1ec7t C\u031b\u0309a Vie\u0323\u0302t e\u0302\u0323", "\u1112\u1161\u11ab\u1100\u1173\u11af \ud55c\uae00",
    "\u2126 \u212b \u0344 \u0958 \u2adc \ufb1d \u0f73 \U0001d15e a\u0301\u0300\u0327\u0327\u0301b",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f44d\U0001f3fd",
    "1234567890 \u0661\u0662\u0663 \u00b2\u00b3\u00b9 \u2167 \u2460 \u4e00\u4e8c\u4e09 \u3007 \U0001d7d8 3.14e-10 1,000",
    "a\u0085b\u00a0c\u1680d\u180ee\u2000f\u200ag\u200bh\u2028i\u2029j\u202fk\u205fl\u3000m\ufeffn",
    "\u180e\u180e x \u180e \u0085 \u0085\u0085y \u000b\u000c z\u001c\u001d\u001e\u001f",
    "a\u0000b\u0001 \u007f\u0080 \ufffd \U0010ffff \ue000 \u0378", "x\u0301 1\u0301 \u0301 \u0301\u0302 .\u0301",
    "\u0628\u0650\u0633\u0652\u0645\u0650 \u0627\u0644\u0644\u0651\u064e\u0647\u0650 \u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22\u0e01\u0e33 \u10e5\u10d0\u10e0\u10d7 \u1e9e\u00df \u01c5",
    "def f(x):\n    return x**2  # done\n\n\tif not x:\r\n\t\tpass\n", "!!!!!! ... --- ==> <= (){}[];", "____a_b__ _1",
    "https://example.org/a?b=c&d=%20e", "{\"k\": [1, 2.5, null], \"s\": \"\\n\"}", "$1,299.00 \u20ac5 \u00a37 50%",
    "<|startoftext|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>", "<|eot_id|><|eot_id|> <|eot_id", "<|<|eot_id|>|>",
    "x <A> y", "x<A>y  <A>  z", "<B>  word", "a  <B>b", "foo <W> bar", "foo<W>bar", "<W>", "\u00e9<W> e\u0301<W>", "_<W>", "<W>\u0301",
    "caf\u00e9 cafe\u0301 CAF\u00c9", "<A><A>", " <A> <B> <W> ", "<AB><A", "<A>B>", "<C> \u00e9t\u00e9 e\u0301te\u0301", "<N>\u00e9<N>",
    "a" * 50, " " * 33 + "x", "ab" * 40, "\u4f60\u597d" * 12, "=" * 30, "\n" * 9 + "x", "the the THE The thethe",
]

ALPHABET = (
    list("abcdest'SLM vTrR  \n\r\t0123.,!?-_<>|") + ["'s", "'ll", "<A>", "<B>", "<W>", "<C>", "  ", "\r\n", "<|eot_id|>"] +
    list("\u00e9\u0301\u0327\u017f\u0130\u00df\u0661\u00b2\u2167\u4f60\u597d\u3042\u1112\u1161\u11ab\u0e33\u0939\u093f") +
    list("\u0085\u00a0\u180e\u2003\u2028\u200b\u200d\ufeff\u3000\U0001f600\U0001f3fd\ufe0f\U0001d7d8\u0378\u0000"))


def random_texts(count):
    rng = random.Random(20240607)
    return ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 40))) for _ in range(count)]


def added(token_id, content, **flags):
    token = {"id": token_id, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": False}
    token.update(flags)
    return token


def byte_level(add_prefix_space=False, use_regex=False):
    return {"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": True, "use_regex": use_regex}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def split(kind, pattern, invert=False):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": "Isolated", "invert": invert}


def base_model():
    """A small byte-level vocabulary, trained on the texts above, and a few numbers, which training splits."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(tokenizers.Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=620, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    for left, right in [["1", "2"], ["12", "3"], ["0", "0"], ["3", "1"], ["5", "6"]]:
        model["vocab"][left + right] = len(model["vocab"])
        model["merges"].append([left, right])
    return model


def variants(size):
    """Overrides of the base file; `size` is the id behind its vocabulary."""
    qwen2 = sequence(split("Regex", QWEN2), byte_level())
    flags = [added(size, "<A>", lstrip=True, special=True), added(size + 1, "<B>", rstrip=True, special=True),
             added(size + 2, "<W>", single_word=True), added(size + 3, "<AB>", lstrip=True, rstrip=True),
             added(size + 4, "<C>", normalized=True, special=True), added(size + 5, "e\u0301te\u0301", normalized=True),
             added(size + 6, "  "), added(size + 7, "\u4f60\u597d", normalized=True, single_word=True),
             added(size + 8, "<|eot_id|>", special=True)]
    plain = [added(size, "<|eot_id|>", special=True), added(size + 1, "<A>", special=True), added(size + 2, "<A>B>")]
    nfc = {"type": "NFC"}
    return {
        "bailing_nfc": {"normalizer": nfc, "pre_tokenizer": sequence(split("Regex", BAILING), byte_level()),
                        "added_tokens": plain},
        "qwen2": {"normalizer": {"type": "Sequence", "normalizers": [nfc]}, "pre_tokenizer": qwen2,
                  "added_tokens": plain, "post_processor": byte_level(),
                  "decoder": {"type": "Sequence", "decoders": [byte_level()]}},
        "qwen2_without_nfc": {"pre_tokenizer": qwen2},
        "cl100k": {"pre_tokenizer": sequence(split("Regex", CL100K), byte_level())},
        "gpt2": {"pre_tokenizer": byte_level(use_regex=True)},
        "gpt2_prefix_space": {"pre_tokenizer": byte_level(True, True), "added_tokens": plain},
        "digits": {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": True}, byte_level(True, True))},
        "digit_runs": {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": False}, byte_level())},
        "split_string": {"pre_tokenizer": sequence(split("String", ".", True), split("String", "th"), byte_level())},
        "split_word": {"pre_tokenizer": sequence(split("Regex", r"\w+|\s+|[^\w\s]"), byte_level())},
        "split_space": {"pre_tokenizer": sequence(split("Regex", r"[\S\t]+|\p{Han}|x*"), byte_level())},
        "split_lines": {"pre_tokenizer": sequence(split("Regex", r"^\p{Lu}|.$|\d{2,}?|(?<=e)\v?|(?=\p{^L}b)"), byte_level())},
        "no_split": {"pre_tokenizer": byte_level()},
        "merges_as_strings": {"pre_tokenizer": qwen2, "model": {"merges_as_strings": True}},
        "ignore_merges": {"pre_tokenizer": qwen2, "model": {"ignore_merges": True}},
        "flags": {"normalizer": nfc, "pre_tokenizer": qwen2, "added_tokens": flags},
        "flags_without_nfc": {"pre_tokenizer": qwen2, "added_tokens": flags},
        "unknown": {"pre_tokenizer": qwen2, "model": {"without": "aeiou0123", "unk_token": "b"}},
        "unknown_fused": {"pre_tokenizer": qwen2, "model": {"without": "aeiou0123", "unk_token": "b", "fuse_unk": True}},
        "unknown_dropped": {"pre_tokenizer": qwen2, "model": {"without": "aeiou0123"}},
        "byte_fallback": {"pre_tokenizer": qwen2, "model": {"without": "aeiou0123", "unk_token": "b", "byte_fallback": True,
                                                            "with": ["<0x61>", "<0x65>", "<0x31>"]}},
        "affixes": {"pre_tokenizer": qwen2,
                    "model": {"continuing_subword_prefix": "##", "end_of_word_suffix": "</w>", "unk_token": "!",
                              "with": ["##b", "##c", "a", "ab", "##e</w>", "abe</w>", "e</w>", "##s</w>", "t</w>"],
                              "only_merges": [["a", "##b"], ["ab", "##e</w>"]]}},
    }


def without(model, characters):
    """Drops tokens that hold any of the characters, and the merges that need them."""
    keep = {t: i for t, i in model["vocab"].items() if not any(c in t for c in characters)}
    return {"vocab": keep, "merges": [m for m in model["merges"] if m[0] in keep and m[1] in keep and m[0] + m[1] in keep]}


def compose(base, override):
    """The tokenizer.json of a variant."""
    options = dict(override.get("model", {}))
    model = dict(base, **without(base, options.pop("without", "")))
    model["vocab"] = dict(model["vocab"])
    for i, token in enumerate(options.pop("with", [])):
        model["vocab"].setdefault(token, 2000 + i)
    model["merges"] = options.pop("only_merges", model["merges"])
    if options.pop("merges_as_strings", False):
        model["merges"] = [" ".join(m) for m in model["merges"]]
    model.update(options)
    result = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
              "pre_tokenizer": None, "post_processor": None, "decoder": byte_level()}
    result.update(override)
    result["model"] = model
    return result


def encode(tokenizer, texts, plain):
    tokenizer.encode_special_tokens = plain
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]


def decodings(tokenizer, rng):
    size = tokenizer.get_vocab_size()
    lists = [[rng.randrange(size + 2) for _ in range(rng.randint(0, 12))] for _ in range(12)]
    return [{"ids": ids, "kept": tokenizer.decode(ids, skip_special_tokens=False),
             "skipped": tokenizer.decode(ids, skip_special_tokens=True)} for ids in lists]


def goldens():
    rng = random.Random(7)
    texts = TEXTS + random_texts(60)
    model = base_model()
    nano = Tokenizer.from_file(os.path.join(NANO, "tokenizer.json"))
    result = {"source": f"tokenizers {tokenizers.__version__}", "texts": texts, "variants": [
        {"name": "nano", "ids": encode(nano, texts, False), "plain_ids": encode(nano, texts, True),
         "decodings": decodings(nano, rng)}]}
    for name, override in variants(len(model["vocab"])).items():
        file = compose(model, override)
        tokenizer = Tokenizer.from_str(json.dumps(file))
        entry = {"name": name, "tokenizer": file, "ids": encode(tokenizer, texts, False)}
        plain_ids = encode(tokenizer, texts, True)
        if plain_ids != entry["ids"]:
            entry["plain_ids"] = plain_ids
        entry["decodings"] = decodings(tokenizer, rng)
        result["variants"].append(entry)
    return result


LLADA = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role']"
         " + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
         "{% endif %}{{ content }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}")
CHATML = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful "
          "assistant.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
QWEN25 = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are a helpful assistant.' }}
    {%- endif %}
    {{- "\n\n# Tools\n\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools><|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\n<tool_call>\n{"name": "' }}
            {{- tool_call.name }}
            {{- tool_call.arguments | tojson }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' }}
        {{- message.content }}
        {{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
LLADA_MOE = r"""{% set thinking_option = 'off' %}
{{- '<role>SYSTEM</role>' }}
{%- if messages and messages[0].role == 'system' %}
    {{- messages[0].content + '\n' }}
{%- endif %}
{{- 'detailed thinking ' + thinking_option + '<|role_end|>' }}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{% for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "user" %}
        {{- '<role>HUMAN</role>' + message.content + '<|role_end|>' }}
    {%- elif message.role == "system" and not loop.first %}
        {{- '<role>SYSTEM</role>' + message.content + '<|role_end|>' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<role>ASSISTANT</role>' }}
        {%- if loop.index0 > ns.last_query_index and reasoning_content %}
            {{- '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}
            {{- content }}
        {%- endif %}
        {{- '<|role_end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<role>ASSISTANT</role>' }}
{%- endif %}
"""
LLADA2 = r"""{% set thinking_option = 'off' %}
{{- '<role>SYSTEM</role>' }}
{%- if messages and messages[0].role == 'system' %}
    {{- messages[0].content + '\n' }}
{%- endif %}
{%- if tools %}
    {{- "# Tools\n\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n" }}
{%- endif %}
{{- 'detailed thinking ' + thinking_option + '<|role_end|>' }}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "user" %}
        {{- '<role>HUMAN</role>' + content + '<|role_end|>' }}
    {%- elif message.role == "system" and not loop.first %}
        {{- '<role>SYSTEM</role>' + content + '<|role_end|>' }}
    {%- elif message.role == "assistant" %}
        {{- '<role>ASSISTANT</role>' + content }}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {{- '\n<tool_call>\n' + (tool_call | tojson) + '\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|role_end|>' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<role>OBSERVATION</role>' }}
        {%- endif %}
        {{- '\n<tool_response>\n' + content + '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|role_end|>' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<role>ASSISTANT</role>' }}
{%- endif %}
"""
FEATURES = {
    "whitespace": "a\n  {% if true %}\n  b  \n  {% endif %}\nc\n{# note #}\nd {# x -#}  \n e\n {%+ if true %}\nf{%- endif +%}\n g\n\n",
    "whitespace2": "\n{%- for m in messages -%}\n  {{- m.role -}}\n {{ m['content'] }} \n{% endfor %}\n\t {%- if 1 %} x\n{% endif %}\r\n\rend\r\n",
    "comment": "{#- a -#} x {#+ b +#}\n y {#-#} z {# {{ x }} {% y %} #}\n  {# q #}\n.",
    "escapes": r"""{{ 'a\tb\n\'\"\\ \x41\u00e9\U0001f600\101 \q é' ~ "it's" 'and' "more" }}""",
    "precedence": "{{ 1 + 3 * 2 - -4 }}|{{ 'a' ~ 1 + 'b' ~ 2 }}|{{ 'a' + ' b ' | trim + 'c' }}|{{ not 1 == 2 }}|{{ 7 // 2 }}|{{ -7 // 2 }}|{{ -7 % 3 }}|{{ 2 - 3 - 4 }}",
    "logic": "{{ 1 and 0 or 'x' }}|{{ none or '' }}|{{ true and messages[0].role }}|{{ 'a' if messages else 'b' }}|{{ 'a' if false }}|{{ 0 == false }}",
    "loop": "{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}"
            "{{ loop.revindex0 }}{{ loop.previtem.role if loop.previtem is defined else '-' }}{{ loop.nextitem is defined }};{% else %}none{% endfor %}",
    "scope": "{% set x = 'a' %}{% for m in messages %}{{ x }}{% set x = m.role %}{{ x }}{% if true %}{% set x = 'i' %}{% endif %}{{ x }}{% endfor %}{{ x }}",
    "namespace": "{% set ns = namespace(n=0, s='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.s = ns.s + m.role %}{% endfor %}{{ ns.n }}{{ ns.s }}",
    "slices": "{% for m in messages[1:] %}{{ m.role }}{% endfor %}|{{ messages[-1].content[:3] }}|{{ messages[-1].content[-2:] }}|{{ 'abc'[1] }}|"
              "{{ 'abcdef'[1:-1] }}|{{ 'abc'[5:] }}|{% for m in messages[:1] %}{{ m.content }}{% endfor %}|{% for m in messages[::-1] %}{{ m.role }}{% endfor %}"
              "|{% for c in ['a','b','c','d'][2:0:-1] %}{{ c }}{% endfor %}|{{ 'abc'[-9:2] }}|{{ 'abc'[2:1] }}",
    "tests": "{{ bos_token is defined }}{{ x is defined }}{{ x is undefined }}{{ tools is none }}{{ 'a' is string }}{{ messages is iterable }}"
             "{{ messages[0] is mapping }}{{ 1 is number }}{{ true is boolean }}{{ x is not defined }}{{ tools is not none }}{{ 'a' is sequence }}",
    "in": "{{ 'a' in 'abc' }}{{ 'user' in ['user', 'system'] }}{{ 'role' in messages[0] }}{{ 1 not in [1, 2] }}{{ messages[0].role in ('user', 'x') }}",
    "filters": "{{ '  x ' | trim }}|{{ messages | length }}|{{ 'h\u00e9' | length }}|{{ x | default('d') }}|{{ messages[0].content | tojson }}|{{ 3 | string + '4' }}"
               "|{{ true | tojson }}|{{ none | tojson }}|{{ (messages | last).role }}|{{ (messages | first)['role'] }}|{{ ['p'] | first }}|{{ x | length }}",
    "methods": "{{ ' a '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'a.b.c'.split('.')[1] }}|{{ 'abc'.startswith('ab') }}|{{ 'abc'.endswith('bc') }}|{{ ' a '.lstrip() }}|",
    "raise": "{% if messages[0]['role'] != 'user' %}{{ raise_exception('the first message must be of the user') }}{% endif %}{{ messages[0].content }}",
    "undefined": "{{ x }}{{ messages[0].foo }}{{ messages[99] }}|{{ x ~ 'a' }}|{% for i in x %}{% endfor %}",
    "undefined_item": "{{ messages[99].role }}",
    "undefined_field": "{{ x.y }}",
    "undefined_sum": "{{ 'a' + x }}",
    "mixed_sum": "{{ 'a' + 1 }}",
    "compare": "{{ 1 < 2 }}{{ 'a' >= 'b' }}{{ 'a' == 1 }}{{ 2 <= 2 }}{{ 'a' != 'a' }}{{ none == none }}{{ 1 > 2 }}",
    "print": "{{ 1 }}{{ true }}{{ none }}{{ 'x' }}{{ [1][0] }}{{ -5 }}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
}
CONVERSATIONS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": "  What is 3 + 4?\n\n"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"}, {"role": "user", "content": "\u3000c\u0085"}],
    [{"role": "user", "content": "<|eot_id|> {{ x }} \"q\" \\ \u00e9\n\t\u0001"}, {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}],
    [{"role": "assistant", "content": ""}, {"role": "system", "content": " \n "}],
    [],
    [{"role": "system", "content": "S"}, {"role": "user", "content": "u1"}, {"role": "assistant", "content": "a1"}, {"role": "tool", "content": "t1"},
     {"role": "tool", "content": "t2"}, {"role": "assistant", "content": "a2<think>b</think>c"}, {"role": "system", "content": "late"}, {"role": "user", "content": "u2"}],
    [{"role": "user", "content": "\r\n\u2028 \U0001f600\u200d e\u0301\u00a0\x1c"}, {"role": "assistant", "content": "<|im_end|>\n<|im_start|>user\nx<|role_end|></role>"}],
    [{"role": "user", "content": "one"}, {"role": "user", "content": "<tool_response>two</tool_response>"}, {"role": "user", "content": " three "}],
]


class Generation(jinja2.ext.Extension):
    """The tag of the transformers library; it leaves nothing in the text."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def render(source, messages):
    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation])
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = raise_exception
    try:
        return environment.from_string(source).render(
            messages=messages, tools=None, documents=None, add_generation_prompt=True, bos_token="<|startoftext|>",
            eos_token="<|endoftext|>")
    except (jinja2.exceptions.TemplateError, TypeError):
        return None


def templates():
    with open(os.path.join(NANO, "tokenizer_config.json"), encoding="utf-8") as file:
        nano = json.load(file)["chat_template"]
    sources = {"nano": nano, "llada": LLADA, "chatml": CHATML, "qwen2.5": QWEN25, "llada_moe": LLADA_MOE, "llada2": LLADA2, **FEATURES}
    return {"source": f"jinja2 {jinja2.__version__}", "conversations": CONVERSATIONS, "templates": [
        {"name": name, "template": source, "renderings": [render(source, messages) for messages in CONVERSATIONS]}
        for name, source in sources.items()]}


if __name__ == "__main__":
    with open(os.path.join(HERE, "goldens.json.gz"), "wb") as golden_file:
        golden_file.write(gzip.compress(json.dumps(goldens(), separators=(",", ":")).encode(), mtime=0))
    with open(os.path.join(HERE, "templates.json"), "w", encoding="ascii") as template_file:
        json.dump(templates(), template_file, indent=1)
        template_file.write("\n")
