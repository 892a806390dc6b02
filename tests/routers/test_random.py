"""Random routing: fair, reproducible, and the same whatever the batch looks like."""

from __future__ import annotations

import pytest
import torch

from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.contracts.errors import CompositionError, NotSupportedError
from selfmoe.testing.composers import ComposerContract
from selfmoe_router_random import Random
from selfmoe_router_random.gate import RandomGate, mix

IDS = torch.randint(0, 500, (8, 500), generator=torch.Generator().manual_seed(0))
INFO = TokenInfo(input_ids=IDS, position_ids=torch.arange(500).expand(8, 500))


class TestContract(ComposerContract):
    @pytest.fixture(params=[1, 2])
    def composer(self, request):
        return Random(Random.Config(k=request.param))


def alpha(block=0, info=INFO, *, k=1, weight=1.0, seed=5):
    return RandomGate(4, k, weight, seed)(torch.empty(0), Site(block), info)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_every_expert_has_the_same_chance(k):
    shares = (alpha(k=k) > 0).float().mean((0, 1))
    assert torch.allclose(shares, torch.full((4,), k / 4), atol=0.03)  # 4 000 draws: 4 sigma


def test_k_experts_get_the_weight():
    chosen = alpha(k=2, weight=0.5)
    assert ((chosen == 0.5).sum(-1) == 2).all()
    assert ((chosen == 0).sum(-1) == 2).all()


def test_blocks_positions_tokens_and_seeds_are_drawn_apart():
    here = alpha()
    later = INFO._replace(position_ids=INFO.position_ids + 1)
    other = INFO._replace(input_ids=IDS + 1)
    for there in (alpha(block=1), alpha(info=later), alpha(info=other), alpha(seed=6)):
        same = (here * there).sum(-1).mean()
        assert abs(float(same) - 0.25) < 0.03


def test_a_token_is_routed_by_itself():
    part = INFO._replace(input_ids=IDS[3:4, 20:30], position_ids=INFO.position_ids[3:4, 20:30])
    assert torch.equal(alpha(info=part), alpha()[3:4, 20:30])


@pytest.mark.parametrize("seed", [5, 2**62])
def test_the_type_of_token_ids_does_not_matter(seed):
    for ids, positions in ((IDS.int(), INFO.position_ids), (IDS.int(), INFO.position_ids.int())):
        narrow = alpha(info=INFO._replace(input_ids=ids, position_ids=positions), seed=seed)
        assert torch.equal(narrow, alpha(seed=seed))


def test_the_hash_is_splitmix64():
    # the generator's first outputs for seed 1234567, by its published definition in plain Python
    def step(state):
        z = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    for state in (0, 1, 1234567, 2**63 - 1):
        assert int(mix(torch.tensor(state))) % 2**64 == step(state)


def test_more_experts_than_there_are_is_refused():
    assert "k = 5 of only 4 experts" in Random(Random.Config(k=5)).check(4)
    with pytest.raises(CompositionError, match="choose k from 1 to 1"):
        Random(Random.Config(k=2)).compose(type("Context", (), {"experts": {"a": None}}))


def test_embeddings_cannot_be_routed():
    with pytest.raises(NotSupportedError, match="give the model input_ids"):
        alpha(info=TokenInfo())


@pytest.mark.parametrize("k", [1, 2])
def test_an_expert_that_is_added_takes_tokens_and_none_change_hands(two, three, k):
    router = Random(Random.Config(k=k))
    before = router.compose(two)
    after = router.extend(before, three._replace(seed=9))
    old, new = (router.gate(made)(torch.empty(0), Site(0), INFO) for made in (before, after))
    assert new.shape[-1] == 3
    assert (new[..., :2] <= old).all()
    assert abs(float((new[..., 2] > 0).float().mean()) - k / 3) < 0.03
