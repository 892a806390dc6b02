"""A mixture of LoRA experts on a base model, for transformers alone.

Every linear layer that experts change computes ``h = W0 x + sum_i alpha_i B_i A_i x``; the gate
says what each expert weighs, for every token. The plain formulas stand here, written to be read.

``config.json`` is the base's configuration with a further part, ``mixture``:

    blocks     name of the list of decoder blocks
    experts    their names, in the order of the weights alpha
    linears    groups of linear layers, with the rank of each expert in them
    gate       what the gate reads, when it is asked, and its formula
    base       where the base's weights are, if they are not in this folder
    eager      whether attention is transformers' plain one, which knows caps of its scores

Load it with ``AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)``. The model is
one of the base's own class with experts added: ``generate`` and caches are those of the base.
"""

from __future__ import annotations

import inspect
import re
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedConfig
from transformers.cache_utils import Cache
from transformers.utils.hub import cached_file

MODEL_TYPE = "selfmoe_mixture"
WEIGHTS = "model.safetensors"
OWN = (r"mixture_gate\.", r"\.experts_of\.")
"""Patterns of the names of weights that are not the base's."""


def empty(*shape: int, dtype: Any = None) -> nn.Parameter:
    """Return a frozen parameter that is to be filled."""
    return nn.Parameter(torch.zeros(*shape, dtype=dtype), requires_grad=False)


class Experts(nn.Module):
    """What all experts add to one linear layer.

    Args:
        ranks: Rank of each expert, 0 for those that leave the layer as it is.
        width, out: Features in and out.
    """

    def __init__(self, ranks: list[int], width: int, out: int) -> None:
        super().__init__()
        self.ranks = ranks
        self.a, self.b = empty(sum(ranks), width), empty(out, sum(ranks))

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Return the sum, shape ``(..., out)``, for x ``(..., in)``, alpha ``(..., n_experts)``."""
        each = zip(torch.split(self.a, self.ranks), torch.split(self.b, self.ranks, 1), strict=True)
        parts = [
            alpha[..., i : i + 1].to(x.dtype) * linear(x, a.to(x.dtype)) @ b.to(x.dtype).t()
            for i, (a, b) in enumerate(each)
            if len(a)
        ]
        return torch.stack(parts).sum(0)


class Gate(nn.Module):
    """Says how much of each expert a token gets.

    Args:
        told: The part ``gate`` of the configuration.
        experts: How many there are.
    """

    def __init__(self, told: dict[str, Any], experts: int) -> None:
        super().__init__()
        self.told, self.n_experts = told, experts
        shapes = told["tensors"]
        self.theta, self.bias = (
            nn.ParameterDict({n: empty(*s, dtype=torch.float32) for n, s in shapes[kind].items()})
            for kind in ("theta", "bias")
        )

    def forward(self, x: Tensor, block: int, layer: str | None, ids: Any, positions: Any) -> Tensor:
        """Return alpha, float32, shape ``(batch, time, n_experts)``.

        Args:
            x: What the gate reads, shape ``(batch, time, width)``.
            block: Number of the decoder block.
            layer: Name of the linear layer, if that asks.
            ids: The tokens, shape ``(batch, time)``, or ``None``.
            positions: Their positions, padding not counted, of the same shape, or ``None``.
        """
        if self.told["form"] == "constant":
            return x.new_full((*x.shape[:-1], self.n_experts), self.told["value"]).float()
        if self.told["form"] == "drawn":
            return self._drawn(block, ids, positions)
        return self._scored(x.float(), block, layer)

    def _scored(self, x: Tensor, block: int, layer: str | None) -> Tensor:
        """Return ``weigh(keep(softmax((theta x̂ + bias) / temperature)))``."""
        names = ((layer or "").replace(".", "/"), str(x.shape[-1]), "all")
        name = next(name for name in names if name in self.theta)
        theta = self.theta[name] if self.theta[name].dim() == 2 else self.theta[name][block]
        logits = linear(normalised(x, self.told["normalise"]), theta.float())
        logits = logits.abs() if self.told["absolute"] else logits
        logits = logits + self.bias[name] if name in self.bias else logits
        probabilities = torch.softmax(logits / (self.told["temperature"] or x.shape[-1] ** 0.5), -1)
        probabilities = torch.where(logits == -torch.inf, 0.0, probabilities)
        kept = keep(probabilities, self.told["k"] or self.n_experts, self.told["p"])
        total = kept.sum(-1, keepdim=True).clamp(min=1e-30)
        return kept / total if self.told["weight"] == "one" else kept

    def _drawn(self, block: int, ids: Any, positions: Any) -> Tensor:
        """Return the same weight for k experts, drawn by seed, block, position and token."""
        if ids is None:
            raise ValueError("this router draws by tokens and positions: give the model input_ids")
        tokens: Tensor = ids.long()
        state = mix(torch.full_like(tokens, self.told["seed"]) + block)
        state = mix(mix(state + positions.long().expand_as(tokens)) + tokens)
        lots = mix(state[..., None] + torch.arange(self.n_experts, device=state.device))
        alpha = torch.zeros(lots.shape, device=lots.device)
        return alpha.scatter(-1, lots.topk(self.told["k"], dim=-1).indices, self.told["value"])


def normalised(x: Tensor, how: str) -> Tensor:
    """Return x of any shape: as it is, at unit mean square, or at mean 0 and variance 1."""
    if how == "mean_square":
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
    return layer_norm(x, x.shape[-1:]) if how == "standard" else x


def keep(probabilities: Tensor, k: int, p: float) -> Tensor:
    """Return the k largest at the most, and none once they sum to p, the rest 0; of one shape."""
    values, experts = probabilities.sort(dim=-1, descending=True, stable=True)
    used = (values.cumsum(-1) - values < p) | (p == 1)
    used[..., k:] = False
    return torch.zeros_like(probabilities).scatter(-1, experts, values * used)


def mix(x: Tensor) -> Tensor:
    """Return 64 mixed bits an integer, of any shape: SplitMix64 (Steele et al. 2014)."""
    x = x - 7046029254386353131  # + 0x9E3779B97F4A7C15
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685), (31, 1)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return x


class Routing:
    """What is known in one forward of a model: its tokens, what entered it, and alpha."""

    def __init__(self, model: Any, told: dict[str, Any]) -> None:
        self.gate = model.mixture_gate
        self.site, self.reads = told["gate"]["site"], told["gate"]["reads"]
        self.ids: Any = None
        self.positions: Any = None
        self.entry: Any = None
        self.alpha: Any = None
        stack = model.get_submodule(told["blocks"].rpartition(".")[0])
        names = tuple(inspect.signature(stack.forward).parameters)
        stack.register_forward_pre_hook(partial(self.begin, names), with_kwargs=True)
        for number, block in enumerate(model.get_submodule(told["blocks"])):
            block.register_forward_pre_hook(partial(self.enter, number), with_kwargs=True)
        for group in told["linears"]:
            for name in group["names"]:
                self.add(model, told["blocks"], name, group["ranks"])

    def add(self, model: Any, blocks: str, name: str, ranks: list[int]) -> None:
        """Let experts of these ranks add to a linear layer."""
        layer = model.get_submodule(name)
        ways = ("nx", "nf") if hasattr(layer, "nf") else ("in_features", "out_features")
        layer.experts_of = Experts(ranks, *(getattr(layer, way) for way in ways))
        block = int(name.removeprefix(f"{blocks}.").partition(".")[0])
        layer.register_forward_hook(partial(self.weighed, block, name))

    def begin(self, names: Any, stack: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Note tokens and positions of a forward."""
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        self.ids = given.get("input_ids")
        self.positions = None if self.ids is None else positions_in(given, self.ids)

    def enter(self, number: int, block: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Compute alpha where a block is entered, unless every linear layer asks for itself."""
        hidden = args[0] if args else kwargs["hidden_states"]
        self.entry = hidden if number == 0 else self.entry
        if self.site == "block" or (self.site == "token" and number == 0):
            self.alpha = self.ask(hidden, number, None)

    def weighed(self, number: int, name: str, layer: Any, args: Any, output: Any) -> Any:
        """Return a linear layer's output with the experts' part added."""
        x = args[0]
        alpha = self.ask(x, number, name) if self.site == "linear" else self.alpha
        return output + layer.experts_of(x, alpha.reshape(*x.shape[:-1], alpha.shape[-1]))

    def ask(self, x: Tensor, block: int, layer: str | None) -> Any:
        """Return alpha, ``(..., n_experts)`` in shape, of x or what entered the first block."""
        x = self.entry if self.reads == "embedding" and self.entry is not None else x
        return self.gate(x, block, layer, self.ids, self.positions)


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


@cache
def config_class(base: Any) -> Any:
    """Return the class of a base's configuration, of which files say that it is a mixture's."""

    def to_dict(self: Any) -> dict[str, Any]:
        kinds = {"model_type": MODEL_TYPE, "base_model_type": base.model_type}
        return {**base.to_dict(self), **kinds}

    members = {"to_dict": to_dict, "__module__": __name__, "_auto_class": "AutoConfig"}
    return type("MixtureConfig", (base,), members)


@cache
def model_class(config: Any, elsewhere: bool = False) -> Any:
    """Return the class of a base's models with experts, by that of the base's configuration."""
    base = MODEL_FOR_CAUSAL_LM_MAPPING[config]

    def init(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        base.__init__(self, config, *args, **kwargs)
        self.mixture_gate = Gate(config.mixture["gate"], len(config.mixture["experts"]))
        Routing(self, config.mixture)

    strict = {*(base._keep_in_fp32_modules_strict or ()), "mixture_gate"}
    members = {"__init__": init, "__module__": __name__, "_auto_class": "AutoModelForCausalLM"}
    members |= {"_keep_in_fp32_modules_strict": strict}
    if elsewhere:
        members["_keys_to_ignore_on_load_missing"] = list(OWN)
    return type("MixtureForCausalLM", (base,), members)


class MixtureConfig:
    """Reads the configuration of a mixture: that of its base, with one part more."""

    @classmethod
    def from_pretrained(cls, folder: Any, **kwargs: Any) -> Any:
        """Return the configuration in a folder or on the hub."""
        told, kwargs = PreTrainedConfig.get_config_dict(folder, **kwargs)
        kind, eager = told["base_model_type"], told["mixture"]["eager"]
        kwargs = {"attn_implementation": "eager", **kwargs} if eager else kwargs
        return config_class(CONFIG_MAPPING[kind]).from_dict({**told, "model_type": kind}, **kwargs)

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = None) -> None:
        """Do nothing: the classes that are made here say what they are."""


class MixtureForCausalLM:
    """Makes a base's model with experts, from a folder or empty."""

    @classmethod
    def from_pretrained(cls, folder: Any, *args: Any, config: Any = None, **kwargs: Any) -> Any:
        """Return a mixture with its weights, and those of its base from where they are."""
        config = MixtureConfig.from_pretrained(folder) if config is None else config
        base = config.mixture.get("base")
        kind = model_class(type(config).__bases__[0], elsewhere=base is not None)
        if base is None:
            return kind.from_pretrained(folder, *args, config=config, **kwargs)
        given = {**kwargs, "revision": base.get("revision")}
        found = kind.from_pretrained(base["name"], *args, config=config, **given)
        hub = {name: kwargs[name] for name in ("token", "revision", "cache_dir") if name in kwargs}
        file = cached_file(folder, WEIGHTS, **hub)
        add_weights(found[0] if isinstance(found, tuple) else found, file)
        return found

    @classmethod
    def _from_config(cls, config: Any, **kwargs: Any) -> Any:
        return model_class(type(config).__bases__[0])._from_config(config, **kwargs)

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = None) -> None:
        """Do nothing: the classes that are made here say what they are."""


def add_weights(model: Any, file: Any) -> None:
    """Read gate and experts into a model that has its base's weights.

    Raises:
        ValueError: If the file holds others than the model has.
    """
    from safetensors.torch import load_file

    told = model.load_state_dict(load_file(file), strict=False)
    lacking = [name for name in told.missing_keys if any(re.search(own, name) for own in OWN)]
    if lacking or told.unexpected_keys:
        raise ValueError(f"{file} does not fit: {lacking[:3]}, {told.unexpected_keys[:3]}")
    model.config.mixture["base"] = None  # what save_pretrained writes from here on is whole
