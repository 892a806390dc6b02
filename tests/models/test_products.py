"""Products by the other library: equal up to rounding, taken only where they are meant to be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from selfmoe.models import processor, products
from selfmoe.models.products import add_product, hasten, product
from selfmoe.testing.models import tiny_llama

pytestmark = pytest.mark.usefixtures("onednn_pays")
LARGE, SMALL = (64, 192), (3, 192)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return the shapes that the other library was given, as it is given them."""
    shapes: list[tuple[int, ...]] = []
    fast: Callable[..., Tensor] = products.by_onednn

    def watched(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        shapes.append(tuple(x.shape))
        return fast(x, weight, bias)

    monkeypatch.setattr(products, "by_onednn", watched)
    return shapes


def layer(bias: bool = False) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(192, 256, bias=bias).requires_grad_(False)


def hastened(bias: bool = False) -> nn.Linear:
    model = layer(bias)
    hasten(model)
    return model


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [LARGE, (2, 40, 192), (2, 3, 20, 192)])
def test_the_same_up_to_rounding(
    bias: bool, shape: tuple[int, ...], taken: list[tuple[int, ...]]
) -> None:
    x = torch.randn(shape)
    torch.testing.assert_close(hastened(bias)(x), layer(bias)(x))
    assert taken == [shape]


@pytest.mark.parametrize("turn", [lambda x: x[:, ::2], lambda x: x.transpose(0, 1)])
def test_however_its_input_lies_in_memory(turn: Callable[[Tensor], Tensor]) -> None:
    x = turn(torch.randn(40, 40, 192))
    torch.testing.assert_close(hastened()(x), layer()(x))


@pytest.mark.parametrize("bias", [False, True])
def test_gradients_are_those_of_autograd(bias: bool, taken: list[tuple[int, ...]]) -> None:
    grads = []
    for model in (hastened(bias), layer(bias)):
        x = torch.randn(2, 40, 192, generator=torch.Generator().manual_seed(1)).requires_grad_()
        (model(x) ** 2).sum().backward()
        assert x.grad is not None
        grads.append(x.grad)
    torch.testing.assert_close(*grads)
    assert taken == [(2, 40, 192), (2, 40, 256)]


def test_little_work_is_left_as_it_is(taken: list[tuple[int, ...]]) -> None:
    x = torch.randn(SMALL)
    assert torch.equal(hastened()(x), layer()(x))
    assert torch.equal(
        hastened().double()(torch.ones(LARGE).double()),
        layer().double()(torch.ones(LARGE).double()),
    )
    assert not taken


def test_weights_that_learn_are_left_to_autograd(taken: list[tuple[int, ...]]) -> None:
    model = hastened().requires_grad_(True)
    model(torch.randn(LARGE)).sum().backward()
    assert model.weight.grad is not None
    assert not taken


def test_weights_may_be_exchanged() -> None:
    model, x = hastened(), torch.randn(LARGE)
    model._parameters["weight"] = nn.Parameter(torch.ones(256, 192), requires_grad=False)
    torch.testing.assert_close(model(x), x.sum(1, keepdim=True).expand(-1, 256))


def test_a_copy_has_weights_of_its_own() -> None:
    model, x = hastened(), torch.randn(LARGE)
    before = model(x)
    copy.deepcopy(model)._parameters["weight"].data.zero_()  # type: ignore[union-attr]
    assert torch.equal(model(x), before)


def test_a_whole_model_reads_the_same(taken: list[tuple[int, ...]]) -> None:
    model = tiny_llama().eval().requires_grad_(False)
    ids = torch.randint(0, 200, (16, 64))
    plain = model(ids).logits
    hasten(model)
    torch.testing.assert_close(model(ids).logits, plain, atol=1e-4, rtol=1e-4)
    assert taken


def test_nothing_changes_where_it_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_pays", lambda: False)
    model, x = layer(), torch.randn(LARGE)
    hasten(model)
    assert "forward" not in vars(model)
    assert torch.equal(product(x, model.weight), linear(x, model.weight))


@pytest.mark.parametrize(
    ("maker", "flags", "wide"),
    [
        ("AuthenticAMD", "avx2 avx512f", True),
        ("AuthenticAMD", "avx2", False),
        ("GenuineIntel", "avx2 avx512f", False),
    ],
)
def test_where_it_pays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, maker: str, flags: str, wide: bool
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor : 0\nvendor_id\t: {maker}\nflags\t\t: {flags}\n")
    monkeypatch.setattr(processor, "CPUINFO", file)
    assert processor.wide_beyond_mkl.__wrapped__() is wide


@pytest.mark.parametrize(("columns", "asked"), [(8, False), (32, True)])
def test_added_up_to_rounding_by_the_library_that_pays(
    columns: int, asked: bool, taken: list[tuple[int, ...]]
) -> None:
    x, weight, to = torch.randn(1024, columns), torch.randn(192, columns), torch.randn(1024, 192)
    expected = to + x @ weight.T
    add_product(to, x, weight)
    torch.testing.assert_close(to, expected)
    assert bool(taken) is asked


def test_what_lies_across_memory_is_added_likewise(
    taken: list[tuple[int, ...]],
) -> None:
    x, weight = torch.randn(128, 640).t()[:512], torch.randn(256, 128)
    to = torch.zeros(512, 256)
    add_product(to, x, weight)
    torch.testing.assert_close(to, x @ weight.T)
    assert taken
