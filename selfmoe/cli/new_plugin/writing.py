"""``selfmoe new-plugin``: a distribution to start from, that works and passes its tests."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from selfmoe import __version__
from selfmoe.cli.new_plugin.kinds import KINDS
from selfmoe.cli.new_plugin.models import Model, copy_model, starting_model
from selfmoe.contracts.errors import PluginError
from selfmoe.registry.inspection import NAME, Kind
from selfmoe.registry.registry import registry
from selfmoe.store.files import cannot_write

MARK = "package/"
"""Folder of the templates that stands for the package."""


@dataclass(frozen=True)
class Names:
    """What the parts of a plugin are called.

    Attributes:
        kind: What it provides.
        name: What configurations call that.
    """

    kind: Kind
    name: str

    @property
    def distribution(self) -> str:
        """Name of the distribution, and of the folder it is written to."""
        return str(canonicalize_name(f"selfmoe-{self.kind}-{self.name}"))

    @property
    def package(self) -> str:
        """Name of the package to import."""
        return f"selfmoe_{self.kind}_{self.name}".replace("-", "_")

    @property
    def cls(self) -> str:
        """Name of the class; the kind in it keeps it apart from keywords and imported names."""
        words = self.name.replace("-", "_").split("_")
        name = "".join(word[:1].upper() + word[1:] for word in words)
        kind = self.kind.title()
        return f"{name}{kind}" if name[0].isalpha() else f"{kind}{name}"

    @property
    def use(self) -> str:
        """The command of a run that it takes part in."""
        return KINDS[self.kind].use.format(name=self.name)


def new_plugin(kind: Kind, name: str, out: Path, model: Path | None = None) -> tuple[Path, Names]:
    """Write a distribution with one working component, its README and its tests.

    Args:
        kind: What it shall provide.
        name: What configurations will call that.
        out: Folder to put the distribution's folder in.
        model: For a base, the folder of the model to copy; default: the installed default base.

    Returns:
        The folder of the distribution, and what its parts are called.

    Raises:
        DataError: If ``model`` holds no model that can be a base.
        PluginError: If the name is not possible or taken, or the folder is there.
        RunError: If it cannot be written.
    """
    names = Names(kind, name)
    _check_name(names)
    target = out / names.distribution
    if target.exists():
        raise PluginError(f"{target} exists; choose another name, or another place with --out")
    if model is not None and kind != "base":
        raise PluginError(f"a {kind} takes no model; leave --model out")
    start = starting_model(model) if kind == "base" else None
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=f".{names.distribution}-") as temporary:
            folder = Path(temporary) / "new"
            _write(folder, names, start)
            folder.rename(target)
    except OSError as error:
        raise cannot_write(target, error, "; choose another place with --out") from None
    return target, names


def _check_name(names: Names) -> None:
    kind, name = names.kind, names.name
    if not NAME.fullmatch(name) or name[-1] in "-_":
        raise PluginError(
            f"{name!r} cannot be the name of a {kind}; use up to 64 lower-case letters, digits, "
            "- and _, with a letter or digit at both ends"
        )
    if name in registry().names(kind):
        owner = registry().entry(kind, name).plugin
        raise PluginError(f"{kind} '{name}' is already provided by {owner}; choose another name")
    if (found := find_spec(names.package)) is not None:
        where = Path(found.origin).parent if found.origin else "installed"
        raise PluginError(f"there is a package {names.package} ({where}); choose another name")


def _write(folder: Path, names: Names, model: Model | None) -> None:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("selfmoe.cli.new_plugin.writing"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
    )
    values = _values(names, model)
    for template in templates.list_templates():
        part, _, inside = template.partition("/")
        if part in ("common", names.kind):
            file = folder / inside.replace(MARK, f"{names.package}/").removesuffix(".jinja")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(templates.get_template(template).render(values), "utf-8")
    if model is not None:
        copy_model(model, folder / names.package / "weights")


def _values(names: Names, model: Model | None) -> dict[str, Any]:
    """Return what the templates can name."""
    values: dict[str, Any] = {
        **KINDS[names.kind]._asdict(),
        "kind": names.kind,
        "name": names.name,
        "distribution": names.distribution,
        "package": names.package,
        "cls": names.cls,
        "use": names.use,
        "version": __version__,
    }
    if model is not None:
        values |= {"origin": model.origin, "preset": model.preset}
        values["settings"] = _literal(model.settings)
    return values


def _literal(value: Any, level: int = 1) -> str:
    """Return a value as Python writes it, mappings one entry a line."""
    if isinstance(value, Mapping) and value:
        items = [f"{_literal(k)}: {_literal(v, level + 1)},\n" for k, v in value.items()]
        inner = "".join("    " * (level + 1) + item for item in items)
        return "{\n" + inner + "    " * level + "}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
