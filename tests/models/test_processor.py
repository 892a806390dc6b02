"""Which number format ``auto`` is on a CPU: what the processor says, and what a run says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

from selfmoe.config.model import PRESETS, RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.models import devices, processor
from selfmoe.models.base import find_base
from selfmoe.pipeline.make import make_plans
from selfmoe.registry.registry import registry

HASWELL = "fpu sse4_2 fma avx avx2 bmi2"
ZEN_3 = f"{HASWELL} vpclmulqdq"
ICE_LAKE = f"{HASWELL} avx512f avx512_vnni"
ZEN_4 = f"{ICE_LAKE} avx512_bf16"
SAPPHIRE_RAPIDS = f"{ZEN_4} amx_bf16 amx_tile amx_int8"
GRAVITON_2 = "fp asimd asimddp"
GRAVITON_3 = f"{GRAVITON_2} sve i8mm svebf16 bf16"


def told(instructions: str | None) -> Callable[[], str | None]:
    return lambda: instructions


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str | None]:
    """Return what asks anew, of a torch that has oneDNN."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    return processor.bfloat16_instructions.__wrapped__


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Return what writes the text that Linux has of its processors."""
    file = tmp_path / "cpuinfo"
    monkeypatch.setattr(processor, "CPUINFO", file)
    return lambda text: file.write_text(text) and None


@pytest.mark.parametrize(
    ("key", "flags", "found"),
    [
        ("flags", HASWELL, None),
        ("flags", ZEN_3, None),
        ("flags", ICE_LAKE, None),
        ("flags", ZEN_4, "avx512_bf16"),
        ("flags", SAPPHIRE_RAPIDS, "amx_bf16"),
        ("Features", GRAVITON_2, None),
        ("Features", f"{GRAVITON_2} svebf16", None),
        ("Features", GRAVITON_3, "bf16"),
        ("bugs", ZEN_4, None),
    ],
)
def test_what_linux_says(
    linux: Callable[[str], None], ask: Any, key: str, flags: str, found: str | None
) -> None:
    one = f"processor\t: 0\nmodel name\t: Some avx512_bf16\n{key}\t\t: {flags}\n\n"
    linux(one * 2)
    assert ask() == found


@pytest.mark.parametrize(
    ("abilities", "found"),
    [
        ({"avx512_f": True, "avx512_bf16": False, "architecture": "x86_64"}, None),
        ({"avx512_bf16": True, "amx_bf16": False}, "avx512_bf16"),
        ({"avx512_bf16": True, "amx_bf16": True}, "amx_bf16"),
        ({"bf16": True, "sve_max_length": 32, "architecture": "aarch64"}, "bf16"),
    ],
)
def test_what_torch_says_where_linux_does_not(
    linux: Any, ask: Any, monkeypatch: pytest.MonkeyPatch, abilities: Any, found: str | None
) -> None:
    capabilities: Mapping[str, Any] = MappingProxyType(abilities)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert ask() == found


@pytest.mark.parametrize(("there", "found"), [(True, "avx512_bf16"), (False, None)])
def test_what_older_releases_of_torch_say(
    linux: Any, ask: Any, monkeypatch: pytest.MonkeyPatch, there: bool, found: str | None
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: there)
    assert ask() == found


def test_a_torch_that_would_imitate_the_products(
    linux: Callable[[str], None], ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    linux(f"flags : {ZEN_4}\n")
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert ask() is None


def test_this_machine_has_an_answer() -> None:
    assert processor.bfloat16_instructions() in (None, *processor.MULTIPLYING)


@pytest.mark.parametrize(
    ("instructions", "asked", "dtype", "why"),
    [
        (None, "auto", "float32", "auto: this processor does not multiply in bfloat16"),
        ("amx_bf16", "auto", "bfloat16", "auto: this processor multiplies in it, by amx_bf16"),
        (None, "bfloat16", "bfloat16", "as the settings say"),
        ("amx_bf16", "float32", "float32", "as the settings say"),
    ],
)
def test_auto_follows_the_processor(
    monkeypatch: pytest.MonkeyPatch, instructions: str, asked: str, dtype: str, why: str
) -> None:
    monkeypatch.setattr(devices, "bfloat16_instructions", told(instructions))
    for device in ("cpu", "cpu:0"):
        assert devices.choose_dtype(asked, device) == dtype
        assert devices.dtype_reason(asked, device) == why


@pytest.mark.parametrize(("able", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_auto_on_gpus_does_not_ask_the_processor(
    monkeypatch: pytest.MonkeyPatch, able: bool, dtype: str
) -> None:
    monkeypatch.setattr(devices, "bfloat16_instructions", lambda: pytest.fail("asked"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able)
    assert devices.choose_dtype("auto", "cuda:1") == dtype
    assert ("does not multiply" in devices.dtype_reason("auto", "cuda:1")) is not able
    assert devices.dtype_reason("auto", "mps") == "auto: mps multiplies in it"


# --- runs ----------------------------------------------------------------------------------------


def keys(config: RunConfig) -> dict[str, str]:
    return {task.name: task.cell.key for task in make_plans(config).tasks}


def of_seedling(preset: str, **settings: Any) -> RunConfig:
    return resolve({"preset": preset, "seed": 0, "device": "cpu", **settings})


@pytest.mark.parametrize("preset", sorted({*PRESETS, *registry().get("base", "seedling").settings}))
def test_numbers_of_the_seedling_do_not_depend_on_the_processor(
    monkeypatch: pytest.MonkeyPatch, preset: str
) -> None:
    before = keys(of_seedling(preset, dtype="auto"))  # what it was without products of bfloat16
    monkeypatch.setattr(devices, "bfloat16_instructions", told("avx512_bf16"))
    assert find_base(of_seedling(preset)).dtype == "float32"
    assert keys(of_seedling(preset)) == before
    assert keys(of_seedling(preset, dtype="auto")) != before


def test_a_plan_says_where_it_runs_and_in_which_format(
    cli: Callable[..., Any], tiny_base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "bfloat16_instructions", told("avx512_bf16"))
    arguments = ("run", "--domains", "math", "--device", "cpu", "--dry-run")
    by_itself = cli(*arguments, "--base", str(tiny_base_folder)).stdout
    chosen = "On cpu in bfloat16 (auto: this processor multiplies in it, by avx512_bf16)."
    assert chosen in by_itself.splitlines()
    named = "On cpu in float32 (as the settings say)."
    assert named in cli(*arguments).stdout.splitlines()
    monkeypatch.setattr(devices, "bfloat16_instructions", told(None))
    slow = cli(*arguments, "--base", str(tiny_base_folder)).stdout
    assert "On cpu in float32 (auto: this processor does not multiply in bfloat16)." in slow


def test_a_run_begins_with_it_and_computes_in_it(
    tiny_base_folder: Path, plugin_code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from io import StringIO

    from rich.console import Console

    from selfmoe.cli.plan_table import print_budget
    from selfmoe.pipeline.session import Session
    from selfmoe.reporting.terminal.progress import Display

    monkeypatch.setattr(devices, "bfloat16_instructions", told("bf16"))
    (tmp_path / "selfmoe_plugin.py").write_text(plugin_code)
    asked = {"base": str(tiny_base_folder), "domains": ["anything"], "plugin_dir": str(tmp_path)}
    plans = make_plans(resolve({**asked, "device": "cpu"}))
    stream = StringIO()
    print_budget(plans, 1, Display(Console(file=stream, width=500)))
    head = stream.getvalue().splitlines()[1]
    assert head == "  On cpu in bfloat16 (auto: this processor multiplies in it, by bf16)"
    monkeypatch.setattr(devices, "bfloat16_instructions", lambda: pytest.fail("resolved again"))
    session = Session(plans.config, plans.base, Display(Console(file=stream)))
    assert session.base.model.dtype == torch.bfloat16
