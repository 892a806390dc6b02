"""The experts of a mixture, on the layers of its base."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from .mixture_gate import empty

JOINED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
"""Layers that programs like vLLM put in the place of several, side by side in this order."""


class Experts(nn.Module):
    """A of all experts of one linear layer side by side, and B below each other, both transposed.

    Args:
        ranks: Rank of each expert, 0 for those that leave the layer as it is.
        layer: The layer.
    """

    def __init__(self, ranks: list[int], layer: Any) -> None:
        super().__init__()
        ways = ("nx", "nf") if hasattr(layer, "nf") else ("in_features", "out_features")
        width, out = (getattr(layer, way) for way in ways)
        self.a, self.b = empty(width, sum(ranks)), empty(sum(ranks), out)
        self.owners = tuple(i for i, rank in enumerate(ranks) for _ in range(rank))


class Joined:
    """The experts of layers that read the same x and stand as one, or of a single one.

    Args:
        parts: The experts of each layer, in the order of their outputs.
        block: Number of the block.
        names: Of the layers.

    Attributes:
        owners: The expert of every rank: of one layer if they are alike, else of all.
    """

    def __init__(self, parts: list[Experts], block: int, names: list[str]) -> None:
        self.parts, self.block, self.names = parts, block, names
        self.a = parts[0].a if len(parts) == 1 else torch.cat([part.a for part in parts], 1)
        self.ranks, self.outs = ([part.b.shape[way] for part in parts] for way in (0, 1))
        alike = len({part.owners for part in parts}) == 1
        told = parts[:1] if alike else parts
        self.owners = tuple(owner for part in told for owner in part.owners)

    def add(self, x: Tensor, alpha: Tensor, output: Tensor) -> Tensor:
        """Return output, shape ``(..., out)``, with ``sum_i alpha_i B_i A_i x`` added in place.

        Args:
            x: Shape ``(..., in)``.
            alpha: The weight of every rank, of one layer or of all, shape ``(tokens, ranks)``.
            output: What the layer computes by itself.
        """
        z = torch.mm(x.reshape(-1, x.shape[-1]), same(self.a, x))
        each = z.view(len(z), z.shape[1] // alpha.shape[1], alpha.shape[1])
        z = same(each * alpha.unsqueeze(1), output).view_as(z)
        rows = output.view(-1, output.shape[-1])
        if len(self.parts) == 1:
            rows.addmm_(z, same(self.parts[0].b, output))
            return output
        start, pieces = 0, z.split_with_sizes(self.ranks, 1)
        for part, columns, out in zip(self.parts, pieces, self.outs, strict=True):
            rows.narrow(1, start, out).addmm_(columns, same(part.b, output))
            start += out
        return output


def same(tensor: Tensor, as_in: Tensor) -> Tensor:
    """Return a tensor of any shape in the dtype of another; to ask for one it has costs time."""
    return tensor if tensor.dtype == as_in.dtype else tensor.to(as_in.dtype)


class Routing:
    """What is known in one forward of a model: its tokens, what entered it, and alpha."""

    def __init__(self, model: Any, told: dict[str, Any]) -> None:
        self.gate, self.draws = model.mixture_gate, told["gate"]["form"] == "drawn"
        self.site, self.reads = told["gate"]["site"], told["gate"]["reads"]
        self.ids, self.positions, self.entry, self.alpha = (None,) * 4
        self.owners: dict[tuple[int, ...], Tensor] = {}
        self.spread: dict[tuple[int, ...], Tensor] = {}
        self.placed = False
        for number, block in enumerate(model.get_submodule(inside(model, told["blocks"]))):
            block.register_forward_pre_hook(partial(self.enter, number), with_kwargs=True)

    def begin(self, model: Any, given: dict[str, Any]) -> None:
        """Note tokens and positions of a forward, if the gate draws by them.

        Experts are put on their layers when a model is first run: programs like vLLM make it of
        transformers' classes and then put layers of their own in the place of linear ones.
        """
        if not self.placed:
            self.place(model, model.config.mixture)
        self.ids = given.get("input_ids") if self.draws else None
        self.positions = None if self.ids is None else positions_in(given, self.ids)

    def place(self, model: Any, told: dict[str, Any]) -> None:
        """Let the experts add to the layers that are there."""
        self.placed = True
        for name, sites in layers_of(model, told).items():
            block = int(sites[0].removeprefix(f"{told['blocks']}.").partition(".")[0])
            parts = [model.mixture_experts[site.replace(".", "/")] for site in sites]
            hook = partial(self.weighed, Joined(parts, block, sites))
            model.get_submodule(name).register_forward_hook(hook)

    def enter(self, number: int, block: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Compute alpha where a block is entered, unless every linear layer asks for itself."""
        hidden = args[0] if args else kwargs["hidden_states"]
        self.entry = hidden if number == 0 else self.entry
        if self.site == "block" or (self.site == "token" and number == 0):
            self.alpha = self.ask(hidden, number, None)
            self.spread.clear()

    def weighed(self, experts: Joined, layer: Any, args: Any, output: Any) -> Any:
        """Return a linear layer's output with the experts' part added."""
        x = args[0]
        if self.site == "linear":
            each = zip(experts.names, experts.parts, strict=True)
            asked = [self.of_ranks(self.ask(x, experts.block, n), p.owners) for n, p in each]
            return experts.add(x, torch.cat(asked, -1), output)
        if experts.owners not in self.spread:
            self.spread[experts.owners] = self.of_ranks(self.alpha, experts.owners)
        return experts.add(x, self.spread[experts.owners], output)

    def of_ranks(self, alpha: Any, owners: tuple[int, ...]) -> Tensor:
        """Return alpha, ``(..., n_experts)`` in shape, for every rank, ``(tokens, ranks)``."""
        if owners not in self.owners:
            self.owners[owners] = torch.tensor(owners, device=alpha.device)
        found: Tensor = alpha.reshape(-1, alpha.shape[-1])
        return found.index_select(-1, self.owners[owners])

    def ask(self, x: Tensor, block: int, layer: str | None) -> Any:
        """Return alpha, ``(..., n_experts)`` in shape, of x or what entered the first block."""
        x = self.entry if self.reads == "embedding" and self.entry is not None else x
        return self.gate(x, block, layer, self.ids, self.positions)


def inside(model: Any, name: str) -> str:
    """Return the name of a part of a model with a head, in one that may have none."""
    return name.removeprefix(f"{model.base_model_prefix}.") if model.base_model is model else name


def layers_of(model: Any, told: dict[str, Any]) -> dict[str, list[str]]:
    """Return the layers that are there, with those of the base that each stands for.

    Raises:
        ValueError: If one is not there, and none that stands for it.
    """
    found: dict[str, list[str]] = {}
    there = {name for name, _ in model.named_modules()}
    for site in (name for group in told["linears"] for name in group["names"]):
        parent, _, name = inside(model, site).rpartition(".")
        joined = [f"{parent}.{one}" for one, names in JOINED.items() if name in names]
        place = next((one for one in (f"{parent}.{name}", *joined) if one in there), None)
        if place is None:
            raise ValueError(f"{site} is not there, and no layer that stands for it")
        found.setdefault(place, []).append(site)
    order = [name for names in JOINED.values() for name in names]
    for place, sites in found.items():
        if len(sites) > 1:
            sites.sort(key=lambda site: order.index(site.rpartition(".")[2]))
        wanted = JOINED.get(place.rpartition(".")[2], ())
        if place not in map(partial(inside, model), sites) and len(sites) != len(wanted):
            raise ValueError(f"{place} stands for layers of which some have no experts")
    return found


def positions_in(given: dict[str, Any], ids: Tensor) -> Any:
    """Return positions, in the shape of ids: given, by the mask, or after what a cache holds."""
    if given.get("position_ids") is not None:
        return given["position_ids"].expand(ids.shape)
    mask = given.get("attention_mask")
    if isinstance(mask, Tensor) and mask.dim() == 2:
        return (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    # transformers calls it past_key_values, from 5.24 on cache
    past = next((value for value in given.values() if isinstance(value, Cache)), None)
    start = 0 if past is None else int(past.get_seq_length())
    return torch.arange(start, start + ids.shape[1], device=ids.device).expand(ids.shape)
