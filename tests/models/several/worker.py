"""One of several processes that fit together: ``worker.py FOLDER SCENARIO...``.

Each scenario leaves ``<scenario>-<rank>.json`` in the folder: losses, a sum over what was fitted,
what was told, and what went wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from selfmoe.contracts.errors import SelfmoeError
from selfmoe.contracts.fitting import FitConfig
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.fitting.ranks import Several
from selfmoe.models.fitting.world import world
from selfmoe.testing.models import tiny_base, tiny_examples

CONFIG = FitConfig(lr=0.01, epochs=3, batch_size=4, warmup=0, schedule="linear", clip=0.5)
NAMES = ("model.norm.weight", "model.layers.1.mlp.down_proj.weight")


def examples():
    """Return examples whose responses are of uneven length."""
    times = (1, 20, 2, 4, 3, 12)
    pairs = zip(tiny_examples(6), times, strict=True)
    return [replace(example, response=example.response * count) for example, count in pairs]


class Penalty:
    """A penalty that counts the rows it is told of."""

    def __init__(self, model):
        self.model, self.rows = model, 0

    def begin(self, batches):
        self.rows += sum(len(batch.domains) for batch in batches)

    def forward(self, batch):
        return self.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits

    def __call__(self, batch):
        return 0 * self.model.get_parameter(NAMES[0]).sum()


def scenario(name, folder, here, several):
    """Fit as a scenario has it; return what is to be known of it."""
    base = tiny_base()
    model = base.model
    parameters = {n: model.get_parameter(n) for n in NAMES}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    steps, known, found = [], {}, {}

    def progress(step, count, text):
        steps.append(step)
        if (name, step, here.rank) in {("leader-dies", 5, 0), ("other-dies", 3, 1)}:
            os.kill(os.getpid(), signal.SIGKILL)

    def forward(batch):
        read = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        if len(steps) == 2 and here.rank == 1:
            if name == "fails":
                raise RuntimeError("out of memory")
            if name == "nan":
                return read * float("nan")
        return read

    if name in ("fails", "nan"):
        known["forward"] = forward
    elif name == "penalty":
        known["penalty"] = Penalty(model)
    elif name == "on-policy":
        known["on_policy"] = lambda step, places: [examples()[place] for place in places]
    elif name == "dropout":
        model.train()
        model.config.attention_dropout = 0.5
        for block in model.model.layers:
            block.self_attn.attention_dropout = 0.5
    elif name == "astray" and here.rank == 1:
        parameters.popitem()
    fit = Fit(progress, save_seconds=-1.0, ranks=several)
    try:
        report = fit(
            model, parameters, examples(), base, CONFIG,
            seed=5, work=folder / "work" / name, label="test", **known,
        )  # fmt: skip
        found = {"losses": report.losses, "tokens": report.tokens}
    except SelfmoeError as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    if name == "penalty":
        found["rows"] = known["penalty"].rows
    fitted = {n: p.detach().flatten().tolist() for n, p in parameters.items()}
    return {**found, "fitted": fitted, "steps": steps}


def main(folder, names):
    """Go through scenarios, together with the other processes."""
    torch.set_num_threads(1)
    here, told = world(), []
    for name in names:
        here.open = True
        found = scenario(name, Path(folder), here, Several(here, lambda: None, told.append))
        text = json.dumps({**found, "told": told})
        Path(folder, f"{name}-{here.rank}.json").write_text(text)
        told.clear()
        if here.lost:
            sys.exit(3)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
