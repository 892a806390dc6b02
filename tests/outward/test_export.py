"""Exports of a whole run: each format loads elsewhere and answers as the system does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import selfmoe
from selfmoe.contracts.errors import NotSupportedError, RunError, UnknownNameError
from selfmoe.outward.export.check import answers, difference


def loaded(folder: Path, **options):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, **options).eval(), tokenizer


def of_run(run: Path, system: str):
    model, tokenizer = selfmoe.load(run, system)
    return answers(model, tokenizer)


@pytest.mark.parametrize("weights", ["copy", "reference"])
def test_a_router_loads_in_transformers(exported_run, tmp_path, weights):
    out = selfmoe.export(exported_run, "mixse", tmp_path / "out", base_weights=weights)
    model, tokenizer = loaded(out, trust_remote_code=True)
    assert difference(answers(model, tokenizer), of_run(exported_run, "mixse")) < 1e-5
    assert "selfmoe" not in type(model).__module__.split(".")
    again = tmp_path / "again"
    model.save_pretrained(again)
    model, _ = loaded(out, trust_remote_code=True)
    tokenizer.save_pretrained(again)
    whole, _ = loaded(again, trust_remote_code=True)
    assert difference(answers(whole, tokenizer), of_run(exported_run, "mixse")) < 1e-5


def test_nobody_gets_the_base_alone_in_silence(exported_run, tmp_path):
    out = selfmoe.export(exported_run, "mixse", tmp_path / "out")
    with pytest.raises(ValueError, match="trust_remote_code"):
        loaded(out, trust_remote_code=False)


@pytest.mark.parametrize("system", ["ties", "mean", "expert-anything"])
def test_merges_and_experts_are_plain_models(exported_run, tmp_path, system):
    out = selfmoe.export(exported_run, system, tmp_path / "out")
    assert difference(answers(*loaded(out)), of_run(exported_run, system)) < 1e-5
    assert not list(out.glob("*.py"))


def test_an_expert_is_a_peft_adapter(exported_run, tmp_path, tiny_base_folder):
    from peft import PeftModel

    out = selfmoe.export(exported_run, "expert-whatever", tmp_path / "out", format="peft")
    base, tokenizer = loaded(tiny_base_folder)
    tokenizer.padding_side = "left"
    model = PeftModel.from_pretrained(base, out)
    assert difference(answers(model, tokenizer), of_run(exported_run, "expert-whatever")) < 1e-5


@pytest.mark.parametrize("form", ["peft", "mlx", "gguf"])
@pytest.mark.parametrize("rank", [1, 1000])
def test_a_merge_is_an_adapter_of_a_rank(exported_run, tmp_path, form, rank):
    out = selfmoe.export(exported_run, "ties", tmp_path / "out", format=form, rank=rank)
    card = (out / "README.md").read_text()
    assert ("It answers otherwise than the system does" in card) == (rank == 1)
    assert "Of the energy (squared norm of all deltas) the rank leaves out" in card


def test_an_mlx_adapter_is_read_again_by_a_run(exported_run, tmp_path, tiny_base_folder):
    from selfmoe.contracts.records import Expert
    from selfmoe.mixture.runtime import attach_expert

    out = selfmoe.export(exported_run, "expert-anything", tmp_path / "out", format="mlx")
    base, tokenizer = loaded(tiny_base_folder)
    tokenizer.padding_side = "left"
    attach_expert(base, Expert("mlx", out))
    assert difference(answers(base, tokenizer), of_run(exported_run, "expert-anything")) < 1e-5
    told = json.loads((out / "adapter_config.json").read_text())
    assert told["lora_parameters"]["keys"] == sorted(told["lora_parameters"]["keys"])
    assert told["num_layers"] == len({k.split(".")[2] for k in keys(out / "adapters.safetensors")})


def keys(file: Path) -> list[str]:
    from safetensors.torch import load_file

    return list(load_file(file))


def test_the_data_is_a_dataset(exported_run, tmp_path):
    from datasets import load_dataset

    out = selfmoe.export(exported_run, "mixse", tmp_path / "data", format="dataset")
    rows = load_dataset(str(out), "anything", split="train", cache_dir=str(tmp_path / "cache"))
    assert {"instruction", "input", "response"} <= set(rows.column_names)
    one = selfmoe.export(exported_run, "expert-whatever", tmp_path / "one", format="dataset")
    assert [file.name for file in (one / "data").iterdir()] == ["whatever.jsonl"]
    assert "license" not in (out / "README.md").read_text().split("---")[1]


def test_cards_tell_scores_and_invent_no_licence(exported_run, tmp_path):
    from huggingface_hub import ModelCard

    out = selfmoe.export(exported_run, "mixse", tmp_path / "out")
    card = ModelCard.load(out / "README.md")
    assert card.data.license is None
    assert card.data.base_model is None  # a folder of this machine is none of the hub
    assert "which its files do not tell here" in card.text
    assert "| average | |" in card.text
    assert str(exported_run.parent) not in card.text


@pytest.mark.parametrize(
    ("system", "options", "error", "said"),
    [
        ("prompt", {}, NotSupportedError, "router 'sequence' cannot be exported"),
        ("mixse", {"format": "peft"}, NotSupportedError, "no single adapter can do"),
        ("base", {}, NotSupportedError, "the base by itself"),
        ("ties", {"base_weights": "reference"}, NotSupportedError, "--format peft keeps"),
        ("ties", {"rank": 2}, NotSupportedError, "--rank is that of an adapter"),
        ("mixse", {"format": "pfet"}, UnknownNameError, "did you mean 'peft'"),
        ("absent", {}, UnknownNameError, "no system named 'absent'"),
    ],
)
def test_what_cannot_be_exported_is_refused(exported_run, tmp_path, system, options, error, said):
    with pytest.raises(error, match=said):
        selfmoe.export(exported_run, system, tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(exported_run, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        selfmoe.export(exported_run, "mixse", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_what_differs_is_not_left_behind(exported_run, tmp_path, monkeypatch):
    from selfmoe.outward.export import routed

    true = routed._factors
    monkeypatch.setattr(routed, "_factors", lambda s: {k: 1.01 * v for k, v in true(s).items()})
    with pytest.raises(RunError, match="does not answer as the system does"):
        selfmoe.export(exported_run, "mixse", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    selfmoe.export(exported_run, "mixse", tmp_path / "out", check=False)


def test_attention_is_the_plain_one_where_the_system_used_that(exported_run, tmp_path):
    out = selfmoe.export(exported_run, "mixse", tmp_path / "out")
    file = out / "config.json"
    told = json.loads(file.read_text())
    assert told["mixture"]["eager"] is False
    assert loaded(out, trust_remote_code=True)[0].config._attn_implementation == "sdpa"
    told["mixture"]["eager"] = True
    file.write_text(json.dumps(told))
    assert loaded(out, trust_remote_code=True)[0].config._attn_implementation == "eager"
    wished, _ = loaded(out, trust_remote_code=True, attn_implementation="sdpa")
    assert wished.config._attn_implementation == "sdpa"


def test_half_precision(exported_run, tmp_path):
    out = selfmoe.export(exported_run, "mixse", tmp_path / "out", dtype="bfloat16")
    model, _ = loaded(out, trust_remote_code=True)
    assert model.dtype == torch.bfloat16
    assert model.mixture_gate.theta["all"].dtype == torch.float32
