"""Run by an interpreter without selfmoe: does a folder answer as the system it was made of?

`PYTHON proof.py FOLDER` prints one JSON object a line, for each exported mixture in the folder.
Only torch, safetensors and transformers are imported. The other side, which writes what is
expected, runs the same functions.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

EXPECTED = "expected.safetensors"
NEW_TOKENS, BATCH, BEAMS, BEAM_PROMPTS, LOGIT_PROMPTS = 16, 20, 3, 20, 20


def rows(prompts: Tensor, lengths: Tensor) -> list[Tensor]:
    """Return prompts of shape ``(n, longest)`` without what fills them."""
    return [row[:size] for row, size in zip(prompts, lengths.tolist(), strict=True)]


def padded(some: list[Tensor], pad: int) -> tuple[Tensor, Tensor]:
    """Return prompts padded on the left, and their mask."""
    longest = max(map(len, some))
    ids = torch.full((len(some), longest), pad)
    for place, row in enumerate(some):
        ids[place, longest - len(row) :] = row
    mask = torch.stack([(torch.arange(longest) >= longest - len(row)).long() for row in some])
    return ids, mask


@torch.no_grad()
def answered(model: Any, prompts: list[Tensor], pad: int) -> dict[str, Tensor]:
    """Return logits and continuations of a model, in every way that it can be asked."""
    some = prompts[:LOGIT_PROMPTS]
    alone = [model(input_ids=row[None], use_cache=False).logits[0].float() for row in some]
    ids, mask = padded(some, pad)
    beside = model(input_ids=ids, attention_mask=mask).logits.float()
    in_rows = [beside[i, -len(row) :] for i, row in enumerate(some)]
    cached = [_token_by_token(model, row) for row in some[:4]]
    batches = [prompts[i : i + BATCH] for i in range(0, len(prompts), BATCH)]
    greedy, gaps = zip(*(_continued(model, batch, pad, 1) for batch in batches), strict=True)
    return {
        "logits": torch.cat(alone),
        "left_padded": torch.cat(in_rows),
        "cached": torch.cat(cached),
        "greedy": torch.cat(greedy),
        "gaps": torch.cat(gaps),
        "beams": _continued(model, prompts[:BEAM_PROMPTS], pad, BEAMS)[0],
    }


def _token_by_token(model: Any, row: Tensor) -> Tensor:
    """Return the logits of a prompt that is read a token at a time, with a cache."""
    from transformers.cache_utils import Cache, DynamicCache

    names = inspect.signature(model.forward).parameters
    name = next(name for name in ("cache", "past_key_values") if name in names)
    cache: Cache = DynamicCache(config=model.config)
    steps = [
        model(input_ids=token[None, None], use_cache=True, **{name: cache}).logits[0].float()
        for token in row
    ]
    return torch.cat(steps)


def _continued(model: Any, some: list[Tensor], pad: int, beams: int) -> tuple[Tensor, Tensor]:
    """Return the tokens that follow, and how far before the second the best logit is, relatively.

    The latter is known of greedy search alone.
    """
    ids, mask = padded(some, pad)
    found = model.generate(
        input_ids=ids,
        attention_mask=mask,
        do_sample=False,
        num_beams=beams,
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        pad_token_id=pad,
        return_dict_in_generate=True,
        output_logits=True,
    )
    logits = torch.stack(found.logits, 1).float()
    best = logits.topk(2, -1).values
    gaps = (best[..., 0] - best[..., 1]) / logits.abs().amax(-1)
    return found.sequences[:, ids.shape[1] :].contiguous(), gaps


def compared(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Any]:
    """Return relative differences of logits, and how many rows of tokens are equal.

    Where a row of greedy search is not, how near to each other the two best logits were there.
    """
    told: dict[str, Any] = {}
    for name in ("logits", "left_padded", "cached"):
        a, b = found[name], expected[name]
        told[name] = float((a - b).abs().max() / b.abs().max())
    for name in ("greedy", "beams"):
        equal = (found[name] == expected[name]).all(-1)
        told[name] = [int(equal.sum()), len(equal)]
    other = found["greedy"] != expected["greedy"]
    rows = other.any(-1).nonzero().flatten()
    told["gaps_where_not"] = expected["gaps"][rows, other[rows].int().argmax(-1)].tolist()
    return told


def proven(folder: Path) -> dict[str, Any]:
    """Return what there is to say of one exported mixture."""
    import transformers

    began = time.monotonic()
    kept = load_file(folder / EXPECTED)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder / "model", trust_remote_code=True, dtype=torch.float32
    )
    found = answered(model.eval(), rows(kept["prompts"], kept["lengths"]), int(kept["pad"]))
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    kinds = [kind.__name__ for kind in type(model).__mro__[:2]]
    seconds = round(time.monotonic() - began, 1)
    told = {"name": folder.name, **versions, "class": kinds, **compared(found, kept)}
    return {**told, "seconds": seconds}


if __name__ == "__main__":
    if importlib.util.find_spec("selfmoe") is not None:
        raise SystemExit("selfmoe can be imported here; the proof wants an environment without it")
    for place in sorted(Path(sys.argv[1]).iterdir()):
        print(json.dumps(proven(place)), flush=True)
