"""Adapters as other programs write them: read exactly, or refused with what they are."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

import selfmoe
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.adapters import (
    CONFIG,
    WEIGHTS,
    adapter_hash,
    made_for,
    read_factors,
    take_over,
)
from selfmoe.mixture.sites.compatibility import check_expert, skeleton
from selfmoe.models.base import BaseFiles, is_base
from selfmoe.models.checkpoints import identity
from selfmoe.models.structure import linears
from selfmoe.testing.models import random_adapter, save_toy_base, tiny_gpt2, tiny_llama


@pytest.fixture
def llama():
    return tiny_llama()


@pytest.fixture
def adapter(llama, tmp_path):
    return random_adapter(llama, tmp_path / "adapter")


def edit(path, **changes):
    config = json.loads((path / CONFIG).read_text())
    (path / CONFIG).write_text(json.dumps({**config, **changes}))


def renamed(path, change):
    tensors = load_file(path / WEIGHTS)
    save_file({change(name): tensor for name, tensor in tensors.items()}, path / WEIGHTS)


def same(found, expected):
    assert found.keys() == expected.keys()
    for site, part in expected.items():
        torch.testing.assert_close(found[site].delta(), part.delta(), atol=1e-6, rtol=1e-5)


# --- MLX ------------------------------------------------------------------------------------------


def mlx(path, model, *, rank=4, scale=20.0, last=2, **changes):
    """Write an adapter as mlx-lm does; return what it adds, by the naive formula."""
    path.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    depth, tensors, deltas = model.config.num_hidden_layers, {}, {}
    for site, layer in linears(model).items():
        number = site.partition("layers.")[2].partition(".")[0]
        if not number or int(number) < depth - last:
            continue
        a = torch.randn(layer.in_features, rank, generator=generator) * 0.1
        b = torch.randn(rank, layer.out_features, generator=generator) * 0.1
        tensors[f"{site}.lora_a"], tensors[f"{site}.lora_b"] = a, b
        deltas[site] = scale * (a @ b).T
    save_file(tensors, path / "adapters.safetensors", {"format": "mlx"})
    shutil.copy(path / "adapters.safetensors", path / "0000100_adapters.safetensors")
    config = {
        "model": "some/base",
        "fine_tune_type": "lora",
        "num_layers": last,
        "lora_parameters": {"rank": rank, "scale": scale, "dropout": 0.0},
    }
    (path / CONFIG).write_text(json.dumps({**config, **changes}))
    return deltas


@torch.no_grad()
@pytest.mark.parametrize(
    ("rank", "scale", "last"), [(4, 20.0, 2), (1, 0.5, 3), (8, 7, 1), (3, -2.5, 2)]
)
def test_mlx_adapters_add_what_they_add_there(llama, tmp_path, rank, scale, last):
    deltas = mlx(tmp_path / "a", llama, rank=rank, scale=scale, last=last)
    found = read_factors(tmp_path / "a")
    assert found.keys() == deltas.keys()
    for site, delta in deltas.items():
        torch.testing.assert_close(found[site].delta(), delta, atol=1e-5, rtol=1e-4)
    assert made_for(tmp_path / "a") == "some/base"
    naive = copy.deepcopy(llama)
    for site, delta in deltas.items():
        linears(naive)[site].weight += delta
    ids = torch.arange(3, 20)[None]
    (tmp_path / "peft").mkdir()
    take_over(tmp_path / "a", tmp_path / "peft")
    mixed = selfmoe.compose(llama, {"a": tmp_path / "a"}, router="uniform")
    peft = PeftModel.from_pretrained(copy.deepcopy(llama), str(tmp_path / "peft"))
    for model in (mixed, peft):
        torch.testing.assert_close(model(ids).logits, naive(ids).logits, atol=1e-4, rtol=1e-4)
    same(read_factors(tmp_path / "peft"), found)


def test_mlx_hashes_follow_the_scale(llama, tmp_path):
    for name, scale in (("a", 20.0), ("b", 10.0), ("c", 20.0)):
        mlx(tmp_path / name, llama, scale=scale)
    a, b, c = (adapter_hash(tmp_path / name) for name in "abc")
    assert a == c != b


MLX_REFUSED = {
    "dora": ({"fine_tune_type": "dora"}, "fine_tune_type dora"),
    "full": ({"fine_tune_type": "full"}, "fine_tune_type full"),
    "another rank": ({"lora_parameters": {"rank": 8, "scale": 1.0}}, "rank \\[4\\].*says 8"),
    "no scale": ({"lora_parameters": {"rank": 4}}, "lora_parameters.scale; got None"),
    "a text": ({"lora_parameters": {"rank": 4, "scale": "x"}}, "lora_parameters.scale; got 'x'"),
    "nan": ({"lora_parameters": {"rank": 4, "scale": float("nan")}}, "got nan"),
    "nothing": ({"lora_parameters": None}, "lora_parameters.rank"),
}


@pytest.mark.parametrize("kind", MLX_REFUSED)
def test_mlx_adapters_that_are_refused(llama, tmp_path, kind):
    changes, says = MLX_REFUSED[kind]
    mlx(tmp_path / "a", llama, **changes)
    with pytest.raises(CompositionError, match=says):
        read_factors(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "shape", "says"),
    [
        ("model.layers.1.mlp.switch.lora_a", (2, 4, 8), "sparse layers' experts"),
        ("model.layers.1.self_attn.q_proj.m", (32,), "not part of a plain LoRA"),
        ("model.layers.1.self_attn.q_proj.lora_a", (4, 32), "do not fit"),
    ],
)
def test_mlx_tensors_that_are_refused(llama, tmp_path, name, shape, says):
    mlx(tmp_path / "a", llama)
    file = tmp_path / "a" / "adapters.safetensors"
    tensors = load_file(file) | {name: torch.ones(shape)}
    if "switch" in name:
        tensors[name.replace("lora_a", "lora_b")] = torch.ones(shape)
    save_file(tensors, file)
    with pytest.raises(CompositionError, match=says):
        read_factors(tmp_path / "a")


# --- names that were wrapped ----------------------------------------------------------------------

WRAPPED = {
    "the PEFT model compiled": lambda key: f"_orig_mod.{key}",
    "the base compiled": lambda key: key.replace(
        "model.model.model", "model.model._orig_mod.model"
    ),
    "blocks compiled": lambda key: key.replace(".self_attn", "._orig_mod.self_attn"),
    "layers compiled": lambda key: key.replace("_proj.", "_proj._orig_mod."),
    "twice": lambda key: f"_orig_mod._orig_mod.{key}",
    "FSDP": lambda key: key.replace(".mlp", "._fsdp_wrapped_module.mlp"),
    "checkpointing": lambda key: key.replace(".mlp", "._checkpoint_wrapped_module.mlp"),
    "DDP": lambda key: f"module.{key}",
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrapped_names_are_read(llama, adapter, tmp_path, kind):
    expected = read_factors(adapter)
    renamed(adapter, WRAPPED[kind])
    same(read_factors(adapter), expected)
    (tmp_path / "plain").mkdir()
    take_over(adapter, tmp_path / "plain")
    merged = PeftModel.from_pretrained(copy.deepcopy(llama), str(tmp_path / "plain"))
    merged = linears(merged.merge_and_unload())
    for site, part in expected.items():
        difference = merged[site].weight - linears(llama)[site].weight
        torch.testing.assert_close(part.delta(), difference, atol=1e-6, rtol=1e-4)


def test_a_layer_that_is_there_wrapped_and_plain(adapter):
    tensors = load_file(adapter / WEIGHTS)
    key = next(iter(tensors))
    save_file({**tensors, f"_orig_mod.{key}": tensors[key].clone()}, adapter / WEIGHTS)
    with pytest.raises(CompositionError, match="is there twice"):
        read_factors(adapter)


# --- ambiguous configurations ---------------------------------------------------------------------

BLOCK, PROJECTION = "layers.0.self_attn.q_proj", "q_proj"
AMBIGUOUS = {
    "a block and a projection": {BLOCK: 32, PROJECTION: 4},
    "two regexes": {".*q_proj": 32, "self_attn.q_proj": 4},
    "anchored": {"^model.layers.0.self_attn.q_proj": 1, ".*_proj": 2},
    "three": {"self_attn.q_proj": 1, "q_proj": 1, r"layers\.\d+\.self_attn\..*": 3},
    "zero": {BLOCK: 0, PROJECTION: 4},
}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_patterns_whose_order_decides_are_refused(adapter, kind):
    plain = adapter_hash(adapter)
    patterns = AMBIGUOUS[kind]
    hashes = set()
    for order in (patterns, dict(reversed(patterns.items()))):
        edit(adapter, alpha_pattern=order)
        hashes.add(adapter_hash(adapter))
        with pytest.raises(CompositionError, match=r"alpha_pattern is ambiguous for .*q_proj"):
            read_factors(adapter)
    assert len(hashes) == 2 and plain not in hashes


@pytest.mark.parametrize(
    "patterns",
    [
        {BLOCK: 4, PROJECTION: 4},
        {BLOCK: 4, PROJECTION: 4.0},
        {"k_proj": 3, PROJECTION: 4},
        {"layers.0.self_attn.k_proj": 32, PROJECTION: 4},
        {"roj": 9, PROJECTION: 4},
        {"nothing_like_it": 9},
    ],
)
def test_patterns_whose_order_does_not_matter_are_read(llama, adapter, patterns):
    edit(adapter, alpha_pattern=patterns)
    there = {s: part.scale for s, part in read_factors(adapter).items()}
    merged = PeftModel.from_pretrained(copy.deepcopy(llama), str(adapter))
    for site, scale in there.items():
        assert merged.get_submodule(f"base_model.model.{site}").scaling["default"] == scale
    before = adapter_hash(adapter)
    edit(adapter, alpha_pattern=dict(reversed(patterns.items())))
    assert adapter_hash(adapter) == before


def test_ranks_that_the_weights_confirm_are_read(llama, tmp_path):
    path = random_adapter(llama, tmp_path / "a", options={"rank_pattern": {PROJECTION: 7}})
    expected = read_factors(path)
    edit(path, rank_pattern={PROJECTION: 7, BLOCK: 2})
    same(read_factors(path), expected)
    edit(path, rank_pattern={BLOCK: 2, PROJECTION: 7})
    with pytest.raises(CompositionError, match=r"A has 7 rows.*says rank 2"):
        read_factors(path)


# --- layers that add nothing, strange numbers and shapes ------------------------------------------


def test_layers_of_rank_zero_are_left_out(llama, adapter, tmp_path):
    expected = read_factors(adapter)
    tensors = load_file(adapter / WEIGHTS)
    for key, tensor in tensors.items():
        if "q_proj" in key:
            tensors[key] = (tensor[:0] if "lora_A" in key else tensor[:, :0]).contiguous()
    save_file(tensors, adapter / WEIGHTS)
    kept = {site: part for site, part in expected.items() if "q_proj" not in site}
    for patterns in ({"q_proj": 0}, {}):
        edit(adapter, rank_pattern=patterns)
        same(read_factors(adapter), kept)
    (tmp_path / "plain").mkdir()
    take_over(adapter, tmp_path / "plain")
    same(read_factors(tmp_path / "plain"), kept)
    PeftModel.from_pretrained(copy.deepcopy(llama), str(tmp_path / "plain"))
    check_expert("a", adapter, llama)


def test_an_adapter_of_rank_zero_alone(adapter):
    tensors = load_file(adapter / WEIGHTS)
    none = {k: (t[:0] if "lora_A" in k else t[:, :0]).contiguous() for k, t in tensors.items()}
    save_file(none, adapter / WEIGHTS)
    with pytest.raises(CompositionError, match="adds nothing"):
        read_factors(adapter)


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn]
)
def test_numbers_of_another_format(adapter, dtype):
    tensors = {name: t.to(dtype) for name, t in load_file(adapter / WEIGHTS).items()}
    save_file(tensors, adapter / WEIGHTS)
    with pytest.raises(CompositionError, match=f"are {str(dtype)[6:]} numbers; expected float32"):
        read_factors(adapter)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_number_formats_that_are_read(adapter, dtype):
    tensors = {name: t.to(dtype) for name, t in load_file(adapter / WEIGHTS).items()}
    save_file(tensors, adapter / WEIGHTS)
    assert read_factors(adapter)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("factor", ["lora_A", "lora_B"])
def test_numbers_that_are_none(adapter, value, factor):
    tensors = load_file(adapter / WEIGHTS)
    next(t for name, t in tensors.items() if factor in name)[-1, -1] = value
    save_file(tensors, adapter / WEIGHTS)
    with pytest.raises(CompositionError, match="infinite or undefined"):
        read_factors(adapter)


SHAPES = {
    "deeper": ({"num_hidden_layers": 4}, "has 3 of them, so it was made for a deeper model"),
    "shallower": ({"num_hidden_layers": 2}, "blocks 0 to 1 .* blocks up to 2: .*shallower"),
    "wider": ({"hidden_size": 64}, "the delta of expert 'a' maps 48 to 64"),
    "a wider mlp": ({"intermediate_size": 128}, "was the expert trained on another model"),
    "more heads": ({"head_dim": 16}, "was the expert trained on another model"),
    "other values": ({"num_key_value_heads": 4}, "was the expert trained on another model"),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_adapters_of_another_model(llama, tmp_path, kind):
    changes, says = SHAPES[kind]
    path = random_adapter(tiny_llama(**changes), tmp_path / "a")
    with pytest.raises(CompositionError, match=says):
        check_expert("a", path, llama)


def test_adapters_of_another_architecture(llama, tmp_path):
    path = random_adapter(tiny_gpt2(), tmp_path / "a", targets=["c_attn"])
    with pytest.raises(CompositionError, match="another architecture"):
        check_expert("a", path, llama)


@pytest.mark.parametrize(
    "options",
    [
        {"layers_to_transform": [0]},
        {"layers_to_transform": [0, 1]},
        {"exclude_modules": ["layers.2.*"]},
    ],
)
def test_adapters_on_some_blocks_fit(llama, tmp_path, options):
    path = random_adapter(llama, tmp_path / "a", options=options)
    check_expert("a", path, llama, routed=True)


def test_a_base_without_its_weights_has_the_same_layers(tmp_path):
    folder = save_toy_base(tmp_path / "base")
    model = tiny_llama(num_hidden_layers=2, max_position_embeddings=4096)
    bare = skeleton(folder)
    assert {n: m.weight.shape for n, m in linears(bare).items()} == {
        n: m.weight.shape for n, m in linears(model).items()
    }
    assert all(p.is_meta for p in bare.parameters())
    assert skeleton(tmp_path) is None


# --- whose base it is -----------------------------------------------------------------------------


@pytest.fixture
def base(tmp_path):
    folder = save_toy_base(tmp_path / "models" / "base")
    return BaseFiles("it", folder, identity(folder), "cpu", "float32")


def test_a_base_has_many_names(base, tmp_path, monkeypatch):
    config = resolve({"base": str(base.path), "domains": ["math"]})
    (tmp_path / "link").symlink_to(base.path)
    shutil.copytree(base.path, tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ["it", str(base.path), str(tmp_path / "link"), "models/base", "./models/../models/base"]
    for name in [*names, "~/models/base", str(tmp_path / "copy"), "link"]:
        assert is_base(name, base, config, near=tmp_path / "elsewhere"), name
    monkeypatch.chdir("/")
    assert is_base("models/base", base, config, near=tmp_path)
    for name in ["models/base", "other", "owner/base", "seedling", str(tmp_path)]:
        assert not is_base(name, base, config, near=tmp_path / "elsewhere"), name
    weights = load_file(tmp_path / "copy" / "model.safetensors")
    changed = {name: (tensor + 1).contiguous() for name, tensor in weights.items()}
    save_file(changed, tmp_path / "copy" / "model.safetensors", {"format": "pt"})
    assert not is_base(str(tmp_path / "copy"), base, config, near=tmp_path)


def test_a_plugin_and_its_folder_are_one_base():
    config = resolve({"base": "seedling", "domains": ["math"]})
    folder = config.registry.configure("base", "seedling").path()
    by_name = BaseFiles("seedling", folder, "x", "cpu", "float32")
    assert is_base(str(folder), by_name, config, near=folder)
    by_path = BaseFiles(str(folder), folder, "x", "cpu", "float32")
    assert is_base("seedling", by_path, config, near=folder)


def test_a_hub_model_and_its_snapshot_are_one_base(base, tmp_path):
    snapshot = tmp_path / "hub" / "models--owner--tiny" / "snapshots" / ("a" * 40)
    shutil.copytree(base.path, snapshot)
    config = resolve({"base": str(snapshot), "domains": ["math"]})
    for name in ("owner/tiny", "owner/tiny@main", str(snapshot)):
        files = BaseFiles(name, snapshot, base.hash, "cpu", "float32")
        assert is_base("owner/tiny", files, config, near=tmp_path)
        assert is_base(str(snapshot), files, config, near=tmp_path)
        assert not is_base("owner/other", files, config, near=tmp_path)
