"""Run by an interpreter with vLLM: a model, and what it writes, `PYTHON read_vllm.py MODEL IMPL`.

IMPL is ``transformers`` for vLLM's Transformers backend, ``vllm`` for a class of vLLM's own. Every
line on standard input is a JSON object with ``prompts``, lists of tokens, ``new``, how many are to
follow each, and ``ends``, tokens that end an answer; every line on standard output tells
``tokens``, ``seconds``, and ``cpu``, the seconds that this process computed for it. All of vLLM
runs in this process, by one thread, and prompts are read anew each time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
}


def engine(model: str, impl: str) -> Any:
    """Return a model in vLLM, in float32 and without compilation."""
    from vllm import LLM

    return LLM(
        model,
        model_impl=impl,
        trust_remote_code=impl == "transformers",
        dtype="float32",
        enforce_eager=True,
        max_model_len=2048,
        enable_prefix_caching=False,
        skip_tokenizer_init=True,
        disable_log_stats=True,
        distributed_executor_backend="uni",
        seed=0,
    )


def answer(model: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Return what follows each prompt, by greedy search, and how long that took."""
    from vllm import SamplingParams

    wishes = SamplingParams(
        temperature=0,
        max_tokens=asked["new"],
        stop_token_ids=asked.get("ends", []),
        ignore_eos=True,
        detokenize=False,
    )
    prompts = [{"prompt_token_ids": ids} for ids in asked["prompts"]]
    begun, computed = time.perf_counter(), time.process_time()
    found = model.generate(prompts, wishes, use_tqdm=False)
    took = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - computed}
    return {"tokens": [list(one.outputs[0].token_ids) for one in found], **took}


def main() -> None:
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what vLLM tells goes elsewhere
    os.environ |= ENVIRONMENT
    import torch
    import transformers
    import vllm

    model = engine(*sys.argv[1:3])
    told = {"vllm": vllm.__version__, "torch": torch.__version__}
    print(json.dumps({**told, "transformers": transformers.__version__}), file=out)
    for line in sys.stdin:
        print(json.dumps(answer(model, json.loads(line))), file=out)


if __name__ == "__main__":
    main()
