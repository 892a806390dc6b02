"""The settings of a run: one model a stage, in the order of the pipeline.

The defaults are the paper's recipe (arXiv 2406.12034, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from selfmoe.config.elsewhere import ExecuteConfig, GenerateConfig
from selfmoe.config.section import Section
from selfmoe.contracts.paths import LenientPath
from selfmoe.contracts.records import Source, Template, Track
from selfmoe.registry.registry import Kind, Registry, registry

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "demo": {
        "brainstorm": {"n": 280, "batch_size": 96, "max_new_tokens": 96},
        "respond": {"batch_size": 64, "max_new_tokens": 96},
        "evaluate": {"limit": 120, "batch_size": 60},
    },
    "paper": {},
}
"""Budgets that hold for every base: ``demo``, the whole pipeline in minutes on two cores, and
``paper``, the defaults. A base can recommend more for them, and have presets of its own.
"""


class SeedsConfig(Section):
    """Stage 1, seeds: the few human-written examples a domain starts from."""

    n: int = Field(100, ge=1, le=1_000_000, description="Seeds a domain.")


class PromptsConfig(Section):
    """How tasks are put to the base and its experts, in respond, training and evaluation."""

    template: Literal["auto", "alpaca", "chat", "plain"] = Field(
        "auto",
        description="alpaca, chat (the base's own chat template) or plain (the task alone); auto: "
        "chat where the base has one and the preset is not paper, else alpaca.",
    )


class BrainstormConfig(Section):
    """Stage 2, brainstorm: the base model continues lists of tasks."""

    n: int = Field(5000, ge=1, description="Distinct instructions to collect a domain.")
    shots: int = Field(3, ge=1, description="Seeds in context.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")
    top_p: float = Field(0.98, gt=0, le=1, description="Nucleus sampling mass.")
    batch_size: int | None = Field(
        None, ge=1, description="Prompts at once; default: as many as there is memory for."
    )
    max_new_tokens: int = Field(256, ge=1, description="Longest task, in tokens.")
    max_tries: int = Field(8, ge=1, description="Stop after this many times n texts.")


class RespondConfig(Section):
    """Stage 3, respond: the base model answers its own tasks after solved seeds."""

    shots: int = Field(5, ge=1, description="Solved seeds in context.")
    batch_size: int | None = Field(
        None, ge=1, description="Prompts at once; default: as many as there is memory for."
    )
    max_new_tokens: int = Field(512, ge=1, description="Longest answer, in tokens.")
    samples: int = Field(
        0, ge=0, description="Answers drawn besides the greedy one, for curate.agreement."
    )
    temperature: float = Field(0.7, gt=0, description="Temperature of those that are drawn.")
    documents: LenientPath | dict[str, LenientPath] | None = Field(
        None, description="Folder of domain text to show passages of, or one a domain."
    )
    retrieved: int = Field(3, ge=1, description="Passages a prompt, at the most.")
    passage_words: int = Field(100, ge=1, description="Longest passage, in words.")

    def folder(self, domain: str) -> Path | None:
        """Return the folder of a domain's documents, if it has one."""
        if isinstance(self.documents, dict):
            return self.documents.get(domain)
        return self.documents


class CurateConfig(Section):
    """Stage 4, curate: drop duplicates, benchmark overlap and what the domain refuses."""

    near_duplicate: float | None = Field(
        None, gt=0, le=1, description="ROUGE-L F1 above which two are one; default: the domain's."
    )
    contamination: bool = Field(True, description="Drop what overlaps a benchmark item.")
    agreement: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of a task's answers that must agree; needs respond.samples.",
    )
    verify: bool | list[str] = Field(
        False,
        description="Let domains (all, or those named) check answers by what the task itself says.",
    )
    min_examples: int = Field(1, ge=1, description="Fewer examples than this stop the run.")
    data: Literal["made", "seeds"] = Field(
        "made", description="What experts learn from: what the base made, or the seeds alone."
    )
    share: float = Field(
        1.0, gt=0, le=1, description="Share of the examples that is kept, from the front."
    )

    def verifies(self, domain: str) -> bool:
        """Return whether a domain is to check its answers."""
        return self.verify if isinstance(self.verify, bool) else domain in self.verify


class SpecialiseConfig(Section):
    """Stage 5, specialise: one adapter a domain, trained on its own data."""

    trainer: str | None = Field(None, description="Trainer; default: the installed default one.")
    options: dict[str, Any] = Field(default_factory=dict, description="The trainer's options.")
    experts: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Expert -> options it is trained with instead, such as a rank of its own.",
    )
    packed: bool = Field(
        False,
        description="Train all experts in one pass over the base, where the trainer can; results "
        "are the same up to rounding.",
    )

    def options_of(self, expert: str) -> dict[str, Any]:
        """Return all options that an expert is trained with."""
        return self.options | self.experts.get(expert, {})


class ComposeConfig(Section):
    """One system of stage 6, compose: a router or a merge with its options."""

    router: str | None = Field(None, description="Router plugin.")
    merge: str | None = Field(None, description="Merge plugin.")
    options: dict[str, Any] = Field(default_factory=dict, description="The composer's options.")
    experts: list[str] | None = Field(
        None, min_length=1, description="Experts it is made of, in gate order; default: all."
    )
    extend: list[str] = Field(
        default_factory=list,
        description="Of the last experts, those that join what the others made, left as it is.",
    )

    @property
    def component(self) -> tuple[Kind, str]:
        """Return kind and name of the composer."""
        return ("router", self.router) if self.router else ("merge", str(self.merge))


class EvaluateConfig(Section):
    """Stage 7, evaluate: every system on every benchmark."""

    benchmarks: list[str] | None = Field(
        None,
        min_length=1,
        description="Ids such as math/gsm8k; default: targets, and others whose files are there.",
    )
    limit: int | None = Field(None, ge=1, description="Items a benchmark; default: all.")
    split: Literal["dev", "test"] = Field("test", description="dev for tuning, test to publish.")
    batch_size: int = Field(16, ge=1, description="Items a forward pass.")
    template: Literal["alpaca", "chat", "plain"] | None = Field(
        None,
        description="How items are asked, whatever prompts.template says; default: as each "
        "benchmark declares, and those that declare alpaca as prompts.template says.",
    )
    overflow: Literal["fewer-shots", "error"] = Field(
        "fewer-shots", description="What to do when a prompt does not fit the context."
    )
    base_shots: int = Field(
        5,
        ge=0,
        description="Examples in the row 'base, N examples' beside zero-shot ones; 0: no row.",
    )
    fewshot_seed: int | None = Field(
        None, ge=0, description="Draws the solved examples; default: a benchmark's first ones."
    )
    unsafe_code: bool = Field(False, description="Run generated code even without a sandbox.")


class ReportConfig(Section):
    """Stage 8, report: tables and results.json."""

    confidence: float = Field(0.95, gt=0, lt=1, description="Level of the intervals.")


class DefineConfig(Section):
    """A domain of a run's own: a domain plugin under another name, with options."""

    domain: str | None = Field(
        None,
        description="Domain plugin, such as one that reads a file; default: the preset's.",
    )
    options: dict[str, Any] = Field(default_factory=dict, description="The plugin's options.")


class RunConfig(Section):
    """Everything that decides what a run does."""

    base: str | None = Field(
        None, description="Base plugin, folder, GGUF file or hub id; default: the shipped."
    )
    domains: list[str] | None = Field(None, description="Domains; default: all default ones.")
    define: dict[str, DefineConfig] = Field(
        default_factory=dict, description="Domain of this run alone -> the plugin it is made of."
    )
    adapters: dict[str, Path] = Field(
        default_factory=dict,
        strict=False,
        description="Expert -> PEFT LoRA folder to take as it is; of a domain, or of none.",
    )
    track: Track = Field("mini", description="mini (shipped, procedural) or benchmark (real).")
    data_dir: Path | None = Field(
        None, strict=False, description="Upstream benchmark files; default: the hub."
    )
    out: Path | None = Field(
        None, strict=False, description="Run directory; default: runs/<preset>."
    )
    seed: int | list[int] = Field(0, description="Root seed, or several for the whole pipeline.")
    preset: str | None = Field(None, description="Budgets; default: what the base recommends.")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of the base; auto: bfloat16 where the device multiplies in it, "
        "else float32.",
    )
    blocks: str | None = Field(
        None, description="The base's list of decoder blocks; default: found by structure."
    )
    plugin_dir: Path | None = Field(
        None,
        strict=False,
        description="Folder whose selfmoe_plugin.py is a plugin too; set by the YAML's place.",
    )
    prompts: PromptsConfig = Field(default_factory=PromptsConfig)
    generate: GenerateConfig = Field(default_factory=GenerateConfig)
    execute: ExecuteConfig = Field(default_factory=ExecuteConfig)
    seeds: SeedsConfig = Field(default_factory=SeedsConfig)
    brainstorm: BrainstormConfig = Field(default_factory=BrainstormConfig)
    respond: RespondConfig = Field(default_factory=RespondConfig)
    curate: CurateConfig = Field(default_factory=CurateConfig)
    specialise: SpecialiseConfig = Field(default_factory=SpecialiseConfig)
    compose: dict[str, ComposeConfig] | None = Field(
        None, description="System label -> composer; default: all default ones."
    )
    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    report: ReportConfig = Field(default_factory=ReportConfig)

    @property
    def root_seeds(self) -> list[int]:
        """Return the root seeds; each is a whole pipeline."""
        return [self.seed] if isinstance(self.seed, int) else list(self.seed)

    @property
    def experts(self) -> list[str]:
        """Return the names of all experts: those of the domains, then those from outside."""
        return list(dict.fromkeys([*(self.domains or []), *self.adapters]))

    @property
    def most_examples(self) -> int:
        """Return how many examples an expert of a domain learns from at the most."""
        whole = self.brainstorm.n if self.curate.data == "made" else self.seeds.n
        return ceil(whole * self.curate.share)

    def with_template(self, name: Template) -> RunConfig:
        """Return the settings with the template that ``auto`` stands for on their base."""
        return self.model_copy(update={"prompts": PromptsConfig(template=name)})

    def kept(self) -> dict[str, Any]:
        """Return what a run keeps of its settings, as plain data: all that decides what comes out.

        Who did the work does not.
        """
        return self.model_dump(mode="json", exclude={"execute"})

    @property
    def source(self) -> Source:
        """Return where seeds and benchmark items come from."""
        return Source(self.track, self.data_dir, self.evaluate.split)

    @property
    def registry(self) -> Registry:
        """Return the registry this run's names are looked up in, with the domains it defines."""
        defined = {name: (str(entry.domain), entry.options) for name, entry in self.define.items()}
        return registry(self.plugin_dir).with_domains(defined)
