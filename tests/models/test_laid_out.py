"""Weights in the order of their products: the same bits, for as long as somebody wants them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from selfmoe.models import laid_out, products
from selfmoe.models.generation import generate
from selfmoe.models.laid_out import LaidOut
from selfmoe.models.products import Hastened, hasten
from selfmoe.testing.models import tiny_llama, tiny_tokenizer

pytestmark = pytest.mark.usefixtures("onednn_pays")
X = torch.linspace(-1, 1, 32 * 192).view(32, 192)


@pytest.fixture
def layer() -> nn.Linear:
    torch.manual_seed(0)
    made = nn.Linear(192, 256).requires_grad_(False)
    hasten(made)
    return made


def lies(layer: nn.Linear) -> bool:
    forward = vars(layer)["forward"]
    assert isinstance(forward, Hastened)
    return forward._laid is not None


@pytest.mark.parametrize("rows", [22, 37, 64, 300])
@torch.no_grad()
def test_bits_are_the_same_and_memory_is_given_back(layer: nn.Linear, rows: int) -> None:
    x = X.repeat(10, 1)[:rows]
    want = layer(x)
    with LaidOut(layer), LaidOut(layer):
        assert torch.equal(layer(x), want)
        assert lies(layer)
    assert not lies(layer)
    assert torch.equal(layer(x), want)


@torch.no_grad()
def test_it_stays_while_anybody_has_entered(layer: nn.Linear) -> None:
    with LaidOut(layer):
        with LaidOut(layer):
            layer(X)
        assert lies(layer)


@pytest.mark.parametrize("exchange", [True, False])
@torch.no_grad()
def test_other_weights_are_seen(layer: nn.Linear, exchange: bool) -> None:
    with LaidOut(layer):
        before = layer(X)
        if exchange:
            layer.weight = nn.Parameter(2 * layer.weight, requires_grad=False)
        else:
            layer.weight.mul_(2)
        torch.testing.assert_close(layer(X) - layer.bias, 2 * (before - layer.bias))


@torch.no_grad()
def test_weights_that_come_to_lie_where_others_lay_are_seen(layer: nn.Linear) -> None:
    memory = layer.weight.numpy().copy()
    with LaidOut(layer):
        for _ in range(2):
            layer.weight = nn.Parameter(torch.from_numpy(memory), requires_grad=False)
            expected = torch.nn.functional.linear(X, layer.weight, layer.bias)
            torch.testing.assert_close(layer(X), expected)
            memory[:] = 2 * memory  # as where an allocator gives the same place again


@torch.no_grad()
def test_copies_lay_out_their_own(layer: nn.Linear) -> None:
    with LaidOut(layer):
        want = layer(X)
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert not lies(other)
            assert torch.equal(other(X), want)
            other.weight.zero_()
            assert torch.equal(layer(X), want)


def test_large_models_hold_their_weights_once(
    layer: nn.Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(laid_out, "MOST", layer.weight.nbytes - 1)
    with torch.no_grad(), LaidOut(layer):
        layer(X)
        assert not lies(layer)


def test_what_writes_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny_llama().eval().requires_grad_(False), tiny_tokenizer()
    hasten(model)
    monkeypatch.setattr(products, "WORTH", 1)
    laid: list[Tensor] = []
    plain = Hastened._lies
    monkeypatch.setattr(
        Hastened, "_lies", lambda self, weight: laid.append(weight) or plain(self, weight)
    )
    prompts = [f"{number} and" for number in range(8)]
    generate(model, tokenizer, prompts, max_new_tokens=3)
    assert laid
    assert not any(lies(one) for one in model.modules() if type(one) is nn.Linear)
