"""What the forms of weights are called, how they are told, and what to do about each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Format(NamedTuple):
    """What a file or folder is.

    Attributes:
        what: In a few words, to follow "is".
        advice: What to do to get what selfmoe reads: a sentence.
    """

    what: str
    advice: str


Table = tuple[tuple[re.Pattern[str], Format], ...]

AGAIN = "Fetch it again, and compare its size with the original's."
PEFT = "selfmoe reads PEFT folders: adapter_config.json with adapter_model.safetensors."
_SOURCE = "Give the model it was made from, in the transformers format with safetensors."
_FETCH = (
    "Fetch the file itself: `git lfs pull` in the repository, or download it with "
    "`hf download`, which follows such placeholders."
)
_TRUSTED = (
    "Such files can run code when they are read, so selfmoe does not. If you trust it, load it "
    "with the program that wrote it and save it again as safetensors (save_pretrained)."
)
_IMAGES = "selfmoe composes adapters of language models; this one is for images."

PICKLE = Format("a pickled PyTorch file", _TRUSTED)
ARCHIVE = Format("a packed archive", "Unpack it and give the folder that is in it.")
NUMPY = Format("a NumPy file", "Save what is in it as safetensors, in the transformers format.")
TFLITE = Format("a TensorFlow Lite model", _SOURCE)
ONNX = Format("an ONNX model", _SOURCE)
EMPTY = Format("empty", AGAIN)
CUT_ZIP = Format("the beginning of a pickled PyTorch file or of an archive", AGAIN)
PAGE = Format("a web page, such as one that reports an error or asks to log in", AGAIN)
GGUF = Format(
    "a model in GGUF (llama.cpp)",
    "As a base, name the file itself, and it is converted (extra selfmoe[gguf]); by hand, load it "
    "with AutoModelForCausalLM.from_pretrained(folder, gguf_file=name) and save it with "
    "save_pretrained.",
)
GGUF_LORA = Format(
    "a LoRA in GGUF (llama.cpp)", f"Give the PEFT adapter it was converted from; {PEFT}"
)


def _placeholder(store: str) -> Format:
    return Format(f"a placeholder of a large-file store ({store}), not the file itself", _FETCH)


PLACEHOLDERS: tuple[tuple[bytes, Format], ...] = (
    (b"version https://git-lfs", _placeholder("git-lfs")),
    (b"version https://hawser", _placeholder("git-lfs")),
    (b"# xet version", _placeholder("xet")),
    (b"/annex/objects/", _placeholder("git-annex")),
    (b"../.git/annex/", _placeholder("git-annex")),
    (b"outs:\n- md5:", _placeholder("dvc")),
)
MAGIC: tuple[tuple[bytes, Format], ...] = (
    *PLACEHOLDERS,
    (b"\x89HDF\r\n\x1a\n", Format("an HDF5 file (Keras, TensorFlow)", _SOURCE)),
    (b"\x93NUMPY", NUMPY),
    (b"\x1f\x8b", ARCHIVE),
    (b"\x28\xb5\x2f\xfd", ARCHIVE),
    (b"\xfd7zXZ", ARCHIVE),
    (b"7z\xbc\xaf", ARCHIVE),
    (b"Rar!", ARCHIVE),
    (b"BZh", ARCHIVE),
    (b"%PDF", Format("a PDF document", AGAIN)),
)
"""First bytes of files."""


def _table(*rows: tuple[str, str, str]) -> Iterator[tuple[re.Pattern[str], Format]]:
    for pattern, what, advice in rows:
        yield re.compile(pattern), Format(what, advice)


_LITGPT = f"It fuses q, k and v in one layer, as PEFT does not; train it with PEFT: {PEFT}"
_TUNE = (
    "Give the folder that torchtune writes in PEFT's form (an epoch's folder with "
    "adapter_config.json and adapter_model.safetensors)."
)
_DEEPSPEED = (
    "Put it together (python zero_to_fp32.py . out --safe_serialization), or save it again with "
    "trainer.save_model(), which gathers the shards."
)
_FSDP = (
    "Put it together (accelerate merge-weights FOLDER OUT), or save it with "
    "fsdp_state_dict_type: FULL_STATE_DICT."
)

FOLDERS: Table = tuple(
    _table(
        (r"lit_model\.pth\.lora", "a LoRA of litgpt", _LITGPT),
        (
            r"lit_model\.pth",
            "a checkpoint of litgpt",
            "Convert it (litgpt convert_from_litgpt), load that with transformers and save it with "
            "save_pretrained.",
        ),
        (r"adapter_\d+\.(pt|bin)|adapter_model\.pt", "an adapter of torchtune", _TUNE),
        (
            r"hf_model_\d+_\d+\.pt|torchtune_model.*\.(pt|bin)|ft-model.*\.(pt|bin)",
            "a checkpoint of torchtune",
            "Let torchtune write safetensors (FullModelHFCheckpointer, safe_serialization: true).",
        ),
        (
            r"global_step\d+|zero_to_fp32\.py|(bf16_)?zero_pp_rank_.*|mp_rank_\d+.*",
            "a sharded checkpoint of DeepSpeed",
            _DEEPSPEED,
        ),
        (r".*\.distcp|pytorch_model_fsdp.*", "a sharded checkpoint of FSDP", _FSDP),
        (
            r"latest_checkpointed_iteration\.txt|iter_\d{7}",
            "a checkpoint of Megatron",
            "Convert it to the transformers format with the tools of Megatron or NeMo.",
        ),
        (
            r"adapters\.npz",
            "an adapter of an old release of MLX (adapters.npz)",
            "Train it again with a newer mlx-lm, which writes adapters.safetensors.",
        ),
        (r".*\.gguf", *GGUF),
        (r"consolidated\..*|params\.json", "a checkpoint in its developer's own layout", _SOURCE),
        (r".*\.onnx|onnx", *ONNX),
        (r"openvino_model.*", "an OpenVINO model", _SOURCE),
        (r"model_index\.json", "an image model of diffusers", "Give a language model."),
        (r"saved_model\.pb|.*\.ckpt\.index", "a checkpoint of TensorFlow", _SOURCE),
        (r"_CHECKPOINT_METADATA|manifest\.ocdbt", "a checkpoint of Orbax (JAX)", _SOURCE),
    )
)
"""Names of files in folders."""

KEYS: Table = tuple(
    _table(
        (
            r"(lora_(unet|te\d?|prior|transformer)_|lycoris_).*"
            r"|.*\.(hada_w\d_[ab]|lokr_w\d(_[ab])?|oft_blocks|lora_(down|up)\.weight)",
            "a LoRA of an image model (kohya, LyCORIS)",
            _IMAGES,
        ),
        (
            r"(unet|text_encoder(_\d)?|transformer|diffusion_model)\.(?!h\.).*lora.*",
            "a LoRA of an image model (diffusers)",
            _IMAGES,
        ),
        (
            r"transformer\.h\.\d+\.(attn\.(qkv|proj)|mlp\.\w+)\.lora_[AB]",
            "a LoRA of litgpt",
            _LITGPT,
        ),
        (
            r"layers\.\d+\.(attn|mlp)\.\w+\.(lora_[ab]\.weight|magnitude)",
            "an adapter of torchtune",
            _TUNE,
        ),
    )
)
"""Names of tensors in safetensors files."""
