"""Whether an expert fits a base: told from names and shapes, before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from selfmoe.contracts.errors import CompositionError, did_you_mean
from selfmoe.mixture.adapters import Factors, read_config, read_factors
from selfmoe.models.structure import find_decoder, linears, widths

Widths = Mapping[str, tuple[int, int]]
"""Input and output width of linear layers, by name."""

_NUMBERED = re.compile(r"(?P<list>.+)\.(?P<number>\d+)\.(?P<inside>.+)")


def widths_of(model: nn.Module) -> Widths:
    """Return the widths of all linear layers of a model."""
    return {name: widths(layer) for name, layer in linears(model).items()}


def skeleton(path: Path) -> nn.Module | None:
    """Return a base without its weights; ``None`` if only its weights will tell what it is.

    Args:
        path: Folder of the base.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(path, **local)
            made: nn.Module = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception:  # what is wrong with a base is said when it is loaded
        return None
    return made


def check_expert(
    name: str, path: Path, model: nn.Module, *, routed: bool = False, blocks: str | None = None
) -> None:
    """Refuse an expert that does not fit a model.

    Args:
        name: What it is called.
        path: Its adapter.
        model: The model, or its ``skeleton``.
        routed: Whether a router will weigh it.
        blocks: Name of the list of decoder blocks, for models where it cannot be told.

    Raises:
        CompositionError: If the adapter cannot be read, layers or widths are others than the
            model's, or it lies where a router does not reach.
    """
    factors, has = read_factors(path), widths_of(model)
    for site, part in factors.items():
        check_site(site, has, part, name)
    if routed:
        decoder = find_decoder(model, blocks).path
        for site in factors:
            check_within(site, decoder, [name])
    _check_depth(name, read_config(path), factors, has)


def check_site(site: str, has: Widths, part: Factors, name: str) -> None:
    """Refuse what an expert adds to a layer that is not there, or has other widths.

    Raises:
        CompositionError: Says what the expert and the model have.
    """
    if site not in has:
        raise CompositionError(
            f"the model has no linear layer '{site}', which expert '{name}' changes"
            f"{_deeper(site, has) or did_you_mean(site, has)}; was the expert trained on another "
            "architecture?\n  Give an adapter that was trained on this base."
        )
    check_widths(site, has[site], (int(part.a.shape[1]), int(part.b.shape[0])), name)


def check_widths(site: str, has: tuple[int, int], needs: tuple[int, int], name: str = "") -> None:
    """Refuse a change to a layer of other widths.

    Args:
        site: The layer.
        has: Its input and output width.
        needs: Those of what is added.
        name: The expert, if it is one that adds it.

    Raises:
        CompositionError: If they are not the same.
    """
    if has != needs:
        whose = f" of expert '{name}'" if name else ""
        raise CompositionError(
            f"{site} maps {has[0]} to {has[1]} features, the delta{whose} maps {needs[0]} to "
            f"{needs[1]}; was the expert trained on another model?"
        )


def check_within(site: str, decoder: str, names: Sequence[str]) -> None:
    """Refuse a layer outside the decoder blocks, for experts that a router shall weigh.

    Raises:
        CompositionError: If it does not lie in a block of the list named ``decoder``.
    """
    _, inside = _block(site, decoder)
    if not inside:
        raise CompositionError(
            f"expert {', '.join(names)} changes {site}, which lies outside the decoder blocks "
            f"({decoder}); a router cannot weigh it"
        )


def _block(site: str, decoder: str) -> tuple[str, str]:
    """Return number and rest of a layer's name below a list of blocks; empty outside of it."""
    if not site.startswith(f"{decoder}."):
        return "", ""
    number, _, inside = site.removeprefix(f"{decoder}.").partition(".")
    return number, inside


def _deeper(site: str, has: Widths) -> str:
    """Return a hint if the layer would be there, were the model deeper, or no sparse one."""
    found = _NUMBERED.fullmatch(site)
    if found is None:
        return ""
    if ".experts." in site:
        return (
            ": it changes single experts of a sparse layer, which this release of transformers "
            "keeps in one tensor each"
        )
    same = [name for name in has if _like(name, found)]
    if not same:
        return ""
    return f": {found['list']} has {len(same)} of them, so it was made for a deeper model"


def _like(name: str, found: re.Match[str]) -> bool:
    """Return whether a layer is that of another block."""
    start, end = f"{found['list']}.", f".{found['inside']}"
    middle = name.removeprefix(start).removesuffix(end)
    return name == f"{start}{middle}{end}" and middle.isdigit()


def _check_depth(
    name: str, config: Mapping[str, Any], factors: Mapping[str, Factors], has: Widths
) -> None:
    """Refuse an expert of a shallower model: it names all layers of a kind, and lacks the last.

    Raises:
        CompositionError: Says how many blocks it changes.
    """
    targets = config.get("target_modules")
    narrowed = ("layers_to_transform", "layers_pattern", "exclude_modules")
    if not isinstance(targets, list) or any(config.get(key) for key in narrowed):
        return
    meant = {s for s in has if any(s == t or s.endswith(f".{t}") for t in targets)}
    for path, there in _numbers(meant).items():
        changed = _numbers(factors).get(path, set())
        if changed and max(changed) < max(there) and min(changed) == min(there):
            raise CompositionError(
                f"expert '{name}' changes blocks 0 to {max(changed)} of {path}, the model has "
                f"blocks up to {max(there)}: it was made for a shallower model, or lacks tensors"
                f"\n  Give an adapter that was trained on this base; if only these blocks were "
                "trained, say so with layers_to_transform in adapter_config.json."
            )


def _numbers(sites: Iterable[str]) -> dict[str, set[int]]:
    """Return the numbers of the blocks that layers lie in, by the name of the list."""
    found: dict[str, set[int]] = {}
    for site in sites:
        if match := re.match(r"(?P<list>.+?)\.(?P<number>\d+)\.", site):
            found.setdefault(match["list"], set()).add(int(match["number"]))
    return found
