"""A routed mixture as a folder for transformers: base, experts, gate, and what runs them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor

from selfmoe.contracts.errors import NotSupportedError
from selfmoe.contracts.formula import Constant, Drawn, Formula, Formulated, Scored
from selfmoe.contracts.records import Expert
from selfmoe.mixture.adapters import Factors, by_site, factors_of
from selfmoe.mixture.saving import source_of
from selfmoe.models.structure import find_decoder, text_config
from selfmoe.outward.export import mixture_experts, mixture_gate, modeling_mixture
from selfmoe.outward.export.source import Source

BaseWeights = Literal["copy", "reference"]

_FORMS: Mapping[type, str] = {Scored: "scored", Constant: "constant", Drawn: "drawn"}


def formula_of(source: Source) -> Formula:
    """Return the formula of a system's gate.

    Raises:
        NotSupportedError: If the gate is no function of the running forward.
    """
    gate = source.mixture.gate
    if isinstance(gate, Formulated):
        return gate.formula()
    name = source.mixture.composition.composer
    raise NotSupportedError(
        f"router '{name}' cannot be exported: its gate is no formula of the running forward (it "
        "keeps decisions, reads a pass of the base alone, is told labels, or does not say its "
        "formula)\n  selfmoe.load and selfmoe generate run it as it is; a router of tokens, such "
        "as selfmoe compare shows on the same experts, or a merge can be exported."
    )


def write_routed(source: Source, folder: Path, weights: BaseWeights) -> None:
    """Write a routed mixture; it is taken off the base for it.

    Args:
        source: The system.
        folder: Where to; is there.
        weights: Whether the base's weights are copied, or named where they are.

    Raises:
        NotSupportedError: If its gate is no formula of the running forward.
    """
    formula, told, own = formula_of(source), _told(source, weights), _factors(source)
    source.mixture.detach()
    config = _config(source.model, told)
    tensors = {**_gate_tensors(formula), **own}
    if weights == "copy":
        model = _joined(source.model, config, tensors)
        model.save_pretrained(folder)
        return
    config.architectures = ["MixtureForCausalLM"]
    config.save_pretrained(folder)
    source.model.generation_config.save_pretrained(folder)
    save_file(tensors, folder / modeling_mixture.WEIGHTS, {"format": "pt"})
    for module in (modeling_mixture, mixture_experts, mixture_gate):
        shutil.copy(str(module.__file__), folder)


def load_routed(folder: Path, dtype: torch.dtype) -> Any:
    """Return the mixture in a folder, loaded by transformers with the file that lies beside it."""
    return modeling_mixture.MixtureForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def portable_gate(formula: Formula, experts: int) -> mixture_gate.Gate:
    """Return a gate as exported models compute it.

    Args:
        formula: What it computes.
        experts: How many experts there are.
    """
    gate = mixture_gate.Gate(_gate(formula), experts)
    prefix = "mixture_gate."
    gate.load_state_dict({n.removeprefix(prefix): t for n, t in _gate_tensors(formula).items()})
    return gate


# --- what the configuration says ------------------------------------------------------------------


def _told(source: Source, weights: BaseWeights) -> dict[str, Any]:
    formula, mixture = formula_of(source), source.mixture
    decoder = find_decoder(source.model, source.base.blocks)
    base = {"name": source.origin, "revision": source.revision}
    return {
        "blocks": decoder.path,
        "experts": list(mixture.experts),
        "linears": _linears(source),
        "gate": {"site": mixture.gate.site, "reads": mixture.gate.reads, **_gate(formula)},
        "base": base if weights == "reference" else None,
        "eager": text_config(source.model)._attn_implementation == "eager",
    }


def _gate(formula: Formula) -> dict[str, Any]:
    """Return a formula without its tensors, but with their shapes."""
    plain = {k: v for k, v in vars(formula).items() if k not in ("theta", "bias")}
    shapes: dict[str, dict[str, list[int]]] = {"theta": {}, "bias": {}}
    for name, tensor in _gate_tensors(formula).items():
        kind, _, key = name.removeprefix("mixture_gate.").partition(".")
        shapes[kind][key] = list(tensor.shape)
    return {"form": _FORMS[type(formula)], **plain, "tensors": shapes}


def _gate_tensors(formula: Formula) -> dict[str, Tensor]:
    if not isinstance(formula, Scored):
        return {}
    kinds = {"theta": formula.theta, "bias": formula.bias}
    return {
        f"mixture_gate.{kind}.{name}": tensor.detach().float().cpu().contiguous()
        for kind, tensors in kinds.items()
        for name, tensor in tensors.items()
    }


def _linears(source: Source) -> list[dict[str, Any]]:
    """Return the layers that experts change, together where the experts have the same ranks."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for site, parts in _sites(source).items():
        ranks = [parts[i].rank if i in parts else 0 for i in range(len(source.mixture.experts))]
        groups.setdefault(tuple(ranks), []).append(site)
    return [{"ranks": list(ranks), "names": names} for ranks, names in groups.items()]


def _sites(source: Source) -> Mapping[str, Mapping[int, Factors]]:
    mixture = source.mixture
    paths = {name: source_of(mixture, name) for name in mixture.experts}
    return by_site([factors_of(Expert(name, path)) for name, path in paths.items()])


def _factors(source: Source) -> dict[str, Tensor]:
    """Return A of all experts below each other and ``s B`` side by side, for every layer."""
    found = {}
    for site, parts in _sites(source).items():
        layer = source.model.get_submodule(site)
        like = next(layer.parameters())
        dtype = like.dtype if like.is_floating_point() else torch.float32
        b = torch.cat([part.b.double() * part.scale for part in parts.values()], 1)
        name = f"mixture_experts.{site.replace('.', '/')}"
        found[f"{name}.a"] = torch.cat([p.a for p in parts.values()]).to(dtype).t().contiguous()
        found[f"{name}.b"] = b.to(dtype).t().contiguous()
    return found


# --- base and experts as one model ----------------------------------------------------------------


def _config(model: Any, told: dict[str, Any]) -> Any:
    plain: Any = type(model.config)
    return modeling_mixture.config_class(plain).from_dict(
        {**model.config.to_dict(), "mixture": told}
    )


def _joined(model: Any, config: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return a mixture that shares the weights of its base."""
    with torch.device("meta"):
        joined = modeling_mixture.MixtureForCausalLM.kind(config)(config)
    joined.load_state_dict({**model.state_dict(), **tensors}, assign=True)
    joined.generation_config = model.generation_config
    return joined
