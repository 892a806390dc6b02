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
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import tiny_tokenizer

FEW = {"max_steps": 2, "batch_size": 2, "lr": 0.01}
COMPOSE = {
    "mixse": {"router": "topk", "options": FEW},
    "instance": {"merge": "instance"},
    "ties": {"merge": "ties"},
    "dare": {"merge": "dare"},
}
SYSTEMS = ["base", "expert-anything", "expert-whatever", *COMPOSE]
PROMPT = "Double 21."


@pytest.fixture(params=[name for name in FAMILIES if "-" not in name])
def family(request):
    return request.param


def write_base(family, folder):
    """Save a random model and its tokenizer as transformers does."""
    tokenizer = tiny_tokenizer(bos=family.startswith("gemma"))
    lines = [decoders.Replace(Regex("$"), "\n"), decoders.Fuse()]
    tokenizer.backend_tokenizer.decoder = decoders.Sequence(lines)
    sizes = {"num_hidden_layers": 2, "max_position_embeddings": 1024}
    tiny_model(family, vocab_size=len(tokenizer), **sizes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture
def finished(family, plugin_code, tmp_path):
    """Return a finished run on a saved model."""
    write_base(family, tmp_path / "base")
    code, changed = re.subn(r"stop=tuple\(.*?\)", r'stop=("\\n",)', plugin_code)
    assert changed == 1
    (tmp_path / "selfmoe_plugin.py").write_text(code)
    return selfmoe.run(
        selfmoe.RunConfig(
            base=str(tmp_path / "base"),
            device="cpu",
            plugin_dir=tmp_path,
            domains=["anything", "whatever"],
            out=tmp_path / "run",
            seeds={"n": 4},
            brainstorm={"n": 4, "max_new_tokens": 2, "shots": 1},
            respond={"max_new_tokens": 2, "shots": 1},
            specialise={"options": {**FEW, "r": 2}},
            compose=COMPOSE,
            evaluate={"limit": 1, "base_shots": 0, "benchmarks": ["anything/mini"]},
        )
    )


def test_two_steps_of_everything(finished, cli):
    results = {system["name"]: system for system in finished.results["systems"]}
    assert list(results) == SYSTEMS
    assert all(system["average"] is not None for system in results.values())
    shares = finished.results["routing"]["mixse"]["anything/mini"]
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
    for path in Path(finished.path).glob("compositions/*/composition.json"):
        assert json.loads(path.read_text())["base"]
    answers_as_stored(finished)
    said = cli("generate", str(finished.path), PROMPT, "--max-new-tokens", "3", "--trace")
    assert said.exit_code == 0
    assert "anything" in said.stdout


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
