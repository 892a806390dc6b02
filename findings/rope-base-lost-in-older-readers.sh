#!/usr/bin/env bash
# transformers 4.57.6 reads a Llama folder that transformers 5 saved with another rope base.
# Expected: the same model, or a refusal.
# Seen: 5.24.0 writes rope_theta inside rope_parameters, 4.57.6 looks for it beside, does not find it
# and takes 10000, in silence. Other programs that read rope_theta from config.json do the same.
#   saved with rope base 500000, read with 10000.0; logits are off by 3.74, largest logit 3.64
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.13.0 transformers==5.24.0
cat > save.py <<'END'
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

SIZE = dict(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2)
torch.manual_seed(0)
rope = {"rope_type": "default", "rope_theta": 500000.0}
config = LlamaConfig(**SIZE, num_attention_heads=2, initializer_range=0.2, rope_parameters=rope)
model = LlamaForCausalLM(config).eval()
model.save_pretrained("model")
ids = torch.randint(0, 64, (1, 200))
save_file({"ids": ids, "logits": model(ids).logits.detach()}, "seen.safetensors")
END
venv/bin/python -W ignore save.py
venv/bin/pip install --quiet --no-compile transformers==4.57.6
cat > read.py <<'END'
import sys

import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

seen = load_file("seen.safetensors")
model = LlamaForCausalLM.from_pretrained("model", dtype=torch.float32).eval()
theta = model.config.rope_theta
off = float((model(seen["ids"]).logits - seen["logits"]).abs().max())
print(f"saved with rope base 500000, read with {theta}; logits are off by {off:.2f},", end=" ")
print(f"largest logit {seen['logits'].abs().max():.2f}")
sys.exit(theta == 500000)
END
venv/bin/python -W ignore read.py
