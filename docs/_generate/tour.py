"""The reading order of the code: every module once, with the first line of its docstring."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from _generate.markdown import code, plain, table

ROOT = Path(__file__).parents[2]
CODE = ("selfmoe", "domains", "routers", "plugins")


class Chapter(NamedTuple):
    """A part of the tour; patterns stand for the modules that no earlier one has named."""

    title: str
    about: str
    patterns: str


TOUR = (
    Chapter(
        "1. What there is",
        "The contracts and the records that pass between them. Read these first; everything else "
        "is an implementation of them.",
        "hookspecs.py components/__init__.py components/component.py components/base.py "
        "components/domain.py components/benchmark.py components/trainer.py "
        "components/composer.py components/learned.py components/softmax.py records.py "
        "errors.py __init__.py __main__.py",
    ),
    Chapter(
        "2. From settings to a plan",
        "Settings are checked at once, names are looked up in the registry, and the stages add "
        "their tasks. Nothing here loads a model.",
        "config.py resolve.py filling.py settings.py origins.py schema.py template.py yaml_text.py "
        "yaml_core.py paths.py "
        "registry.py discovery.py inspection.py "
        "plan.py cell.py rundir.py manifest.py files.py lines.py randomness.py",
    ),
    Chapter(
        "3. Doing what the plan says",
        "Each task fills one folder; what is there already is left alone.",
        "api.py execute.py expert_source.py growth.py session.py base.py hub.py checkpoints.py "
        "formats.py known_formats.py vocabulary.py devices.py systems.py progress.py",
    ),
    Chapter(
        "4. The stages",
        "One module a stage, each with `plan` and the function that does one task.",
        "stages/__init__.py stages/seeds.py stages/brainstorm.py stages/respond.py "
        "stages/curate.py stages/specialise.py stages/compose.py stages/evaluate.py "
        "stages/*.py prompts.py text.py words.py retrieval/*.py tokens.py generation/**/*.py "
        "fit.py",
    ),
    Chapter(
        "5. The mixture",
        "The numerical heart: experts and a gate on a frozen model, in place and reversible.",
        "mixture/__init__.py mixture/layers.py mixture/blocks.py mixture/scope.py "
        "mixture/surgery.py mixture/runtime.py mixture/adapters.py mixture/fitting.py "
        "mixture/structure.py "
        "mixture/deltas.py mixture/storage.py mixture/**/*.py",
    ),
    Chapter(
        "6. Evaluation",
        "From a model and a benchmark to a score with an interval.",
        "evaluation/__init__.py evaluation/bridge.py evaluation/prompting.py "
        "evaluation/harness.py evaluation/answers/*.py evaluation/**/*.py datafiles.py "
        "tables.py upstream.py",
    ),
    Chapter(
        "7. The sandbox",
        "Programs that a model wrote run here and nowhere else.",
        "sandbox/__init__.py sandbox/probe.py sandbox/process.py sandbox/**/*.py",
    ),
    Chapter(
        "8. Reports and commands",
        "What a run found out, and the command line, one module a command.",
        "reporting/__init__.py reporting/results.py reporting/**/*.py cli/__init__.py "
        "comparison/__init__.py comparison/specs.py comparison/plan.py comparison/compare.py "
        "comparison/*.py narrow.py cli/app.py cli/run.py cli/**/*.py interrupts.py state.py "
        "garbage.py doctor/**/*.py",
    ),
    Chapter(
        "9. For authors of plugins",
        "Contract tests, tiny models, base classes of procedural domains, and what checks plugins.",
        "testing/__init__.py testing/**/*.py mini.py procedural.py choice.py "
        "checking/__init__.py checking/lookup.py checking/project.py checking/*.py "
        "scaffold/__init__.py scaffold/*.py",
    ),
    Chapter(
        "10. The built-in plugins",
        "They enter through the same door as anyone else's; any of them is a model for your own.",
        "/plugins/selfmoe_trainer_*/*.py /routers/selfmoe_*/*.py "
        "/plugins/selfmoe_merge_*/*.py /domains/selfmoe_*/__init__.py "
        "/domains/selfmoe_*/**/*.py /plugins/selfmoe_*/**/*.py",
    ),
)


def modules(root: Path = ROOT) -> list[Path]:
    """Return every module of the code, in alphabetical order."""
    return [
        path for folder in CODE for path in sorted((root / folder).rglob("*.py")) if _kept(path)
    ]


def _kept(path: Path) -> bool:
    own_distribution = any((p / "pyproject.toml").exists() for p in path.parents if p != ROOT)
    return not own_distribution and "build" not in path.parts


def order(root: Path = ROOT, tour: Sequence[Chapter] = TOUR) -> dict[str, list[Path]]:
    """Return ``chapter -> modules``, every module once.

    Raises:
        LookupError: If a module has no place in the tour.
    """
    left = dict.fromkeys(modules(root))
    found: dict[str, list[Path]] = {}
    for chapter in tour:
        taken = [path for path in _matches(root, chapter.patterns) if path in left]
        found[chapter.title] = list(dict.fromkeys(taken))
        for path in taken:
            left.pop(path, None)
    if left:
        names = ", ".join(path.relative_to(root).as_posix() for path in left)
        raise LookupError(f"not in the tour of docs/_generate/tour.py: {names}")
    return found


def _matches(root: Path, patterns: str) -> Iterator[Path]:
    for pattern in patterns.split():
        inside = pattern.removeprefix("/") if pattern[0] == "/" else f"selfmoe/{pattern}"
        yield from sorted(root.glob(inside))


def table_of_modules(counts: bool = False) -> str:
    """Return the tour, one table a chapter; with the lines of each module if asked for."""
    parts = []
    for chapter, paths in zip(TOUR, order().values(), strict=True):
        rows = [_row(path, counts) for path in paths]
        head = ("module", "lines", "what it is") if counts else ("module", "what it is")
        parts.append(f"## {chapter.title}\n\n{chapter.about}\n\n{table(head, rows)}")
    return "\n".join(parts)


def _row(path: Path, counts: bool) -> tuple[str, ...]:
    text = path.read_text("utf-8")
    about = plain((ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0])
    name = code(path.relative_to(ROOT).as_posix())
    return (name, str(len(text.splitlines())), about) if counts else (name, about)
