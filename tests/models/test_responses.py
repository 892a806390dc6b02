"""The loss on responses without the logits of all tokens: the same numbers, family by family."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CohereConfig, CohereForCausalLM, GraniteConfig, GraniteForCausalLM
from transformers.models.llama.modeling_llama import LlamaForCausalLM

from selfmoe.contracts.fitting import Batch
from selfmoe.models.fitting import chunks
from selfmoe.models.fitting.batches import collate, encode
from selfmoe.models.fitting.reading import ResponseLoss
from selfmoe.models.fitting.tail import tail_of
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import tiny_examples, tiny_llama, tiny_tokenizer
from selfmoe.testing.sparse import SPARSE

SMALL: dict[str, Any] = {
    "vocab_size": 288,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.15,
    "bos_token_id": None,
    "eos_token_id": 256,
    "pad_token_id": 257,
}
SCALED = {
    "cohere": lambda: CohereForCausalLM(CohereConfig(**SMALL, logit_scale=0.25)),
    "granite": lambda: GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=8.0)),
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=[*FAMILIES, *SPARSE, *SCALED])
def model(request: pytest.FixtureRequest) -> Any:
    if request.param not in SCALED:
        return tiny_model(request.param)
    torch.manual_seed(0)
    return SCALED[request.param]().eval().requires_grad_(False)


def some(n: int = 5) -> Batch:
    rows = [encode(example, tiny_tokenizer()) for example in tiny_examples(n)]
    rows[0].ids.extend(rows[0].ids[-4:])  # so that others are padded
    return collate(rows, 257, torch.device("cpu"))


def naive(model: Any, batch: Batch) -> Tensor:
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    targets = batch.labels[:, 1:].flatten()
    return cross_entropy(logits[:, :-1].flatten(0, 1), targets, reduction="sum")


def gradients(model: Any, loss: Tensor) -> list[Tensor]:
    learns = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return list(torch.autograd.grad(loss, learns))


def assert_same(model: Any, batch: Batch, read: Any) -> None:
    ours, theirs = read(batch), naive(model, batch)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    expected = gradients(model, theirs)
    largest = max(float(one.abs().max()) for one in expected)
    assert largest > 0
    for one, other in zip(gradients(model, ours), expected, strict=True):
        assert (one - other).abs().max() <= 1e-5 * largest


@pytest.mark.parametrize("at_once", [chunks.AT_ONCE, 7 * 288])
def test_equals_the_loss_of_all_logits(
    model: Any, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "AT_ONCE", at_once)
    read = ResponseLoss(model)
    assert read._tail is not None
    norms = [p for name, p in model.named_parameters() if "norm" in name or "ln" in name]
    for parameter in norms:
        parameter.requires_grad_(True)
    assert_same(model, some(), read)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "qwen2-tied"])
def test_a_head_that_learns_gets_its_gradient(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "AT_ONCE", 7 * 288)
    model = tiny_model(family)
    model.get_output_embeddings().weight.requires_grad_(True)
    assert_same(model, some(), ResponseLoss(model))


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_llama()
    names = [(name, type(module)) for name, module in model.named_modules()]
    ResponseLoss(model)(some())
    assert [(name, type(module)) for name, module in model.named_modules()] == names
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


def test_without_gradients_it_is_the_same_number() -> None:
    model, batch = tiny_llama(), some()
    with torch.no_grad():
        assert ResponseLoss(model)(batch).item() == pytest.approx(naive(model, batch).item())


def test_in_bfloat16_it_is_the_loss_of_its_logits() -> None:
    model, batch = tiny_llama(dtype=torch.bfloat16), some()
    logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
    theirs = cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), batch.labels[:, 1:].flatten(), reduction="sum"
    )
    assert ResponseLoss(model)(batch).item() == pytest.approx(theirs.item(), rel=2e-3)


# --- where it cannot be done ----------------------------------------------------------------------


class Leaning(LlamaForCausalLM):  # type: ignore[misc]
    """Its logits depend on those of the tokens before."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits.cumsum(1)
        return output


class Shaped(LlamaForCausalLM):  # type: ignore[misc]
    """Its logits have to be as many as its tokens."""

    def forward(self, input_ids: Any = None, **kwargs: Any) -> Any:
        output = super().forward(input_ids=input_ids, **kwargs)
        output.logits = output.logits.view(*input_ids.shape, -1)
        return output


class Deep(LlamaForCausalLM):  # type: ignore[misc]
    """Its logits come from more than the final states."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **{**kwargs, "output_hidden_states": True})
        output.logits = output.logits + self.lm_head(output.hidden_states[1])
        return output


class Headless(LlamaForCausalLM):  # type: ignore[misc]
    """Nobody says which its head is."""

    def get_output_embeddings(self) -> None:
        return None


@pytest.mark.parametrize("kind", [Leaning, Shaped, Deep, Headless])
def test_models_whose_head_cannot_be_run_apart_are_read_whole(kind: type) -> None:
    model = copy.deepcopy(tiny_llama())
    model.__class__ = kind
    assert tail_of(model) is None
    model.model.norm.weight.requires_grad_(True)
    assert_same(model, some(), ResponseLoss(model))


def test_a_wrapper_of_others_is_asked_for_its_own_logits() -> None:
    class Doubled(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
            output = self.inner(input_ids=input_ids, attention_mask=attention_mask)
            output.logits = output.logits * 2
            return output

    model, batch = Doubled(tiny_llama()), some()
    model.inner.model.norm.weight.requires_grad_(True)
    assert_same(model, batch, ResponseLoss(model))


# --- memory ---------------------------------------------------------------------------------------


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that is made."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(one, Tensor):
                self.size = max(self.size, one.numel())
        return made


def test_no_more_logits_than_allowed_are_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = 4096
    model, batch = tiny_llama(vocab_size=vocabulary), some(30)
    model.model.norm.weight.requires_grad_(True)
    tokens = int((batch.labels != -100).sum())
    monkeypatch.setattr(chunks, "AT_ONCE", 40 * vocabulary)
    read, sizes = ResponseLoss(model), []
    for make in (lambda: read(batch), lambda: naive(model, batch)):
        with Largest() as seen:
            make().backward()
        sizes.append(seen.size)
    weight = model.lm_head.weight.numel()  # its transpose is a tensor, too
    assert sizes[0] <= max(weight, 40 * vocabulary)
    assert sizes[1] == batch.input_ids.numel() * vocabulary > tokens * vocabulary > sizes[0]
