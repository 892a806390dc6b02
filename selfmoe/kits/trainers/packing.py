"""Training several LoRA adapters in one pass over one base: each row goes through its own.

A batch mixes rows of several adapters. What is large, the products with the base's weights, is
computed for all rows at once; what is small, those with A and B, for the rows of each adapter. How
an adapter begins and is saved is left to PEFT, one at a time, as where it is trained by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.fitting import Batch, FitOne
from selfmoe.contracts.randomness import derive
from selfmoe.contracts.records import LoadedBase
from selfmoe.contracts.trainer import TrainContext
from selfmoe.kits.trainers.adapters import save_adapter
from selfmoe.kits.trainers.lean import Share, lora_product
from selfmoe.kits.trainers.lora import label_of, new_adapter, report_of
from selfmoe.kits.trainers.options import LoraOptions
from selfmoe.models.fitting.beginnings import drops
from selfmoe.models.fitting.reading import LossOfEachDomain

_TRIAL_TOKENS = 11


class Factors(NamedTuple):
    """What an adapter adds to one linear: ``scale b a``.

    Attributes:
        a: Shape ``(rank, in)``.
        b: Shape ``(out, rank)``.
        scale: The scale.
    """

    a: nn.Parameter
    b: nn.Parameter
    scale: float


Adapter = Mapping[str, Factors]
"""An adapter by the names of the base's linears."""


def why_alone(options: LoraOptions, base: LoadedBase) -> str | None:
    """Return why an adapter cannot be trained beside others; ``None`` if it can.

    What is left out at random is drawn for a whole batch, so it would differ.
    """
    if options.dropout > 0:
        return "its dropout would leave out other things"
    model: Any = base.model
    model.train()
    try:
        return "the base leaves things out at random" if drops(model) else None
    finally:
        model.eval()


def train_loras(
    experts: Mapping[str, tuple[LoraOptions, TrainContext]],
) -> dict[str, Mapping[str, Any]]:
    """Train adapters in one pass, each left in the ``out`` of its context; return the reports.

    Args:
        experts: Options and context of each, by name. Base, ``fit`` and ``work`` of the first
            are those of all.

    Returns:
        What ``train_lora`` does, by name; without those whose loss became no finite number.

    Raises:
        StageError: If they cannot be trained this way on this base.
    """
    _, first = next(iter(experts.values()))
    adapters = {name: _begun(*expert) for name, expert in experts.items()}
    fits = {
        name: FitOne(
            _parameters(adapters[name]), ctx.data, options, derive(ctx.seed, "fit"), label_of(ctx)
        )
        for name, (options, ctx) in experts.items()
    }
    with _packed(first.base, adapters) as run:
        _try(run, first.base, list(experts))
        forward = LossOfEachDomain(first.base.model, first.base.blocks, run, each=True)
        fitted = first.fit.together(fits, first.base, forward, work=first.work)
    for name in fitted:
        _save(adapters[name], *experts[name])
    return {name: report_of(fitted[name], fits[name].parameters.values()) for name in fitted}


def _begun(options: LoraOptions, ctx: TrainContext) -> Adapter:
    """Return an adapter as PEFT begins it."""
    with new_adapter(options, ctx) as model:
        return {
            name: Factors(_copy(weights.a), _copy(weights.b), weights.scale)
            for name, weights in _layers(model)
        }


def _copy(parameter: nn.Parameter) -> nn.Parameter:
    return nn.Parameter(parameter.detach().clone())


def _layers(model: Any) -> Iterator[tuple[str, Factors]]:
    """Yield the LoRA layers of PEFT's model by the names of their linears."""
    learns = {id(p) for p in model.parameters() if p.requires_grad}
    for name, layer in model.get_base_model().named_modules():
        if isinstance(layer, Linear) and not layer.lora_variant:
            (adapter,) = layer.active_adapters
            a, b = layer.lora_A[adapter], layer.lora_B[adapter]
            learns -= {id(a.weight), id(b.weight)}
            yield name, Factors(a.weight, b.weight, layer.scaling[adapter])
    if learns:
        raise StageError("the base has layers whose adapters are more than two products")


def _parameters(adapter: Adapter) -> dict[str, nn.Parameter]:
    """Return what learns, by name, in the order that PEFT has it in."""
    return {
        f"{name}.{which}": parameter
        for name, factors in adapter.items()
        for which, parameter in (("lora_A", factors.a), ("lora_B", factors.b))
    }


def _save(adapter: Adapter, options: LoraOptions, ctx: TrainContext) -> None:
    with new_adapter(options, ctx) as model:
        for name, factors in _layers(model):
            factors.a.data.copy_(adapter[name].a.data)
            factors.b.data.copy_(adapter[name].b.data)
        save_adapter(model, ctx.out, ctx.base)


# --- the base with all of them on it --------------------------------------------------------------


class _Run:
    """Runs the base on batches, each row with the adapter that its domain names.

    Args:
        model: The base.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.rows = 0
        self.turns: list[tuple[str, slice]] = []

    def __call__(self, batch: Batch, **options: Any) -> Any:
        """Return the model's output, given further arguments of its forward by name."""
        self.rows, self.turns = len(batch.domains), list(_turns(batch.domains))
        return self._model(
            input_ids=batch.input_ids, attention_mask=batch.attention_mask, **options
        )


def _turns(domains: Sequence[str]) -> Iterator[tuple[str, slice]]:
    """Yield which rows lie beside each other that have one adapter."""
    start = 0
    for name, rows in groupby(domains):
        end = start + len(list(rows))
        yield name, slice(start, end)
        start = end


@contextmanager
def _packed(base: LoadedBase, adapters: Mapping[str, Adapter]) -> Iterator[_Run]:
    """Put all adapters on a base, in training mode; they are taken off in the end."""
    model: Any = base.model
    run = _Run(model)
    names = dict.fromkeys(name for adapter in adapters.values() for name in adapter)
    linears = {name: model.get_submodule(name) for name in names}
    before = {name: vars(linear).get("forward") for name, linear in linears.items()}
    for name, linear in linears.items():
        own = {expert: adapter[name] for expert, adapter in adapters.items() if name in adapter}
        linear.__dict__["forward"] = _Packed(linear, own, run)
    model.train()
    try:
        yield run
    finally:
        model.eval()
        for name, linear in linears.items():
            del linear.__dict__["forward"]
            if before[name] is not None:
                linear.__dict__["forward"] = before[name]


class _Packed:
    """The forward of one linear.

    Args:
        linear: The linear.
        adapters: What each adapter adds to it.
        run: Knows whose turn it is.
    """

    def __init__(self, linear: Any, adapters: Mapping[str, Factors], run: _Run) -> None:
        self._linear, self._adapters, self._run = linear, adapters, run
        self._plain = linear.forward
        weights = [linear.weight, *(f for own in adapters.values() for f in own[:2])]
        alike = len({weight.dtype for weight in weights}) == 1
        self._lean = type(linear) is nn.Linear and alike

    def __call__(self, x: Tensor) -> Tensor:
        """Return the output, shape ``(rows, time, out)``, for x of shape ``(rows, time, in)``.

        Raises:
            StageError: If x has not a row for each of the batch.
        """
        if x.dim() != 3 or len(x) != self._run.rows:
            raise StageError("the base has layers that do not keep the rows of a batch apart")
        shares = [
            Share(rows, *self._adapters[name])
            for name, rows in self._run.turns
            if name in self._adapters
        ]
        weight, bias = self._linear.weight, getattr(self._linear, "bias", None)
        if self._lean and x.dtype == weight.dtype and not torch.is_autocast_enabled(x.device.type):
            return lora_product(x, weight, bias, shares)
        return _summed(self._plain(x), x, shares)


def _summed(out: Tensor, x: Tensor, shares: Sequence[Share]) -> Tensor:
    """Return what a linear gives with what adapters add, in the adapters' precision, as PEFT."""
    parts, end = [], 0
    for rows, a, b, scale in shares:
        parts.append(out[end : rows.start])
        added = nn.functional.linear(nn.functional.linear(x[rows].to(a.dtype), a), b) * scale
        parts.append((out[rows] + added).to(out.dtype))
        end = rows.stop
    return torch.cat([*parts, out[end:]])


def _try(run: _Run, base: LoadedBase, names: Sequence[str]) -> None:
    """Refuse a base on which rows cannot have adapters of their own.

    Raises:
        StageError: If it is one.
    """
    model: Any = base.model
    shape = (len(names), _TRIAL_TOKENS + len(names))
    ids = torch.zeros(shape, dtype=torch.long, device=model.device)
    none = torch.zeros_like(ids, dtype=torch.bool)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        run(Batch(ids, torch.ones_like(ids), ids, none, tuple(names)), use_cache=False)
