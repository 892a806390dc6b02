"""Run by an interpreter with xllamacpp: llama.cpp's server, `PYTHON llama_server.py BASE EXPERT …`.

It prints its address and answers until its standard input is closed. ``--port=N`` and
``--parallel=N``, texts at once, stand before the files.
"""

from __future__ import annotations

import sys

CONTEXT = 2048


def main(base: str, *experts: str, port: str = "0", parallel: str = "1") -> None:
    import xllamacpp

    wishes = xllamacpp.CommonParams()
    wishes.model.path = base
    wishes.n_parallel, wishes.n_ctx = int(parallel), CONTEXT * int(parallel)
    wishes.warmup, wishes.n_gpu_layers = False, 0
    wishes.cpuparams.n_threads = wishes.cpuparams_batch.n_threads = 1
    wishes.cache_type_k = wishes.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    wishes.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    wishes.port, wishes.lora_init_without_apply = int(port), True
    adapters = []
    for path in experts:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = path, 1.0
        adapters.append(adapter)
    wishes.lora_adapters = adapters
    server = xllamacpp.Server(wishes)
    print(f"{xllamacpp.__version__} {server.listening_address}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    options = [word[2:].split("=") for word in sys.argv[1:] if word.startswith("--")]
    main(*sys.argv[1 + len(options) :], **dict(options))
