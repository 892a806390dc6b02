"""Which linears are adapted, and how PEFT is told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from peft import LoraConfig
from peft.tuners.lora import LoraModel
from torch import nn

from selfmoe.contracts.errors import CompositionError, StageError, did_you_mean
from selfmoe.contracts.records import LoadedBase
from selfmoe.kits.trainers.options import LoraOptions
from selfmoe.mixture.sites.coverage import Coverage, coverage_of
from selfmoe.mixture.sites.tokenwise import ASIDE, IDLE, NO_PRODUCT, OUTSIDE
from selfmoe.models.structure import linears

_SETTING = "specialise.options.target_modules"


def chosen(options: LoraOptions, base: LoadedBase) -> tuple[str, ...]:
    """Return the names of the linears to adapt, in the order of the model.

    All are those that a router can weigh, and every linear but the head where the decoder blocks
    cannot be told. What is never run is left out even where its name is asked for.

    Raises:
        StageError: If there are none, or a name is none of a linear, or that of one that cannot be
            adapted.
    """
    targets = options.target_modules
    if isinstance(targets, str):
        return _all(base)
    model: Any = base.model
    names = linears(model)
    _check_names(names, targets)
    found = [name for name in names if _matches(name, targets)]
    _check_ends(base, found)
    reasons = {name: reason for name, reason in _reasons(base).items() if name in found}
    refused = {name: why for name in found if (why := _refusal(model, name, reasons.get(name)))}
    if refused:
        name, why = next(iter(refused.items()))
        raise StageError(f"{_SETTING} names {name}, which {why}\n  {_instead(base, refused)}")
    useful = tuple(name for name in found if reasons.get(name) not in (IDLE, ASIDE))
    if not useful:
        raise StageError(
            f"{_SETTING} names {found[0]}, which {reasons[found[0]]}\n  {_instead(base, found)}"
        )
    return useful


def spelled(targets: Iterable[str] | str, names: Collection[str], model: nn.Module) -> Any:
    """Return what PEFT is to be told so that it adapts the linears named, and no other module.

    That is what the setting says wherever that means the same, or else the shortest ends of names
    that do.
    """
    if isinstance(targets, str):
        return targets if set(names) == set(_but_the_head(model)) else _ends(names, model)
    asked = list(targets)
    same = {name for name, _ in model.named_modules() if _matches(name, asked)} == set(names)
    return asked if same else _ends(names, model)


@contextmanager
def taken_at_their_word(model: Any) -> Iterator[None]:
    """Keep PEFT from reading names of linears as those of stacked weights.

    PEFT 0.21 does so by the type of the model: on a GLM4-MoE ``shared_experts.gate_proj`` becomes
    the weights of all experts, which ``gate_proj`` alone meant before transformers 5.
    """
    config = vars(model.config)
    before = {key: config[key] for key in ("model_type",) if key in config}
    config["model_type"] = ""
    try:
        yield
    finally:
        del config["model_type"]
        config.update(before)


def _all(base: LoadedBase) -> tuple[str, ...]:
    model: Any = base.model
    try:
        coverage = coverage_of(base)
    except CompositionError:
        return tuple(_but_the_head(model))
    names = tuple(n for n in coverage.routed if _refusal(model, n, None) is None)
    if not names:
        raise StageError(
            f"no linear in the decoder blocks of base '{base.name}' can take a LoRA that a router "
            f"can weigh{_listed(coverage)}\n  Choose another base, or another specialise.trainer."
        )
    return names


def _listed(coverage: Coverage) -> str:
    """Return why each linear of the blocks is none to adapt."""
    inside = {
        coverage.kind(n): why for n, why in coverage.reasons.items() if why not in (OUTSIDE, ASIDE)
    }
    lines = [f"\n  {kind} {why or 'is refused by PEFT'}" for kind, why in inside.items()]
    return "".join(lines) or ": they have none"


def _reasons(base: LoadedBase) -> Mapping[str, str | None]:
    with suppress(CompositionError):
        return coverage_of(base).reasons
    return {}


def _check_names(names: Iterable[str], wanted: Iterable[str]) -> None:
    """Refuse names that no linear layer has; PEFT is content if one of several is right."""
    for target in sorted(wanted):
        if not any(_matches(name, [target]) for name in names):
            there = sorted({name.rpartition(".")[2] for name in names})
            raise StageError(
                f"no linear layer is named '{target}'{did_you_mean(target, there)}\n"
                f"  There are: {', '.join(there)}. Change {_SETTING}, or leave it at all-linear."
            )


def _check_ends(base: LoadedBase, found: Iterable[str]) -> None:
    """Refuse the embeddings and the head."""
    model: Any = base.model
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    if any(model.get_submodule(name) is end for name in found for end in ends):
        raise StageError(
            f"{_SETTING} names the embeddings or the output head, which lie outside the decoder "
            f"blocks\n  {_instead(base, found)}"
        )


def _refusal(model: Any, name: str, reason: str | None) -> str | None:
    """Return why a linear cannot be adapted, if it cannot."""
    return reason if reason == NO_PRODUCT else _peft_refusal(model, name.rpartition(".")[2])


def _peft_refusal(model: Any, leaf: str) -> str | None:
    """Return why PEFT takes no linear of this name, as on some recurrent families."""
    check = getattr(LoraModel, "_check_target_module_compatiblity", None)
    try:
        if check is not None:
            check(None, LoraConfig(), model, leaf)
    except ValueError as error:
        return f"PEFT refuses: {error}"
    return None


def _instead(base: LoadedBase, refused: Iterable[str]) -> str:
    """Return what can be named in the place of some linears."""
    try:
        coverage = coverage_of(base)
        can = ", ".join(coverage.kinds(n for n in _all(base) if n not in set(refused)))
    except (CompositionError, StageError):
        return f"Change {_SETTING}."
    return f"There are: {can}. Change {_SETTING}, or leave it at all-linear."


def _but_the_head(model: Any) -> list[str]:
    """Return the linears that PEFT adapts when all are asked for."""
    head = model.get_output_embeddings()
    return [name for name, linear in linears(model).items() if linear is not head]


def _matches(name: str, ends: Iterable[str]) -> bool:
    return any(name == end or name.endswith(f".{end}") for end in ends)


def _ends(names: Collection[str], model: nn.Module) -> list[str]:
    """Return the shortest ends of names that no other module's name has."""
    others = [name for name, _ in model.named_modules() if name not in set(names)]
    taken = {end for name in others for end in _ends_of(name)}
    return sorted({next(end for end in _ends_of(name) if end not in taken) for name in names})


def _ends_of(name: str) -> Iterator[str]:
    """Yield the ends of a name, the shortest first."""
    parts = name.split(".")
    return (".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1))
