"""What base classes offer composers: a composition, the check of k, extension without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field

from selfmoe.contracts import (
    ComponentConfig,
    ComposeContext,
    CompositionError,
    Expert,
    ExpertRef,
    NotSupportedError,
    Router,
)
from selfmoe.kits.routers import UntrainedRouter


def context(*names: str, seed: int = 0) -> ComposeContext:
    experts = {name: Expert(name, Path(name)) for name in names}
    nothing: Any = None
    return ComposeContext(nothing, experts, (), None, nothing, seed, Path(), refer)


def refer(expert: Expert) -> ExpertRef:
    return ExpertRef(expert.name, f"hash of {expert.path}", str(expert.path))


class Options(ComponentConfig):
    """Options for tests."""

    k: int = Field(2, description="Experts a token uses.")


class Chosen(UntrainedRouter):
    """Routes by a table and a seed."""

    name = "chosen"
    takes_k = True
    Config = Options

    def tensors(self, ctx):
        return {"table": torch.ones(len(ctx.experts), 3), "seed": torch.tensor([ctx.seed])}


def test_a_composition_names_composer_options_and_experts_in_gate_order():
    made = Chosen(Options(k=1)).composition(context("b", "a"), report={"x": 1.0})
    assert (made.composer, made.options) == ("chosen", {"k": 1})
    assert made.experts == (ExpertRef("b", "hash of b", "b"), ExpertRef("a", "hash of a", "a"))
    assert (made.tensors, made.owned, made.report) == ({}, {}, {"x": 1.0})


def test_k_experts_must_be_there_where_a_token_takes_k():
    assert Chosen().check(2) is None
    assert Chosen().check(1) == "k = 2 of only 1 expert; choose k from 1 to 1"
    with pytest.raises(CompositionError, match="k = 2 of only 1 expert"):
        Chosen().compose(context("a"))


def test_a_router_that_takes_fewer_where_there_are_fewer_has_no_such_check():
    class Clamped(Chosen):
        takes_k = False

    assert Clamped().check(1) is None
    assert len(Clamped().compose(context("a")).experts) == 1


def test_only_floating_point_tensors_are_parameters():
    made = Chosen().compose(context("a", "b"))
    assert made.report == {"added_parameters": 6.0, "trained_parameters": 0.0}


def test_extending_equals_composing_anew():
    made = Chosen().compose(context("a", "b"))
    more = Chosen().extend(made, context("a", "b", "c"))
    anew = Chosen().compose(context("a", "b", "c"))
    assert (more.experts, more.report) == (anew.experts, anew.report)
    assert all(torch.equal(more.tensors[name], anew.tensors[name]) for name in anew.tensors)


def test_other_experts_cannot_be_what_is_extended():
    made = Chosen().compose(context("a", "b"))
    changed = context("a", "b", "c")
    changed = changed._replace(refer=lambda e: ExpertRef(e.name, "another", str(e.path)))
    with pytest.raises(CompositionError, match="expert 'a' is not the one that was composed"):
        Chosen().extend(made, changed)


def test_a_router_that_says_nothing_cannot_be_extended():
    class Plain(Router):
        """Composes and no more."""

        name = "plain"

        def compose(self, ctx):
            return self.composition(ctx)

    made = Plain().compose(context("a"))
    with pytest.raises(NotSupportedError, match="compose anew"):
        Plain().extend(made, context("a", "b"))
