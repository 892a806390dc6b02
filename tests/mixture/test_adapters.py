"""Reading PEFT folders: the same numbers as PEFT, and a reason for every refusal."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.adapters import CONFIG, WEIGHTS, adapter_hash, read_factors
from selfmoe.models.structure import linears
from selfmoe.testing.models import GPT2_TARGETS, random_adapter, tiny_gpt2, tiny_llama

OPTIONS = {
    "plain": {},
    "alpha": {"alpha": 5},
    "rslora": {"rslora": True, "alpha": 5},
    "some targets": {"targets": ("q_proj", "down_proj")},
    "patterns": {
        "options": {
            "rank_pattern": {"q_proj": 7, "layers.1.mlp.up_proj": 2},
            "alpha_pattern": {"q_proj": 3, "mlp.gate_proj": 9},
        }
    },
    "patterns are whole names": {
        "options": {"rank_pattern": {"proj": 7}, "alpha_pattern": {"roj|q_proj": 3}}
    },
    "patterns with rslora": {
        "rslora": True,
        "options": {"rank_pattern": {"^model.layers.0.self_attn.k_proj": 3}},
    },
    "some layers": {"options": {"layers_to_transform": [1]}},
}


@pytest.fixture
def llama():
    return tiny_llama()


@pytest.fixture
def adapter(llama, tmp_path):
    return random_adapter(llama, tmp_path / "adapter")


def edit(path, **changes):
    config = json.loads((path / CONFIG).read_text())
    (path / CONFIG).write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize("name", OPTIONS)
def test_deltas_are_those_peft_merges(llama, tmp_path, name):
    path = random_adapter(llama, tmp_path / "a", **OPTIONS[name])
    merged = PeftModel.from_pretrained(copy.deepcopy(llama), str(path)).merge_and_unload()
    factors = read_factors(path)
    for site, linear in linears(llama).items():
        difference = linears(merged)[site].weight - linear.weight
        assert (site in factors) == bool(difference.abs().max() > 0)
        if site in factors:
            torch.testing.assert_close(factors[site].delta(), difference, atol=1e-6, rtol=1e-4)


def test_conv1d(tmp_path):
    model = tiny_gpt2()
    path = random_adapter(model, tmp_path / "a", targets=GPT2_TARGETS)
    merged = PeftModel.from_pretrained(copy.deepcopy(model), str(path)).merge_and_unload()
    for site, factors in read_factors(path).items():
        difference = linears(merged)[site].weight - linears(model)[site].weight
        torch.testing.assert_close(factors.delta().T, difference, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"lora_bias": True}, "lora_bias"),
        ({"bias": "all"}, "bias=all"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"target_parameters": ["x"]}, "target_parameters"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed base"),
        ({"peft_type": "IA3"}, "must be LoRA adapters, this one is IA3"),
        ({"r": 5}, "A has 4 rows, .* says rank 5"),
    ],
)
def test_refused_features(adapter, changes, says):
    edit(adapter, **changes)
    with pytest.raises(CompositionError, match=says):
        read_factors(adapter)


class TestDamage:
    def rewrite(self, path, change):
        tensors = load_file(path / WEIGHTS)
        change(tensors, next(iter(sorted(tensors))))
        save_file(tensors, path / WEIGHTS)

    def test_no_folder(self, tmp_path):
        with pytest.raises(CompositionError, match=r"^no folder .*; an adapter is a folder"):
            read_factors(tmp_path / "none")

    def test_no_configuration(self, tmp_path):
        with pytest.raises(CompositionError, match="not a PEFT adapter folder"):
            read_factors(tmp_path)

    def test_pickle(self, adapter):
        (adapter / WEIGHTS).rename(adapter / "adapter_model.bin")
        for read in (read_factors, adapter_hash):
            with pytest.raises(CompositionError, match="can run code"):
                read(adapter)

    def test_cut_short(self, adapter):
        (adapter / WEIGHTS).write_bytes((adapter / WEIGHTS).read_bytes()[:-50])
        with pytest.raises(CompositionError, match="damaged"):
            read_factors(adapter)

    def test_embedding(self, adapter):
        def change(tensors, key):
            tensors["base_model.model.model.embed_tokens.lora_embedding_A"] = torch.ones(2, 2)

        self.rewrite(adapter, change)
        with pytest.raises(CompositionError, match=r"lora_embedding_A.*not part of a plain LoRA"):
            read_factors(adapter)

    def test_half_a_pair(self, adapter):
        self.rewrite(adapter, lambda tensors, key: tensors.pop(key))
        with pytest.raises(CompositionError, match="in pairs"):
            read_factors(adapter)

    def test_wrong_shape(self, adapter):
        def change(tensors, key):
            tensors[key] = tensors[key][:3].contiguous()

        self.rewrite(adapter, change)
        with pytest.raises(CompositionError, match="do not fit"):
            read_factors(adapter)

    def test_not_a_number(self, adapter):
        self.rewrite(adapter, lambda tensors, key: tensors[key].fill_(float("nan")))
        with pytest.raises(CompositionError, match="infinite or undefined"):
            read_factors(adapter)

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"r": "x"}, "r of model.*must be a number; got 'x'"),
            ({"r": True}, "got True"),
            ({"r": 3.5}, "A has 4 rows.*says rank 3.5"),
            ({"lora_alpha": None}, "lora_alpha of model.*must be a number; got None"),
            ({"lora_alpha": float("nan")}, "got nan"),
            ({"rank_pattern": "x"}, "rank_pattern must map patterns"),
            ({"alpha_pattern": {"(": 3}}, "alpha_pattern must map patterns"),
        ],
    )
    def test_ranks_and_scales_that_are_no_numbers(self, adapter, changes, says):
        edit(adapter, **changes)
        with pytest.raises(CompositionError, match=says):
            read_factors(adapter)

    def test_huge_rank(self, adapter):
        edit(adapter, r=1025)

        def change(tensors, key):
            for name, tensor in list(tensors.items()):
                shape = (1025, tensor.shape[1]) if "lora_A" in name else (tensor.shape[0], 1025)
                tensors[name] = torch.ones(shape)

        self.rewrite(adapter, change)
        with pytest.raises(CompositionError, match=r"lie in 1\.\.1024"):
            read_factors(adapter)


def test_hash_follows_what_the_adapter_adds(adapter, tmp_path):
    moved = shutil.copytree(adapter, tmp_path / "moved")
    edit(moved, base_model_name_or_path="elsewhere")
    assert adapter_hash(moved) == adapter_hash(adapter)


@pytest.mark.parametrize(
    "changes",
    [
        {"r": 5},
        {"lora_alpha": 9},
        {"use_rslora": True},
        {"rank_pattern": {"q_proj": 4}},
        {"alpha_pattern": {"q_proj": 9}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_hash_follows_every_scale(adapter, changes):
    before = adapter_hash(adapter)
    edit(adapter, **changes)
    assert adapter_hash(adapter) != before


def test_hash_follows_the_weights(adapter):
    before = adapter_hash(adapter)
    tensors = {name: tensor.flip(0) for name, tensor in load_file(adapter / WEIGHTS).items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, adapter / WEIGHTS)
    assert adapter_hash(adapter) != before
