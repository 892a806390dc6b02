"""X-LoRA's router: the formula, PEFT's own, and what it does that PEFT's does not."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from peft import LoraConfig, PeftModel, XLoraConfig, get_peft_model
from torch import nn

from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Expert
from selfmoe.mixture.adapters import factors_of
from selfmoe.mixture.runtime import attach
from selfmoe.models.fitting.checkpointing import checkpointing
from selfmoe.testing.composers import ComposerContract, assert_close
from selfmoe.testing.families import tiny_model
from selfmoe.testing.models import random_adapter
from selfmoe.testing.routing import even_experts, logits, refer, tokens
from selfmoe_router_xlora import XLora
from selfmoe_router_xlora.gate import XLoraGate

QUICK = {"epochs": 1, "lr": 0.05, "batch_size": 3}
SHAPES = [
    {},
    {"layerwise": True, "k": 1},
    {"depth": 3, "size": 8, "k": 2},
    {"bias": False, "train_k": "k", "k": 1},
]


class TestContract(ComposerContract):
    @pytest.fixture(params=SHAPES[:3])
    def composer(self, request):
        return XLora(XLora.Config(**request.param, **QUICK))


class TestGate:
    def gate(self, **options):
        draw = torch.Generator().manual_seed(0)
        tensors = {"weight": torch.randn(4, 8, generator=draw), "bias": torch.arange(4) / 4}
        return XLoraGate(XLora.Config(**options), tensors), tensors

    def x(self, **kind):
        return torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1)).to(**kind)

    def test_is_a_softmax_of_which_the_largest_are_kept(self):
        gate, tensors = self.gate(k=2, temperature=0.5)
        p = torch.softmax((self.x() @ tensors["weight"].T + tensors["bias"]) / 0.5, -1)
        expected = torch.where(p >= p.sort(-1).values[..., -2:-1], p, 0.0)
        torch.testing.assert_close(gate(self.x(), Site(0), TokenInfo()), expected)

    def test_computes_in_float32(self):
        gate, _ = self.gate()
        low = self.x(dtype=torch.bfloat16)
        alpha = gate(low, Site(0), TokenInfo())
        assert torch.equal(alpha, gate(low.float(), Site(0), TokenInfo()))
        torch.testing.assert_close(alpha.sum(-1), torch.ones(2, 5))

    def test_the_paper_uses_one_expert_and_no_bias(self):
        options = XLora.Config(**XLora.presets["paper"])
        assert (options.k, options.bias) == (1, False)


# --- PEFT's ------------------------------------------------------------------------------------


def peft_xlora(model, paths, **options):
    """Return a Llama with PEFT's X-LoRA on it, and its classifier with large random weights."""
    base = copy.deepcopy(model)
    base.config.use_cache = False  # PEFT's refuses to go with a cache
    config = XLoraConfig(
        task_type="CAUSAL_LM",
        hidden_size=32,
        adapters={str(i): str(path) for i, path in enumerate(paths)},
        enable_softmax=True,
        enable_softmax_topk=False,
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = get_peft_model(base, config).eval()
    classifier = theirs.base_model.internal_xlora_classifier
    draw = torch.Generator().manual_seed(7)
    for parameter in classifier.parameters():
        parameter.data = torch.randn(parameter.shape, generator=draw) * 0.4
    return theirs, classifier


def ours(classifier):
    """Return the tensors of our gate for PEFT's classifier."""
    *inner, last = [layer for layer in classifier.layers if isinstance(layer, nn.Linear)]
    tensors = {"weight": last.weight.detach(), "bias": last.bias.detach()}
    for i, layer in enumerate(inner):
        tensors |= {f"weight_{i}": layer.weight.detach(), f"bias_{i}": layer.bias.detach()}
    return tensors


@torch.no_grad()
@pytest.mark.parametrize("k", [0, 1, 2])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("ranks", ["even", "mixed"])
def test_agrees_with_peft_on_a_llama(tmp_path, k, depth, ranks):
    model, ids = tiny_model("llama"), tokens()
    experts = even_experts(model, tmp_path)
    if ranks == "mixed":
        path = random_adapter(model, tmp_path / "few", r=5, alpha=3, targets=["q_proj"], seed=9)
        experts["few"] = Expert("few", path)
    theirs, classifier = peft_xlora(
        model,
        [expert.path for expert in experts.values()],
        top_k_lora=k or None,
        xlora_depth=depth,
        xlora_size=16,
        softmax_temperature=0.7,
    )
    expected = logits(theirs, ids)
    composer = XLora(XLora.Config(k=k, depth=depth, size=16, temperature=0.7))
    told = composer.options.model_dump(mode="json")
    with attach(model, composer, refer(experts, tensors=ours(classifier), options=told), experts):
        found = logits(model, ids)
    assert (found - logits(model, ids)).abs().max() > 0.1 * found.abs().max()
    assert_close(found, expected)


def test_peft_loses_its_router_when_it_is_saved(tmp_path):
    """PEFT 0.20 and 0.21 (seen: 0.21.2) write no classifier; once they do, say so in the docs."""
    model = tiny_model("llama")
    paths = [expert.path for expert in even_experts(model, tmp_path).values()]
    theirs, _ = peft_xlora(model, paths)
    theirs.save_pretrained(str(tmp_path / "saved"))
    from safetensors.torch import load_file

    assert not load_file(tmp_path / "saved" / "adapter_model.safetensors")


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox"])
def test_peft_takes_only_llamas(tmp_path, family):
    """What ``tests/mixture/test_companions.py`` holds for all families, PEFT 0.21.2 refuses."""
    model = tiny_model(family)
    targets = {"gpt2": ["c_attn"], "gpt_neox": ["query_key_value"]}[family]
    path = random_adapter(model, tmp_path / "a", targets=targets)
    with pytest.raises(ValueError, match="unexpected keys"):
        peft_xlora(model, [path])


@torch.no_grad()
def test_a_single_expert_is_its_lora(tmp_path):
    model, ids = tiny_model("llama"), tokens()
    path = random_adapter(model, tmp_path / "a")
    expected = logits(PeftModel.from_pretrained(copy.deepcopy(model), str(path)), ids)
    assert isinstance(LoraConfig.from_pretrained(str(path)), LoraConfig)
    composer = XLora()
    experts = {"a": Expert("a", path)}
    tensors = {"weight": torch.randn(1, 32), "bias": torch.zeros(1)}
    with attach(model, composer, refer(experts, tensors=tensors), experts):
        assert_close(logits(model, ids), expected)


# --- learning ----------------------------------------------------------------------------------


class TestLearning(ComposerContract):
    @pytest.fixture
    def composer(self):
        return XLora(XLora.Config(**QUICK))

    @pytest.mark.parametrize("shape", SHAPES)
    def test_every_tensor_learns(self, context, shape):
        router = XLora(XLora.Config(**shape, **QUICK))
        start = router.compose(context._replace(data=[])).tensors
        made = router.compose(context)
        for name, tensor in made.tensors.items():
            assert not torch.equal(tensor, start[name]), name
        assert made.report["trained_parameters"] == sum(t.numel() for t in start.values())

    def test_training_lowers_the_loss(self, context):
        router = XLora(XLora.Config(epochs=15, lr=0.05, batch_size=6, schedule="constant"))
        report = router.compose(context).report
        assert report["last_loss"] < report["first_loss"]

    @pytest.mark.parametrize("shape", SHAPES)
    def test_checkpointing_learns_the_same(self, context, shape):
        plain = XLora(XLora.Config(**shape, **QUICK)).compose(context)
        saving = XLora(XLora.Config(**shape, gradient_checkpointing=True, **QUICK))
        for name, tensor in saving.compose(context).tensors.items():
            torch.testing.assert_close(tensor, plain.tensors[name])

    @pytest.mark.parametrize("shape", SHAPES[:3])
    @pytest.mark.parametrize("reentrant", [False, True])
    @pytest.mark.filterwarnings("ignore:`gradient_checkpointing_:FutureWarning")
    @pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
    def test_gradients_under_both_kinds_of_checkpointing(self, context, shape, reentrant):
        model, router = context.base.model, XLora(XLora.Config(**shape))
        made = router.compose(context._replace(data=[]))
        found = []
        for checkpoint in (False, True):
            with attach(model, router, made, context.experts) as mixture:
                gate = mixture.gate.requires_grad_(True)
                if checkpoint:
                    model.train()
                    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
                    model.enable_input_require_grads()
                with mixture.record() as record:
                    loss = logits(model, tokens(), use_cache=False).logsumexp(-1).mean()
                    with torch.no_grad():  # another forward in between is not mistaken for it
                        logits(model, tokens(1, 3, seed=9), use_cache=False)
                    loss.backward()
                assert record.tokens() == 25
                found.append([p.grad for p in gate.parameters()])
                if checkpoint:
                    model.gradient_checkpointing_disable()
                    model.disable_input_require_grads()
                    model.eval()
        for one, other in zip(*found, strict=True):
            assert one.abs().max() > 0
            assert_close(other, one)

    def test_the_gradient_is_that_of_the_naive_formula(self, context):
        from selfmoe.models.structure import find_decoder, linears
        from selfmoe.testing.reference import naive_mixture

        model, router = context.base.model, XLora()
        made = router.compose(context._replace(data=[]))
        hidden = model(tokens(), output_hidden_states=True).hidden_states[-1].detach()
        weight, bias = (made.tensors[n].clone().requires_grad_(True) for n in ("weight", "bias"))
        factors = [factors_of(expert) for expert in context.experts.values()]
        decoder = find_decoder(model)

        def alpha(block, x):
            return torch.softmax(hidden @ weight.T + bias, -1)

        with naive_mixture(decoder.blocks, linears(model), factors, alpha, decoder.path):
            logits(model, tokens()).logsumexp(-1).mean().backward()
        with attach(model, router, made, context.experts) as mixture, checkpointing(model):
            gate = mixture.gate.requires_grad_(True)
            logits(model, tokens(), use_cache=False).logsumexp(-1).mean().backward()
        assert_close(gate.weight.grad, weight.grad)
        assert_close(gate.bias.grad, bias.grad)


class TestExtend(ComposerContract):
    domains = ("math", "coding", "facts")

    @pytest.fixture
    def composer(self):
        return XLora(XLora.Config(**QUICK))

    def less(self, context):
        few = {name: context.experts[name] for name in self.domains[:2]}
        return context._replace(experts=few)

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("decay", [0.0, 0.5])
    def test_old_rows_stay_and_new_ones_learn(self, context, tmp_path, shape, decay):
        router = XLora(XLora.Config(**shape, weight_decay=decay, **QUICK))
        before = router.compose(self.less(context))
        untrained = router.extend(before, context._replace(data=[]))
        after = router.extend(before, context._replace(work=tmp_path / "extend"))
        for name, tensor in after.tensors.items():
            old = before.tensors[name]
            assert torch.equal(tensor[: len(old)], old), name
            if name in ("weight", "bias"):
                assert len(tensor) == 3
                assert not torch.equal(tensor[2:], untrained.tensors[name][2:])
        assert after.report["trained_parameters"] == sum(
            after.tensors[n][2:].numel() for n in after.tensors if n in ("weight", "bias")
        )

    def test_another_shape_is_refused(self, composer, context):
        deep = XLora(XLora.Config(depth=2, **QUICK)).compose(self.less(context))
        with pytest.raises(CompositionError, match="depth=2, not 1; set depth to 2"):
            composer.extend(deep, context)
