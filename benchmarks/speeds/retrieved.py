"""A mixture of very many experts, few of them in memory: written once, attached from its folder."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.records import Example, Expert, LoadedBase
from selfmoe.mixture.adapters import factors_of, write_factors
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import read_composition, reference, write_composition
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.models import tiny_tokenizer
from selfmoe_router_retrieval import Retrieval

if TYPE_CHECKING:
    from speeds.systems import Setting

HASH = "many"
EXAMPLES = 2
"""Examples of each expert that its centroids are the means of."""


def attached(model: Any, setting: Setting) -> Any:
    """Return a base with the stored mixture on it, ``setting.live`` experts of it in memory."""
    made = read_composition(stored(model, setting), base_hash=HASH)
    composer = Retrieval(Retrieval.Config(m=setting.retrieved))
    made = replace(made, options=composer.options.model_dump(mode="json"))
    experts = {ref.name: Expert(ref.name, Path(ref.path)) for ref in made.experts}
    attach(model, composer, made, experts, kernel=setting.kernel, live=setting.live)
    return model


def joined(model: Any, setting: Setting) -> dict[str, float]:
    """Return the seconds in which the last expert joins all others, and of these the checking."""
    composer, experts = Retrieval(), written(model, setting)
    made = read_composition(stored(model, setting), base_hash=HASH)
    (*_, last), work = experts, setting.folder / "joining"
    before = replace(
        made,
        experts=made.experts[:-1],
        tensors={name: tensor[:-1] for name, tensor in made.tensors.items()},
    )
    known = context(model, work, experts)
    alone = known._replace(data=[example for example in known.data if example.domain == last])
    start = time.perf_counter()
    after = composer.extend(before, alone)
    whole = time.perf_counter() - start
    if not all(torch.equal(after.tensors[name], made.tensors[name]) for name in made.tensors):
        raise RuntimeError("an expert that joined is not what it is among all at once")
    start = time.perf_counter()
    for expert in experts.values():
        reference(expert)
    return {"whole": round(whole, 2), "checked": round(time.perf_counter() - start, 2)}


def stored(model: Any, setting: Setting) -> Path:
    """Return the folder of the composition; it is made when it is first asked for."""
    folder = setting.folder / setting.shape / f"retrieval-{setting.n}"
    if not folder.exists():
        made = Retrieval().compose(context(model, folder, written(model, setting)))
        write_composition(made, folder, base_hash=HASH)
    return folder


def context(model: Any, work: Path, experts: dict[str, Expert]) -> ComposeContext:
    """Return what the router is composed in: some examples for each of the experts."""
    base = LoadedBase("random", model, tiny_tokenizer(), HASH, 4096, template="plain")
    data = [example for name in experts for example in examples(name)]
    return ComposeContext(base, experts, data, None, Fit(), 0, work, reference)


def examples(name: str) -> list[Example]:
    """Return random examples of an expert, others for each name."""
    number = int(name[1:])
    generator = torch.Generator().manual_seed(number)
    texts = torch.randint(97, 123, (EXAMPLES, 2, 24), generator=generator)
    words = [["".join(map(chr, text)) for text in pair] for pair in texts.tolist()]
    return [Example(f"{i}", name, task, "", answer) for i, (task, answer) in enumerate(words)]


def written(model: Any, setting: Setting) -> dict[str, Expert]:
    """Return the experts: the first by PEFT, the others random numbers of its shapes."""
    from speeds.systems import experts

    (first,) = experts(setting._replace(n=1)).values()
    like = factors_of(Expert("first", first))
    made = {"e0": Expert("e0", first)}
    for number in range(1, setting.n):
        path = first.parent / f"quick-{number}"
        generator = torch.Generator().manual_seed(number)
        if not path.exists():
            random = {
                site: part._replace(
                    a=torch.randn(part.a.shape, generator=generator) * 0.02,
                    b=torch.randn(part.b.shape, generator=generator) * 0.02,
                )
                for site, part in like.items()
            }
            write_factors(path, random, like=first)
        made[f"e{number}"] = Expert(f"e{number}", path)
    return made
