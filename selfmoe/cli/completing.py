"""What the shell completes: runs, their systems, names of plugins, keys of settings.

Called at every press of the tab key, so nothing here imports torch, and errors are silence.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from selfmoe.contracts.errors import ConfigError, SelfmoeError
from selfmoe.contracts.names import EvaluationName
from selfmoe.contracts.paths import expand

if TYPE_CHECKING:
    from selfmoe.store.manifest import Manifest

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def runs(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Return the run directories below the folder typed so far, then any folder."""
    typed = Path(text or ".")
    folder = typed if text.endswith("/") or not text else typed.parent
    found = []
    with contextlib.suppress(OSError, ConfigError):
        real = expand(folder)
        for path in sorted(p for p in _folders(real) if _is_run(p)):
            shown = str(folder / path.relative_to(real))  # as it was typed, with ~
            if shown.startswith(text):
                found.append(CompletionItem(shown))
    return found or [CompletionItem(text, type="dir")]


def _folders(folder: Path) -> Iterator[Path]:
    """Yield the folders in ``folder``, in its ``runs`` and in its ``evaluations``."""
    for place in (folder, folder / "runs", folder / "evaluations"):
        if place.is_dir():
            yield from (path for path in place.iterdir() if path.is_dir())


def _is_run(path: Path) -> bool:
    return any((path / name).is_file() for name in ("config.yaml", "evaluation.yaml"))


def systems(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Return the systems of the run given before."""
    manifest = _manifest(ctx)
    return _matching(list(manifest.systems), text) if manifest else []


def domains(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Return the domains that the run given before has data of."""
    manifest = _manifest(ctx)
    cells = [name for name, _ in manifest.all_cells()] if manifest else []
    found = dict.fromkeys(name.label for name in cells if name.stage == "curate")
    return _matching(list(found), text)


def benchmarks(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Return what the system given before was asked in the run given before that."""
    manifest, system = _manifest(ctx), ctx.params.get("system")
    cells = [name for name, _ in manifest.all_cells()] if manifest else []
    asked = [EvaluationName.parse(name.label) for name in cells if name.stage == "evaluate"]
    names = [str(name.benchmark) for name in asked if name.system == system]
    return _matching(list(dict.fromkeys(names)), text)


def _manifest(ctx: click.Context) -> Manifest | None:
    """Return the manifest of the run given before; ``None`` where there is none."""
    from selfmoe.store.directory import directory_of

    # While an option lacks its value, click leaves the arguments before it unnamed.
    with contextlib.suppress(OSError, ValueError, SelfmoeError):
        run = expand(ctx.params.get("run") or next(iter(ctx.args), ""))
        return directory_of(run).manifest()
    return None


def names(kind: str) -> Complete:
    """Return the completion of the names of all components of a kind; lists with commas, too."""

    def complete(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
        from selfmoe.registry.registry import registry

        before, comma, last = text.rpartition(",")
        known = registry().names(kind)  # type: ignore[arg-type]
        found = [name for name in known if name not in before.split(",")]
        return _matching([before + comma + name for name in found], before + comma + last)

    return complete


def words(*known: str) -> Complete:
    """Return the completion of a few fixed words."""
    return lambda ctx, param, text: _matching(list(known), text)


def presets(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Return the presets of the base that is asked for, else of the default one."""
    from selfmoe.config.resolve import known_presets
    from selfmoe.registry.registry import registry

    known, base = registry(), ctx.params.get("base")
    bases = [base] if base in known.names("base") else known.defaults("base")
    return _matching(known_presets(known.get("base", bases[0]) if bases else None), text)


def keys(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
    """Return the settings that ``--set`` may change, as ``section.key=``."""
    from selfmoe.config.origins import leaves
    from selfmoe.config.resolve import resolve

    paths = leaves(resolve({}).model_dump(mode="json"))
    return _matching([".".join(path) + "=" for path, _ in paths], text)


def _matching(words: list[str], text: str) -> list[CompletionItem]:
    return [CompletionItem(word) for word in words if word.startswith(text)]
