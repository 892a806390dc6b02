"""The parts a plugin can provide: Base, Domain, Trainer, Router, Merge.

All have one shape: a ``name``, a docstring whose first line says what it is, a nested ``Config``
(pydantic, unknown keys forbidden) and a few methods. ``options`` holds the validated config.
Nothing here imports torch; components import it inside their methods.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field

from selfmoe.errors import NotSupportedError
from selfmoe.prompts import Prompts, parse_instruction
from selfmoe.records import (
    Composition,
    Example,
    Expert,
    Instruction,
    LoadedBase,
    Rejected,
    ScoredSplit,
    Seed,
    Source,
)

if TYPE_CHECKING:
    from torch import Tensor

    from selfmoe.fit import Fit


class ComponentConfig(BaseModel):
    """Options of a component: unknown keys are errors, values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class FitConfig(ComponentConfig):
    """Options of everything fitted by ``selfmoe.fit``; trainers and routers inherit them."""

    lr: float = Field(3e-4, gt=0, description="Peak learning rate of AdamW.")
    epochs: int = Field(3, ge=1, description="Passes over the data.")
    batch_size: int = Field(32, ge=1, description="Examples an optimizer step.")
    micro_batch_size: int | None = Field(
        None, ge=1, description="Examples a forward pass; smaller needs less memory. Default: all."
    )
    max_steps: int | None = Field(None, ge=1, description="Optimizer steps at the most.")
    warmup: float = Field(0.03, ge=0, le=1, description="Share of the steps the rate rises over.")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How the learning rate falls after the warm-up."
    )
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay of AdamW.")
    clip: float = Field(1.0, gt=0, description="Largest gradient norm of a step.")
    gradient_checkpointing: bool = Field(
        False, description="Recompute activations in the backward pass: less memory, more time."
    )


class Component(ABC):
    """What every part has in common.

    Attributes:
        name: How configurations call it.
        reference_url: The paper or page that describes it; may be empty.
        default: Whether a run that does not say otherwise uses it.
        presets: Options this component recommends, by preset name.
    """

    name: ClassVar[str]
    reference_url: ClassVar[str] = ""
    default: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    class Config(ComponentConfig):
        """This component has no options."""

    def __init__(self, options: ComponentConfig | None = None) -> None:
        self.options: Any = self.Config() if options is None else options

    @classmethod
    def summary(cls) -> str:
        """Return one line on what this component is: the first line of its docstring."""
        return (cls.__doc__ or "").strip().split("\n")[0].rstrip(".")


# --- the model everything starts from ----------------------------------------------------------


class Base(Component):
    """A base model that can be named instead of given by path.

    Attributes:
        settings: What it recommends, by preset name: ``run``, settings in the shape of the YAML,
            and ``options``, component name -> options.
        preset: The preset a run on this base uses when none is asked for.
    """

    settings: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    preset: ClassVar[str] = "paper"

    @abstractmethod
    def path(self) -> Path:
        """Return the folder with the model and tokenizer in the transformers format."""


# --- what experts are experts in ----------------------------------------------------------------


class Benchmark(ABC):
    """Items with a question, a right answer and a way to tell.

    Attributes:
        name: Unique within the domain; the id is ``<domain>/<name>``.
        items: What is scored, one mapping an item; every item has an ``id``.
        splits: The splits there are items for: ``test`` to publish, ``dev`` to tune on.
        role: ``target`` benchmarks enter the average, the others are shown beside it.
        template: ``alpaca`` asks as experts were trained; ``plain`` is the harness's own prompt.
        shots: Solved examples to put before the question.
        pool: Where those come from, in order; disjoint from ``items``.
        separator: What follows each of them in the ``plain`` prompt.
        rule: How answers are found in completions: a name in ``selfmoe.evaluation.answers.RULES``,
            or a sentence.
        max_new_tokens: Longest answer, in tokens.
        stop: Strings that end an answer.
        needs_sandbox: Whether ``score`` runs generated code.
        extra: Facts shown beside the score, such as which files were there.
        remote: Whether items must be fetched; then it is only asked if it is a target or named.
    """

    name: str
    items: Sequence[Mapping[str, Any]]
    splits: tuple[ScoredSplit, ...] = ("test", "dev")
    role: Literal["target", "non-target"] = "target"
    template: Literal["alpaca", "plain"] = "alpaca"
    shots: int = 0
    pool: Sequence[Mapping[str, Any]] = ()
    separator: str = "\n\n"
    rule: str = ""
    max_new_tokens: int = 256
    stop: tuple[str, ...] = ()
    needs_sandbox: bool = False
    extra: Mapping[str, Any] = {}
    remote: bool = False

    def files(self) -> Sequence[Path]:
        """Return the files it is read from; when they change, it is evaluated again.

        Raises:
            MissingDataError: If one is not there.
        """
        return ()

    @abstractmethod
    def ask(self, doc: Mapping[str, Any]) -> Instruction:
        """Return the item as an instruction, for the ``alpaca`` template."""

    def plain(self, doc: Mapping[str, Any]) -> str:
        """Return the item as the harness puts it, for the ``plain`` template."""
        task = self.ask(doc)
        return f"{task.instruction}\n{task.input}\n" if task.input else f"{task.instruction}\n"

    def preamble(self, doc: Mapping[str, Any]) -> str:
        """Return the text that opens the ``plain`` prompt, before any shots (default: none)."""
        return ""

    def stops(self, template: str) -> tuple[str, ...]:
        """Return the strings that end an answer asked for in that template (default: ``stop``)."""
        return self.stop

    def group(self, doc: Mapping[str, Any]) -> str:
        """Return the part of the benchmark a doc belongs to; examples stay within theirs."""
        return ""

    def choices(self, doc: Mapping[str, Any]) -> Sequence[str] | None:
        """Return the options to compare by log-likelihood, or ``None`` to let the model write."""
        return None

    def pick(self, doc: Mapping[str, Any], chances: Sequence[float]) -> int:
        """Return which option counts as the answer: the likeliest, of equal ones the first.

        Args:
            doc: An item with ``choices``.
            chances: The log-likelihood (natural) of each.
        """
        return max(range(len(chances)), key=chances.__getitem__)

    def weigh(self, doc: Mapping[str, Any], chances: Sequence[float]) -> Mapping[str, float]:
        """Return the scores of an item with ``choices``; by default those of the picked option."""
        return self.score(doc, (self.choices(doc) or ())[self.pick(doc, chances)])

    @abstractmethod
    def score(self, doc: Mapping[str, Any], completion: str) -> Mapping[str, float]:
        """Return ``{"score": 0..1}``, with ``"lenient"`` too where forms of answer are told apart.

        For items with ``choices``, ``completion`` is the option picked.
        """

    def extract(self, doc: Mapping[str, Any], completion: str) -> str | None:
        """Return what ``score`` takes for the answer, for a reader; ``None`` if it finds none."""
        return completion.strip() or None

    @abstractmethod
    def gold(self, doc: Mapping[str, Any]) -> str:
        """Return a completion that must score 1.0; also the answer shown in few-shot examples."""

    @abstractmethod
    def wrong(self, doc: Mapping[str, Any]) -> str:
        """Return a plausible completion that must score 0.0."""


class Domain(Component):
    """A field to become an expert in.

    Attributes:
        tracks: The tracks it offers.
        near_duplicate: ROUGE-L F1 above which two instructions count as one.
        templated: Tracks whose texts come from templates and are all alike: there, only exact
            copies count as duplicates of each other or of benchmark items.
        description: A few words for prompts, such as ``"grade-school mathematics"``.
    """

    tracks: ClassVar[tuple[str, ...]] = ("mini",)
    near_duplicate: ClassVar[float] = 0.7
    templated: ClassVar[frozenset[str]] = frozenset({"mini"})
    description: ClassVar[str] = ""

    def prompts(self, source: Source) -> Prompts:
        """Return how this domain asks the base model for tasks and for answers."""
        return Prompts() if source.track == "mini" else Prompts.for_domain(self.description)

    def files(self, source: Source) -> Sequence[Path]:
        """Return the files seeds are read from; when they change, seeds are drawn again.

        Raises:
            MissingDataError: If one is not there.
        """
        return ()

    @abstractmethod
    def seeds(self, source: Source, n: int, rng: random.Random) -> list[Seed]:
        """Return ``n`` seeds, none of them a benchmark item.

        Raises:
            DataError: If the source is missing, malformed or too small.
        """

    def parse(self, text: str) -> Instruction | Rejected:
        """Return the task that a brainstorm continuation states, or why it states none."""
        return parse_instruction(text)

    def accept(self, example: Example, source: Source) -> Rejected | None:
        """Return why an answered task must not be trained on, or ``None`` to keep it."""
        return None

    def answer(self, response: str, source: Source) -> str | None:
        """Return what a response amounts to, so that several can agree; ``None`` if nothing.

        By default its last line that is not empty.
        """
        return next((line.strip() for line in reversed(response.split("\n")) if line.strip()), None)

    def verify(self, example: Example, source: Source) -> Rejected | None:
        """Return why an answer is wrong as far as the task itself tells (``curate.verify``).

        May run code through ``selfmoe.sandbox``.
        """
        return None

    @abstractmethod
    def benchmarks(self, source: Source) -> list[Benchmark]:
        """Return the benchmarks of this domain on the given track.

        A run may not ask for all of them: those that read files do so when ``items`` are looked at
        (see ``selfmoe.upstream``), and raise ``DataError`` then.
        """


# --- experts ------------------------------------------------------------------------------------


class TrainContext(NamedTuple):
    """What a trainer works with.

    Attributes:
        base: The frozen base.
        data: The examples to train on; never empty.
        fit: Language-model fitting with resume, progress and the NaN stop.
        seed: Seed of this cell.
        work: Folder for resumable state; emptied when the expert is committed.
        out: Where to leave the finished PEFT adapter folder.
    """

    base: LoadedBase
    data: Sequence[Example]
    fit: Fit
    seed: int
    work: Path
    out: Path


class Trainer(Component):
    """A way to make an expert out of examples."""

    @abstractmethod
    def train(self, ctx: TrainContext) -> Mapping[str, Any]:
        """Write a PEFT adapter folder to ``ctx.out`` and return the training report.

        The base must be bit for bit what it was. The report is JSON-ready and holds at least
        ``losses`` (one a step), ``tokens`` and ``trained_parameters``.
        """


# --- mixtures -----------------------------------------------------------------------------------


class Site(NamedTuple):
    """Where in the model a gate is asked: decoder block index and, if per linear, its name."""

    block: int
    linear: str | None = None


class TokenInfo(NamedTuple):
    """What a gate may know about the tokens of the current forward, besides hidden states.

    Attributes:
        input_ids: Token ids, shape ``(batch, time)``.
        attention_mask: 1 for real tokens, shape ``(batch, total time)``, or ``None``.
        position_ids: Position of each token, padding not counted, shape ``(batch, time)``.
        prompt_mask: True on prompt tokens, shape ``(batch, time)``, or ``None`` if not known.
        domain: Domain label of each row, or ``None`` if not known.
    """

    input_ids: Tensor | None = None
    attention_mask: Tensor | None = None
    position_ids: Tensor | None = None
    prompt_mask: Tensor | None = None
    domain: Sequence[str] | None = None


class Gate(Protocol):
    """An ``nn.Module`` that says how much of each expert a token gets.

    Attributes:
        site: How often it is asked: once a forward, once a decoder block, or for every linear.
        reads: What it is given as ``x``.
        causal: Whether a token's weights depend on earlier tokens only.
    """

    site: Literal["token", "block", "linear"]
    reads: Literal["hidden", "base_final_hidden", "embedding", "nothing"]
    causal: bool

    def __call__(self, x: Tensor, where: Site, info: TokenInfo) -> Tensor:
        """Return the final weights α ≥ 0.

        Args:
            x: What ``reads`` names, shape ``(batch, time, width)``.
            where: The place that asks.
            info: The tokens being processed.

        Returns:
            Weights, float32, shape ``(batch, time, n_experts)``.
        """


class ComposeContext(NamedTuple):
    """What a composer works with.

    Attributes:
        base: The frozen base.
        experts: The experts by name, in gate order; never empty.
        data: Union of all domains' examples, each with its domain; may be empty.
        trainer: The run's trainer, for composers that train adapters of their own.
        fit: Language-model fitting with resume, progress and the NaN stop.
        seed: Seed of this cell.
        work: Folder for resumable state and for adapters the composition will own.
    """

    base: LoadedBase
    experts: Mapping[str, Expert]
    data: Sequence[Example]
    trainer: Trainer | None
    fit: Fit
    seed: int
    work: Path


Need = Literal["data", "labels_at_inference", "prompt_mask"]


class Composer(Component):
    """A way to make one model out of several experts.

    Attributes:
        kind: ``router`` or ``merge``; only names the table column and the option.
        needs: What it cannot do without.
        label: The system's name in a run that does not list its compositions.
    """

    kind: ClassVar[Literal["router", "merge"]]
    needs: ClassVar[frozenset[Need]] = frozenset()
    label: ClassVar[str] = ""

    def check(self, n_experts: int) -> str | None:
        """Return why these options cannot work with so many experts, before any work is done."""
        return None

    @abstractmethod
    def compose(self, ctx: ComposeContext) -> Composition:
        """Return the composition; ``ctx.base`` and the experts stay bit for bit what they were."""

    def gate(self, composition: Composition) -> Gate | None:
        """Return the gate that routes tokens, or ``None`` if the composition is static."""
        return None

    def deltas(self, composition: Composition) -> Mapping[str, Tensor]:
        """Return ``site -> weight delta``, shape ``(out, in)``, of a static composition.

        By default what ``selfmoe.mixture.deltas.merge_deltas`` stored in its tensors. A composition
        without deltas is the sum of the adapters it owns.
        """
        from selfmoe.mixture.deltas import read_deltas

        return read_deltas(composition)

    def extend(self, composition: Composition, ctx: ComposeContext) -> Composition:
        """Return the composition with the experts of ``ctx`` that it lacks added to it.

        Raises:
            NotSupportedError: If this composer must start over instead.
        """
        raise NotSupportedError(
            f"{self.kind} '{self.name}' cannot add experts to a composition; compose anew"
        )


class Router(Composer):
    """A composer that chooses experts while the model runs."""

    kind = "router"


class Merge(Composer):
    """A composer that fuses experts once, before the model runs."""

    kind = "merge"
