"""What every base must hold, as a test class to subclass.

class TestMyBase(BaseContract):
@pytest.fixture
def base(self):
return MyBase()
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from selfmoe.config.model import PRESETS, RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.base import Base
from selfmoe.contracts.component import Component
from selfmoe.contracts.errors import SelfmoeError
from selfmoe.contracts.prompts import alpaca
from selfmoe.contracts.records import Instruction, LoadedBase
from selfmoe.models.base import BaseFiles, load_base
from selfmoe.models.checkpoints import OTHER_WEIGHTS, check_checkpoint, identity
from selfmoe.models.gguf.convert import convert
from selfmoe.models.gguf.header import is_gguf
from selfmoe.testing.components import ComponentContract
from selfmoe.testing.registries import registry_of

TEXTS = (
    "What is 12 + 7?",
    "Instruction: Sort the list.\nInput: 10, 9, 100\n\nResponse:",
    "def f(x):\n    return {'a': x[0] ** 2}\n",
    "naïve – 答え ∑ 🙂",
)
"""Texts that a tokenizer must give back as they were."""

CODE = ("*.py", "*.pkl", "*.pickle", "*.npz", "*.so")
"""Files that could run code when a model is loaded, besides weights in old formats."""

ANSWER = 64
"""Tokens of an answer that must fit behind a prompt; what mini tracks ask for."""

_FORWARD = 1024  # tokens of the longest forward pass that is tried


class BaseContract(ComponentContract):
    """Checks of a base model that can be named."""

    @pytest.fixture
    def base(self) -> Base:
        """Return the base to check; subclasses override this."""
        raise NotImplementedError("override the fixture 'base'")

    @pytest.fixture
    def component(self, base: Base) -> Component:
        """Return the base."""
        return base

    @pytest.fixture
    def loaded(self, base: Base) -> LoadedBase:
        """Return the model and its tokenizer, loaded as a run does."""
        try:
            return _load(base.name, _folder(base))
        except SelfmoeError:
            pytest.skip("the base does not load; see test_loads")

    def test_path_is_a_model(self, base: Base) -> None:
        """Its folder, or file in GGUF, holds a decoder and tokenizer that selfmoe can use."""
        path = base.path()
        assert isinstance(path, Path)
        assert path.is_absolute(), "runs are started from any folder"
        check_checkpoint(base.name, _folder(base))

    def test_nothing_in_it_is_run(self, base: Base) -> None:
        """Weights are safetensors only; no pickled file and no code of its own comes with it."""
        path = _folder(base)
        assert not [file.name for kind in (*OTHER_WEIGHTS, *CODE) for file in path.rglob(kind)]
        for config in path.glob("*config.json"):
            assert "auto_map" not in json.loads(config.read_text("utf-8")), config.name

    def test_loads(self, base: Base) -> None:
        """Selfmoe loads it: whole, a decoder, with finite logits and a tokenizer that fits."""
        assert not any(p.requires_grad for p in _load(base.name, _folder(base)).model.parameters())

    def test_tokenizer_gives_texts_back(self, loaded: LoadedBase) -> None:
        """What is encoded and decoded is what it was: digits, spaces, lines, code, any script."""
        for text in TEXTS:
            ids = loaded.tokenizer(text).input_ids
            assert loaded.tokenizer.decode(ids, skip_special_tokens=True) == text

    def test_context_holds_a_task(self, loaded: LoadedBase) -> None:
        """A short task and an answer fit its context, and it can read that far."""
        prompt = loaded.tokenizer(alpaca(Instruction("Answer the question.", TEXTS[0]))).input_ids
        assert len(prompt) + ANSWER <= loaded.context
        longest = [*prompt] * (loaded.context // len(prompt) + 1)
        assert _logits(loaded, longest[: min(loaded.context, _FORWARD)]).isfinite().all()

    def test_runs_of_its_presets_resolve(self, base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
        """The settings it recommends are valid, and its own preset is one there is."""
        cls = type(base)
        assert {name for advice in cls.settings.values() for name in advice} <= {"run", "options"}
        known = registry_of(cls, installed=True)
        monkeypatch.setattr("selfmoe.config.model.registry", lambda local=None: known)
        assert cls.preset in {*PRESETS, *cls.settings}
        for preset in {*PRESETS, *cls.settings}:
            resolve({"base": base.name, "preset": preset}, preset)

    def test_options_it_recommends_are_of_components(self, base: Base) -> None:
        """Every component that it has options for is there."""
        names = {entry.cls.name for entry in registry_of(type(base), installed=True).entries()}
        for preset, advice in type(base).settings.items():
            assert set(advice.get("options", {})) <= names, preset


def _folder(base: Base) -> Path:
    """Return the folder that a run on a base reads."""
    path = Path(base.path())
    return convert(path).path if is_gguf(path) else path


@lru_cache(maxsize=1)
def _load(name: str, path: Path) -> LoadedBase:
    return load_base(BaseFiles(name, path, identity(path), "cpu", "float32"), RunConfig())


def _logits(base: LoadedBase, ids: list[int]) -> torch.Tensor:
    model: Any = base.model
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.tensor([ids])).logits
    return found
