"""What the templates of each kind of plugin have, in words for its README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from selfmoe.registry.inspection import Kind


class Words(NamedTuple):
    """What is said of a kind of plugin.

    Attributes:
        contract: Its class in ``selfmoe.testing``.
        fixture: The fixture of that class to override.
        use: The command of a run that it takes part in, with ``{name}``.
        about: What the written plugin does, and where to go on.
        files: What each file of the package is.
    """

    contract: str
    fixture: str
    use: str
    about: str
    files: Mapping[str, str]


KINDS: Mapping[Kind, Words] = {
    "base": Words(
        "BaseContract",
        "base",
        "selfmoe run --base {name}",
        "`weights` is a copy to start from, with the licence of what it was copied from. Put your "
        "own model and tokenizer there, as `save_pretrained` writes them, in safetensors; or let "
        "`path` return another folder. `settings` holds what it recommends to a run.",
        {"__init__.py": "the base, and the hook", "weights/": "the model and its tokenizer"},
    ),
    "domain": Words(
        "DomainContract",
        "domain",
        "selfmoe run --domains {name}",
        "It has two families of procedural problems to start from. Write yours, or take seeds and "
        "items from files: `seeds` and `benchmarks` of `selfmoe.contracts.Domain`.",
        {"__init__.py": "the domain, and the hook", "families.py": "the problems"},
    ),
    "trainer": Words(
        "TrainerContract",
        "trainer",
        "selfmoe run --set specialise.trainer={name}",
        "It trains LoRA adapters of which only B learns. `ctx.fit` does the fitting, so that a run "
        "that is stopped goes on with the same bits.",
        {"__init__.py": "the trainer, its options, and the hook", "training.py": "the training"},
    ),
    "router": Words(
        "ComposerContract",
        "composer",
        "selfmoe run --set compose.mine.router={name}",
        "It gives every expert a share in every token, by a linear map that is learned. The gate "
        "is the place for your idea; `LearnedRouter` trains whatever parameters it has.",
        {"__init__.py": "the router, its options, and the hook", "gate.py": "the gate"},
    ),
    "merge": Words(
        "ComposerContract",
        "composer",
        "selfmoe run --set compose.mine.merge={name}",
        "It adds the experts' weight deltas up, each with a weight. `merge` gets the deltas of one "
        "layer at a time and is the place for your idea.",
        {"__init__.py": "the merge, its options, and the hook"},
    ),
}
"""Kind -> what is said of it."""
