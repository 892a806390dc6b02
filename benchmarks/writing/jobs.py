"""What each system does in a round, as plain data for `writing.worker`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from writing.builds import HERE
from writing.prompts import Workload

Json = dict[str, Any]
BUILDS = ("former", "this")
ALONE = ("generate, batch 8", "generate, batch 32", "generate_batch")
"""Transformers without selfmoe."""
AUTO = "this, auto"
"""This build in bfloat16, for processors that multiply in it."""

BENCHMARKS = {
    "GSM8K": ("selfmoe_domain_math.gsm8k", "GSM8K"),
    "MMLU": ("selfmoe_domain_knowledge.mmlu", "MMLU"),
}
"""Title -> module and class."""
BATCH = 16
"""Items a batch, as in the preset paper."""


class Setting(NamedTuple):
    """What the jobs of a measurement share.

    Attributes:
        base: Folder of the model.
        former: Folder of the former build.
        threads: Threads of a process.
        systems: Who takes part.
    """

    base: Path
    former: Path
    threads: int
    systems: Sequence[str]


def writing(work: Workload, setting: Setting) -> dict[str, Json]:
    """Return system -> job: continue the prompts of a workload."""
    common: Json = {
        "kind": "write",
        "title": work.title,
        "prompts": list(work.prompts),
        "stop": list(work.stop),
        "sampling": work.sampling,
        "max_new_tokens": work.max_new_tokens,
        "batch": work.batch,
    }
    return {
        name: {**common, **_by(name, setting), "writer": name if name in ALONE else "selfmoe"}
        for name in setting.systems
    }


def asking(title: str, setting: Setting, data: Path, items: int) -> dict[str, Json]:
    """Return system -> job: evaluate a benchmark; only builds of selfmoe can."""
    common: Json = {
        "kind": "ask",
        "title": title,
        "benchmark": BENCHMARKS[title],
        "data_dir": str(data),
        "limit": items,
        "batch": BATCH,
    }
    names = [name for name in setting.systems if name not in ALONE]
    return {name: {**common, **_by(name, setting)} for name in names}


def _by(system: str, setting: Setting) -> Json:
    """Return who does it, and with what."""
    return {
        "system": system,
        "build": str(setting.former if system == "former" else HERE),
        "base": str(setting.base),
        "dtype": "bfloat16" if system == AUTO else "float32",
        "threads": setting.threads,
    }
