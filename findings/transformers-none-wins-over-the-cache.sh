#!/usr/bin/env bash
# transformers 5.24.0: a wrapper that passes on all arguments of a forward loses the cache.
# Expected: past_key_values is the deprecated name of the argument cache, so that handing over
# past_key_values=CACHE and cache=None (its default) still uses CACHE.
# Seen: the None wins; the model forgets the prompt. The only trace is a FutureWarning.
#   past_key_values=CACHE             0.00 off
#   past_key_values=CACHE, cache=None 4.76 off, largest logit 2.73
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.13.0 transformers==5.24.0
cat > show.py <<'END'
import sys

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

SIZE = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2)
torch.manual_seed(0)
model = LlamaForCausalLM(LlamaConfig(**SIZE, num_attention_heads=4, initializer_range=0.2)).eval()
ids = torch.randint(0, 64, (1, 9))


@torch.no_grad()
def off(**more):
    cache = DynamicCache(config=model.config)
    model(ids[:, :8], past_key_values=cache)
    got = model(ids[:, 8:], past_key_values=cache, **more).logits
    return float((got - model(ids).logits[:, -1:]).abs().max())


alone, both = off(), off(cache=None)
print(f"past_key_values=CACHE             {alone:.2f} off")
print(f"past_key_values=CACHE, cache=None {both:.2f} off,", end=" ")
print(f"largest logit {model(ids).logits[:, -1].abs().max():.2f}")
assert alone < 1e-4
sys.exit(both < 1e-3)
END
venv/bin/python -W ignore show.py
