"""A tiny model of every family, and experts on it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from selfmoe.contracts.records import Expert
from selfmoe.mixture.forward.kernels import AUTO
from selfmoe.mixture.runtime import attach
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.routing import even_experts, mixed_experts, random_theta, refer
from selfmoe_router_topk import TopK

Make = Callable[..., dict[str, Expert]]


@pytest.fixture(params=list(FAMILIES))
def family(request):
    """Return the name of a family; a test that uses it runs on all of them."""
    return request.param


@pytest.fixture
def model(family):
    """Return a tiny model of the family."""
    return tiny_model(family)


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Return what writes experts for a family, once a session; no test changes the files."""

    @cache
    def write(make: Make, family: str) -> dict[str, Expert]:
        folder = tmp_path_factory.mktemp(family)
        return make(tiny_model(family), folder, FAMILIES[family].targets)

    return lambda make, family: dict(write(make, family))


@pytest.fixture
def experts(family, written):
    """Return three experts on the same layers of the model."""
    return written(even_experts, family)


@pytest.fixture
def mixed(family, written):
    """Return three experts on the model, as unlike as can be."""
    return written(mixed_experts, family)


@pytest.fixture
def llama():
    """Return a tiny Llama, where one family says enough."""
    return tiny_model("llama")


@pytest.fixture
def llama_experts(written):
    """Return three experts on it."""
    return written(even_experts, "llama")


@pytest.fixture
def routed():
    """Return what attaches experts, routed by ``topk``, to a model."""

    def attached(model, experts, kernel=AUTO, k=1, theta=None):
        composer = TopK(TopK.Config(k=k))
        chosen = composer.options.model_dump(mode="json")
        theta = random_theta(len(experts)) if theta is None else theta
        made = refer(experts, tensors={"theta": theta}, options=chosen)
        return attach(model, composer, made, experts, kernel=kernel)

    return attached
