"""Attention through products of matrices, beside torch's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from selfmoe.models import attention
from selfmoe.models.attention import attend

CLOSE = {torch.float32: 1e-5, torch.bfloat16: 3e-2}


class Layer(nn.Module):
    """A layer that asks, with so many heads for each of the keys."""

    def __init__(self, group: int) -> None:
        super().__init__()
        self.num_key_value_groups = group


def drawn(time: int, columns: int, heads: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    torch.manual_seed(0)
    shapes = ((2, 6, time, 8), (2, heads, columns, 8), (2, heads, columns, 5))
    return tuple(torch.randn(shape).to(dtype) for shape in shapes)


def wanted(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, scale: float) -> Tensor:
    times = query.shape[1] // key.shape[1]
    keys, values = (x.repeat_interleave(times, 1) for x in (key, value))
    if seen is None:
        time, columns = query.shape[2], key.shape[2]
        seen = torch.ones(time, columns, dtype=torch.bool).tril(columns - time)
    found = scaled_dot_product_attention(query, keys, values, attn_mask=seen, scale=scale)
    return found.transpose(1, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("heads", [1, 2, 6])
@pytest.mark.parametrize(("time", "columns"), [(1, 1), (1, 30), (7, 7), (130, 133)])
def test_queries_see_themselves_and_what_comes_before(
    time: int, columns: int, heads: int, dtype: torch.dtype
) -> None:
    query, key, value = drawn(time, columns, heads, dtype)
    with torch.no_grad():
        found, weights = attend(Layer(6 // heads), query, key, value, None, scaling=0.3)
        want = wanted(query, key, value, None, 0.3)
    assert weights is None
    assert found.shape == (2, time, 6, 5)
    assert found.dtype is dtype
    torch.testing.assert_close(found, want, rtol=0, atol=CLOSE[dtype])


@pytest.mark.parametrize("told", [{"dropout": 1e-9}, {"is_causal": True, "position_bias": None}])
@pytest.mark.parametrize(("masked", "time"), [(True, 4), (False, 4), (True, 1)])
def test_other_shapes_are_left_to_torch(masked: bool, time: int, told: dict[str, Any]) -> None:
    query, key, value = drawn(time, 9, 2, torch.float32)
    seen = torch.ones(2, 1, time, 9, dtype=torch.bool).tril(9 - time)
    seen[1, ..., :2] = False
    given = seen if masked else None
    found, _ = attend(Layer(3), query, key, value, given, **told)
    torch.testing.assert_close(found, wanted(query, key, value, given, 8**-0.5))


def test_no_mask_is_made_where_only_what_comes_later_is_hidden() -> None:
    told: dict[str, Any] = {"batch_size": 2, "q_length": 3, "kv_length": 5, "q_offset": 2}
    told |= {"mask_function": attention.causal_mask_function, "allow_is_causal_skip": True}
    assert attention.mask(**told, attention_mask=None) is None
    padded = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
    found = attention.mask(**told, attention_mask=padded)
    assert found is not None
    assert found.shape == (2, 1, 3, 5)
