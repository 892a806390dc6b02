"""Files that are not what they claim: one message that says what they are and what to do."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from selfmoe.contracts.errors import CompositionError, DataError
from selfmoe.mixture.adapters import WEIGHTS, adapter_hash, read_factors
from selfmoe.models import checkpoints
from selfmoe.models.formats import of_file, read_header, recognise
from selfmoe.testing.models import random_adapter, save_toy_base, tiny_llama

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 269060552\n"


def pickled() -> bytes:
    memory = io.BytesIO()
    torch.save({"w": torch.ones(2)}, memory)
    return memory.getvalue()


def old_pickled() -> bytes:
    memory = io.BytesIO()
    torch.save({"w": torch.ones(2)}, memory, _use_new_zipfile_serialization=False)
    return memory.getvalue()


def zipped(name: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr(name, "x")
    return memory.getvalue()


def array() -> bytes:
    memory = io.BytesIO()
    np.save(memory, np.ones(3))
    return memory.getvalue()


CONTENTS: dict[str, tuple[bytes, str]] = {
    "git-lfs": (POINTER.encode(), "git-lfs.*git lfs pull"),
    "git-annex": (b"/annex/objects/SHA256E-s4--1.safetensors\n", "git-annex"),
    "dvc": (b"outs:\n- md5: 5d41402a\n  path: model.safetensors\n", "dvc"),
    "page": (b"\n<!DOCTYPE html><html><body>404</body></html>", "a web page"),
    "denied": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page"),
    "answer": (b'{"error": "Invalid credentials in Authorization header"}', "Invalid credentials"),
    "plain answer": (b"Entry not found", "Entry not found"),
    "gguf": (b"GGUF\x03\x00\x00\x00llama", "GGUF.*gguf_file"),
    "gguf lora": (b"GGUF\x03\x00\x00\x00general.type\x07adapter", "a LoRA in GGUF"),
    "pickle": (pickled(), "pickled PyTorch file.*can run code"),
    "old pickle": (old_pickled(), "pickled PyTorch file"),
    "half a pickle": (pickled()[:60], "the beginning of a pickled PyTorch file"),
    "npz": (zipped("a.npy"), "NumPy"),
    "npy": (array(), "NumPy"),
    "zip": (zipped("model.safetensors"), "packed archive.*Unpack"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(20), "packed archive"),
    "tar": (bytes(257) + b"ustar" + bytes(90), "packed archive"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(9), "HDF5"),
    "onnx": (b"\x08\x08\x12\x07pytorch", "ONNX"),
    "tflite": (b"\x1c\x00\x00\x00TFL3" + bytes(9), "TensorFlow Lite"),
    "pdf": (b"%PDF-1.7\n", "PDF"),
    "nothing": (b"", "is empty.*Fetch it again"),
    "zeros": (bytes(2000), "no safetensors file"),
    "noise": (bytes(range(1, 255)), "no safetensors file"),
}


def every(pattern: str) -> str:
    return f"(?s){pattern}"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return random_adapter(tiny_llama(), tmp_path / "adapter")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_toy_base(tmp_path / "base")


@pytest.mark.parametrize("kind", CONTENTS)
def test_weights_of_another_kind(folder: Path, adapter: Path, kind: str) -> None:
    content, says = CONTENTS[kind]
    for path, check, error in (
        (
            folder / "model.safetensors",
            lambda: checkpoints.check_checkpoint("b", folder),
            DataError,
        ),
        (adapter / WEIGHTS, lambda: read_factors(adapter), CompositionError),
    ):
        path.write_bytes(content)
        with pytest.raises(error, match=every(says)) as said:
            check()
        assert str(path) in str(said.value) and len(str(said.value).splitlines()) == 2


@pytest.mark.parametrize("kind", ["gguf", "gguf lora", "git-lfs", "page", "pickle", "zip", "onnx"])
def test_a_file_where_a_folder_is_meant(tmp_path: Path, kind: str) -> None:
    content, says = CONTENTS[kind]
    file = tmp_path / "model.bin"
    file.write_bytes(content)
    with pytest.raises(DataError, match=every(says)):
        checkpoints.check_checkpoint("b", file)
    with pytest.raises(CompositionError, match=every(says)):
        read_factors(file)


def test_a_file_of_weights_where_an_adapter_is_meant(adapter: Path) -> None:
    with pytest.raises(CompositionError, match="is a file; an adapter is a folder"):
        read_factors(adapter / WEIGHTS)


@pytest.mark.parametrize("left", [0.0, 0.3, 0.6, 0.999])
def test_half_a_file(folder: Path, adapter: Path, left: float) -> None:
    for path in (folder / "model.safetensors", adapter / WEIGHTS):
        whole = path.read_bytes()
        path.write_bytes(whole[: max(20, int(left * len(whole)))])
    with pytest.raises(DataError, match=r"is damaged, .*it (has \d+ bytes of|ends within)"):
        checkpoints.check_checkpoint("b", folder)
    with pytest.raises(CompositionError, match=r"is damaged, .*it (has \d+ bytes of|ends within)"):
        read_factors(adapter)


def test_a_shard_that_was_not_fetched(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {}
    for number, (name, tensor) in enumerate(sorted(tensors.items()), start=1):
        shard = f"model-{number:05d}-of-{len(tensors):05d}.safetensors"
        save_file({name: tensor}, folder / shard, {"format": "pt"})
        names[name] = shard
    index = {"metadata": {}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    checkpoints.check_checkpoint("b", folder)
    (folder / names[max(names)]).write_text(POINTER)
    with pytest.raises(DataError, match=rf"{names[max(names)]} is a placeholder"):
        checkpoints.check_checkpoint("b", folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("kind", ["git-lfs", "page", "answer", "git-annex"])
def test_texts_that_were_not_fetched(folder: Path, file: str, kind: str) -> None:
    content, says = CONTENTS[kind]
    (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=every(rf"{file} is .*{says}")):
        checkpoints.check_checkpoint("b", folder)


@pytest.mark.parametrize("kind", ["git-lfs", "page", "answer", "git-annex", "plain answer"])
def test_a_configuration_of_an_adapter_that_was_not_fetched(adapter: Path, kind: str) -> None:
    content, says = CONTENTS[kind]
    (adapter / "adapter_config.json").write_bytes(content)
    for read in (read_factors, adapter_hash):
        with pytest.raises(CompositionError, match=every(rf"adapter_config.json is .*{says}")):
            read(adapter)


FOLDERS = {
    "lit_model.pth.lora": "a LoRA of litgpt",
    "lit_model.pth": "a checkpoint of litgpt.*convert_from_litgpt",
    "adapter_0.pt": "an adapter of torchtune.*PEFT's form",
    "hf_model_0001_0.pt": "a checkpoint of torchtune",
    "zero_to_fp32.py": "DeepSpeed.*zero_to_fp32.py",
    "global_step100/x.pt": "DeepSpeed",
    "__0_0.distcp": "FSDP.*merge-weights",
    "pytorch_model_fsdp_0/.metadata": "FSDP",
    "iter_0001000/mp_rank_00/model.pt": "Megatron",
    "adapters.npz": "MLX",
    "model-Q4_K_M.gguf": "GGUF",
    "consolidated.00.pth": "developer's own layout",
    "onnx/model.onnx": "ONNX",
    "openvino_model.xml": "OpenVINO",
    "model_index.json": "image model",
    "saved_model.pb": "TensorFlow",
}


@pytest.mark.parametrize("file", FOLDERS)
def test_folders_of_other_programs(tmp_path: Path, file: str) -> None:
    (tmp_path / "it" / file).parent.mkdir(parents=True)
    (tmp_path / "it" / file).write_text("x")
    for check, error in ((partial_check, DataError), (read_factors, CompositionError)):
        with pytest.raises(error, match=every(rf"it'? is .*{FOLDERS[file]}")) as refusal:
            check(tmp_path / "it")
        assert re.search(r"\n  [A-Z].*\.$", str(refusal.value)), "it says what to do"


def partial_check(path: Path) -> None:
    checkpoints.check_checkpoint(str(path), path)


@pytest.mark.parametrize("file", ["zero_to_fp32.py", "global_step3/a.pt", "pytorch_model_fsdp_0/b"])
def test_sharded_checkpoints_beside_a_configuration(folder: Path, adapter: Path, file: str) -> None:
    for path, weights in ((folder, "model.safetensors"), (adapter, WEIGHTS)):
        (path / weights).unlink()
        (path / file).parent.mkdir(exist_ok=True)
        (path / file).write_text("x")
    with pytest.raises(DataError, match="sharded checkpoint"):
        checkpoints.check_checkpoint("b", folder)
    with pytest.raises(CompositionError, match="sharded checkpoint"):
        read_factors(adapter)


KEYS = {
    "kohya": ("lora_unet_down_blocks_0_attn.lora_down.weight", "image model"),
    "kohya text": ("lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha", "image model"),
    "lycoris": ("lycoris_down_blocks_0.hada_w1_a", "image model"),
    "lokr": ("blocks.0.attn.lokr_w1", "image model"),
    "diffusers": ("transformer.single_blocks.0.attn.to_q.lora_A.weight", "image model"),
    "unet": ("unet.mid_block.attn.to_k.lora.down.weight", "image model"),
    "litgpt": ("transformer.h.0.attn.qkv.lora_A", "litgpt"),
    "torchtune": ("layers.0.attn.q_proj.lora_a.weight", "torchtune"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_tensors_of_other_programs(adapter: Path, kind: str) -> None:
    key, says = KEYS[kind]
    save_file({key: torch.ones(2, 2)}, adapter / WEIGHTS)
    with pytest.raises(CompositionError, match=every(rf"{WEIGHTS} is .*{says}")):
        read_factors(adapter)


@pytest.mark.parametrize("model", ["a model", "one quantised by mlx"])
def test_mlx_models(folder: Path, model: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors", {"format": "mlx"})
    if model == "a model":
        checkpoints.check_checkpoint("b", folder)
        return
    config = json.loads((folder / "config.json").read_text())
    config["quantization"] = {"group_size": 64, "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=r"is quantised \(mlx\)"):
        checkpoints.check_checkpoint("b", folder)


def test_any_length_of_a_header_is_one(tmp_path: Path) -> None:
    """It stands first in the file and may look like the first bytes of another format."""
    for length in (0x8B1F, 0x0280, 0x5A42, 0x4B50, 0x0808):
        header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
        header += b" " * (length - len(header))
        file = tmp_path / f"{length}.safetensors"
        file.write_bytes(length.to_bytes(8, "little") + header + b"\x00")
        assert of_file(file) is None
        assert read_header(file)["a"]["shape"] == [1]


def test_what_is_read_is_not_suspected(folder: Path, adapter: Path, tmp_path: Path) -> None:
    for path in (folder, adapter, folder / "model.safetensors", adapter / WEIGHTS):
        assert recognise(path) is None
    assert recognise(tmp_path / "nothing") is None
    shutil.copy(folder / "model.safetensors", tmp_path / "renamed.bin")
    assert recognise(tmp_path / "renamed.bin") is None
