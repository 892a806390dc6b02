"""The routed runtime against the naive formula, PEFT, and itself without its shortcuts."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn

from selfmoe.components import Composer
from selfmoe.errors import CompositionError, NotSupportedError
from selfmoe.mixture import attach
from selfmoe.mixture.adapters import WEIGHTS
from selfmoe.mixture.storage import model_hash
from selfmoe.mixture.structure import find_decoder, linears
from selfmoe.records import Composition, Expert, ExpertRef
from selfmoe.testing.composers import assert_close
from selfmoe.testing.models import GPT2_TARGETS, random_adapter, tiny_gpt2, tiny_llama
from selfmoe.testing.reference import naive_mixture, topk_alpha
from selfmoe_router_topk import TopK

MODELS = {
    "llama": (tiny_llama, None),
    "llama-wide-heads": (lambda: tiny_llama(head_dim=16), None),
    "gpt2": (tiny_gpt2, GPT2_TARGETS),
}


class Given(Composer):
    """A gate that is handed in."""

    name = "given"
    kind = "router"

    def __init__(self, gate):
        super().__init__()
        self.handed = gate

    def compose(self, ctx):
        raise NotImplementedError

    def gate(self, composition):
        return self.handed


class Imposed(nn.Module):
    """Returns weights of a list, one after the other."""

    site, reads, causal = "block", "nothing", True

    def __init__(self, weights):
        super().__init__()
        self.weights = list(weights)

    def forward(self, x, where, info):
        return self.weights.pop(0)


def ids_of(batch=2, time=11, seed=3):
    return torch.randint(0, 256, (batch, time), generator=torch.Generator().manual_seed(seed))


def logits_of(model, ids, mask=None, **kwargs):
    mask = torch.ones_like(ids) if mask is None else mask
    return model(input_ids=ids, attention_mask=mask, **kwargs).logits


def composition_of(names, theta=None, k=1, **options):
    refs = tuple(ExpertRef(name, "", "") for name in names)
    tensors = {} if theta is None else {"theta": theta}
    chosen = TopK.Config(k=k, **options).model_dump(mode="json")
    return Composition("topk", chosen, refs, tensors)


def theta_of(n, width=32, std=0.3):
    return torch.randn(n, width, generator=torch.Generator().manual_seed(5)) * std


@pytest.fixture(params=list(MODELS))
def model_and_targets(request):
    make, targets = MODELS[request.param]
    return make(), targets


def mixed_experts(model, targets, folder):
    """Return three experts that differ in rank, alpha, rsLoRA, patterns, layers and targets."""
    first = targets or ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    pattern = {"rank_pattern": {first[0]: 6}, "alpha_pattern": {first[-1]: 3}}
    paths = {
        "0": random_adapter(model, folder / "0", r=2, alpha=7, targets=first[:2], seed=1),
        "mlp": random_adapter(
            model, folder / "mlp", r=5, alpha=8, targets=first, seed=2, rslora=True, options=pattern
        ),
        "math-v2": random_adapter(
            model,
            folder / "math-v2",
            r=3,
            targets=first[1:],
            seed=3,
            options={"layers_to_transform": [0, 2]},
        ),
    }
    return {name: Expert(name, path) for name, path in paths.items()}


@pytest.fixture
def llama():
    return tiny_llama()


@pytest.fixture
def experts(llama, tmp_path):
    return {
        name: Expert(name, random_adapter(llama, tmp_path / name, r=2 + i, seed=i))
        for i, name in enumerate(("math", "coding", "facts"))
    }


def routed(model, experts, theta, k=1, **options):
    made = composition_of(experts, theta, k, **options)
    return attach(model, TopK(TopK.Config(k=k, **options)), made, experts)


def naive(model, experts, theta, k):
    decoder = find_decoder(model)
    factors = [expert.factors() for expert in experts.values()]
    return naive_mixture(
        decoder.blocks, linears(model), factors, topk_alpha(theta, k), decoder.path
    )


# --- the formula ------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("k", [1, 2, 3])
def test_equals_the_naive_formula(model_and_targets, tmp_path, k):
    model, targets = model_and_targets
    experts, theta, ids = mixed_experts(model, targets, tmp_path), theta_of(3), ids_of()
    plain = logits_of(model, ids)
    with naive(model, experts, theta, k) as weights:
        expected = logits_of(model, ids)
    assert (expected - plain).abs().max() > 0.1 * plain.abs().max()
    with attach(model, Given(Imposed(weights)), composition_of(experts), experts):
        assert_close(logits_of(model, ids), expected)


@torch.no_grad()
def test_in_double_precision_it_is_the_formula(tmp_path):
    model = tiny_llama(dtype=torch.float64)
    experts, ids = mixed_experts(model, None, tmp_path), ids_of()
    with naive(model, experts, theta_of(3), 2) as weights:
        expected = logits_of(model, ids)
    with attach(model, Given(Imposed(weights)), composition_of(experts), experts):
        assert_close(logits_of(model, ids), expected, tolerance=1e-12)


@torch.no_grad()
def test_free_routing_is_the_naive_one(llama, experts):
    theta, ids = theta_of(3), ids_of()
    with naive(llama, experts, theta, 3) as weights:
        logits_of(llama, ids)
    largest = torch.stack(weights).topk(2, dim=-1).values
    clear = (largest[..., 0] - largest[..., 1]) > 1e-4
    assert clear.all(), "this seed has a near tie; choose another"
    with naive(llama, experts, theta, 1) as weights:
        expected = logits_of(llama, ids)
    with routed(llama, experts, theta) as mixture, mixture.record(trace=True) as record:
        assert_close(logits_of(llama, ids), expected)
    assert_close(record.traces[0].weights, torch.stack(weights).mean(0))
    assert_close(record.mean(), torch.stack([w.mean((0, 1)) for w in weights]).double())
    used = torch.stack(weights).sum((0, 1, 2)) > 0
    assert used.sum() > 1, "all tokens went to one expert; the test shows little"


@torch.no_grad()
def test_bfloat16_is_as_near_to_float32_as_the_naive_formula(llama, experts):
    theta, ids = theta_of(3), ids_of(4, 40)
    with naive(llama, experts, theta, 2) as weights:
        exact = logits_of(llama, ids)
    low = copy.deepcopy(llama).bfloat16()
    decoder = find_decoder(low)
    factors = [expert.factors() for expert in experts.values()]

    def imposed(block, x):
        return weights[block]

    with naive_mixture(decoder.blocks, linears(low), factors, imposed, decoder.path):
        naive_error = (logits_of(low, ids).float() - exact).pow(2).mean().sqrt()
    with attach(low, Given(Imposed(weights)), composition_of(experts), experts):
        error = (logits_of(low, ids).float() - exact).pow(2).mean().sqrt()
    assert 0 < error <= 1.5 * naive_error


# --- PEFT -------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("rslora", [False, True])
def test_one_expert_is_its_lora(model_and_targets, tmp_path, rslora):
    model, targets = model_and_targets
    chosen = {"targets": targets} if targets else {}
    path = random_adapter(model, tmp_path / "a", r=4, alpha=6, rslora=rslora, **chosen)
    ids = ids_of()
    expected = logits_of(PeftModel.from_pretrained(copy.deepcopy(model), str(path)), ids)
    with routed(model, {"a": Expert("a", path)}, theta_of(1)):
        assert_close(logits_of(model, ids), expected)
    owner = Composition("static", {}, (), owned={"a": path})
    with attach(model, Given(None), owner, {}):
        assert_close(logits_of(model, ids), expected)


@torch.no_grad()
def test_two_copies_with_all_chosen_are_the_lora(llama, experts):
    path, ids = experts["math"].path, ids_of()
    expected = logits_of(PeftModel.from_pretrained(copy.deepcopy(llama), str(path)), ids)
    twins = {name: Expert(name, path) for name in ("one", "two")}
    with routed(llama, twins, theta_of(2), k=2):
        assert_close(logits_of(llama, ids), expected)


@torch.no_grad()
def test_expert_without_weight_changes_nothing(llama, experts):
    ids = ids_of()
    plain = logits_of(llama, ids)
    none = [torch.zeros(2, 11, 3)] * 3
    with attach(llama, Given(Imposed(none)), composition_of(experts), experts):
        assert torch.equal(logits_of(llama, ids), plain)


# --- caches, padding, generation --------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("inputs", ["block_input", "embedding"])
def test_cached_is_uncached(llama, experts, inputs):
    ids = ids_of()
    with routed(llama, experts, theta_of(3), inputs=inputs):
        whole, cache, parts = logits_of(llama, ids), None, []
        for start, end in [(0, 6), (6, 7), (7, 8), (8, 11)]:
            out = llama(ids[:, start:end], past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            parts.append(out.logits)
    assert_close(torch.cat(parts, 1), whole)


@torch.no_grad()
def test_left_padding_changes_nothing(llama, experts):
    ids = ids_of(1, 8)
    padded = torch.cat([torch.full((1, 5), 257), ids], 1)
    mask = (torch.arange(13) >= 5).long()[None]
    with routed(llama, experts, theta_of(3)) as mixture:
        with mixture.record() as record:
            whole = logits_of(llama, ids)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        with mixture.record() as padded_record:
            shifted = logits_of(llama, padded, mask, position_ids=positions)
    assert_close(shifted[:, 5:], whole)
    assert padded_record.tokens() == record.tokens() == 8
    assert_close(padded_record.mean(), record.mean())


@pytest.mark.parametrize(
    "how",
    [{"do_sample": False}, {"do_sample": True}, {"num_beams": 3}, {"use_cache": False}],
    ids=["greedy", "sampling", "beams", "uncached"],
)
def test_generates(llama, experts, how):
    ids = ids_of(2, 6)
    with (
        routed(llama, experts, theta_of(3)) as mixture,
        mixture.record() as record,
        mixture.annotate(prompt_mask=torch.ones_like(ids), domain=("math", "coding")),
    ):
        torch.manual_seed(0)
        out = llama.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, **how)
    assert out.shape[1] <= 11
    assert record.tokens("prompt") >= 12
    assert record.tokens("response") >= 4
    assert abs(sum(record.shares("response").values()) - 1) < 1e-6


@torch.no_grad()
def test_greedy_generation_is_the_naive_one(llama, experts):
    ids, theta = ids_of(1, 6), theta_of(3)
    with naive(llama, experts, theta, 1):
        expected = llama.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8)
    with routed(llama, experts, theta):
        found = llama.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8)
    assert torch.equal(found, expected)


# --- gradients --------------------------------------------------------------------------------


def theta_gradient(model, experts, inputs, checkpointing=None, forwards=1):
    """Return θ's gradient of losses of several forwards, all made before the backward."""
    if inputs in ("block_input", "embedding"):
        tensors = {"theta": theta_of(3)}
    else:
        tensors = {"theta_32": theta_of(3), "theta_48": theta_of(3, 48)}
    made = replace(composition_of(experts, None, 1, inputs=inputs), tensors=tensors)
    with attach(model, TopK(TopK.Config(inputs=inputs)), made, experts) as mixture:
        parameters = list(mixture.gate.requires_grad_(True).parameters())
        if checkpointing is not None:
            model.train()
            model.gradient_checkpointing_enable({"use_reentrant": checkpointing})
            model.enable_input_require_grads()
        with mixture.record() as record:
            losses = [
                logits_of(model, ids_of(seed=i), use_cache=False).float().logsumexp(-1).mean()
                for i in range(forwards)
            ]
            with torch.no_grad():  # another forward in between must not be mistaken for theirs
                logits_of(model, ids_of(1, 3, seed=9), use_cache=False)
            sum(losses).backward()
        if checkpointing is not None:
            model.gradient_checkpointing_disable()
            model.disable_input_require_grads()
            model.eval()
        assert record.tokens() % (22 * forwards + 3) == 0, "recomputed tokens were recorded"
        return [p.grad for p in parameters]


def test_router_gradient_is_that_of_the_naive_formula(llama, experts):
    theta = theta_of(3).requires_grad_(True)
    with naive(llama, experts, theta, 1):
        logits_of(llama, ids_of(seed=0)).logsumexp(-1).mean().backward()
    assert theta.grad.abs().max() > 1e-4
    (gradient,) = theta_gradient(llama, experts, "block_input")
    assert_close(gradient, theta.grad)


@pytest.mark.parametrize("inputs", ["block_input", "embedding", "per_width"])
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_gives_the_same_gradient(llama, experts, inputs, reentrant):
    plain = theta_gradient(llama, experts, inputs, forwards=2)
    again = theta_gradient(llama, experts, inputs, checkpointing=reentrant, forwards=2)
    for a, b in zip(again, plain, strict=True):
        assert b.abs().max() > 0
        assert_close(a, b)


# --- putting it on and taking it off ----------------------------------------------------------


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
def test_detach_restores_everything(model_and_targets, tmp_path):
    model, targets = model_and_targets
    experts, ids = mixed_experts(model, targets, tmp_path), ids_of()
    before = (model_hash(model), parts_of(model), hooks_of(model), logits_of(model, ids))
    state = list(model.state_dict())
    mixture = routed(model, experts, theta_of(3))
    assert model.mixture is mixture
    assert [name for name in model.state_dict() if "gate." not in name] == state
    mixture.detach()
    mixture.detach()
    after = (model_hash(model), parts_of(model), hooks_of(model), logits_of(model, ids))
    assert before[:3] == after[:3]
    assert torch.equal(before[3], after[3])


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_deltas_are_swapped_in_and_out(model_and_targets, dtype):
    model, _ = model_and_targets
    model = model.to(dtype)
    site = next(n for n in linears(model) if n.endswith(("o_proj", "attn.c_proj")))
    weight = linears(model)[site].weight
    is_conv = not isinstance(linears(model)[site], nn.Linear)
    shape = weight.t().shape if is_conv else weight.shape
    delta = torch.randn(shape, generator=torch.Generator().manual_seed(0))

    class Static(Given):
        def deltas(self, composition):
            return {site: delta}

    old = weight.clone()
    with attach(model, Static(None), Composition("s", {}, ()), {}):
        now = linears(model)[site].weight
        full = old.float() + (delta.t() if is_conv else delta)
        assert torch.equal(now, full.to(dtype))
    assert linears(model)[site].weight is weight
    assert torch.equal(weight, old)


@torch.no_grad()
def test_a_copy_of_an_attached_model_stands_alone(llama, experts):
    ids = ids_of()
    plain = logits_of(llama, ids)
    mixture = routed(llama, experts, theta_of(3))
    mixed = logits_of(llama, ids)
    twin = copy.deepcopy(llama)
    mixture.detach()
    assert torch.equal(logits_of(twin, ids), mixed)
    assert torch.equal(logits_of(llama, ids), plain)
    twin.mixture.detach()
    assert torch.equal(logits_of(twin, ids), plain)


@torch.no_grad()
def test_hidden_states_can_be_asked_for(llama, experts):
    with routed(llama, experts, theta_of(3)):
        out = llama(ids_of(), output_hidden_states=True)
    assert len(out.hidden_states) == 4


def test_static_compositions_record_nothing(llama, experts):
    owner = Composition("static", {}, (), owned={"a": experts["math"].path})
    with (
        attach(llama, Given(None), owner, {}) as mixture,
        pytest.raises(NotSupportedError, match="static"),
        mixture.record(),
    ):
        pass


class TestRefusals:
    def test_second_mixture(self, llama, experts):
        with (
            routed(llama, experts, theta_of(3)),
            pytest.raises(CompositionError, match="already"),
        ):
            routed(llama, experts, theta_of(3))

    def test_expert_of_another_model_leaves_no_trace(self, llama, experts, tmp_path):
        other = tiny_llama(intermediate_size=64)
        experts["facts"] = Expert("facts", random_adapter(other, tmp_path / "other"))
        before = parts_of(llama), hooks_of(llama)
        with pytest.raises(CompositionError, match=r"mlp.down_proj maps 48 to 32.*'facts'"):
            routed(llama, experts, theta_of(3))
        assert before == (parts_of(llama), hooks_of(llama))

    def test_expert_of_another_architecture(self, llama, tmp_path):
        path = random_adapter(tiny_gpt2(), tmp_path / "gpt2", targets=GPT2_TARGETS)
        with pytest.raises(
            CompositionError, match=r"transformer.h.0.attn.c_attn.*outside the decoder"
        ):
            routed(llama, {"a": Expert("a", path)}, theta_of(1))

    def test_layer_outside_the_blocks(self, llama, tmp_path):
        path = random_adapter(llama, tmp_path / "head", targets=("lm_head",))
        kept = {k: v for k, v in load_file(path / WEIGHTS).items() if "base_layer" not in k}
        save_file(kept, path / WEIGHTS)  # PEFT stores the head itself too
        with pytest.raises(CompositionError, match=r"lm_head.*outside the decoder blocks"):
            routed(llama, {"a": Expert("a", path)}, theta_of(1))

    def test_missing_expert(self, llama, experts):
        made = composition_of(["math", "codign"], theta_of(2))
        with pytest.raises(CompositionError, match="'codign'; did you mean 'coding'"):
            attach(llama, TopK(), made, experts)

    def test_replaced_forward(self, llama, experts):
        block = llama.model.layers[1]
        block.forward = block.forward
        with pytest.raises(CompositionError, match="onto one device"):
            routed(llama, experts, theta_of(3))
        assert hooks_of(llama) == 0

    def test_ambiguous_blocks(self, llama):
        llama.model.more = nn.ModuleList(nn.Linear(1, 1) for _ in range(3))
        with pytest.raises(CompositionError, match=r"model.layers, model.more.*blocks="):
            find_decoder(llama)
        assert find_decoder(llama, "model.layers").path == "model.layers"
        with pytest.raises(CompositionError, match=r"did you mean 'model.layers'"):
            find_decoder(llama, "model.layer")
