"""The base model: what is read, what is refused and how that is said, and what its hash covers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import DataError
from selfmoe.mixture.storage import model_hash
from selfmoe.models import base as bases
from selfmoe.models import checkpoints, devices, hub
from selfmoe.models.generation import generate
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import random_adapter, tiny_llama, tiny_tokenizer

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path, tiny_base_folder: Path) -> Path:
    """Return a copy of a base that a test may spoil."""
    return Path(shutil.copytree(tiny_base_folder, tmp_path / "base"))


def asked(base: Path | str, **settings: Any) -> RunConfig:
    return resolve({"base": str(base), "domains": ["math"], "device": "cpu", **settings})


def find(base: Path | str, **settings: Any) -> bases.BaseFiles:
    return bases.find_base(asked(base, **settings))


def load(base: Path | str, **settings: Any) -> Any:
    config = asked(base, **settings)
    return bases.load_base(bases.find_base(config), config)


def edit(folder: Path, file: str = "config.json", **changes: Any) -> None:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(call: Callable[[], Any], *parts: str) -> None:
    """Check that a call ends in one error that says all of ``parts`` and what to do."""
    with pytest.raises(DataError) as error:
        call()
    text = str(error.value)
    assert len(text.splitlines()) > 1 or ";" in text, "says what is wrong, not what to do"
    for part in parts:
        assert part in text, text


# --- what is read --------------------------------------------------------------------------------


def test_shards_are_one_model(folder: Path) -> None:
    whole = load(folder)
    (folder / WEIGHTS).unlink()
    whole.model.save_pretrained(folder, max_shard_size="50KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    assert model_hash(load(folder).model) == model_hash(whole.model)
    assert find(folder).hash != whole.hash


def test_generation_defaults_do_not_leak_in(folder: Path) -> None:
    edit(folder, "generation_config.json", temperature=0.3, repetition_penalty=1.7, do_sample=True)
    settled = load(folder).model.generation_config
    assert settled.repetition_penalty in (None, 1.0)
    assert not settled.do_sample
    assert settled.eos_token_id == 256


def test_dtype(folder: Path) -> None:
    assert next(load(folder).model.parameters()).dtype == torch.float32
    assert next(load(folder, dtype="bfloat16").model.parameters()).dtype == torch.bfloat16


def without(folder: Path, *names: str) -> None:
    """Take special tokens from a saved tokenizer; they stay in its vocabulary."""
    path = folder / "tokenizer_config.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in saved.items() if k not in names}))


@pytest.mark.parametrize("ends", [256, [256, 5]])
@pytest.mark.parametrize("lacks", [(), ("pad_token",), ("pad_token", "eos_token")])
def test_tokenizers_without_padding_or_end(folder: Path, lacks: tuple[str, ...], ends: Any) -> None:
    without(folder, "bos_token", *lacks)
    edit(folder, "generation_config.json", eos_token_id=ends)
    edit(folder, "tokenizer_config.json", padding_side="right")
    base = load(folder)
    settled = base.model.generation_config
    assert base.tokenizer.eos_token == "<eos>"
    assert base.tokenizer.pad_token == ("<eos>" if lacks else "<pad>")
    assert base.tokenizer.padding_side == "left"
    assert settled.eos_token_id == ends
    assert settled.pad_token_id == base.tokenizer.pad_token_id
    prompts = ["Add 1.", "How many legs have three spiders?"]
    texts = [generate(base.model, base.tokenizer, [p], max_new_tokens=6)[0] for p in prompts]
    assert generate(base.model, base.tokenizer, prompts, max_new_tokens=6) == texts


def test_each_of_several_ends_ends_a_text(folder: Path) -> None:
    plain = load(folder)
    ids = plain.tokenizer("Add 1.", return_tensors="pt").input_ids
    first = int(plain.model(ids).logits[0, -1].argmax())
    edit(folder, "generation_config.json", eos_token_id=[256, first])
    base = load(folder)
    (written,) = generate(base.model, base.tokenizer, ["Add 1."], max_new_tokens=4)
    assert (written.text, written.finished) == ("", True)


@pytest.mark.parametrize(
    ("model", "tokenizer", "context"),
    [(2048, 10**30, 2048), (2048, 77, 77), (99, 10**30, 99)],
)
def test_the_context_is_what_model_and_tokenizer_read(
    folder: Path, model: int, tokenizer: int, context: int
) -> None:
    edit(folder, "tokenizer_config.json", model_max_length=tokenizer)
    base = load(folder)
    base.model.config.max_position_embeddings = model
    assert bases._context(base.model, base.tokenizer) == context


# --- the hash ------------------------------------------------------------------------------------


def test_the_hash_follows_the_content_not_the_place(folder: Path, tmp_path: Path) -> None:
    before = find(folder).hash
    moved = folder.rename(tmp_path / "elsewhere")
    assert find(moved).hash == before
    (moved / "README.md").write_text("Something about it.")
    assert find(moved).hash == before


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", WEIGHTS])
def test_a_change_of_any_part_changes_the_hash(folder: Path, file: str) -> None:
    before = find(folder).hash
    if file == WEIGHTS:
        swap_weights(folder)
    else:
        edit(folder, file, something="else")
    assert find(folder).hash != before


OTHER_FILES = ("special_tokens_map.json", "generation_config.json", "merges.txt", "vocab.txt")
OTHER_FILES += ("vocab.bpe", "tokenizer.model", "tokenizer.model.v3", "own.model", "own.tiktoken")


@pytest.mark.parametrize("file", [*OTHER_FILES, "model-00002-of-00002.safetensors"])
def test_every_file_of_a_base_counts(folder: Path, file: str) -> None:
    found = [checkpoints.identity(folder)]
    for content in ("one", "two"):
        (folder / file).write_text(content)
        found.append(checkpoints.identity(folder))
    (folder / file).rename(folder / f"vocab-{file}")
    found.append(checkpoints.identity(folder))
    assert len(set(found)) == 4
    assert any(fnmatch(file, pattern) for pattern in hub.FILES), "not fetched from the hub"


@pytest.mark.parametrize("file", ["LICENSE.txt", "requirements.txt", "trainer_state.json"])
def test_what_lies_beside_a_base_does_not_count(folder: Path, file: str) -> None:
    before = checkpoints.identity(folder)
    (folder / file).write_text("x")
    assert checkpoints.identity(folder) == before


@pytest.mark.parametrize("file", ["README.md", "model.py", "pytorch_model.bin", "odd.gguf"])
def test_what_no_base_is_made_of_does_not_count(folder: Path, file: str) -> None:
    before = checkpoints.identity(folder)
    (folder / file).write_text("x")
    (folder / "notes.txt").mkdir()
    assert checkpoints.identity(folder) == before
    assert not any(fnmatch(file, pattern) for pattern in hub.FILES), "fetched from the hub"


def swap_weights(folder: Path) -> None:
    """Replace the weights by others of the same shape, under the same names and times."""
    times = (folder / WEIGHTS).stat()
    tensors = {name: tensor.flip(0) for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file({n: t.contiguous() for n, t in tensors.items()}, folder / WEIGHTS, {"format": "pt"})
    os.utime(folder / WEIGHTS, ns=(times.st_atime_ns, times.st_mtime_ns))


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"architectures": ["LlamaModel"]}, ["LlamaModel", "without a language-model head"]),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            ["quantised (gptq)", "the model it was made from"],
        ),
        (
            {"auto_map": {"AutoConfig": "configuration_x.XConfig"}, "model_type": "nobodys"},
            ["code of its own", "does not run", "'nobodys'"],
        ),
    ],
)
def test_models_of_another_kind(folder: Path, changes: dict[str, Any], parts: list[str]) -> None:
    edit(folder, **changes)
    refused(lambda: find(folder), *parts)


SMALL = {"vocab_size": 288, "num_hidden_layers": 1, "num_attention_heads": 2, "pad_token_id": 0}


def test_encoders(folder: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    (folder / WEIGHTS).unlink()
    sizes = {"hidden_size": 8, "intermediate_size": 8, "initializer_range": 0.5}
    BertForMaskedLM(BertConfig(**SMALL, **sizes)).save_pretrained(folder)
    refused(lambda: find(folder), "BertForMaskedLM", "writes no text", "decoder-only")
    edit(folder, architectures=None)
    refused(lambda: load(folder), "sees tokens that come later", "decoder-only")


def test_encoder_decoders(folder: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    T5ForConditionalGeneration(T5Config(vocab_size=288, **sizes)).save_pretrained(folder)
    refused(lambda: find(folder), "encoder-decoder", "decoder-only")


def test_code_beside_a_model_that_transformers_knows_is_not_run(folder: Path) -> None:
    before = model_hash(load(folder).model)
    edit(folder, auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text("raise SystemExit('this code was run')")
    assert model_hash(load(folder).model) == before


def test_a_tokenizer_with_code_of_its_own(folder: Path) -> None:
    custom = {"AutoTokenizer": ["evil.Slow", None]}
    edit(folder, "tokenizer_config.json", auto_map=custom, tokenizer_class="EvilTokenizer")
    (folder / "evil.py").write_text("raise SystemExit('this code was run')")
    try:
        load(folder)  # transformers may read tokenizer.json without that class
    except DataError as error:
        assert "code of its own" in str(error)


def test_an_architecture_that_transformers_does_not_know(folder: Path) -> None:
    edit(folder, model_type="nobodys")
    with pytest.raises(DataError, match=r"cannot load .*nobodys"):
        load(folder)


@pytest.mark.parametrize("other", ["pytorch_model.bin", "model.gguf", "tf_model.h5"])
def test_other_weights_than_safetensors(folder: Path, other: str) -> None:
    (folder / WEIGHTS).rename(folder / other)
    refused(lambda: find(folder), other, "safetensors", "save_pretrained")


def test_weights_under_another_name(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "consolidated.safetensors")
    refused(lambda: find(folder), "holds no model", WEIGHTS, "consolidated.safetensors")


def test_a_missing_shard_is_named(folder: Path) -> None:
    model = load(folder).model
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="50KB")
    shards = sorted(folder.glob("model-*-of-*.safetensors"))
    shards[-1].unlink()
    refused(lambda: find(folder), f"1 of {len(shards)} weight files", shards[-1].name, "again")


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    refused(lambda: load(folder), "lacks 1 weights", "layers.1.mlp.up_proj", "the whole model")


def test_weights_that_are_no_numbers(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    said = "in float32 on cpu 1 weight, such as model.norm.weight, are not all finite numbers"
    refused(lambda: load(folder), said, "--dtype")


def test_a_number_format_that_overflows(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["model.norm.weight"][:] = 1e30
    tensors["lm_head.weight"][:] = 1e30
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    refused(lambda: load(folder), "base '", "its logits are not all finite numbers", "--dtype")


def test_no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()
    refused(lambda: find(folder), "no tokenizer", "tokenizer.save_pretrained")


def test_a_tokenizer_of_another_model(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"<more-{i}>" for i in range(100)])
    tokenizer.save_pretrained(folder)
    refused(lambda: load(folder), "358 tokens, the model knows 288", "resize")


def test_no_end_of_text(folder: Path) -> None:
    edit(folder, eos_token_id=None)
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("eos_token")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"end-of-text token.*set eos_token"):
        load(folder)


def test_an_adapter_is_no_base(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    refused(lambda: find(folder), "an adapter, not a model", "the model it was trained on")


def test_an_adapter_beside_a_model_would_change_it(folder: Path, tmp_path: Path) -> None:
    adapter = random_adapter(tiny_llama(num_hidden_layers=2), tmp_path / "adapter")
    shutil.copytree(adapter, folder, dirs_exist_ok=True)
    refused(lambda: find(folder), "an adapter beside the model", "adapter_config.json", "Move")


def test_blocks_that_are_not_there_stop_a_run(folder: Path) -> None:
    routed = {"mixse": {"router": "topk"}}
    merged = {"ties": {"merge": "ties"}}
    assert load(folder, blocks="model.layers", compose=routed)
    refused(lambda: load(folder, blocks="model.layer", compose=routed), "'model.layers'", "base '")
    refused(lambda: load(folder, blocks="model.layer", compose=merged), "'model.layers'", "base '")


# --- the hub -------------------------------------------------------------------------------------


def cached(home: Path, folder: Path, model: str = "owner/tiny") -> Path:
    """Put a model into a hub cache, as the hub's own client lays it out."""
    repository = home / "hub" / f"models--{model.replace('/', '--')}"
    for revision, commit in (("main", "a" * 40), ("v2", "b" * 40)):
        snapshot = repository / "snapshots" / commit
        shutil.copytree(folder, snapshot)
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / revision).write_text(commit)
    return repository / "snapshots"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an empty hub cache; the hub cannot be reached."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    return tmp_path / "home"


def test_a_cached_model_is_its_snapshot(offline: Path, folder: Path) -> None:
    snapshots = cached(offline, folder)
    swap_weights(snapshots / ("b" * 40))
    found = find("owner/tiny")
    assert (found.name, found.path) == ("owner/tiny", snapshots / ("a" * 40))
    assert found.hash == find(folder).hash
    other = find("owner/tiny@v2")
    assert other.path == snapshots / ("b" * 40)
    assert other.hash != found.hash
    assert load("owner/tiny").model.num_parameters() > 0


def test_a_folder_wins(
    offline: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(offline, folder)
    mine = tmp_path / "owner" / "tiny"
    shutil.copytree(folder, mine)
    monkeypatch.chdir(tmp_path)
    assert find("owner/tiny").path == mine


def test_a_model_that_is_not_cached(offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = ["'owner/tiny'", "cannot be reached", str(offline), "hf download owner/tiny"]
    refused(lambda: find("owner/tiny"), *parts, "HF_HUB_OFFLINE is set", "seedling")
    refused(lambda: find("owner/tiny@v2"), "hf download owner/tiny --revision v2")


def test_a_model_without_safetensors(offline: Path, folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    cached(offline, folder)
    refused(lambda: find("owner/tiny"), "no model*.safetensors", "pickled", "save_pretrained")


def failure(name: str) -> Exception:
    """Return an error of the hub's client as the hub would make it raise it."""
    from huggingface_hub import errors

    kind = getattr(errors, name)
    return kind.__new__(kind, "401 Client Error.\n\nMore of it.")


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (lambda: failure("GatedRepoError"), ["gated", "https://huggingface.co/owner/tiny"]),
        (lambda: failure("RepositoryNotFoundError"), ["no model 'owner/tiny'", "hf auth login"]),
        (lambda: failure("RevisionNotFoundError"), ["no revision 'v9'", "branch, tag or commit"]),
        (lambda: OSError(28, "No space left on device"), ["No space left", "hf download"]),
        (lambda: Exception("The read timed out"), ["timed out", "Try again", "hf download"]),
        (lambda: ValueError("odd"), ["odd", "hf download owner/tiny --revision v9"]),
    ],
)
def test_what_the_hub_refuses(
    monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], parts: list[str]
) -> None:
    calls = []

    def snapshot_download(*arguments: Any, **options: Any) -> str:
        calls.append((arguments, options["revision"]))
        raise error()

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    refused(lambda: hub.download("owner/tiny@v9", ["seedling"]), *parts, "seedling")
    assert calls == [(("owner/tiny",), "v9")]


@pytest.mark.parametrize("name", ["seedlin", "./owner/tiny", "~/tiny", "a/b/c", "owner/tiny@", ""])
def test_what_is_no_hub_id_is_not_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: pytest.fail("asked"))
    refused(lambda: hub.download(name, ["seedling"]), f"base '{name}' does not exist", "a folder")


def test_odd_letters_in_a_hub_id(offline: Path) -> None:
    refused(lambda: find("own er/tiny"), "no hub id", "letters")


# --- devices -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "chosen"),
    [(["cpu"], "cpu"), (["cpu", "mps"], "mps"), (["cpu", "cuda:0", "cuda:1", "mps"], "cuda")],
)
def test_auto_takes_the_fastest(there: list[str], chosen: str) -> None:
    assert devices.preferred(there) == chosen


def test_auto_is_a_device_that_works() -> None:
    chosen = devices.choose_device("auto")
    assert any(name.startswith(chosen) for name in devices.present())
    assert float(torch.ones(2, device=chosen).sum()) == 2


@pytest.mark.parametrize("name", ["tpu9", "cuda:99", "meta", "gpu", ""])
def test_a_device_that_is_none(name: str) -> None:
    listed = ", ".join(devices.present())
    refused(lambda: devices.choose_device(name), f"device '{name}' cannot be used", listed, "auto")


def test_dtypes() -> None:
    assert devices.choose_dtype("auto", "cpu") == "float32"
    assert devices.choose_dtype("auto", "cpu:0") == "float32"
    assert devices.choose_dtype("auto", "mps") == "bfloat16"
    assert devices.choose_dtype("float16", "cpu") == "float16"


def test_options_of_the_command_line(cli: Callable[..., Any], tiny_base_folder: Path) -> None:
    arguments = ("run", "--base", str(tiny_base_folder), "--domains", "math", "--dry-run")
    assert cli(*arguments, "--device", "cpu", "--dtype", "bfloat16").exit_code == 0
    wrong = cli(*arguments, "--device", "cuda:99")
    assert wrong.exit_code == 1
    assert "device 'cuda:99' cannot be used" in wrong.stderr
    assert "'auto', 'float32', 'bfloat16', 'float16'" in cli(*arguments, "--dtype", "int8").stderr


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_read_as_it_was_saved(family: str, tmp_path: Path) -> None:
    model, tokenizer = tiny_model(family), tiny_tokenizer()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert model_hash(loaded.model) == model_hash(model)
    assert loaded.context == 512
    assert loaded.tokenizer.padding_side == "left"
    assert loaded.tokenizer.get_vocab() == tokenizer.get_vocab()
    text = "Add 12 and\n  3 to é.\n\n"
    assert loaded.tokenizer(text).input_ids == tokenizer(text).input_ids
    assert loaded.tokenizer.decode(loaded.tokenizer(text).input_ids) == text
