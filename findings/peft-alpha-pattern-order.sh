#!/usr/bin/env bash
# PEFT 0.21.2: an adapter with an alpha_pattern comes back from disk with another scale.
# Expected: of several patterns that fit a layer the same one decides before and after saving.
# Seen: the first one in the order of the dictionary decides; adapter_config.json is written with
# sorted keys, so after loading another is the first. No warning.
#   scale trained with: 4.0; after save_pretrained and from_pretrained: 0.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.13.0 transformers==5.24.0 peft==0.21.2
cat > show.py <<'END'
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

SIZE = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2)
LAYER = "base_model.model.model.layers.0.self_attn.q_proj"


def base():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZE, num_attention_heads=4))


patterns = {"self_attn.q_proj": 16, "layers.0.self_attn.q_proj": 2}
config = LoraConfig(
    r=4, target_modules=["q_proj"], alpha_pattern=patterns, init_lora_weights=False
)
trained = get_peft_model(base(), config)
trained.save_pretrained("adapter")
loaded = PeftModel.from_pretrained(base(), "adapter")
before, after = (m.get_submodule(LAYER).scaling["default"] for m in (trained, loaded))
print(f"scale trained with: {before}; after save_pretrained and from_pretrained: {after}")
sys.exit(before == after)
END
venv/bin/python -W ignore show.py
