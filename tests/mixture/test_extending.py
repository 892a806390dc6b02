"""Which experts a composition can be extended by."""

from __future__ import annotations

import pytest

from selfmoe.contracts.composer import ComposeContext
from selfmoe.contracts.errors import CompositionError
from selfmoe.contracts.records import Expert
from selfmoe.kits.routers.extending import check_extends, newcomers
from selfmoe.mixture.storage import reference
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.models import random_adapter, tiny_base
from selfmoe_router_random import Random


@pytest.fixture
def context(tmp_path):
    base = tiny_base()
    experts = {
        name: Expert(name, random_adapter(base.model, tmp_path / name, seed=i))
        for i, name in enumerate(("math", "coding", "facts"))
    }
    return ComposeContext(base, experts, [], None, Fit(), 0, tmp_path / "work", reference)


def of(ctx, *names):
    return ctx._replace(experts={name: ctx.experts[name] for name in names})


def test_further_experts_follow_those_that_are_there(context):
    made = Random().compose(of(context, "math", "coding"))
    check_extends(made, context, Random())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("math", "facts", "coding"), "giving these experts first, in this order.*facts, coding"),
        (("coding", "math", "facts"), "a composition of math, coding is extended by giving these"),
        (("math", "facts"), "these experts first, in this order, .* given: math, facts"),
        (("math",), "given: math"),
        (("math", "coding"), r"nothing to add: the composition has its 2 experts \(math, coding\)"),
    ],
)
def test_other_experts_are_refused(context, names, message):
    made = Random().compose(of(context, "math", "coding"))
    with pytest.raises(CompositionError, match=message):
        check_extends(made, of(context, *names), Random())


def test_an_expert_that_has_changed_is_refused(context, tmp_path):
    made = Random().compose(of(context, "math", "coding"))
    other = random_adapter(context.base.model, tmp_path / "other", seed=9)
    experts = {**context.experts, "coding": Expert("coding", other)}
    with pytest.raises(CompositionError, match="expert 'coding' is not the one that was composed"):
        check_extends(made, context._replace(experts=experts), Random())


def test_another_composer_is_refused(context):
    from selfmoe_merge_mean import Mean

    made = Mean().compose(of(context, "math", "coding"))
    with pytest.raises(CompositionError, match=r"'random' cannot add experts to .* 'mean' made"):
        check_extends(made, context, Random())


def test_newcomers_are_the_others_in_order(context):
    made = Random().compose(of(context, "math"))
    assert list(newcomers(made, context, Random())) == ["coding", "facts"]
    with pytest.raises(CompositionError, match=r"made with other options \(k\), and what is added"):
        newcomers(made, context, Random(Random.Config(k=2)))
