"""Which linears the LoRA trainer adapts: by default and by name, on every family."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import LoadedBase
from selfmoe.contracts.trainer import TrainContext
from selfmoe.mixture.adapters import read_factors
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.structure import find_decoder, linears
from selfmoe.registry.registry import registry
from selfmoe.testing.compare import assert_close, fingerprint, logits, tokens, with_deltas
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import tiny_examples, tiny_tokenizer
from selfmoe.testing.sparse import MLP, SPARSE

FAST = {"max_steps": 2, "batch_size": 2, "lr": 0.05, "r": 2, "alpha": 4}
CONVERTED = ("deepseek_v3", "glm4_moe", "qwen3_next")
"""Families of whose linears PEFT 0.21 takes some names for those of stacked weights."""


def base_of(model):
    return LoadedBase("tiny", model, tiny_tokenizer(), hash="tiny", context=512)


def lora(**options):
    return registry().configure("trainer", "lora", {**FAST, **options})


def train(model, folder, **options):
    (folder / "adapter").mkdir()
    context = TrainContext(
        base_of(model), tiny_examples(4), Fit(), 5, folder / "work", folder / "adapter"
    )
    lora(**options).train(context)
    return folder / "adapter"


def leaves(names):
    return {name.rpartition(".")[2] for name in names}


@pytest.mark.parametrize("family", SPARSE)
def test_all_that_a_router_can_weigh_is_trained_and_exact(family, tmp_path):
    model = tiny_model(family)
    before, plain = fingerprint(model), logits(model, tokens())
    out = train(model, tmp_path)
    assert fingerprint(model) == before
    factors = read_factors(out)
    assert leaves(factors) == set(SPARSE[family].targets)
    assert all(site.startswith(f"{find_decoder(model).path}.") for site in factors)
    ours = logits(with_deltas(model, factors), tokens())
    assert not torch.equal(ours, plain)
    theirs = copy.deepcopy(model)
    if family in CONVERTED:
        theirs.config.model_type = "as it is"
    assert_close(logits(PeftModel.from_pretrained(theirs, str(out)), tokens()), ours)


@pytest.mark.parametrize("family", FAMILIES)
def test_dense_families_are_told_to_peft_as_ever(family, tmp_path):
    model = tiny_model(family)
    out = train(model, tmp_path)
    told = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    plain = get_peft_model(copy.deepcopy(model), told).peft_config["default"]
    written = json.loads((out / "adapter_config.json").read_text())
    assert written["target_modules"] == sorted(plain.target_modules)


NAMES = ["q_proj", "k_proj", "v_proj", "o_proj", *MLP]


@pytest.mark.parametrize("family", ["glm4_moe", "qwen3_next", "qwen2_moe", "jamba", "gemma3n"])
def test_projections_named_as_guides_do(family):
    model = tiny_model(family)
    assert leaves(lora(target_modules=NAMES).linears(base_of(model))) == set(NAMES)


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe", "olmoe", "gpt_oss", "phimoe"])
def test_names_of_stacked_weights_are_no_linears(family):
    with pytest.raises(StageError, match="no linear layer is named 'down_proj'") as said:
        lora(target_modules=NAMES).linears(base_of(tiny_model(family)))
    assert "There are: k_proj, lm_head, o_proj, q_proj" in str(said.value) or family == "phimoe"


@pytest.mark.parametrize(
    ("family", "target", "reason"),
    [
        ("phimoe", "router", "gives something else than its product"),
        ("jamba", "dt_proj", "is not run, so a LoRA on it changes nothing"),
        ("llama", "lm_head", "the output head"),
        ("opt-narrow", "lm_head", "the output head"),
    ],
)
def test_names_that_cannot_be_trained(family, target, reason):
    with pytest.raises(StageError, match=reason):
        lora(target_modules=[target]).linears(base_of(tiny_model(family)))


def test_what_is_never_run_is_left_out_beside_others(tmp_path):
    model = tiny_model("jamba")
    out = train(model, tmp_path, target_modules=["dt_proj", "in_proj"])
    assert leaves(read_factors(out)) == {"in_proj"}
    assert json.loads((out / "adapter_config.json").read_text())["target_modules"] == ["in_proj"]


def test_names_are_written_as_they_were_given(tmp_path):
    model = tiny_model("llama")
    out = train(model, tmp_path, target_modules=["self_attn.q_proj", "v_proj"])
    written = json.loads((out / "adapter_config.json").read_text())["target_modules"]
    assert written == ["self_attn.q_proj", "v_proj"]


def test_a_name_with_linears_of_two_kinds_takes_those_that_are_run(tmp_path):
    """As on a model of pictures and text, where both have a ``q_proj``."""
    model = tiny_model("llama")
    model.model.seeing = torch.nn.ModuleDict({"q_proj": torch.nn.Linear(4, 4)})
    out = train(model, tmp_path, target_modules=["q_proj"])
    sites = [name for name in linears(model) if name.endswith("self_attn.q_proj")]
    assert list(read_factors(out)) == sites
    assert len(load_file(out / "adapter_model.safetensors")) == 2 * len(sites)


def mamba2():
    from transformers import AutoModelForCausalLM, Mamba2Config

    torch.manual_seed(0)
    config = Mamba2Config(
        vocab_size=288, hidden_size=32, num_hidden_layers=2, num_heads=8, head_dim=8, n_groups=1,
        state_size=16, chunk_size=8, bos_token_id=None, eos_token_id=256, pad_token_id=257,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def test_what_peft_refuses_is_left_out():
    base = base_of(mamba2())
    assert leaves(lora().linears(base)) == {"in_proj"}
    with pytest.raises(StageError, match=r"out_proj, which PEFT refuses: .*incompatible") as said:
        lora(target_modules=["out_proj", "in_proj"]).linears(base)
    assert "There are: mixer.in_proj. Change" in str(said.value)


def test_a_base_of_which_nothing_can_be_adapted_is_refused():
    base = base_of(mamba2())
    for block in base.model.backbone.layers:
        block.mixer.in_proj = Plain(block.mixer.in_proj)
    with pytest.raises(StageError, match="no linear in the decoder blocks of base 'tiny'") as said:
        lora().linears(base)
    assert "mixer.out_proj is refused by PEFT" in str(said.value)


class Plain(torch.nn.Module):
    """A linear that is no ``nn.Linear``."""

    def __init__(self, linear):
        super().__init__()
        self.weight = linear.weight

    def forward(self, x):
        return x @ self.weight.t()
