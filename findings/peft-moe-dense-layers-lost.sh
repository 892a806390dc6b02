#!/usr/bin/env bash
# PEFT 0.21.2 drops the dense layers of an adapter for a sparse model that transformers 4 made.
# Expected: an adapter on gate_proj, up_proj and down_proj does in transformers 5 what it did
# before, as it does where all layers are sparse; or somebody says that it does not.
# Seen: the experts' factors are converted and these names taken out of target_modules, but dense
# layers go by them too: they get no adapter, and their factors stay in the file. What is warned of
# (rank_pattern keys that matched nothing) is the same where all is well.
#   sparse: layers ['0', '1'] are adapted; logits are off by 0.00, the adapter's part is 2.71
#   mixed: layers ['1'] are adapted; logits are off by 2.77, the adapter's part is 2.82
#   the same warnings: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --no-compile torch==2.13.0 transformers==4.57.6 peft==0.18.0
cat > save.py <<'END'
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

SIZE = dict(vocab_size=64, hidden_size=32, intermediate_size=64, moe_intermediate_size=24)
HEADS = dict(num_attention_heads=2, num_key_value_heads=2, head_dim=16, num_hidden_layers=2)
TARGETS = ["gate_proj", "up_proj", "down_proj"]
for name, dense in {"sparse": [], "mixed": [0]}.items():
    torch.manual_seed(0)
    config = Qwen3MoeConfig(
        **SIZE, **HEADS, num_experts=4, num_experts_per_tok=4, mlp_only_layers=dense,
        initializer_range=0.2,
    )
    model = Qwen3MoeForCausalLM(config).eval()
    model.save_pretrained(name)
    ids = torch.randint(0, 64, (1, 40))
    plain = model(ids).logits.detach()
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=TARGETS)).eval()
    for key, weight in adapted.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(weight, std=0.1)
    adapted.save_pretrained(f"{name}-adapter")
    seen = {"ids": ids, "plain": plain, "adapted": adapted(ids).logits.detach()}
    save_file(seen, f"{name}.safetensors")
END
venv/bin/python -W ignore save.py
venv/bin/pip install --quiet --no-compile transformers==5.24.0 peft==0.21.2
cat > read.py <<'END'
import sys
import warnings

from peft import PeftModel
from safetensors.torch import load_file
from transformers import Qwen3MoeForCausalLM
from transformers.utils.logging import disable_progress_bar

disable_progress_bar()


def far(a, b):
    return float((a - b).abs().max().detach())


def read(name):
    """Return the adapted model, and what is warned of."""
    model = Qwen3MoeForCausalLM.from_pretrained(name, dtype="float32").eval()
    assert far(model(seen["ids"]).logits, seen["plain"]) < 1e-4, "the base is another"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loaded = PeftModel.from_pretrained(model, f"{name}-adapter").eval()
    return loaded, [str(one.message) for one in told]


off, warned = {}, {}
for name in ("sparse", "mixed"):
    seen = load_file(f"{name}.safetensors")
    loaded, warned[name] = read(name)
    adapted = {key.split(".")[4] for key, _ in loaded.named_parameters() if "lora_" in key}
    off[name] = far(loaded(seen["ids"]).logits, seen["adapted"])
    part = far(seen["plain"], seen["adapted"])
    print(f"{name}: layers {sorted(adapted)} are adapted;", end=" ")
    print(f"logits are off by {off[name]:.2f}, the adapter's part is {part:.2f}")
alike = warned["sparse"] == warned["mixed"]
print(f"the same warnings: {alike}")
sys.exit(not (alike and off["sparse"] < 1e-3 and off["mixed"] > 0.1))
END
venv/bin/python -W ignore read.py
