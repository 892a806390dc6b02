#!/usr/bin/env bash
# transformers 5.24.0, PEFT 0.21.2: after a checkpointed LoRA training a frozen base builds graphs.
# Expected: activation_checkpointing_disable() and disable_input_require_grads() undo what
# activation_checkpointing_enable() and PEFT did for the training, so that once the adapter is
# unloaded the frozen model is what it was: outputs without gradients, nothing kept for a backward.
# Seen: both sides ask for gradients of the embeddings, each by a hook; the second handle
# overwrites the first, and the first hook can no longer be removed. Every later forward outside
# no_grad keeps the activations of all blocks. A base that takes turns as student and teacher, or
# is trained for one adapter after another, gathers one such hook a turn.
#   never trained                   gradients: False, saved for backward:     0 numbers, hooks 0
#   trained, unloaded, switched off gradients: True , saved for backward: 32066 numbers, hooks 1
#   three trainings                 gradients: True , saved for backward: 32066 numbers, hooks 3
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
from torch.autograd.graph import saved_tensors_hooks
from transformers import LlamaConfig, LlamaForCausalLM

SIZE = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2)
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(**SIZE, num_attention_heads=4)).requires_grad_(False)
ids = torch.randint(0, 64, (1, 9))


def look(what):
    kept = []
    with saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        needs = model(ids, use_cache=False).logits.requires_grad
    hooks = len(model.get_input_embeddings()._forward_hooks)
    print(f"{what:31} gradients: {needs!s:5}, saved for backward: {sum(kept):5} numbers, hooks {hooks}")
    return needs, hooks


def train():
    model.activation_checkpointing_enable()
    tuned = get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
    tuned(ids, labels=ids).loss.backward()
    tuned.unload()
    model.activation_checkpointing_disable()
    model.disable_input_require_grads()
    model.requires_grad_(False)


before = look("never trained")
train()
once = look("trained, unloaded, switched off")
train()
train()
thrice = look("three trainings")
assert before == (False, 0)
sys.exit(not (once == (True, 1) and thrice == (True, 3)))
END
venv/bin/python -W ignore show.py 2>/dev/null
