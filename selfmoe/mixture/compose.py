"""``selfmoe.compose``: experts and a base model in, one model out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from selfmoe.contracts.composer import ComposeContext, Composer
from selfmoe.contracts.errors import CompositionError, DataError, unknown_name
from selfmoe.contracts.fitting import FitConfig
from selfmoe.contracts.lines import plain_record
from selfmoe.contracts.paths import expand
from selfmoe.contracts.records import Example, Expert, LoadedBase, Template
from selfmoe.mixture.forward.kernels import AUTO, check_kernel
from selfmoe.mixture.loading import Room, copied, put_to_use
from selfmoe.mixture.names import check_free
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.sites.compatibility import check_expert
from selfmoe.mixture.storage import reference
from selfmoe.mixture.trainable import Trainable, check_trainable
from selfmoe.models.structure import text_config
from selfmoe.registry.registry import registry


def compose(
    base_model: nn.Module,
    experts: Mapping[str, str | Path],
    *,
    router: str | None = None,
    merge: str | None = None,
    options: Mapping[str, Any] | None = None,
    data: Sequence[Example | Mapping[str, Any]] | None = None,
    tokenizer: Any = None,
    template: Template = "alpaca",
    seed: int = 0,
    in_place: bool = False,
    blocks: str | None = None,
    kernel: str = AUTO,
    check: bool = True,
    trainable: Trainable = None,
    live: int | None = None,
) -> nn.Module:
    """Return one model made of a base model and several LoRA experts.

    With experts beside its weights all of it is frozen, so that a trainer changes nothing but what
    ``trainable`` names. What is merged into the weights is a model like any other, and requires
    gradients where the base does.

    Args:
        base_model: A causal language model of transformers.
        experts: PEFT adapter folders by name, in gate order.
        router: Name of a router; exactly one of ``router`` and ``merge`` is given.
        merge: Name of a merge.
        options: Options of that composer.
        data: What a trainable composer learns from: examples, or rows of an ``examples.jsonl``.
            Without it a router is returned as initialised, with a warning.
        tokenizer: Needed with ``data``.
        template: How the tasks of ``data`` are put to the model: ``alpaca``, ``chat`` (the
            tokenizer's chat template) or ``plain``.
        seed: Decides initialisation, dropped weights and the order of the data.
        blocks: Name of the list of decoder blocks, for models where it cannot be told.
        kernel: How routed layers compute, see ``selfmoe.mixture.forward.kernels``; ``auto`` goes
            by shape.
        check: Read two tokens with a cache and without, and refuse the mixture where they differ:
            the model would lose its past without saying so. Costs three short forwards.
        in_place: Change ``base_model`` instead of a copy; ``model.mixture.detach()`` undoes it.
        trainable: What trainers from outside shall change: ``router``, ``experts``, or both as
            ``("router", "experts")``.
        live: How many experts a routed block keeps in memory; the others stay in their files until
            a token uses them, and cannot be trained. ``None``: all.

    Returns:
        A model with ``generate``; its ``mixture`` records routing and detaches, and
        ``selfmoe.save_mixture`` keeps it.

    Raises:
        CompositionError: If the experts do not fit the model, data is missing, or the check finds
            that this model's cache is not followed.
        DataError: If something in ``data`` is no example, or the tokenizer has no chat template
            that tasks can be put in.
        UnknownNameError: If nobody provides the router or merge, or there is no such kernel,
            template or part to train.
        NotSupportedError: If the composition has no such part to train.
        ConfigError: If an option is unknown or out of range.
    """
    check_kernel(kernel)
    check_trainable(trainable)
    if template not in get_args(Template):
        raise unknown_name("template", template, get_args(Template))
    composer = _composer(router, merge, options or {})
    examples = [_example(row, place) for place, row in enumerate(data or ())]
    _check(base_model, experts, composer, examples, tokenizer)
    known = _fitting(base_model, experts, composer, blocks)
    model = base_model if in_place else copied(base_model)
    work = Room()
    with _frozen(model):
        context = _context(model, known, examples, tokenizer, template, seed, work.path, blocks)
        composition = composer.compose(context)
    mixture = attach(
        model,
        composer,
        composition,
        known,
        blocks=blocks,
        kernel=kernel,
        check=check,
        keep_alive=work,
        live=live,
    )
    put_to_use(mixture, trainable)
    return model


def _composer(router: str | None, merge: str | None, options: Mapping[str, Any]) -> Composer:
    if (router is None) == (merge is None):
        raise CompositionError("give exactly one of router='name' and merge='name'")
    kind: Literal["router", "merge"] = "merge" if router is None else "router"
    composer: Composer = registry().configure(kind, router or merge or "", dict(options))
    return composer


def _example(row: Any, place: int) -> Example:
    """Return an example, or what a row of ``examples.jsonl`` says of one."""
    if isinstance(row, Example):
        return plain_record(row)
    named = fields(Example)
    required = [field.name for field in named if field.default is MISSING]
    whole = isinstance(row, Mapping) and all(isinstance(row.get(key), str) for key in required)
    if not whole or set(row) - {field.name for field in named}:
        raise DataError(
            f"data[{place}] is no example: expected selfmoe.contracts.Example, or a mapping "
            f"with the texts {', '.join(required)} and, if you like, seeds"
        )
    return plain_record(Example.from_json(row))


def _check(
    model: nn.Module,
    experts: Mapping[str, str | Path],
    composer: Composer,
    data: Sequence[Example],
    tokenizer: Any,
) -> None:
    what = f"{composer.kind} '{composer.name}'"
    if not isinstance(experts, Mapping):
        raise CompositionError(
            f"experts must be named, as in experts={{'math': 'adapters/math'}}; got "
            f"{type(experts).__name__}"
        )
    if not experts:
        raise CompositionError("give at least one expert: experts={'name': 'adapter folder'}")
    check_free(model)
    if data and tokenizer is None:
        raise CompositionError("data can only be used with a tokenizer: give tokenizer=…")
    if not data and "data" in composer.needs:
        raise CompositionError(f"{what} needs examples to learn from: give data=… and tokenizer=…")
    if not data and isinstance(composer.options, FitConfig):
        warnings.warn(
            f"{what} was given no data: it is returned as initialised, untrained", stacklevel=3
        )


def _fitting(
    model: nn.Module, paths: Mapping[str, str | Path], composer: Composer, blocks: str | None
) -> dict[str, Expert]:
    """Return experts by name, once all of them have been checked against the model."""
    experts = {name: Expert(name, expand(path)) for name, path in paths.items()}
    for name, expert in experts.items():
        check_expert(name, expert.path, model, routed=composer.kind == "router", blocks=blocks)
    return experts


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Make all parameters constants and switch dropout off; put both back at the end."""
    learned = [p for p in model.parameters() if p.requires_grad]
    training = [m for m in model.modules() if m.training]
    for parameter in learned:
        parameter.requires_grad_(False)
    model.eval()
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
        for module in training:
            module.training = True


def _context(
    model: nn.Module,
    experts: Mapping[str, Expert],
    data: Sequence[Example],
    tokenizer: Any,
    template: Template,
    seed: int,
    work: Path,
    blocks: str | None,
) -> ComposeContext:
    from selfmoe.models.fitting.loop import Fit

    config = text_config(model)
    name = str(getattr(config, "name_or_path", "") or type(model).__name__)
    context = int(getattr(config, "max_position_embeddings", None) or 2**20)
    base = LoadedBase(name, model, tokenizer, "", context, blocks, template)
    trainers = registry().defaults("trainer")
    trainer = registry().configure("trainer", trainers[0], {}) if trainers else None
    return ComposeContext(base, experts, data, trainer, Fit(), seed, work, reference)
