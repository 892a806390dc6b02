#!/usr/bin/env bash
# PEFT 0.21.2: two PiSSA adapters in one model are both wrong.
# Expected: the adapter that is active computes what it computes when it is loaded alone.
# Seen: each adapter takes its main directions out of the base when it is loaded, and nothing puts
# them back: with two, each runs on a base that lacks those of the other. No error, no warning.
#   math alone and beside code: logits differ by 4.20, largest logit 3.71
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
IDS = torch.arange(8)[None]


def base():
    torch.manual_seed(0)
    config = LlamaConfig(**SIZE, num_attention_heads=4, initializer_range=0.2)
    return LlamaForCausalLM(config).eval()


for name, rank in (("math", 4), ("code", 8)):
    config = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights="pissa")
    get_peft_model(base(), config).save_pretrained(name)
with torch.no_grad():
    alone = PeftModel.from_pretrained(base(), "math", adapter_name="math")
    want = alone(IDS).logits
    both = PeftModel.from_pretrained(base(), "math", adapter_name="math")
    both.load_adapter("code", "code")
    both.set_adapter("math")
    off = float((both(IDS).logits - want).abs().max())
print(f"math alone and beside code: logits differ by {off:.2f},", end=" ")
print(f"largest logit {want.abs().max():.2f}")
sys.exit(off < 1e-3)
END
venv/bin/python -W ignore show.py
