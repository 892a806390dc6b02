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
        "1. contracts: what there is",
        "What a plugin provides, and the records that pass between the parts. Read these first; "
        "everything else is an implementation of them.",
        "__init__.py __main__.py contracts/__init__.py contracts/hookspecs.py "
        "contracts/component.py contracts/base.py contracts/domain.py contracts/benchmark.py "
        "contracts/trainer.py contracts/composer.py contracts/fitting.py contracts/records.py "
        "contracts/errors.py contracts/*.py",
    ),
    Chapter(
        "2. store, registry, config: from settings to cells",
        "Cells on disk are done or not there; names are looked up in the registry; settings are "
        "checked at once. Nothing here loads a model.",
        "store/__init__.py store/cell.py store/files.py store/directory.py store/*.py "
        "registry/__init__.py registry/registry.py registry/*.py "
        "config/__init__.py config/model.py config/resolve.py config/*.py",
    ),
    Chapter(
        "3. models: the base",
        "Found, read, understood; made to write and to learn.",
        "models/__init__.py models/base.py models/structure.py models/tokens.py "
        "models/*.py models/gguf/__init__.py models/gguf/find.py models/gguf/convert.py "
        "models/gguf/*.py models/generation/__init__.py models/generation/engine.py "
        "models/generation/continuous.py models/generation/*.py models/remote/__init__.py "
        "models/remote/writing.py models/remote/*.py models/fitting/__init__.py "
        "models/fitting/batches.py models/fitting/loop.py models/fitting/*.py",
    ),
    Chapter(
        "4. mixture: experts and a gate",
        "The numerical heart: on a frozen model, in place and reversible.",
        "mixture/__init__.py mixture/compose.py mixture/runtime.py mixture/handle.py "
        "mixture/surgery.py mixture/forward/__init__.py mixture/forward/parts.py "
        "mixture/forward/layers.py mixture/forward/blocks.py mixture/forward/scope.py "
        "mixture/forward/*.py mixture/forward/kernels/*.py "
        "mixture/forward/kernels/native/__init__.py mixture/forward/kernels/native/*.py "
        "mixture/sites/*.py "
        "mixture/adapters/*.py mixture/*.py mixture/doors/*.py",
    ),
    Chapter(
        "5. evaluation: from a benchmark to a score",
        "Prompts, answers, intervals; programs that a model wrote run in the sandbox and nowhere "
        "else.",
        "evaluation/__init__.py evaluation/bridge.py evaluation/prompting.py "
        "evaluation/harness.py evaluation/*.py evaluation/answers/*.py "
        "evaluation/sandbox/__init__.py evaluation/sandbox/probe.py "
        "evaluation/sandbox/process.py evaluation/sandbox/*.py",
    ),
    Chapter(
        "6. kits: half-made components",
        "What domains, trainers, routers and merges are built from; with the contracts all that a "
        "plugin imports.",
        "kits/__init__.py kits/domains/*.py kits/trainers/*.py kits/routers/*.py kits/**/*.py",
    ),
    Chapter(
        "7. reporting: what a run found out",
        "Numbers, tables, figures and pages, read off finished cells.",
        "reporting/__init__.py reporting/results.py reporting/*.py reporting/**/*.py",
    ),
    Chapter(
        "8. pipeline: from seeds to an evaluated mixture",
        "The stages add their tasks to a plan; each task fills one cell; what is there already is "
        "left alone.",
        "pipeline/__init__.py pipeline/plan.py pipeline/make.py pipeline/stages/*.py "
        "pipeline/*.py pipeline/**/*.py",
    ),
    Chapter(
        "9. outward: what leaves a run",
        "Systems and merges as folders for other programs; systems behind OpenAI's protocol.",
        "outward/__init__.py outward/opening.py outward/export/__init__.py outward/export/whole.py "
        "outward/export/formats.py outward/export/routed.py outward/export/modeling_mixture.py "
        "outward/export/mixture_experts.py outward/export/mixture_gate.py "
        "outward/export/*.py outward/merging/__init__.py outward/merging/merge.py "
        "outward/delta.py outward/*.py outward/serve/__init__.py outward/serve/systems.py "
        "outward/serve/asked.py outward/serve/listening.py outward/serve/engine.py "
        "outward/serve/worker.py outward/serve/app.py outward/serve/jobs.py outward/**/*.py",
    ),
    Chapter(
        "10. api, cli: the two ways in",
        "Python and the command line, one module a command.",
        "api/__init__.py api/run.py api/load.py api/expert_settings.py api/*.py "
        "api/comparison/*.py api/evaluation/*.py "
        "api/claims/claim.py api/claims/paper.py api/claims/*.py "
        "api/continual/__init__.py api/continual/states.py api/continual/*.py "
        "cli/__init__.py cli/app.py cli/run.py cli/*.py cli/**/*.py",
    ),
    Chapter(
        "11. testing: for authors of plugins",
        "Contract tests, tiny models and fakes.",
        "testing/__init__.py testing/**/*.py",
    ),
    Chapter(
        "12. The built-in plugins",
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
