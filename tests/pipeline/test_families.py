"""The whole pipeline on a saved model of every family, a few steps each.

A random model writes noise. Here each token it writes reads as a line of one visible letter, and a
line ends a task or an answer: so there always is one, and the domains take any.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from tokenizers import Regex, decoders

import selfmoe
from selfmoe.config.resolve import resolve
from selfmoe.contracts.records import Source
from selfmoe.evaluation.bridge import Setup, evaluate
from selfmoe.models.base import find_base, load_base
from selfmoe.registry.registry import registry
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import tiny_tokenizer
from selfmoe.testing.sparse import SPARSE

FEW = {"max_steps": 2, "batch_size": 2, "lr": 0.01}
COMPOSE = {
    "mixse": {"router": "topk", "options": FEW},
    "instance": {"merge": "instance"},
    "ties": {"merge": "ties"},
    "dare": {"merge": "dare"},
    "mean": {"merge": "mean"},
    "random": {"router": "random"},
}
SYSTEMS = ["base", "expert-anything", "expert-whatever", *COMPOSE]
PROMPT = "Double 21."


@pytest.fixture(params=[name for name in FAMILIES if "-" not in name])
def family(request):
    return request.param


@pytest.fixture
def dtype():
    return "float32"


def write_base(family, folder, context=1024):
    """Save a random model and its tokenizer as transformers does.

    As in the real ones, Gemma's texts begin with a token of their own, and the tokenizers of GPT-2
    and GPT-NeoX have no padding.
    """
    tokenizer = tiny_tokenizer(bos=family.startswith("gemma"))
    if family.startswith("gpt"):
        tokenizer.pad_token = None
    lines = [decoders.Replace(Regex("$"), "\n"), decoders.Fuse()]
    tokenizer.backend_tokenizer.decoder = decoders.Sequence(lines)
    sizes = {"num_hidden_layers": 2, "max_position_embeddings": context}
    tiny_model(family, vocab_size=len(tokenizer), **sizes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture
def finished(family, dtype, plugin_code, tmp_path):
    """Return a finished run on a saved model."""
    write_base(family, tmp_path / "base")
    code, changed = re.subn(r"stop=tuple\(.*?\)", r'stop=("\\n",)', plugin_code)
    assert changed == 1
    (tmp_path / "selfmoe_plugin.py").write_text(code)
    return selfmoe.run(
        selfmoe.RunConfig(
            base=str(tmp_path / "base"),
            device="cpu",
            dtype=dtype,
            plugin_dir=tmp_path,
            domains=["anything", "whatever"],
            out=tmp_path / "run",
            seeds={"n": 4},
            brainstorm={"n": 4, "max_new_tokens": 2, "shots": 1},
            respond={"max_new_tokens": 2, "shots": 1},
            specialise={"options": {**FEW, "r": 2}, "experts": {"whatever": {"r": 3}}},
            compose=COMPOSE,
            evaluate={"limit": 1, "base_shots": 0, "benchmarks": ["anything/mini"]},
        )
    )


def test_two_steps_of_everything(finished, cli):
    results = {system.name: system for system in finished.results.systems}
    assert list(results) == SYSTEMS
    assert all(system.average is not None for system in results.values())
    shares = finished.results.routing["mixse"]["anything/mini"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    for expert, rank in {"anything": 2, "whatever": 3}.items():
        (adapter,) = Path(finished.path).glob(f"experts/{expert}@*/adapter_config.json")
        assert json.loads(adapter.read_text())["r"] == rank
    for path in Path(finished.path).glob("compositions/*/composition.json"):
        assert json.loads(path.read_text())["base"]
    answers_as_stored(finished)
    said = cli("generate", str(finished.path), PROMPT, "--max-new-tokens", "3", "--trace")
    assert said.exit_code == 0
    assert "anything" in said.stdout


@pytest.mark.parametrize(("family", "dtype"), [("gemma2", "bfloat16")], indirect=["family"])
def test_two_steps_in_bfloat16(finished):
    assert [system.name for system in finished.results.systems] == SYSTEMS
    model, _ = selfmoe.load(finished.path, "mixse")
    assert {parameter.dtype for parameter in model.model.parameters()} == {torch.bfloat16}
    answers_as_stored(finished)


@torch.no_grad()
def answers_as_stored(finished):
    """Check that every system loads, answers otherwise than the base, and generates."""
    plain = None
    for system in SYSTEMS:
        model, tokenizer = selfmoe.load(finished.path, system)
        inputs = tokenizer(PROMPT, return_tensors="pt")
        logits = model(**inputs).logits
        plain = logits if plain is None else plain
        assert torch.equal(logits, plain) == (system == "base"), system
        assert model.generate(**inputs, max_new_tokens=2).shape[1] > inputs.input_ids.shape[1]


@pytest.mark.parametrize("family", SPARSE)
def test_sparse_bases_from_seeds_to_report(family, plugin_code, tmp_path):
    write_base(family, tmp_path / "base")
    code = re.sub(r"stop=tuple\(.*?\)", r'stop=("\\n",)', plugin_code)
    (tmp_path / "selfmoe_plugin.py").write_text(code)
    made = selfmoe.run(
        {
            "base": str(tmp_path / "base"),
            "device": "cpu",
            "plugin_dir": str(tmp_path),
            "domains": ["anything"],
            "out": str(tmp_path / "run"),
            "seeds": {"n": 2},
            "brainstorm": {"n": 2, "max_new_tokens": 2, "shots": 1},
            "respond": {"max_new_tokens": 2, "shots": 1},
            "specialise": {"options": {"max_steps": 1, "batch_size": 2, "lr": 0.01}},
            "compose": {"mixse": {"router": "topk", "options": {"max_steps": 1, "k": 1}}},
            "evaluate": {"limit": 1, "base_shots": 0, "benchmarks": ["anything/mini"]},
        }
    )
    assert [system.name for system in made.results.systems][-1] == "mixse"
    (told,) = (tmp_path / "run").glob("experts/*/training.json")
    told = json.loads(told.read_text())
    assert {kind.rpartition(".")[2] for kind in told["linears"]} == set(SPARSE[family].targets)
    assert 0 < told["share_of_blocks"] <= 1


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        (["kv_b_proj", "o_proj"], "self_attn.kv_b_proj is applied anew to all cached tokens"),
        (["o_proj", "q_c_proj"], "no linear layer is named 'q_c_proj'; did you mean"),
        (["o_proj", "lm_head"], "names the embeddings or the output head"),
    ],
)
def test_targets_no_router_can_weigh_are_refused_before_anything_is_made(targets, why, tmp_path):
    write_base("deepseek_v3", tmp_path / "base")
    settings = {
        "base": str(tmp_path / "base"),
        "domains": ["math"],
        "device": "cpu",
        "out": str(tmp_path / "run"),
        "specialise": {"options": {"target_modules": targets}},
    }
    with pytest.raises(selfmoe.SelfmoeError, match=why) as said:
        selfmoe.run(settings)
    assert "target_modules" in str(said.value)
    assert "q_a_proj" in str(said.value)
    assert not list((tmp_path / "run").rglob("*.jsonl"))


def test_learned_positions_are_never_exceeded(tmp_path):
    """GPT-2 cannot read past its last position: what is too long loses examples, then its turn."""
    write_base("gpt2", tmp_path / "base", context=340)
    settings = resolve({"base": str(tmp_path / "base"), "domains": ["math"], "device": "cpu"})
    base = load_base(find_base(settings), settings)
    assert base.context == 340
    seen = []
    base.model.transformer.wpe.register_forward_pre_hook(lambda _, args: seen.append(args[0].max()))
    (benchmark,) = registry().configure("domain", "math").benchmarks(Source("mini", None, "test"))
    how = {"benchmark_id": "math/mini", "context": base.context}
    used, fitted = set(), set()
    for template, shots in (("examples", 3), ("alpaca", 0)):
        work = tmp_path / template
        setup = Setup(limit=12, template=template, shots=shots)
        _, rows = evaluate(base.model, base.tokenizer, benchmark, setup, work=work, **how)
        used |= {row["shots_used"] for row in rows if row["shots_asked"]}
        fitted |= {row["fits"] for row in rows}
        assert all(row["score"] == 0 for row in rows if not row["fits"])
    assert min(used) < 3
    assert fitted == {True, False}
    assert 200 < max(seen) < base.context
