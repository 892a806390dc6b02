"""A mixture of LoRA experts on a base model, for transformers alone, and for vLLM.

Every linear layer that experts change computes ``h = W0 x + sum_i alpha_i B_i A_i x``, in
``mixture_experts.py``; the gate, in ``mixture_gate.py``, says what each expert weighs, for every
token. All three are written to be read.

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
from functools import cache, wraps
from typing import Any

from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_MAPPING,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils.hub import cached_file

from .mixture_experts import Experts, Routing, inside
from .mixture_gate import Gate

MODEL_TYPE = "selfmoe_mixture"
WEIGHTS = "model.safetensors"
OWN = (r"mixture_gate\.", r"mixture_experts\.")
"""Patterns of the names of weights that are not the base's."""

AUTO = {"MixtureModel": "AutoModel", "MixtureForCausalLM": "AutoModelForCausalLM"}
AUTO_MAP = {"AutoConfig": "modeling_mixture.MixtureConfig"}
AUTO_MAP |= {auto: f"modeling_mixture.{name}" for name, auto in AUTO.items()}
"""What transformers finds in this file, by who asks for it."""


@cache
def config_class(base: Any) -> Any:
    """Return the class of a base's configuration, of which files say that it is a mixture's."""

    def to_dict(self: Any) -> dict[str, Any]:
        kinds = {"model_type": MODEL_TYPE, "base_model_type": base.model_type}
        return {**base.to_dict(self), **kinds, "auto_map": AUTO_MAP}

    members = {"to_dict": to_dict, "__module__": __name__, "_auto_class": "AutoConfig"}
    return type("MixtureConfig", (base,), members)


@cache
def model_class(base: Any, name: str, elsewhere: bool = False) -> Any:
    """Return the class of a base's models with experts, by that of the base's."""
    names = tuple(inspect.signature(base.forward).parameters)

    @wraps(base.__init__)
    def init(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        base.__init__(self, config, *args, **kwargs)
        told = config.mixture
        self.mixture_gate = Gate(told["gate"], len(told["experts"]))
        self.mixture_experts = nn.ModuleDict(
            {
                name.replace(".", "/"): Experts(
                    group["ranks"], self.get_submodule(inside(self, name))
                )
                for group in told["linears"]
                for name in group["names"]
            }
        )
        self.routing = Routing(self, told)

    @wraps(base.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        args[0].routing.begin(args[0], given)
        return base.forward(*args, **kwargs)

    strict = {*(base._keep_in_fp32_modules_strict or ()), "mixture_gate"}
    members = {"__init__": init, "forward": forward, "__module__": __name__}
    members |= {"_auto_class": AUTO[name], "_keep_in_fp32_modules_strict": strict}
    if elsewhere:
        members["_keys_to_ignore_on_load_missing"] = list(OWN)
    return type(name, (base,), members)


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


class Mixture:
    """Makes a base's model with experts, from a folder or empty."""

    bases: Any

    @classmethod
    def kind(cls, config: Any, elsewhere: bool = False) -> Any:
        """Return the class of the model, by its configuration."""
        return model_class(cls.bases[type(config).__bases__[0]], cls.__name__, elsewhere)

    @classmethod
    def from_pretrained(cls, folder: Any, *args: Any, config: Any = None, **kwargs: Any) -> Any:
        """Return a mixture with its weights, and those of its base from where they are."""
        config = MixtureConfig.from_pretrained(folder) if config is None else config
        base = config.mixture.get("base")
        kind = cls.kind(config, elsewhere=base is not None)
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
        return cls.kind(config)._from_config(config, **kwargs)

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = None) -> None:
        """Do nothing: the classes that are made here say what they are."""


class MixtureModel(Mixture, PreTrainedModel):  # type: ignore[misc]
    """Makes one that returns hidden states; vLLM's Transformers backend asks for it."""

    bases, config_class = MODEL_MAPPING, MixtureConfig
    _supports_attention_backend = True


class MixtureForCausalLM(Mixture):
    """Makes one that returns logits."""

    bases = MODEL_FOR_CAUSAL_LM_MAPPING


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
