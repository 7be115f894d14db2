"""What the published samplers make of the tiny checkpoints of make_goldens.py, step by step, at
temperature 0, in float32 on PyTorch.

    VENV/bin/python tests/golden/make_trajectories.py      (the VENV of make_goldens.py)

writes trajectories.json.gz into the folders of tests/golden/families/. The samplers below are
written from ML-GSAI/LLaDA generate.py's and DreamLM/Dream generation_utils.py's rules. A run in
which two candidates for the last commit of a step are closer than float32 can tell is refused: then
another prompt is taken.
"""

import gzip
import json
import os

import torch
from safetensors.torch import load_file

from make_goldens import HERE, MODELS

MASK, END = 149, 148
LEAST_GAP = 1e-5


class TooClose(Exception):
    pass


def surest(confidence, count):
    """The positions of the `count` largest; ties are not resolved but refused."""
    order = torch.argsort(confidence, descending=True, stable=True)
    if 0 < count < len(order) and torch.isfinite(confidence[order[count]]):
        if confidence[order[count - 1]] - confidence[order[count]] < LEAST_GAP:
            raise TooClose
    return order[:count]


def llada(logits_of, ids, canvas, steps, block_length, cfg_scale=0.0, logits_eos_inf=False,
          confidence_eos_eot_inf=False):
    given = ids != MASK
    per_block = steps // (len(canvas) // block_length)
    for first in range(0, len(canvas), block_length):
        end = canvas[first + block_length - 1] + 1
        masked_at_start = int((ids[:end] == MASK).sum())
        for step in range(per_block):
            logits = logits_of(ids)
            if cfg_scale > 0:
                blind = torch.where(given, torch.tensor(MASK), ids)
                without = logits_of(blind)
                logits = without + (cfg_scale + 1) * (logits - without)
            if logits_eos_inf:
                logits[:, END] = -torch.inf
            best = torch.argmax(logits, dim=-1)
            if confidence_eos_eot_inf:
                logits[:, END] = -torch.inf
            shares = torch.softmax(logits, dim=-1)
            confidence = shares.gather(1, best[:, None])[:, 0]
            confidence = torch.where(ids == MASK, confidence, -torch.inf)
            confidence[end:] = -torch.inf
            count = masked_at_start // per_block + (step < masked_at_start % per_block)
            chosen = surest(confidence, count)
            ids = ids.clone()
            ids[chosen] = best[chosen]
            yield ids


def dream(logits_of, ids, canvas, steps, algorithm, top_p=None, top_k=None):
    times = torch.linspace(1, 1e-3, steps + 1)
    for step in range(steps):
        places = torch.nonzero(ids == MASK)[:, 0]
        logits = logits_of(ids)[places]
        if top_p is not None and top_p < 1:
            values, order = torch.sort(logits, descending=True, dim=-1)
            covered = torch.cumsum(torch.softmax(values, dim=-1), dim=-1)
            drop = covered > top_p
            drop = torch.cat((torch.zeros_like(drop[:, :1]), drop[:, :-1]), dim=-1)
            dropped = torch.zeros_like(drop).scatter(1, order, drop)
            logits = logits.masked_fill(dropped, torch.finfo(logits.dtype).min)
        if top_k is not None:
            least = torch.topk(logits, min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
            logits = logits.masked_fill(logits < least, torch.finfo(logits.dtype).min)
        shares = torch.softmax(logits, dim=-1)
        confidence, best = shares.max(dim=-1)
        if algorithm == "topk_margin":
            two = torch.topk(shares, 2, dim=-1).values
            confidence = two[:, 0] - two[:, 1]
        elif algorithm == "entropy":
            confidence = (shares * torch.log(shares + 1e-10)).sum(-1)
        share = 1 - times[step + 1] / times[step] if step < steps - 1 else torch.tensor(1.0)
        count = int(torch.tensor(float(len(places))) * share)
        chosen = surest(confidence, count)
        ids = ids.clone()
        ids[places[chosen]] = best[chosen]
        yield ids


# Options of the engine's request, by their names there.
RUNS = [
    {"rule": "low_confidence", "steps": 12, "block_length": 12},
    {"rule": "low_confidence", "steps": 16, "block_length": 6},
    {"rule": "low_confidence", "steps": 8, "block_length": 12, "cfg_scale": 1.5},
    {"rule": "low_confidence", "steps": 12, "block_length": 24, "logits_eos_inf": True},
    {"rule": "low_confidence", "steps": 12, "block_length": 24, "confidence_eos_eot_inf": True},
    {"rule": "maskgit_plus", "steps": 24},
    {"rule": "topk_margin", "steps": 10},
    {"rule": "entropy", "steps": 24},
    {"rule": "maskgit_plus", "steps": 12, "top_p": 0.6},
    {"rule": "topk_margin", "steps": 12, "top_k": 5},
    {"rule": "entropy", "steps": 7, "top_p": 0.8, "top_k": 9},
]


def run(logits_of, options, ids, canvas):
    options = dict(options)
    rule = options.pop("rule")
    if rule == "low_confidence":
        return list(llada(logits_of, ids, canvas, **options))
    return list(dream(logits_of, ids, canvas, algorithm=rule, **options))


def matters(logits_of, options, ids, canvas, states):
    """Whether the options about end tokens change anything in this run."""
    plain = {key: value for key, value in options.items() if not key.endswith("_inf")}
    return plain == options or any(
        not torch.equal(a, b) for a, b in zip(states, run(logits_of, plain, ids, canvas)))


def main():
    torch.set_num_threads(1)
    for name in ("llada-grouped", "dream", "llada-moe"):
        config, _, reference, _ = MODELS[name]
        folder = os.path.join(HERE, name)
        weights = {}
        for file in os.listdir(folder):
            if file.endswith(".safetensors"):
                weights |= {key: value.float() for key, value in
                            load_file(os.path.join(folder, file)).items()}
        shifts = config["model_type"] == "Dream"

        def logits_of(ids, config=config, reference=reference, weights=weights, shifts=shifts):
            logits = reference(config, weights, ids)
            return torch.cat((logits[:1], logits[:-1])) if shifts else logits
        golden = []
        for number, options in enumerate(RUNS):
            for attempt in range(100):
                torch.manual_seed(1000 * number + attempt)
                prompt = torch.randint(0, 148, (20,))
                ids = torch.cat((prompt, torch.full((24,), MASK)))
                canvas = list(range(20, 44))
                try:
                    states = run(logits_of, options, ids, canvas)
                    if not matters(logits_of, options, ids, canvas, states):
                        continue
                except TooClose:
                    continue
                golden.append({**options, "ids": ids.tolist(), "canvas": canvas,
                               "canvases": [state[20:].tolist() for state in states]})
                break
            else:
                raise SystemExit(f"{name}: no prompt without near-ties for {options}")
        text = json.dumps({"torch": torch.__version__, "runs": golden})
        with gzip.GzipFile(os.path.join(folder, "trajectories.json.gz"), "wb", mtime=0) as file:
            file.write(text.encode())
        ends = sum(run["canvases"][-1].count(END) for run in golden)
        print(name, len(golden), "runs,", ends, "end tokens")


if __name__ == "__main__":
    main()
