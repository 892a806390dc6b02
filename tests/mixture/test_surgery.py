"""Putting a mixture on a model and taking it off without a trace; what is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from selfmoe.contracts.errors import CompositionError, NotSupportedError
from selfmoe.contracts.records import Composition, Expert
from selfmoe.mixture.adapters import WEIGHTS
from selfmoe.mixture.runtime import attach
from selfmoe.mixture.storage import model_hash
from selfmoe.mixture.surgery import Surgery
from selfmoe.models.structure import find_decoder, linears, stores_transposed, widths
from selfmoe.testing.family import GPT2_TARGETS
from selfmoe.testing.models import random_adapter, tiny_gpt2, tiny_llama
from selfmoe.testing.routing import Given, logits, random_theta, refer, tokens
from selfmoe_router_topk import TopK


def routed(model, experts):
    made = refer(experts, tensors={"theta": random_theta(len(experts))})
    return attach(model, TopK(), made, experts)


def parts_of(model):
    quiet = "_output_capturing_hooks_installed"
    return {
        name: (
            type(m),
            sorted(k for k in vars(m) if k != quiet),
            list(m._modules),
            list(m._buffers),
        )
        for name, m in model.named_modules()
    }


def hooks_of(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_always_called")
    return sum(len(getattr(m, kind)) for m in model.modules() for kind in kinds)


@torch.no_grad()
def test_detach_restores_everything(model, mixed):
    ids = tokens()
    before = (model_hash(model), parts_of(model), hooks_of(model), logits(model, ids))
    state = list(model.state_dict())
    mixture = routed(model, mixed)
    assert model.mixture is mixture
    assert [name for name in model.state_dict() if "gate." not in name] == state
    mixture.detach()
    mixture.detach()
    after = (model_hash(model), parts_of(model), hooks_of(model), logits(model, ids))
    assert before[:3] == after[:3]
    assert torch.equal(before[3], after[3])


class Static(Given):
    """Deltas that are handed in."""

    def __init__(self, deltas):
        super().__init__(None)
        self._deltas = deltas

    def deltas(self, composition):
        return self._deltas


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_deltas_are_swapped_in_and_out(model, dtype):
    model, generator = model.to(dtype), torch.Generator().manual_seed(0)
    path = find_decoder(model).path
    sites = {n: linear for n, linear in linears(model).items() if n.startswith(path)}
    deltas = {
        n: torch.randn(tuple(reversed(widths(linear))), generator=generator)
        for n, linear in sites.items()
    }
    weights = {n: linear.weight for n, linear in sites.items()}
    old = {n: weight.clone() for n, weight in weights.items()}
    with attach(model, Static(deltas), Composition("s", {}, ()), {}):
        for n, linear in sites.items():
            delta = deltas[n].t() if stores_transposed(linear) else deltas[n]
            assert torch.equal(linear.weight, (old[n].float() + delta).to(dtype)), n
    for n, linear in sites.items():
        assert linear.weight is weights[n]
        assert torch.equal(linear.weight, old[n])


def test_the_last_change_is_taken_back_first(llama):
    site = "model.layers.0.self_attn.q_proj"
    weight = linears(llama)[site].weight
    surgery = Surgery(llama)
    for factor in (1.0, 2.0):
        surgery.weight(site, torch.full((32, 32), factor))
    assert torch.equal(linears(llama)[site].weight, weight + 1.0 + 2.0)
    surgery.undo()
    assert linears(llama)[site].weight is weight


@torch.no_grad()
def test_a_copy_of_an_attached_model_stands_alone(model, experts):
    ids = tokens()
    plain = logits(model, ids)
    mixture = routed(model, experts)
    mixed = logits(model, ids)
    twin = copy.deepcopy(model)
    mixture.detach()
    assert torch.equal(logits(twin, ids), mixed)
    assert torch.equal(logits(model, ids), plain)
    twin.mixture.detach()
    assert torch.equal(logits(twin, ids), plain)


@torch.no_grad()
def test_hidden_states_can_be_asked_for(model, experts):
    with routed(model, experts):
        out = model(tokens(), output_hidden_states=True)
    assert len(out.hidden_states) == 4


def test_lists_beside_the_decoder_are_not_its_blocks(model):
    path = find_decoder(model).path
    model.heads = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
    assert find_decoder(model).path == path
    assert path.startswith(f"{model.base_model_prefix}.")


def test_static_compositions_record_nothing(llama, llama_experts):
    owner = Composition("static", {}, (), owned={"a": llama_experts["math"].path})
    with (
        attach(llama, Given(None), owner, {}) as mixture,
        pytest.raises(NotSupportedError, match="static"),
        mixture.record(),
    ):
        pass


class TestRefusals:
    def test_second_mixture(self, llama, llama_experts):
        with routed(llama, llama_experts), pytest.raises(CompositionError, match="already"):
            routed(llama, llama_experts)

    def test_expert_of_another_model_leaves_no_trace(self, llama, llama_experts, tmp_path):
        other = tiny_llama(intermediate_size=64)
        llama_experts["facts"] = Expert("facts", random_adapter(other, tmp_path / "other"))
        before = parts_of(llama), hooks_of(llama)
        with pytest.raises(CompositionError, match=r"mlp.down_proj maps 48 to 32.*'facts'"):
            routed(llama, llama_experts)
        assert before == (parts_of(llama), hooks_of(llama))

    def test_expert_of_another_architecture(self, llama, tmp_path):
        path = random_adapter(tiny_gpt2(), tmp_path / "gpt2", targets=GPT2_TARGETS)
        with pytest.raises(
            CompositionError, match=r"transformer.h.0.attn.c_attn.*outside the decoder"
        ):
            routed(llama, {"a": Expert("a", path)})

    def test_layer_outside_the_blocks(self, llama, tmp_path):
        path = random_adapter(llama, tmp_path / "head", targets=("lm_head",))
        kept = {k: v for k, v in load_file(path / WEIGHTS).items() if "base_layer" not in k}
        save_file(kept, path / WEIGHTS)  # PEFT stores the head itself too
        with pytest.raises(CompositionError, match=r"lm_head.*outside the decoder blocks"):
            routed(llama, {"a": Expert("a", path)})

    def test_missing_expert(self, llama, llama_experts):
        made = refer(["math", "codign"], tensors={"theta": random_theta(2)})
        with pytest.raises(CompositionError, match="'codign'; did you mean 'coding'"):
            attach(llama, TopK(), made, llama_experts)

    def test_replaced_forward(self, llama, llama_experts):
        block = llama.model.layers[1]
        block.forward = block.forward
        with pytest.raises(CompositionError, match="onto one device"):
            routed(llama, llama_experts)
        assert hooks_of(llama) == 0

    def test_ambiguous_blocks(self, llama):
        llama.model.more = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
        with pytest.raises(CompositionError, match=r"model.layers, model.more.*blocks="):
            find_decoder(llama)
        assert find_decoder(llama, "model.layers").path == "model.layers"
        with pytest.raises(CompositionError, match=r"did you mean 'model.layers'"):
            find_decoder(llama, "model.layer")
