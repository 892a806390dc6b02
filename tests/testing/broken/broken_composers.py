"""Routers and a merge of which each breaks one check, named by ``fails``."""

from __future__ import annotations

import os
from dataclasses import replace

from selfmoe.contracts import CompositionError
from selfmoe.testing import ToyMerge, ToyRouter


class Misnamed(ToyRouter):
    """Calls itself something else."""

    fails = "test_names_its_experts"

    def compose(self, ctx):
        return replace(super().compose(ctx), composer="mine")


class Moody(ToyRouter):
    """Shares a little otherwise every time."""

    fails = "test_same_seed_gives_the_same_bits"

    def shares(self, shares, ctx):
        return shares * (1 - int.from_bytes(os.urandom(2), "big") / 2**20)


class Untidy(ToyRouter):
    """Leaves the base in training mode."""

    fails = "test_base_and_experts_stay_as_they_are"

    def compose(self, ctx):
        ctx.base.model.train()
        return super().compose(ctx)


class Unwritable(ToyRouter):
    """Has options that JSON has not."""

    fails = "test_saves_and_loads_bit_for_bit"

    def compose(self, ctx):
        return replace(super().compose(ctx), options={"sizes": (1, 2)})


class Silent(ToyRouter):
    """Counts nothing."""

    fails = "test_report_counts_parameters"

    def compose(self, ctx):
        return replace(super().compose(ctx), report={"added_parameters": 2.0})


class Secretive(ToyRouter):
    """Needs data without saying so."""

    fails = "test_tells_whether_it_needs_data"

    def compose(self, ctx):
        if not ctx.data:
            raise CompositionError("no data")
        return super().compose(ctx)


class Relational(ToyRouter):
    """Divides by the logarithm of the number of experts."""

    fails = "test_one_expert_composes"

    def shares(self, shares, ctx):
        evenness = shares.new_tensor(float(len(shares))).log()
        return shares * (evenness / evenness)


class Distinguishing(ToyRouter):
    """Divides by the distance between experts."""

    fails = "test_equal_experts_compose"

    def shares(self, shares, ctx):
        from selfmoe.kits.routers import factors_of

        first, *_, last = [
            next(iter(factors_of(e).values())).delta() for e in ctx.experts.values()
        ] * 2
        distance = (first - last).norm()
        return shares if len(shares) == 1 else shares * (distance / distance)


class Partial(ToyMerge):
    """Prefers the first expert."""

    fails = "test_order_of_merged_experts_does_not_matter"

    def merge(self, site, deltas):
        return super().merge(site, deltas) + next(iter(deltas.values()))


class Overwriting(ToyRouter):
    """Extends by shares of its own."""

    fails = "test_extends_or_says_that_it_cannot"

    def extend(self, composition, ctx):
        whole = self.compose(ctx)
        return replace(whole, tensors={"shares": whole.tensors["shares"] * 0.9})


class Idle(ToyRouter):
    """Gives nobody anything."""

    fails = "test_changes_the_base_and_gives_it_back"

    def shares(self, shares, ctx):
        return 0 * shares


class Gated(ToyRouter):
    """A router with another gate."""

    kind_of_gate = ""

    def gate(self, composition):
        import broken_gates

        return getattr(broken_gates, self.kind_of_gate)(composition.tensors["shares"])


class Presuming(Gated):
    """Asks for the domain without declaring it."""

    fails = "test_tells_what_it_needs_to_know"
    kind_of_gate = "Presuming"


class Negative(ToyRouter):
    """Gives to one what it takes from another."""

    fails = "test_gate_weights_are_weights"

    def shares(self, shares, ctx):
        shares[0] += 1
        shares[-1] -= 1
        return shares


class Lavish(ToyRouter):
    """Gives everything to everyone."""

    fails = "test_gate_weights_are_bounded"

    def shares(self, shares, ctx):
        return shares * len(shares)


class Meddling(Gated):
    """Changes what it reads."""

    fails = "test_gate_without_weight_leaves_the_base"
    kind_of_gate = "Meddling"


class Foreseeing(Gated):
    """Looks at the next token."""

    fails = "test_causal_gates_do_not_look_ahead"
    kind_of_gate = "Foreseeing"


class Padded(Gated):
    """Counts padding."""

    fails = "test_rows_and_padding_do_not_mix"
    kind_of_gate = "Padded"


class Boasting(Gated):
    """Says that it computes something else."""

    fails = "test_formula_says_what_the_gate_computes"
    kind_of_gate = "Boasting"
