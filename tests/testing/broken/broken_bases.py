"""Bases of which each breaks one check, named by ``fails``; ``spoil`` damages a sound folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

from selfmoe.contracts import Base


def edit(file, **changes):
    """Change keys of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


class Sound(Base):
    """A base in a folder."""

    name = "sound"
    fails = None
    folder: Path

    def path(self):
        return self.folder

    @staticmethod
    def spoil(folder):
        """Change nothing."""


class Relative(Sound):
    """Depends on the folder it is asked in."""

    fails = "test_path_is_a_model"

    def path(self):
        return Path(os.path.relpath(self.folder))


class Coded(Sound):
    """Brings code of its own."""

    fails = "test_nothing_in_it_is_run"

    @staticmethod
    def spoil(folder):
        (folder / "modeling.py").write_text("")


class Damaged(Sound):
    """Lacks a weight."""

    fails = "test_loads"

    @staticmethod
    def spoil(folder):
        from safetensors.torch import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        del tensors["model.norm.weight"]
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})


class Lowercase(Sound):
    """Loses capitals."""

    fails = "test_tokenizer_gives_texts_back"

    @staticmethod
    def spoil(folder):
        edit(folder / "tokenizer.json", normalizer={"type": "Lowercase"})


class Forgetful(Sound):
    """Reads 64 tokens."""

    fails = "test_context_holds_a_task"

    @staticmethod
    def spoil(folder):
        edit(folder / "config.json", max_position_embeddings=64)


class Misset(Sound):
    """Recommends a setting that there is not."""

    fails = "test_runs_of_its_presets_resolve"
    settings = {"demo": {"run": {"brainstorm": {"m": 3}}}}  # noqa: RUF012


class Misnaming(Sound):
    """Recommends options of nobody."""

    fails = "test_options_it_recommends_are_of_components"
    settings = {"demo": {"options": {"lorra": {"r": 4}}}}  # noqa: RUF012
