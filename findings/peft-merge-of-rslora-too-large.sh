#!/usr/bin/env bash
# PEFT 0.21.2: add_weighted_adapter makes the sum of two rsLoRA adapters too large.
# Expected: cat with weights 1 and 1 is the exact sum of both, with svd at full rank too, as it is
# without use_rslora.
# Seen: with use_rslora the sum is multiplied by sqrt(rank + rank), here sqrt(8) = 2.83. No warning.
#   use_rslora=False  cat 1.00 times the sum, svd 1.00 times the sum
#   use_rslora=True   cat 2.83 times the sum, svd 2.83 times the sum
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.13.0 transformers==5.24.0 peft==0.21.2
cat > show.py <<'END'
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

SIZE = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2)
LAYER = "base_model.model.model.layers.0.self_attn.q_proj"


def factors(use_rslora):
    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(**SIZE, num_attention_heads=4))
    config = LoraConfig(
        r=4, target_modules=["q_proj"], init_lora_weights=False, use_rslora=use_rslora
    )
    model = get_peft_model(base, config, adapter_name="math")
    model.add_adapter("code", config)
    layer = model.get_submodule(LAYER)
    sum_of_both = layer.get_delta_weight("math") + layer.get_delta_weight("code")
    for kind in ("cat", "svd"):
        model.add_weighted_adapter(["math", "code"], [1.0, 1.0], kind, kind, svd_rank=8)
        yield float(layer.get_delta_weight(kind).norm() / sum_of_both.norm())


for use_rslora in (False, True):
    cat, svd = factors(use_rslora)
    print(f"use_rslora={use_rslora!s:6} cat {cat:.2f} times the sum, svd {svd:.2f} times the sum")
sys.exit(cat < 1.01 or svd < 1.01)
END
venv/bin/python -W ignore show.py
