#!/usr/bin/env bash
# PEFT 0.21.2: an adapter trained under torch's checkpoint_wrapper is saved empty.
# Expected: save_pretrained writes the trained tensors, as without the wrapper, or says that it can't.
# Seen: adapter_model.safetensors has no tensor at all; no error, no warning.
#   tensors saved without the wrapper: 4, with it: 0
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
from safetensors.torch import load_file
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from transformers import LlamaConfig, LlamaForCausalLM

SIZE = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2)


def saved(name, wrap):
    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(**SIZE, num_attention_heads=4))
    model = get_peft_model(base, LoraConfig(target_modules=["q_proj"]))
    layers = base.model.layers
    for index, layer in enumerate(layers):
        layers[index] = wrap(layer)
    model(torch.arange(8)[None]).logits.sum().backward()
    model.save_pretrained(name)
    return len(load_file(f"{name}/adapter_model.safetensors"))


plain, wrapped = saved("plain", lambda layer: layer), saved("wrapped", checkpoint_wrapper)
print(f"tensors saved without the wrapper: {plain}, with it: {wrapped}")
assert plain == 4
sys.exit(wrapped != 0)
END
venv/bin/python -W ignore show.py
