"""What other hands find of a routed model: the table of the page, and of the tests that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from _generate.markdown import table

ROUTERS = (
    "topk",
    "topp",
    "arrow",
    "phatgoose",
    "ridge",
    "uniform",
    "random",
    "oracle",
    "joint",
    "xlora",
    "sequence",
    "retrieval",
)
HANDS: Mapping[str, str] = {
    "generate_batch": "continuous batching by `generate_batch`",
    "paged cache": "continuous batching by `init_continuous_batching`, with a paged cache",
    "assisted decoding": "`assistant_model=`",
    "prompt lookup": "`prompt_lookup_num_tokens=`",
    "chunked prefill": "`prefill_chunk_size=`",
    "beams": "`num_beams=`, each row as alone and as without a cache",
    "no cache": "`use_cache=False`",
    "static cache": '`cache_implementation="static"`',
    "left padding": "a batch of prompts of unequal length",
    "pipeline": '`pipeline("text-generation", …)`',
    "compile": "`torch.compile`, by the backends `eager` and, for `topk`, `inductor`",
    "autocast": "`torch.autocast`, up to rounding",
    "half": "`.half()` and `.bfloat16()`, up to rounding",
    "deepcopy": "`copy.deepcopy`; detaching the copy leaves the original alone",
    "pickle": "`torch.save` of the whole model; what is loaded detaches, too",
    "state_dict": "`state_dict` and `load_state_dict`",
    "threads": "forwards in several threads",
    "save_mixture": "`selfmoe.save_mixture` and `load_mixture`, bit for bit",
    "save_pretrained": "`save_pretrained` and `push_to_hub`",
    "Trainer, router": 'transformers\' `Trainer`, `trainable="router"`',
    "Trainer, experts": 'transformers\' `Trainer`, `trainable="experts"`',
    "SFTTrainer": "TRL's `SFTTrainer` on prompts and completions, whatever can be trained",
}
"""What is done, by what it is called."""


class Refusal(NamedTuple):
    """Why something is refused.

    Attributes:
        says: What the error contains.
        why: The property of the router that forbids it.
    """

    says: str
    why: str


_PAGES = {
    "oracle": Refusal(
        "is told the domain of each row",
        "is told the domain of rows; those of continuous batching come and go",
    ),
    "xlora": Refusal(
        "keeps a cache of the base alone",
        "keeps a second cache, of the base alone, and the pages of continuous batching hold one",
    ),
    "sequence": Refusal(
        "keeps its decision on each prompt",
        "keeps its decision on a prompt with the cache; rows of continuous batching come and go",
    ),
    "retrieval": Refusal(
        "keeps the experts it retrieved for each prompt",
        "keeps what it retrieved for a prompt with the cache; rows of continuous batching come "
        "and go",
    ),
}
_WHOLE = Refusal(
    "weighs its experts while the model runs",
    "weighs its experts while the model runs; a plain model has no place for them. Use "
    "`selfmoe.save_mixture`",
)
_FIXED = Refusal("has no parameters", "has nothing that could be trained: it computes, or is told")
_TOLD = Refusal("is told the domain of each row", "is told the domain of rows; trainers say none")
_PROMPT = Refusal("decides from the whole prompt", "decides from the whole prompt at once")
REFUSED: Mapping[str, Mapping[str, Refusal]] = {
    "generate_batch": _PAGES,
    "paged cache": _PAGES,
    "chunked prefill": dict.fromkeys(("sequence", "retrieval"), _PROMPT),
    "save_pretrained": dict.fromkeys(ROUTERS, _WHOLE),
    "Trainer, router": dict.fromkeys(
        ("arrow", "phatgoose", "uniform", "random", "oracle", "retrieval"), _FIXED
    ),
    "Trainer, experts": {"oracle": _TOLD},
    "SFTTrainer": {"oracle": _TOLD},
}
"""What is refused, by what is done and by router; all else gives what plain ``generate`` gives."""


def overview() -> str:
    """Return the table and, below it, why what is refused is refused."""
    notes: list[str] = []
    rows = []
    for hand, how in HANDS.items():
        cells = [_cell(REFUSED.get(hand, {}).get(router), router, notes) for router in ROUTERS]
        rows.append((how, *cells))
    reasons = "".join(f"{number}. {why}\n" for number, why in enumerate(notes, 1))
    head = ("", *(f"`{router}`" for router in ROUTERS))
    return f"{table(head, rows)}\nRefused, because the router\n\n{reasons}"


def _cell(refusal: Refusal | None, router: str, notes: list[str]) -> str:
    if refusal is None:
        return "✓"
    if refusal.why not in notes:
        notes.append(refusal.why)
    return f"no ({notes.index(refusal.why) + 1})"
