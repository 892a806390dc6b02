"""The error catalogue: every class of error, with the message of one that is really raised."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

from _generate.markdown import block, said
from _generate.plugins import own
from selfmoe.contracts import errors
from selfmoe.contracts.errors import SelfmoeError


class Failure(NamedTuple):
    """What the catalogue says of a class of error, besides its docstring.

    Attributes:
        when: Where a user meets it.
        do: What to do then.
        show: Does something that ends in such an error, in an empty folder.
    """

    when: str
    do: str
    show: Callable[[], object]


def _setting() -> None:
    from selfmoe.config.resolve import resolve

    resolve({"brainstorm": {"shot": 4}, "evaluate": {"limit": 0}}, "run.yaml")


def _plugin() -> None:
    from selfmoe.registry.registry import Registry

    found = Registry()
    found.load("mine", "selfmoe-router-mine", "1.0", lambda: SimpleNamespace(SELFMOE_API=2))
    raise errors.PluginError(found.plugins[0].reason)


def _name() -> None:
    raise errors.unknown_name("router", "topkk", [entry.cls.name for entry in own("router")])


def _missing() -> None:
    from selfmoe.kits.domains.datafiles import locate

    locate(Path("data"), "gsm8k", "test.jsonl")


def _data() -> None:
    from selfmoe.kits.domains.datafiles import jsonl_rows

    Path("test.jsonl").write_text('{"question": "1 + 1?", "answer": "#### 2"}\n{"question": "?"}\n')
    jsonl_rows(Path("test.jsonl"), ("question", "answer"))


def _stage() -> None:
    from selfmoe.evaluation.prompting import refuse_overflow
    from selfmoe.models.context import Prompt

    prompts = [Prompt("", 8, 900, fits=True), Prompt("", 5, 1000, fits=True)]
    refuse_overflow("math/gsm8k", prompts, 8)


def _run() -> None:
    from selfmoe.store.directory import RunDirectory

    RunDirectory(Path("runs/mine")).manifest()


def _composition() -> None:
    from selfmoe.contracts.records import Composition
    from selfmoe.mixture import storage

    storage.write_composition(Composition("ties", {}, ()), Path("ties"), base_hash="0b1d9a7c52")
    storage.read_composition(Path("ties"), base_hash="f3a86e90d4")


def _operation() -> None:
    from selfmoe.contracts.composer import Merge

    Merge.extend(own("merge")[0].cls(), None, None)  # type: ignore[arg-type]


CATALOGUE: Mapping[str, Failure] = {
    "ConfigError": Failure(
        "before anything is done: settings are checked as a whole, and all problems are listed",
        "correct the keys it names; `selfmoe run --dry-run` checks again without doing anything",
        _setting,
    ),
    "PluginError": Failure(
        "when a plugin is loaded; the plugin is then marked as broken and its reason shown by "
        "`selfmoe list-plugins`, while all others go on working; a run stops only if it needs the "
        "plugin, or if it is the `selfmoe_plugin.py` beside its run file",
        "upgrade or remove the plugin, or tell its author",
        _plugin,
    ),
    "UnknownNameError": Failure(
        "when a setting, an option or a call names something that nobody provides",
        "take one of the names it lists; if yours is missing, look for a broken plugin with "
        "`selfmoe list-plugins`",
        _name,
    ),
    "DataError": Failure(
        "when a base, a benchmark file or another input is unreadable, malformed or too small, "
        "or a seed is a benchmark item",
        "mend or replace the file it names; the whole run stops, since more than one cell may "
        "depend on it",
        _data,
    ),
    "MissingDataError": Failure(
        "when a file is not below `--data-dir`; benchmarks that were not asked for by name are "
        "left out instead",
        "put the upstream file there, or leave `--data-dir` out to ask the hub",
        _missing,
    ),
    "StageError": Failure(
        "when one cell of the run cannot be made; cells that do not depend on it are still made, "
        "and the run ends with exit code 1",
        "change the setting it names and run the same command again",
        _stage,
    ),
    "RunError": Failure(
        "when a folder is no run, is being written by another process, or cannot be written to",
        "choose another `--out`, wait, or run the same command again, as it says",
        _run,
    ),
    "CompositionError": Failure(
        "when adapters do not fit the base or each other, or a stored composition is used with "
        "another base or other experts",
        "compose anew, or use the base and experts it was made from",
        _composition,
    ),
    "NotSupportedError": Failure(
        "when a component is asked for something it cannot do, such as tracing the tokens of a "
        "merge",
        "use a component that can; the message says which kind",
        _operation,
    ),
}
"""Class of error -> what to say about it."""


def classes(module: ModuleType = errors) -> list[type[SelfmoeError]]:
    """Return the classes of error that have a meaning of their own, in the order of the module."""
    found = [value for value in vars(module).values() if isinstance(value, type)]
    return [c for c in found if issubclass(c, SelfmoeError) and c is not SelfmoeError]


def catalogue(module: ModuleType = errors, entries: Mapping[str, Failure] = CATALOGUE) -> str:
    """Return one section a class of error.

    Raises:
        LookupError: If a class has no entry, or an entry no class.
    """
    names = [cls.__name__ for cls in classes(module)]
    if odd := sorted(set(names) ^ set(entries)):
        raise LookupError(
            f"docs/_generate/failures.py and selfmoe/contracts/errors.py differ: {odd}"
        )
    return "\n".join(_section(cls, entries[cls.__name__]) for cls in classes(module))


def _section(cls: type[SelfmoeError], entry: Failure) -> str:
    about = said(cls.__doc__, cls.__name__)
    parent = cls.__bases__[0]
    kind = "" if parent is SelfmoeError else f" A kind of `{parent.__name__}`."
    return (
        f"## `{cls.__name__}`\n\n{about}{kind}\n\n"
        f"**When:** {entry.when}.\n\n**What to do:** {entry.do}.\n\n"
        f"{block('text', 'Error: ' + message(cls, entry.show))}"
    )


def message(cls: type[SelfmoeError], show: Callable[[], object]) -> str:
    """Return the message of the error that ``show`` ends in.

    Raises:
        LookupError: If it ends in another one, or in none.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            show()
        except SelfmoeError as error:
            if type(error) is cls:
                return str(error)
            raise LookupError(f"the example of {cls.__name__} raises {error!r}") from error
    raise LookupError(f"the example of {cls.__name__} raises nothing")
