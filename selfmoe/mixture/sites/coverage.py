"""What experts can change of a base: the linears that a router can weigh, and their share of it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from torch import nn
from torch.nn.modules.conv import _ConvNd

from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import LoadedBase
from selfmoe.mixture.sites.tokenwise import ASIDE, HARMLESS, OUTSIDE, examine
from selfmoe.models.structure import Decoder, find_decoder, linears, widths

CHOOSES = "chooses among the base's own experts"
_SMALL = 0.005
"""Share of the blocks' weights below which what is no linear is not worth a word."""


@dataclass(frozen=True)
class Coverage:
    """What there is to adapt in a base.

    Attributes:
        path: Name of the list of decoder blocks.
        reasons: For every linear of the model, why no router can weigh experts in it, or ``None``.
        choosers: Linears that can be weighed, but choose among experts that the base itself has.
        sizes: Number of weights of each matrix within the blocks, linears or not.
    """

    path: str
    reasons: Mapping[str, str | None]
    choosers: frozenset[str] = frozenset()
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def routed(self) -> tuple[str, ...]:
        """Return the linears that experts are trained on unless others are named."""
        return tuple(
            name
            for name, reason in self.reasons.items()
            if reason is None and name not in self.choosers
        )

    def share(self, names: Iterable[str]) -> float:
        """Return which share of the blocks' weights some linears hold, in 0..1."""
        return sum(self.sizes.get(name, 0) for name in names) / max(1, sum(self.sizes.values()))

    def kind(self, name: str) -> str:
        """Return what a module is called within its block: ``self_attn.q_proj``."""
        inside = name.removeprefix(f"{self.path}.")
        return re.sub(r"\.\d+(?=\.|$)", ".*", inside.partition(".")[2] if inside != name else name)

    def kinds(self, names: Iterable[str]) -> list[str]:
        """Return how modules are called within their blocks, each once, in order."""
        return list(dict.fromkeys(map(self.kind, names)))


_KNOWN: WeakKeyDictionary[nn.Module, Coverage] = WeakKeyDictionary()


def coverage_of(base: LoadedBase) -> Coverage:
    """Return what there is to adapt in a base; it is examined once.

    Raises:
        CompositionError: If it cannot be told where its decoder blocks are.
    """
    if base.model not in _KNOWN:
        decoder = find_decoder(base.model, base.blocks)
        reasons = examine(base.model, decoder, training=True)
        choosers = frozenset(_choosers(decoder))
        _KNOWN[base.model] = Coverage(decoder.path, reasons, choosers, _sizes(decoder))
    return _KNOWN[base.model]


def refuse_unweighable(
    model: nn.Module, decoder: Decoder, changed: Mapping[str, Sequence[str]]
) -> None:
    """Refuse experts that a router could not weigh somewhere.

    Args:
        model: The model they are for.
        decoder: Where its blocks are.
        changed: The linears they change, and who does.

    Raises:
        CompositionError: Names the first such linear, its experts and the reason.
    """
    reasons = examine(model, decoder)
    for site, experts in changed.items():
        inside = site.startswith(f"{decoder.path}.")  # what is no linear there, surgery refuses
        reason = reasons.get(site, None if inside else OUTSIDE)
        if reason is None or reason in HARMLESS:
            continue
        where = f"{OUTSIDE} ({decoder.path})" if reason in (OUTSIDE, ASIDE) else reason
        raise CompositionError(
            f"expert {', '.join(experts)} changes {site}, which {where}; a router cannot weigh it\n"
            "  Train the expert without that linear, or merge the experts instead."
        )


def described(coverage: Coverage, names: Collection[str]) -> Iterator[str]:
    """Yield in a few lines what experts are trained on, and what is left out and why."""
    yield (
        f"Experts: LoRA on {', '.join(coverage.kinds(names))}: {_percent(coverage.share(names))} "
        "of the weights of the decoder blocks"
    )
    others = {n: size for n, size in coverage.sizes.items() if n not in coverage.reasons}
    if (rest := coverage.share(others)) > _SMALL:
        yield f"  not on {', '.join(coverage.kinds(others))}: no linears, {_percent(rest)}"
    for reason, left_out in _by_reason(coverage, names).items():
        yield f"  not on {', '.join(left_out)}: {reason}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _by_reason(coverage: Coverage, names: Collection[str]) -> dict[str, list[str]]:
    trained = coverage.kinds(names)
    found: dict[str, list[str]] = {}
    for name, reason in coverage.reasons.items():
        why = reason or (CHOOSES if name in coverage.choosers else "not asked for")
        kind = coverage.kind(name)
        if name not in names and reason not in (OUTSIDE, ASIDE):
            found.setdefault(why, []).append(f"{kind} of some" if kind in trained else kind)
    return {why: list(dict.fromkeys(kinds)) for why, kinds in found.items()}


def _sizes(decoder: Decoder) -> dict[str, int]:
    """Return the number of weights of each matrix in the blocks, by its module where it is one."""
    sizes: dict[str, int] = {}
    for name, parameter in decoder.blocks.named_parameters():
        module, _, own = name.rpartition(".")
        path = f"{decoder.path}.{module if own == 'weight' else name}"
        if parameter.dim() > 1:
            sizes[path] = parameter.numel()
    known = linears(decoder.blocks)  # those that are quantised have other shapes than they act with
    return sizes | {f"{decoder.path}.{n}": math.prod(widths(layer)) for n, layer in known.items()}


def _choosers(decoder: Decoder) -> Iterator[str]:
    """Yield the linears that give one number for each expert that lies beside them."""
    for name, linear in linears(decoder.blocks).items():
        parts = name.split(".")
        beside = (
            decoder.blocks.get_submodule(".".join(parts[:end])) for end in range(1, len(parts))
        )
        if any(_holds_experts(module, widths(linear)[1]) for module in beside):
            yield f"{decoder.path}.{name}"


def _holds_experts(module: nn.Module, number: int) -> bool:
    """Return whether a module has so many experts: stacked weights, or a list of modules."""
    return number > 1 and any(
        (isinstance(part, nn.ModuleList) and len(part) == number)
        or any(_stacked(part, weight.shape, number) for weight in part.parameters(recurse=False))
        for part in module.modules()
    )


def _stacked(module: nn.Module, shape: Sequence[int], number: int) -> bool:
    if isinstance(module, (nn.Linear, nn.Embedding, _ConvNd)):
        return False
    return len(shape) == 3 and shape[0] == number
