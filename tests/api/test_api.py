"""The Python interface on a finished run: what comes back, and that it is what was stored."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

import selfmoe
from selfmoe.api.load import default_system
from selfmoe.api.run import complete
from selfmoe.contracts.errors import ConfigError, RunError, UnknownNameError
from selfmoe.mixture.storage import model_hash
from selfmoe.store.directory import RunDirectory
from selfmoe.store.manifest import Manifest

SYSTEMS = ["base", "expert-anything", "mixse", "instance", "ties", "dare"]


@pytest.fixture(scope="module")
def finished(tiny_base_folder, plugin_code, tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    (folder / "selfmoe_plugin.py").write_text(plugin_code)
    config = selfmoe.RunConfig(
        base=str(tiny_base_folder),
        plugin_dir=folder,
        domains=["anything", "whatever"],
        out=folder / "run",
        seeds={"n": 10},
        brainstorm={"n": 6, "max_new_tokens": 8, "batch_size": 6},
        respond={"max_new_tokens": 8},
        specialise={"options": {"max_steps": 2, "lr": 0.01}},
        evaluate={"limit": 4, "base_shots": 2},
    )
    return selfmoe.run(config)


def test_run_returns_what_the_report_holds(finished):
    assert finished.built == 2 * (4 + 1) + 4 + 8 * 2  # data and experts, systems, evaluations
    names = [system.name for system in finished.results.systems]
    assert names[:2] == ["base", "base-2shot"]
    assert set(SYSTEMS) < set(names)
    shares = finished.results.routing["mixse"]["anything/mini"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("systems", "meant"),
    [
        ({"base": "base", "ties": "merge", "two": "router", "one": "router"}, "two"),
        ({"base": "base", "expert-a": "expert", "ties": "merge"}, "ties"),
        ({"base": "base", "ties": "merge", "dare": "merge"}, None),
        ({"base": "base", "expert-a": "expert"}, None),
    ],
)
def test_what_is_loaded_where_no_system_is_named(tmp_path, systems, meant):
    facts = {"format": 1, "base": {"name": "b", "hash": "0"}, "config": {}, "cells": {"0": {}}}
    manifest = Manifest.model_validate({**facts, "systems": systems})
    RunDirectory(tmp_path).write_manifest(manifest)
    if meant:
        assert default_system(tmp_path) == meant
        return
    with pytest.raises(RunError) as caught:
        selfmoe.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has no system that routes, so the one that is meant must be named\n"
        f"  Available: {', '.join(systems)}."
    )


def test_load_without_a_name_takes_the_run_s_router(finished):
    model, _ = selfmoe.load(finished.path)
    assert model.mixture.composition.composer == "topk"


@pytest.mark.parametrize("system", SYSTEMS)
def test_load_returns_a_model_that_generates(finished, system):
    model, tokenizer = selfmoe.load(finished.path, system=system)
    inputs = tokenizer("Double 21.", return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert output.shape[1] > inputs.input_ids.shape[1]
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_systems_differ_and_detaching_gives_the_base_back(finished):
    base, tokenizer = selfmoe.load(finished.path, "base")
    ids = tokenizer("Double 21.", return_tensors="pt").input_ids
    plain = base(input_ids=ids).logits
    for system in SYSTEMS[1:]:
        model, _ = selfmoe.load(finished.path, system)
        assert not torch.equal(model(input_ids=ids).logits, plain), system
        model.mixture.detach()
        assert torch.equal(model(input_ids=ids).logits, plain), system
        assert model_hash(model) == model_hash(base)


def test_load_names_what_there_is(finished, tmp_path):
    with pytest.raises(UnknownNameError, match=r"'mixsee'; did you mean 'mixse'\?"):
        selfmoe.load(finished.path, "mixsee")
    with pytest.raises(UnknownNameError, match="no root seed named '7'"):
        selfmoe.load(finished.path, "mixse", seed=7)
    with pytest.raises(RunError, match=r"no manifest\.json"):
        selfmoe.load(tmp_path, "mixse")


def test_settings_may_be_a_mapping_and_nothing_else():
    assert complete({"domains": ["math"]}).domains == ["math"]
    with pytest.raises(ConfigError, match=r"domains: Input should be a list, as in \[a, b\]"):
        selfmoe.run({"domains": "math"})
    with pytest.raises(ConfigError, match="expected settings, not list"):
        selfmoe.run(["math"])


@pytest.mark.parametrize("system", ["mixse", "expert-anything"])
def test_what_was_not_made_says_why(finished, cli, tmp_path, system):
    run = Path(shutil.copytree(finished.path, tmp_path / "run"))
    manifest = json.loads((run / "manifest.json").read_text())
    cell = "compose/mixse" if system == "mixse" else "specialise/anything"
    del manifest["cells"]["0"][cell]
    manifest["missing"] = {"0": {cell: "the loss is no number"}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    done = cli("generate", str(run), "Hello", "--system", system)
    assert done.exit_code == 1
    assert f"Error: '{system}' was not made: the loss is no number\n" in done.stderr
    with pytest.raises(UnknownNameError) as error:
        selfmoe.load(run, "mean")
    listed = str(error.value).partition("Available: ")[2].rstrip(".").split(", ")
    assert system not in listed
    assert "ties" in listed


def test_a_run_can_be_moved(finished, tmp_path):
    moved = tmp_path / "moved with spaces"
    Path(finished.path).rename(moved)
    try:
        model, tokenizer = selfmoe.load(moved, "mixse")
        assert model(**tokenizer("x", return_tensors="pt")).logits.isfinite().all()
    finally:
        moved.rename(finished.path)


def test_generate_traces_every_token(finished, cli):
    plain = cli("generate", str(finished.path), "Double 21.", "--max-new-tokens", "6")
    assert plain.exit_code == 0
    traced = cli("generate", str(finished.path), "Double 21.", "--max-new-tokens", "6", "--trace")
    assert "anything" in traced.stdout
    assert "whatever" in traced.stdout
    refused = cli("generate", str(finished.path), "x", "--system", "base", "--trace")
    assert refused.exit_code == 1
    assert "Error: --trace needs a system that routes tokens" in refused.stderr


@pytest.mark.parametrize("raw", [(), ("--raw",)], ids=["instruction", "raw"])
def test_a_prompt_is_taken_as_it_is(finished, cli, raw, monkeypatch):
    seen = []
    monkeypatch.setattr("selfmoe.cli.generate._answer", lambda base, text, most: seen.append(text))
    cli("generate", str(finished.path), r"What is \nabla \nu?", *raw)
    assert r"What is \nabla \nu?" in seen[0]
    cli("generate", str(finished.path), "Solve it.\n1 + 1", *raw)
    assert ("### Input:" in seen[1]) is (not raw)


def test_run_sandboxed():
    from selfmoe.evaluation.sandbox import best_tier

    if best_tier() is None:
        pytest.skip("no sandbox here: generated code is not run")
    verdict = selfmoe.run_sandboxed("assert 1 + 1 == 2", timeout_s=5.0)
    assert (verdict.status, verdict.tier) == ("passed", best_tier())
