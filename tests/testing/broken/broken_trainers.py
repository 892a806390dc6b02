"""Trainers of which each breaks one check, named by ``fails``."""

from __future__ import annotations

import json
import time

from selfmoe.contracts import SelfmoeError
from selfmoe.testing import ToyTrainer


def edit(folder, change):
    """Rewrite the tensors of an adapter."""
    from safetensors.torch import load_file, save_file

    file = folder / "adapter_model.safetensors"
    save_file(change(load_file(file)), file)


class Untidy(ToyTrainer):
    """Leaves the base in training mode."""

    fails = "test_leaves_the_base_as_it_was"

    def train(self, ctx):
        report = super().train(ctx)
        ctx.base.model.train()
        return report


class Pickling(ToyTrainer):
    """Leaves a pickled file beside the adapter."""

    fails = "test_leaves_a_plain_adapter"

    def train(self, ctx):
        report = super().train(ctx)
        (ctx.out / "optimizer.pt").write_bytes(b"")
        return report


class Partial(ToyTrainer):
    """Tells PEFT of one layer only."""

    fails = "test_peft_reads_the_same"

    def train(self, ctx):
        report = super().train(ctx)
        file = ctx.out / "adapter_config.json"
        config = json.loads(file.read_text())
        file.write_text(json.dumps({**config, "layers_to_transform": [0]}))
        return report


class Idle(ToyTrainer):
    """Leaves every B at zero."""

    fails = "test_learns"

    def train(self, ctx):
        report = super().train(ctx)
        edit(ctx.out, lambda found: {k: v * (".lora_A." in k) for k, v in found.items()})
        return report


class Heady(ToyTrainer):
    """Trains the output head, too."""

    continues = False
    fails = "test_expert_composes"
    targets = ("q_proj", "lm_head")

    def train(self, ctx):
        report = super().train(ctx)
        edit(ctx.out, lambda found: {k: v for k, v in found.items() if ".lora_" in k})
        return report


class Dated(ToyTrainer):
    """Writes down when it was."""

    fails = "test_same_seed_gives_the_same_files"

    def train(self, ctx):
        report = super().train(ctx)
        (ctx.out / "notes.txt").write_text(str(time.time_ns()))
        return report


class Unseeded(ToyTrainer):
    """Takes no seed."""

    fails = "test_other_seed_gives_another_adapter"

    def train(self, ctx):
        return super().train(ctx._replace(seed=7))


class Forgetful(ToyTrainer):
    """Starts over."""

    fails = "test_resumes_with_the_same_bits"

    def train(self, ctx):
        return super().train(ctx._replace(work=ctx.work / str(time.time_ns())))


class Amnesic(ToyTrainer):
    """Says that it goes on with an adapter, and begins a new one."""

    fails = "test_goes_on_with_an_adapter"

    def train(self, ctx):
        return super().train(ctx._replace(start=None))


class Stubborn(ToyTrainer):
    """Goes on whatever the loss is."""

    fails = "test_stops_at_a_loss_that_is_no_number"

    def train(self, ctx):
        try:
            return super().train(ctx)
        except SelfmoeError:
            return {"losses": [0.0], "tokens": 1, "trained_parameters": 1}


class Silent(ToyTrainer):
    """Does not count tokens."""

    fails = "test_reports_what_it_did"

    def train(self, ctx):
        return {**super().train(ctx), "tokens": None}


class Packing(ToyTrainer):
    """Trains experts of a pass one after the other, which nothing speaks against."""

    fails = ""

    def alone(self, base):
        return None

    @classmethod
    def train_together(cls, experts):
        return {name: cls.one(name, *expert) for name, expert in experts.items()}

    @classmethod
    def one(cls, name, trainer, ctx):
        return trainer.train(ctx._replace(work=ctx.work / name))


class Uniform(Packing):
    """Shows the experts of a pass their examples in one order."""

    fails = "test_trains_together_what_it_trains_apart"

    @classmethod
    def one(cls, name, trainer, ctx):
        return super().one(name, trainer, ctx._replace(seed=7))


class Restarting(Packing):
    """Begins a pass anew."""

    fails = "test_resumes_a_pass_with_the_same_bits"

    @classmethod
    def one(cls, name, trainer, ctx):
        return super().one(name, trainer, ctx._replace(work=ctx.work / str(time.time_ns())))
