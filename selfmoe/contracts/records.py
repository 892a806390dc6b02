"""What flows through the pipeline, in the order it comes into being.

Plain frozen data; nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module


Track = Literal["mini", "benchmark"]
"""Where items come from: shipped with the domain, or the real benchmark."""

Template = Literal["alpaca", "chat", "plain"]
"""How a task is put to a base and its experts: as in Alpaca, in the base's own chat, or bare."""

ScoredSplit = Literal["dev", "test"]
"""Which items are scored: those to tune on, or those to publish."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a domain takes its seeds and benchmark items from.

    Attributes:
        track: ``mini`` is shipped with the domain and needs no file; ``benchmark`` is the real one.
        data_dir: Folder of upstream benchmark files; without it the hub is asked.
        split: Which items a benchmark shows: ``dev`` for tuning, ``test`` for published numbers.
    """

    track: Track = "mini"
    data_dir: Path | None = None
    split: ScoredSplit = "test"


@dataclass(frozen=True, slots=True)
class Instruction:
    """A task without its answer."""

    instruction: str
    input: str = ""


@dataclass(frozen=True, slots=True)
class Seed:
    """A human-written (or procedurally generated) task with its answer."""

    id: str
    instruction: str
    input: str
    response: str


@dataclass(frozen=True, slots=True)
class PassageRef:
    """Where a passage that stood in a prompt is from.

    Attributes:
        document: Path of the document, below the folder of documents.
        number: Place of the passage in it, from 1.
        hash: First 10 hex digits of the sha256 of the passage's text.
    """

    document: str
    number: int
    hash: str


_OPTIONAL = ("sources", "continuation", "tokens", "solved")


@dataclass(frozen=True, slots=True)
class Example:
    """A task that the base model wrote and answered itself.

    Attributes:
        id: Unique within its domain.
        domain: The domain whose seeds it came from; the router may use it as a label.
        response: The answer, without the whitespace around it.
        seeds: Ids of the seeds that stood in context when the instruction was written.
        sources: Passages that stood in context when the response was written.
        continuation: The response as the base wrote it, with the whitespace around it; empty for
            what no base has written.
        tokens: The tokens that the base wrote it with, without what ended it: what experts learn.
            Without them the tokens of ``continuation``, or else of ``response``, are learned.
        solved: Ids of the seeds that stood in context, solved, when the response was written.
    """

    id: str
    domain: str
    instruction: str
    input: str
    response: str
    seeds: tuple[str, ...] = ()
    sources: tuple[PassageRef, ...] = ()
    continuation: str = ""
    tokens: tuple[int, ...] = ()
    solved: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the example as a JSON-ready dictionary; without what it has none of."""
        unused = {name for name in _OPTIONAL if not getattr(self, name)}
        return {key: value for key, value in asdict(self).items() if key not in unused}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Example:
        """Return the example that ``to_json`` wrote."""
        lists = {name: tuple(row.get(name, ())) for name in ("seeds", "tokens", "solved")}
        sources = tuple(PassageRef(**source) for source in row.get("sources", ()))
        return cls(**{**row, **lists, "sources": sources})


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why a generated text was not used; ``reason`` is counted and shown in the yield table."""

    reason: str


@dataclass(frozen=True)
class LoadedBase:
    """A frozen base model, ready to be specialised, composed and evaluated.

    Attributes:
        name: The name or path it was asked for by.
        model: The causal language model, in eval mode, all parameters frozen.
        tokenizer: Its tokenizer, padding on the left.
        hash: First 10 hex digits of a sha256 over its weights and tokenizer.
        context: Longest sequence it can read, in tokens.
        blocks: Name of its list of decoder blocks, where that cannot be told from its structure.
        template: How tasks are put to it, in training as in inference.
    """

    name: str
    model: Module
    tokenizer: Any
    hash: str
    context: int
    blocks: str | None = None
    template: Template = "alpaca"


@dataclass(frozen=True)
class Expert:
    """A LoRA adapter that knows one domain.

    Attributes:
        name: What it is called everywhere: in systems, routing shares and reports.
        path: A plain PEFT adapter folder.
    """

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class ExpertRef:
    """How a stored composition names an expert it was made from."""

    name: str
    hash: str
    path: str


@dataclass(frozen=True)
class Composition:
    """What a composer made, as pure data.

    Attributes:
        composer: The composer's name.
        options: Its validated options.
        experts: The experts it was made from, in gate order.
        tensors: Gate parameters or weight deltas; the engine only stores them.
        owned: Adapters that the composer trained itself, by name.
        report: Losses, discarded energy, parameter counts.
    """

    composer: str
    options: Mapping[str, Any]
    experts: tuple[ExpertRef, ...]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    owned: Mapping[str, Path] = field(default_factory=dict)
    report: Mapping[str, float] = field(default_factory=dict)


_EXPERT = "expert-"

SystemKind = Literal["base", "expert", "router", "merge"]


@dataclass(frozen=True, slots=True)
class System:
    """Something that answers benchmarks.

    Attributes:
        name: ``base``, ``base-<N>shot``, ``expert-<name>``, or a composition's label.
        kind: What it is made by.
        shots: Solved examples it is shown on benchmarks that prescribe none; ``None``: none.
    """

    name: str
    kind: SystemKind
    shots: int | None = None

    @classmethod
    def base(cls, shots: int | None = None) -> System:
        """Return the base by itself, or as it answers when it is shown solved examples."""
        return cls("base" if shots is None else f"base-{shots}shot", "base", shots)

    @classmethod
    def of_expert(cls, expert: str) -> System:
        """Return the system that is an expert alone."""
        return cls(f"{_EXPERT}{expert}", "expert")

    @property
    def expert(self) -> str:
        """Return the name of the expert that the system is alone; for systems of that kind."""
        return self.name.removeprefix(_EXPERT)


@dataclass(frozen=True, slots=True)
class Score:
    """One system's result on one benchmark; ``value`` and ``stderr`` lie in 0..1.

    Attributes:
        value: Share of items that are right in the form the benchmark prescribes.
        lenient: Share that is right in any form, where the benchmark tells the two apart.
        n: Number of items, all counted, those that did not fit the context as wrong.
        not_run: Why there is no value (for instance ``"no sandbox"``); then ``value`` is nan.
        extra: Counts worth showing: shots asked and used, overflowed items, sandbox tier.
    """

    value: float
    stderr: float
    n: int
    lenient: float | None = None
    not_run: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
