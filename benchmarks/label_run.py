"""What a run directory tells about the data that a run made for itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from labels import Label, count, label
from readers import READERS
from selfmoe.contracts.errors import DataError, RunError
from selfmoe.contracts.text import normalise
from selfmoe.evaluation.statistics import wilson
from selfmoe.registry.registry import registry
from selfmoe.store.cells import read_json
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import read_jsonl

STAGES = ("seeds", "brainstorm", "respond", "curate")

_WELL_FORMED = ("copy of a seed", "duplicate")
_TEXTS = ("parsed", "new", "distinct")

Json = dict[str, Any]
Key = tuple[int, str]


@dataclass
class Counts:
    """What is counted for one domain and root seed; `+` pools two.

    Attributes:
        texts: `written`; `parsed`; `new`: parsed and no copy of a seed; `distinct`: each once.
        before: Tasks with their responses, see `labels.count`.
        after: The same of the curated examples.
        lost: Sensible tasks that curation dropped, by whether their answer was right.
        dropped: Texts and tasks, by stage and reason.
    """

    texts: Counter[str] = field(default_factory=Counter)
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    dropped: Mapping[str, Counter[str]] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        """Return the sum of both."""
        none: Counter[str] = Counter()
        return Counts(
            self.texts + other.texts,
            self.before + other.before,
            self.after + other.after,
            self.lost + other.lost,
            {
                stage: self.dropped.get(stage, none) + other.dropped.get(stage, none)
                for stage in ("brainstorm", "curate")
            },
        )

    def to_json(self) -> Json:
        """Return counts, and shares with their 95 % intervals."""
        asked, used = self.before, self.after
        return {
            "written": self.texts["written"],
            **{name: share(self.texts[name], self.texts["written"]) for name in _TEXTS},
            "before": _shares(asked),
            "after": _shares(used),
            "lost_right": self.lost["right"],
            "lost_wrong": self.lost["wrong"],
            "dropped": {stage: dict(reasons) for stage, reasons in self.dropped.items()},
        }


def share(part: int, whole: int) -> Json:
    """Return a share with its Wilson interval; its value is None if there is nothing."""
    low, high = wilson(part, whole)
    value = part / whole if whole else None
    return {"count": part, "of": whole, "share": value, "low": low, "high": high}


def counted(run: Path) -> dict[Key, Counts]:
    """Return the counts of every root seed and domain that a reader reads and that is curated.

    Raises:
        DataError: If there is none.
        RunError: If the folder holds no run.
        StageError: If generated programs have to be run and there is no sandbox.
    """
    found = {
        (seed, domain): _counts(run, domain, folders)
        for (seed, domain), folders in cells(run).items()
        if domain in READERS and set(STAGES) <= set(folders)
    }
    if not found:
        raise DataError(
            f"{run} has no curated data of the domains {', '.join(READERS)}\n"
            "  Let the run get through the stage curate first: selfmoe status says where it is."
        )
    return found


def cells(run: Path) -> dict[Key, dict[str, str]]:
    """Return `(root seed, domain) -> stage -> folder` of the finished cells up to curate.

    A run that has not come to its end is read by its plan.
    """
    found: dict[Key, dict[str, str]] = {}
    for seed, stage, name, path in _listed(RunDirectory(run)):
        if stage in STAGES and (run / path).exists():
            found.setdefault((seed, name), {})[stage] = path
    return dict(sorted(found.items()))


def settings(run: Path) -> Json:
    """Return the complete settings of a run.

    Raises:
        DataError: If it is not on the mini track: only there is the truth known.
    """
    try:
        config: Json = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
        track = config["track"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        raise RunError(f"{run} holds no run: its config.yaml cannot be read") from None
    if track != "mini":
        raise DataError(
            f"{run} is on track '{track}'; the truth is known on the track 'mini' alone"
        )
    return config


def _listed(directory: RunDirectory) -> Iterable[tuple[int, str, str, str]]:
    """Yield root seed, stage, label and folder of every cell."""
    if (directory.root / "manifest.json").exists():
        manifest = directory.manifest()
        for seed in manifest.seeds:
            for name, cell in manifest.named(seed).items():
                yield int(seed), name.stage, name.label, cell.path
    else:
        for planned in directory.plan():
            yield planned.seed, planned.stage, planned.label, planned.path


def _counts(run: Path, domain: str, folders: Mapping[str, str]) -> Counts:
    style = registry().get("domain", domain).style
    asked = read_jsonl(run / folders["respond"] / "responses.jsonl")
    kept = read_jsonl(run / folders["curate"] / "examples.jsonl")
    labels = label(domain, style, [*asked, *kept])  # together: equal programs are run once
    before, after = labels[: len(asked)], labels[len(asked) :]
    used = {row["id"] for row in kept}
    return Counts(
        _texts(run, folders),
        count(before),
        count(after),
        _lost(one for row, one in zip(asked, before, strict=True) if row["id"] not in used),
        {
            "brainstorm": Counter(read_json(run / folders["brainstorm"] / "yield.json")["dropped"]),
            "curate": Counter(
                read_json(run / folders["curate"] / "yield.json")["dropped"]["curate"]
            ),
        },
    )


def _texts(run: Path, folders: Mapping[str, str]) -> Counter[str]:
    """Return what became of the texts of a brainstorm.

    Copies are those that brainstorm has dropped, and the tasks with the input of a seed. Of
    duplicates the text is not kept; they count as new.
    """
    seeds = read_jsonl(run / folders["seeds"] / "seeds.jsonl")
    kept = read_jsonl(run / folders["brainstorm"] / "instructions.jsonl")
    facts = read_json(run / folders["brainstorm"] / "yield.json")
    dropped = Counter(facts["dropped"])
    inputs = {normalise(seed["input"]) for seed in seeds if seed["input"]}
    copies = sum(normalise(task["input"]) in inputs for task in kept)
    parsed = len(kept) + sum(dropped[reason] for reason in _WELL_FORMED)
    distinct = len(kept) - copies
    new = distinct + dropped["duplicate"]
    return Counter(written=facts["written"], parsed=parsed, new=new, distinct=distinct)


def _lost(dropped: Iterable[Label]) -> Counter[str]:
    return Counter("right" if one.lenient else "wrong" for one in dropped if one.sensible)


def _shares(counts: Counter[str]) -> Json:
    tasks, sensible = counts["tasks"], counts["sensible"]
    return {
        "tasks": tasks,
        "understood": share(counts["understood"], tasks),
        "sensible": share(sensible, tasks),
        "spoilt": counts["spoilt"],
        "spoilt_right": counts["spoilt_right"],
        "right": share(counts["lenient"], sensible),
        "right_strict": share(counts["strict"], sensible),
    }
