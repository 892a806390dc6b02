"""Finding, hashing and loading the base model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfmoe.config.model import RunConfig
from selfmoe.contracts.errors import CompositionError, DataError, RunError, counted
from selfmoe.contracts.paths import expand_base, split_gguf
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.checkpoints import check_checkpoint, identity, sizes
from selfmoe.models.devices import GPU_FILES, choose_device, choose_dtype, dtype_reason
from selfmoe.models.gguf.convert import Converted, convert
from selfmoe.models.gguf.find import gguf_in, gguf_of
from selfmoe.models.hub import download, download_gguf
from selfmoe.models.quiet import quiet
from selfmoe.models.templates import ChosenTemplate, check_template, choose_template
from selfmoe.models.vocabulary import check_vocabulary, read_tokenizer, settle
from selfmoe.store.manifest import StoredBase

__all__ = ["GPU_FILES", "BaseFiles", "check_same", "find_base", "load_base"]


@dataclass(frozen=True)
class BaseFiles:
    """A base model on disk.

    Attributes:
        name: As the user named it; for GGUF the file's name and how its weights were stored.
        path: Folder with config, safetensors and tokenizer.
        hash: First 10 hex digits of a sha256 over those files.
        device: Where it will run.
        dtype: Number format it will run in.
        why: Why in that one, in words.
        notes: What may differ from other programs on the same files, in words.
        template: How tasks are put to it.
    """

    name: str
    path: Path
    hash: str
    device: str
    dtype: str
    why: str = "as the settings say"
    notes: tuple[str, ...] = ()
    template: ChosenTemplate = field(default_factory=ChosenTemplate)


def find_base(config: RunConfig) -> BaseFiles:
    """Return the base that ``config.base`` names: a plugin's, a folder, a GGUF file, or a hub id.

    A hub id stands for the folder of its snapshot, and a GGUF file for the folder it is converted
    to: what decides the hash is what the files hold.

    Raises:
        DataError: If there is no model that can be used, no such device, or no chat template where
            the settings ask for it.
    """
    name = str(config.base)
    path = _place(name, config)
    notes: tuple[str, ...] = ()
    if (file := gguf_of(name, path)) is not None:
        found = convert(file)
        name, path, notes = _named(config, file, found), found.path, found.notes
    check_checkpoint(name, path)
    device = choose_device(config.device)
    dtype = choose_dtype(config.dtype, device)
    why = dtype_reason(config.dtype, device)
    template = choose_template(config, name, path)
    return BaseFiles(name, path, identity(path), device, dtype, why, notes, template)


def _place(name: str, config: RunConfig) -> Path:
    """Return the folder or file that a base is, fetched if need be."""
    plugins = config.registry.names("base")
    if name in plugins:
        return Path(config.registry.configure("base", name).path())
    real = expand_base(name)
    place, file = split_gguf(real)
    if Path(real).exists():
        return Path(real)
    if file and Path(place).is_dir():
        return gguf_in(Path(place), file)
    return download_gguf(place, file, plugins) if file else download(real, plugins)


def _named(config: RunConfig, file: Path, found: Converted) -> str:
    """Return what a base in GGUF is called: by plugin or hub id, if it has one, file, and form."""
    place = split_gguf(str(config.base))[0]
    here = place not in config.registry.names("base") and Path(expand_base(place)).exists()
    return f"{'' if here else f'{place}:'}{file.name} ({found.quantisation})"


def check_same(files: BaseFiles, wanted: StoredBase, again: str) -> None:
    """Refuse a base that is not the one a run was made with.

    Args:
        files: The base as it is now.
        wanted: What the run keeps of it.
        again: The command that makes the run again.

    Raises:
        RunError: If it is another one, or has another chat template and that was used.
    """
    what, now, then = f"the base '{files.name}'", files.hash, wanted.hash
    if now == then:
        what, now, then = f"the chat template of {what}", files.template.chat, wanted.chat
    if now != then:
        raise RunError(
            f"{what} is not the one this run was made with (hash {now or 'of none'}, not {then})\n"
            f"  This makes the run again with it: {again}"
        )


def is_base(named: str, files: BaseFiles, config: RunConfig, *, near: Path) -> bool:
    """Return whether what an adapter was made for is a base, whatever it is called there.

    Args:
        named: What the adapter names: a path, a hub id, or a base's plugin.
        files: The base.
        config: The settings, which know the plugins.
        near: Folder that relative paths may start from, too.
    """
    if named == files.name or cached_as(files.path) == named:
        return True
    given = Path(named).expanduser()
    places = [given, near / given]
    if named in config.registry.names("base"):
        places = [Path(config.registry.configure("base", named).path())]
    folders = [place for place in places if place.is_dir()]
    return any(folder.samefile(files.path) or _copy(folder, files) for folder in folders)


def cached_as(path: Path) -> str | None:
    """Return the id of a hub model, if a folder is a snapshot in the hub's cache."""
    repository = path.absolute().parent.parent.name
    found = path.absolute().parent.name == "snapshots" and repository.startswith("models--")
    return repository.removeprefix("models--").replace("--", "/", 1) if found else None


def _copy(folder: Path, files: BaseFiles) -> bool:
    """Return whether a folder holds the same files; only those of the same sizes are read."""
    return sizes(folder) == sizes(files.path) and identity(folder) == files.hash


def load_base(files: BaseFiles, config: RunConfig) -> LoadedBase:
    """Return the base, frozen, on its device, tokenizer padding on the left.

    Raises:
        DataError: If transformers cannot read the folder, a part is missing, model and tokenizer
            do not fit, the model is no decoder, a router could not tell its blocks, or nobody
            could tell what its chat template does, where that is used.
    """
    from transformers.utils import logging

    from selfmoe.models.products import hasten

    logging.disable_progress_bar()  # selfmoe shows its own
    try:
        model, tokenizer, missing = _read(files)
    except Exception as error:  # damaged files raise types of a dozen libraries
        raise _unreadable(files, error) from None
    _check_parts(files, model, missing)
    check_vocabulary(files.name, model, tokenizer)
    model.to(files.device).eval().requires_grad_(False)
    hasten(model)
    settle(model, tokenizer, files.name)
    _check_answers(files, model)
    _check_blocks(model, config)
    context = _context(model, tokenizer)
    chosen = files.template
    base = LoadedBase(files.name, model, tokenizer, files.hash, context, config.blocks, chosen.name)
    check_template(base, chosen)
    return base


def _read(files: BaseFiles) -> tuple[Any, Any, Iterable[str]]:
    """Return model, tokenizer, and the names of weights that the files do not hold."""
    import torch
    from transformers import AutoModelForCausalLM

    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with quiet():
        model, told = AutoModelForCausalLM.from_pretrained(
            files.path,
            dtype=getattr(torch, files.dtype),
            use_safetensors=True,
            output_loading_info=True,
            **local,
        )
    return model, read_tokenizer(files.path, local), told["missing_keys"]


def _unreadable(files: BaseFiles, error: Exception) -> DataError:
    where = f"base '{files.name}': cannot load {files.path}"
    if "trust_remote_code" in str(error):
        return DataError(
            f"{where}: it needs program code of its own, which selfmoe does not run\n"
            "  Give a model whose model and tokenizer are part of transformers."
        )
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return DataError(f"{where}: {reason}")


def _check_parts(files: BaseFiles, model: Any, missing: Iterable[str]) -> None:
    """Refuse models of which a part would be random."""
    absent = sorted(missing)
    if absent:
        raise DataError(
            f"base '{files.name}': {files.path} lacks {len(absent)} weights of a "
            f"{type(model).__name__}, such as {absent[0]}; they would be random\n"
            "  Fetch or save the whole model, language-model head included."
        )


def _check_answers(files: BaseFiles, model: Any) -> None:
    """Refuse models that see what comes after a token, and number formats that overflow."""
    import torch

    ids = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 9]], device=files.device)
    with torch.inference_mode():
        logits = model(input_ids=ids, use_cache=False).logits.float()
    damaged = sorted(name for name, weight in model.named_parameters() if not _is_finite(weight))
    if damaged or not logits.amax(-1).isfinite().all():
        count = counted(len(damaged), "weight")
        what = f"{count}, such as {damaged[0]}," if damaged else "its logits"
        raise DataError(
            f"base '{files.name}': in {files.dtype} on {files.device} {what} are not all finite "
            "numbers\n  Choose another --dtype, such as float32; else the weights are damaged."
        )
    before, after = (logits[0] - logits[1]).abs().amax(-1).split([3, 1])
    if before.max() > 0.01 * after.max():
        raise DataError(
            f"base '{files.name}': {type(model).__name__} sees tokens that come later, as encoders "
            "do\n  Give a decoder-only language model, such as a Llama, Qwen or GPT-2."
        )


def _is_finite(weight: Any) -> bool:
    """Return whether all numbers of a tensor are finite; needs no memory of its size."""
    if not weight.numel():
        return True
    low, high = weight.min(), weight.max()
    return bool(low.isfinite() and high.isfinite())


def _check_blocks(model: Any, config: RunConfig) -> None:
    """Refuse, before anything is trained, a base whose tokens no router could reach.

    A list of blocks that is named must be there whether a router asks for it or not.
    """
    if config.blocks is not None or any(entry.router for entry in (config.compose or {}).values()):
        from selfmoe.models.structure import find_decoder

        try:
            find_decoder(model, config.blocks)
        except CompositionError as error:
            raise DataError(f"base '{config.base}': {error}") from None


def _context(model: Any, tokenizer: Any) -> int:
    config = model.config.get_text_config()
    longest = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    return int(min(longest, tokenizer.model_max_length))
