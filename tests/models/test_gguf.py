"""Bases in GGUF: converted exactly, once and whole; what cannot be converted is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import DataError
from selfmoe.models import base as bases
from selfmoe.models import checkpoints
from selfmoe.models.gguf import convert, header, settings, weights
from selfmoe.testing.gguf import Contents, Vocabulary, byte_vocabulary, write_gguf

pytest.importorskip("gguf", reason="the extra selfmoe[gguf] is not installed")

IDS = torch.tensor([[5, 80, 3, 200, 9, 9, 41], [1, 2, 3, 4, 5, 6, 7]])
GPT2 = {"n_positions": 1024}  # transformers reads no other context of GPT-2 from GGUF


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what tests convert apart from what users do."""
    monkeypatch.setenv("SELFMOE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "Tiny.Q4_1.gguf", Contents("llama", "Q4_1"))


def asked(base: Path | str, **more: Any) -> Any:
    return resolve({"base": str(base), "domains": ["math"], "device": "cpu", **more})


def find(base: Path | str) -> bases.BaseFiles:
    return bases.find_base(asked(base))


def load(base: Path | str) -> Any:
    config = asked(base)
    return bases.load_base(bases.find_base(config), config)


def edited(tmp_path: Path, name: str = "edited.gguf", **contents: Any) -> Path:
    return write_gguf(tmp_path / name, Contents(**contents))


def refused(call: Callable[[], Any], *parts: str) -> str:
    with pytest.raises(DataError) as error:
        call()
    text = str(error.value)
    assert len(text.splitlines()) > 1, "says what is wrong, not what to do"
    for part in parts:
        assert part in text, text
    return text


# --- the numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "storage", "config", "bytes_each"),
    [
        ("llama", "Q4_1", {}, 4),
        ("llama", "F32", {"tie_word_embeddings": True}, 4),
        ("llama", "BF16", {"num_key_value_heads": 1}, 4),
        ("qwen2", "Q8_0", {}, 4),
        ("qwen2", "F16", {"tie_word_embeddings": True}, 4),
        ("gpt2", "F16", GPT2, 4),
    ],
)
def test_logits_are_those_of_transformers_bit_for_bit(
    tmp_path: Path, family: str, storage: str, config: dict[str, Any], bytes_each: int
) -> None:
    path = edited(tmp_path, family=family, storage=storage, config=config)
    theirs = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, dtype=torch.float32
    )
    ours = load(path).model
    with torch.inference_mode():
        assert torch.equal(ours(input_ids=IDS).logits, theirs(input_ids=IDS).logits)
    assert find(path).name == f"edited.gguf ({storage})"


def test_the_file_says_what_the_model_is_and_nothing_else_does(tmp_path: Path) -> None:
    """The file was made of a known model: with unquantised weights the same logits come back."""
    from selfmoe.testing.families import tiny_model

    made = tiny_model("llama", vocab_size=288, intermediate_size=64)
    converted = load(edited(tmp_path)).model
    with torch.inference_mode():
        same = made(input_ids=IDS).logits, converted(input_ids=IDS).logits
    torch.testing.assert_close(*same, rtol=1e-5, atol=1e-5)


def test_weights_that_bfloat16_holds_are_kept_in_it(tmp_path: Path) -> None:
    sizes = {}
    for storage in ("BF16", "F32"):
        folder = find(edited(tmp_path, f"{storage}.gguf", storage=storage)).path
        sizes[storage] = (folder / "model.safetensors").stat().st_size
        assert json.loads((folder / "config.json").read_text())["dtype"] == (
            "bfloat16" if storage == "BF16" else "float32"
        )
    assert sizes["BF16"] < 0.6 * sizes["F32"]


def test_what_reads_the_folder_in_bfloat16_gets_what_the_file_rounds_to(file: Path) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.bfloat16
    )
    config = asked(file, dtype="bfloat16")
    ours = bases.load_base(bases.find_base(config), config).model
    for name, weight in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weight), name
    assert bases.find_base(config).hash == find(file).hash


def test_older_readers_find_the_rotation(tmp_path: Path) -> None:
    path = edited(tmp_path, facts={"llama.rope.freq_base": 123456.0})
    config = json.loads((find(path).path / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 123456.0
    assert load(path).model.config.rope_parameters["rope_theta"] == 123456.0
    tokenizer = json.loads((find(path).path / "tokenizer_config.json").read_text())
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"


def llama3_factors(theta: float, width: int, factor: float) -> Any:
    """Return what Llama 3.1 divides its frequencies by, worked out from its own description."""
    import math

    found = []
    for index in range(width // 2):
        wavelength = 2 * math.pi * theta ** (2 * index / width)
        if wavelength < 8192 / 4:
            found.append(1.0)
        elif wavelength > 8192 / 1:
            found.append(factor)
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            found.append(1 / ((1 - smooth) / factor + smooth))
    return torch.tensor(found, dtype=torch.float32).numpy()


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_llama_3_1_scales_its_rotation(tmp_path: Path, factor: float) -> None:
    tensors = {settings.FACTORS: llama3_factors(500000.0, 16, factor)}
    facts = {"llama.rope.freq_base": 500000.0}
    path = edited(tmp_path, tensors=tensors, facts=facts, config={"head_dim": 16})
    model = load(path).model
    scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0}
    scaling |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    assert model.config.rope_parameters == {"rope_theta": 500000.0, **scaling}
    saved = json.loads((find(path).path / "config.json").read_text())
    assert saved["rope_scaling"] == scaling
    plain = 500000.0 ** (-torch.arange(8) / 8)
    expected = plain / torch.from_numpy(tensors[settings.FACTORS])
    torch.testing.assert_close(model.model.rotary_emb.inv_freq, expected, rtol=1e-5, atol=0)


def test_other_factors_of_the_rotation_are_refused(tmp_path: Path) -> None:
    odd = {settings.FACTORS: torch.linspace(1, 9, 4).numpy()}
    refused(lambda: find(edited(tmp_path, tensors=odd)), "rope_freqs.weight", "Llama 3.1's")


# --- the tokens ----------------------------------------------------------------------------------


def pieces(path: Path, text: str, **options: Any) -> list[str]:
    tokenizer = load(path).tokenizer
    return list(tokenizer.convert_ids_to_tokens(tokenizer(text, **options).input_ids))


def test_spaces_before_digits_are_cut_as_the_file_says(file: Path, tmp_path: Path) -> None:
    assert pieces(file, "x =    10") == ["x", "Ġ", "=", "ĠĠĠĠ", "1", "0"]
    gpt2 = edited(tmp_path, facts={"tokenizer.ggml.pre": "gpt-2"})
    assert pieces(gpt2, "x =    10") == ["x", "Ġ", "=", "ĠĠ", "Ġ", "Ġ1", "0"]


@pytest.mark.parametrize(("pre", "digits"), [("qwen2", 4), ("llama-bpe", 2), ("gpt-2", 1)])
def test_digits_are_cut_as_the_file_says(tmp_path: Path, pre: str, digits: int) -> None:
    words = byte_vocabulary()
    merges = ["1 2", "12 3", "123 4"]
    tokens = [m.replace(" ", "") for m in merges]
    rows = [*words.tokens[:256], *tokens, *words.tokens[256 + len(tokens) :]]
    kinds = [*words.kinds[:256], 1, 1, 1, *words.kinds[259:]]
    vocabulary = type(words)(rows, merges, kinds)
    path = edited(tmp_path, vocabulary=vocabulary, facts={"tokenizer.ggml.pre": pre})
    assert len(pieces(path, "1234")) == digits


def test_a_cut_that_is_not_known_is_warned_of(tmp_path: Path) -> None:
    for pre, said in (("newest", "'newest', which is not known here"), (None, "not in the file")):
        path = edited(tmp_path, facts={"tokenizer.ggml.pre": pre})
        (note,) = find(path).notes
        assert said in note and "runs of spaces, digits" in note and "tokens" in note
        assert find(path).notes == (note,), "it is kept with the folder"


@pytest.mark.parametrize(
    ("pre", "texts"),
    [("tekken", "combining marks"), ("gpt-4o", "combining marks"), ("llama4", "combining marks"),
     ("deepseek-coder", "spaces beyond ASCII")],
)  # fmt: skip
def test_cuts_from_which_llama_cpp_departs_are_told(tmp_path: Path, pre: str, texts: str) -> None:
    (note,) = find(edited(tmp_path, facts={"tokenizer.ggml.pre": pre})).notes
    assert note.startswith(f"llama.cpp cuts texts with {texts}") and f"'{pre}'" in note


def test_known_cuts_are_not_warned_of(file: Path) -> None:
    assert find(file).notes == ()


def test_special_tokens_and_template_are_kept(file: Path) -> None:
    base = load(file)
    rows = byte_vocabulary().tokens
    assert pieces(file, "a<|turn|>b<w3>") == ["a", "<|turn|>", "b", "<w3>"]
    assert base.tokenizer.eos_token_id == rows.index("<eos>")
    assert base.tokenizer.pad_token_id == rows.index("<pad>")
    assert base.tokenizer.decode([rows.index("<|turn|>"), 1], skip_special_tokens=True) == '"'
    said = base.tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    assert said == "<|turn|>a"


def test_every_token_that_ends_a_turn_ends_a_text(tmp_path: Path) -> None:
    turn = byte_vocabulary().tokens.index("<|turn|>")
    path = edited(tmp_path, facts={"tokenizer.ggml.eot_token_id": turn})
    ends = [byte_vocabulary().tokens.index("<eos>"), turn]
    assert load(path).model.generation_config.eos_token_id == ends


def test_special_tokens_beyond_the_byte_alphabet_keep_their_rows(tmp_path: Path) -> None:
    """As DeepSeek's: transformers' own reader gives them rows that the model does not have."""
    words = byte_vocabulary()
    tokens = ["<｜end▁of▁text｜>" if t == "<|turn|>" else t for t in words.tokens]
    vocabulary = type(words)(tokens, words.merges, words.kinds)
    row = tokens.index("<｜end▁of▁text｜>")
    facts = {"tokenizer.ggml.eos_token_id": row}
    base = load(edited(tmp_path, vocabulary=vocabulary, facts=facts))
    assert base.tokenizer.eos_token_id == row
    assert base.tokenizer("a<｜end▁of▁text｜>").input_ids == [tokens.index("a"), row]
    assert len(base.tokenizer) == len(tokens)


@pytest.mark.parametrize(
    ("pre", "flag", "opened"),
    [("smollm", None, False), ("llama-bpe", None, True), ("llama-bpe", False, False),
     ("smollm", True, True)],
)  # fmt: skip
def test_texts_are_opened_as_llama_cpp_opens_them(
    tmp_path: Path, pre: str, flag: bool | None, opened: bool
) -> None:
    row = byte_vocabulary().tokens.index("<|turn|>")
    facts = {"pre": pre, "bos_token_id": row, "add_bos_token": flag}
    path = edited(tmp_path, facts={f"tokenizer.ggml.{k}": v for k, v in facts.items()})
    assert pieces(path, "b") == (["<|turn|>", "b"] if opened else ["b"])


@pytest.mark.parametrize("opened", [True, None, False])
def test_spaces_open_texts_of_pieces_as_the_file_says(tmp_path: Path, opened: bool | None) -> None:
    """Before each text between special tokens, also one that begins with a space, or nowhere."""
    letters = [*"▁abc", "▁a", "▁▁", "ab"]
    octets = [f"<0x{value:02X}>" for value in range(256)]
    tokens = ["<unk>", "<s>", "</s>", *octets, *letters]
    vocabulary = Vocabulary(tokens, [], [2, 3, 3, *[6] * 256, *[1] * len(letters)])
    scores = [0.0] * 259 + [-10.0] * 4 + [-float(rank) for rank in range(len(letters) - 4)]
    facts = {"model": "llama", "pre": None, "merges": None, "scores": scores}
    facts |= {"bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
    facts |= {"add_bos_token": False, "add_space_prefix": opened}
    named = {f"tokenizer.ggml.{key}": value for key, value in facts.items()}
    path = edited(tmp_path, vocabulary=vocabulary, facts=named)
    said = {
        "a": ["▁a"],
        "ab": ["▁a", "b"],
        " a": ["▁", "▁a"],
        "c a": ["▁", "c", "▁a"],
        "b</s>a": ["▁", "b", "</s>", "▁a"],
        "b</s> a": ["▁", "b", "</s>", "▁", "▁a"],
    }
    if opened is False:
        said = {
            "a": ["a"],
            "ab": ["ab"],
            " a": ["▁a"],
            "c a": ["c", "▁a"],
            "b</s>a": ["b", "</s>", "a"],
            "b</s> a": ["b", "</s>", "▁a"],
        }
    tokenizer = load(path).tokenizer
    for text, wanted in said.items():
        ids = tokenizer(text).input_ids
        assert tokenizer.convert_ids_to_tokens(ids) == wanted
        assert "</s>" in text or tokenizer.decode(ids) == text


# --- the cache -----------------------------------------------------------------------------------


def test_a_file_is_converted_once_wherever_it_lies(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = find(file)
    assert "Converting Tiny.Q4_1.gguf (0 MB, Q4_1) once, to" in capsys.readouterr().err
    (tmp_path / "elsewhere").mkdir()
    moved = file.rename(tmp_path / "elsewhere" / file.name)
    monkeypatch.setattr(convert, "_make", lambda *_: pytest.fail("converted again"))
    assert find(moved) == first
    assert find(tmp_path / "elsewhere") == first
    assert find(f"{tmp_path / 'elsewhere'}:{file.name}") == first
    renamed = find(moved.rename(tmp_path / "Other.gguf"))
    assert (renamed.name, renamed.path) == ("Other.gguf (Q4_1)", first.path)


def test_a_changed_file_or_another_converter_makes_another_folder(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = find(file)
    write_gguf(file, Contents("llama", "Q8_0"))
    os.utime(file, (1, 1))
    assert find(file).hash != first.hash
    monkeypatch.setattr(convert, "VERSION", convert.VERSION + 1)
    again = find(file)
    assert again.path != first.path
    assert again.path.is_dir() and first.path.is_dir()


def test_the_hash_does_not_depend_on_who_wrote_the_folder(file: Path) -> None:
    first = find(file)
    shutil.rmtree(first.path)
    assert find(file) == first
    for written in first.path.glob("*.json"):
        assert "transformers_version" not in json.loads(written.read_text()), written.name


def test_a_damaged_folder_is_made_again(file: Path) -> None:
    first = find(file)
    (first.path / "model.safetensors").write_bytes(b"half")
    assert find(file) == first


@pytest.mark.parametrize("step", ["build_tokenizer", "read_model", "write_model"])
def test_an_interrupt_leaves_nothing_half(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(convert, step, stop)
        with pytest.raises(KeyboardInterrupt):
            find(file)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == []
    find(file)


KILLED = """
import os, signal, sys
from pathlib import Path
from selfmoe.models.gguf import convert
inner = convert.write_model
def write_model(model, folder):
    inner(model, folder)
    os.kill(os.getpid(), signal.SIGKILL)
convert.write_model = write_model
convert.convert(Path(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_a_kill_leaves_nothing_that_is_taken_for_whole(
    file: Path, cache: Path, environment: Callable[..., dict[str, str]]
) -> None:
    variables = environment(SELFMOE_CACHE=str(cache.parent))
    done = subprocess.run([sys.executable, "-c", KILLED, str(file)], env=variables, check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = [path for path in cache.iterdir() if path.is_dir()]
    assert left.name.startswith(".") and (left / "model.safetensors").exists()
    found = find(file)
    assert [path for path in cache.iterdir() if path.is_dir()] == [found.path]
    assert load(file).model is not None


def test_a_cache_that_cannot_be_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = file.parent / "a-file"
    place.write_text("")
    monkeypatch.setenv("SELFMOE_CACHE", str(place))
    refused(lambda: find(file), "cannot write", "SELFMOE_CACHE")


# --- which file ----------------------------------------------------------------------------------


def test_a_folder_of_several_names_them(file: Path) -> None:
    shutil.copy(file, file.with_name("Other.gguf"))
    text = refused(lambda: find(file.parent), "2 files in GGUF", "Other.gguf, Tiny.Q4_1.gguf")
    assert f"'{file.parent}:Other.gguf'" in text
    assert find(f"{file.parent}:Tiny.Q4_1.gguf") == find(file)
    refused(lambda: find(f"{file.parent}:Tiny.gguf"), "no file 'Tiny.gguf'", "Tiny.Q4_1.gguf")


def test_a_folder_and_its_file_are_found_from_anywhere(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    config = asked(f".:{file.name}")
    assert config.base == f"{file.parent}:{file.name}"
    monkeypatch.chdir("/")
    assert bases.find_base(config) == find(file)


def test_safetensors_go_before_gguf(tiny_base_folder: Path, file: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_base_folder, tmp_path / "both"))
    shutil.copy(file, folder)
    assert find(folder).path == folder
    (folder / "model.safetensors").unlink()
    assert find(folder).name == "Tiny.Q4_1.gguf (Q4_1)"


def test_a_name_without_the_suffix_is_known_by_its_content(file: Path) -> None:
    assert find(file.rename(file.with_suffix(".bin"))).name == "Tiny.Q4_1.bin (Q4_1)"


def test_a_hub_id_with_a_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fetch(model: str, name: str, *, revision: str | None) -> str:
        calls.append((model, name, revision))
        return str(file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    assert find("owner/model:Tiny.Q4_1.gguf").name == "owner/model:Tiny.Q4_1.gguf (Q4_1)"
    assert find("owner/model@v2:Tiny.Q4_1.gguf").hash == find(file).hash
    assert calls == [("owner/model", "Tiny.Q4_1.gguf", r) for r in (None, "v2")]


def test_a_file_that_a_hub_model_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi, errors

    def fetch(*_: Any, **__: Any) -> str:
        raise errors.EntryNotFoundError.__new__(errors.EntryNotFoundError, "404")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    files = ["a.Q4_1.gguf", "a.Q8_0.gguf", "README.md"]
    monkeypatch.setattr(HfApi, "list_repo_files", lambda *_, **__: files)
    refused(
        lambda: find("owner/model:a.Q4.gguf"),
        "no file 'a.Q4.gguf'; did you mean 'a.Q4_1.gguf'?",
        "a.Q4_1.gguf, a.Q8_0.gguf.",
    )


def test_a_hub_model_with_gguf_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import HfApi

    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    monkeypatch.setattr(HfApi, "list_repo_files", lambda *_, **__: ["a.gguf", "b.gguf"])
    refused(lambda: find("owner/model"), "'owner/model:a.gguf'", "a.gguf, b.gguf")


def test_offline_the_hub_is_not_asked_for_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(lambda: find("owner/model:a.gguf"), "HF_HUB_OFFLINE", "hf download owner/model a.gguf")


def test_names_of_files_that_are_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("asked"))
    for name in ("nowhere:a.gguf", "a/b/c:a.gguf"):
        refused(lambda name=name: find(name), f"base '{name}' does not exist", "<file.gguf>")


# --- what is refused -----------------------------------------------------------------------------


def test_an_architecture_that_transformers_cannot_read(tmp_path: Path) -> None:
    path = edited(tmp_path, facts={"general.architecture": "command-r"})
    text = refused(lambda: find(path), "'command-r'", "llama", "qwen2_moe", "lfm2")
    listed = text.split("It reads: ")[1].split(".")[0].split(", ")
    assert listed == header.readable()


def test_every_architecture_that_is_named_is_one_that_writes() -> None:
    assert {"llama", "qwen2", "gpt2", "gemma3", "phi3", "qwen35"} <= {*header.readable()}
    assert not {"t5", "umt5", "deci", "general", "tokenizer"} & {*header.readable()}


def test_without_the_package(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.utils.import_utils.is_gguf_available", lambda: False)
    refused(lambda: find(file), "the package gguf", "pip install 'selfmoe[gguf]'")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"general.type": "adapter"}, "general.type is 'adapter'"),
        ({"general.architecture": "clip"}, "no language model"),
        ({"split.count": 3}, "one of 3 parts"),
        ({"llama.rope.scaling.type": "yarn"}, "rope.scaling.type is yarn"),
        ({"llama.logit_scale": 0.5}, "logit_scale is 0.5"),
        ({"llama.rope.dimension_count": 4, "llama.attention.key_length": None}, "cannot be read"),
        ({"tokenizer.ggml.model": "bert"}, "tokenizer.ggml.model 'bert'"),
        ({"tokenizer.ggml.merges": None}, "merges"),
    ],
)
def test_files_that_are_no_whole_model(tmp_path: Path, facts: dict[str, Any], says: str) -> None:
    refused(lambda: find(edited(tmp_path, facts=facts)), says)


def test_neutral_facts_are_no_obstacle(tmp_path: Path) -> None:
    facts = {"llama.rope.scaling.type": "none", "llama.attention.sliding_window": 4096}
    find(edited(tmp_path, facts=facts))


def test_a_window_is_not_left_out(tmp_path: Path) -> None:
    path = edited(tmp_path, facts={"llama.attention.sliding_window": 8})
    refused(lambda: find(path), "attention.sliding_window is 8, it would compute with None")


def test_a_head_of_its_own_is_not_left_out(tmp_path: Path) -> None:
    """transformers ties Falcon's and Bloom's whatever the file holds."""
    tied = {"tie_word_embeddings": True}
    plain = header.read_header(edited(tmp_path, config=tied))
    embeddings = header.read_tensor(plain, "token_embd.weight")
    for head, same in ((embeddings, True), (embeddings + 1, False)):
        path = edited(tmp_path, tensors={"output.weight": head}, config=tied)
        assert weights._repeats(header.read_header(path)) == same


@pytest.mark.parametrize(
    ("tensor", "says"),
    [("blk.0.attn_q.bias", "leaves out"), ("blk.1.attn_sinks.weight", "leaves out")],
)
def test_weights_that_transformers_passes_over(tmp_path: Path, tensor: str, says: str) -> None:
    extra = {tensor: torch.ones(32).numpy()}
    refused(lambda: find(edited(tmp_path, tensors=extra)), says, tensor)


def test_weights_that_are_missing(tmp_path: Path) -> None:
    path = edited(tmp_path, facts={"llama.block_count": 4})
    refused(lambda: find(path), "lacks weights", "model.layers.3.")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_half_a_file(file: Path, share: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: max(30, int(share * len(whole)))])
    refused(lambda: find(file), "cannot be read as GGUF", "Fetch it again")


def test_a_refusal_leaves_nothing_behind(tmp_path: Path, cache: Path) -> None:
    for facts in ({"llama.logit_scale": 0.5}, {"tokenizer.ggml.model": "bert"}):
        with pytest.raises(DataError):
            find(edited(tmp_path, facts=facts))
    assert not [path for path in cache.glob("*") if path.is_dir()]


# --- in a run ------------------------------------------------------------------------------------


def test_a_plan_names_file_form_and_doubts(cli: Any, tmp_path: Path) -> None:
    path = edited(tmp_path, facts={"tokenizer.ggml.pre": "newest"})
    said = cli("run", "--base", str(path), "--domains", "math", "--dry-run")
    assert said.exit_code == 0, said.output
    shown = " ".join(said.output.split())
    assert "Base: edited.gguf (F32), in " in shown
    assert "Note: its pre-tokenizer (tokenizer.ggml.pre) is 'newest'" in shown


def test_experts_made_for_a_file_are_its_own(file: Path) -> None:
    found = find(file)
    assert bases.is_base(found.name, found, asked(file), near=Path())
    checkpoints.check_checkpoint(found.name, found.path)
