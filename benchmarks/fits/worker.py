"""A process that fits with the build it finds on its path: `python -m fits.worker SETTING`.

For each line on its standard input, the name of a workload, it writes a line of JSON: CPU time in
seconds, memory in MB before the fit and at its peak beyond that, and the losses.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from speeds.builds import hasten, leave_out_installed

Json = dict[str, Any]
RANK, ALPHA, RATE = 8, 16, 3e-4
_PLACES = {  # of what is used here, by name: now, and in the first build that can be measured
    "Example": ("selfmoe.contracts.records", "selfmoe.records"),
    "Expert": ("selfmoe.contracts.records", "selfmoe.records"),
    "LoadedBase": ("selfmoe.contracts.records", "selfmoe.records"),
    "TrainContext": ("selfmoe.contracts.trainer", "selfmoe.components"),
    "ComposeContext": ("selfmoe.contracts.composer", "selfmoe.components"),
    "Fit": ("selfmoe.models.fitting.loop", "selfmoe.fit"),
}


def find(name: str) -> Any:
    """Return a class of the build that is measured, wherever it keeps it."""
    for place in _PLACES[name]:
        try:
            return getattr(importlib.import_module(place), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"this build has no {name}")


class Worker:
    """What a process holds.

    Args:
        base: Folder of the base.
        examples: File with the examples.
        experts: Folders of the experts, for routers.
        batch: Examples a step.
        threads: Of torch.
    """

    def __init__(
        self, base: str, examples: str, experts: Sequence[str], batch: int, threads: int
    ) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(threads)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        model.eval().requires_grad_(False)
        for parameter in model.parameters():  # out of the mapped file: all of it is there before
            parameter.data = parameter.data.clone()
        hasten(model)
        tokenizer = AutoTokenizer.from_pretrained(base, padding_side="left")
        context = int(model.config.max_position_embeddings)
        self.base = find("LoadedBase")(base, model, tokenizer, hash="base", context=context)
        self.data = [find("Example")(**row) for row in json.loads(Path(examples).read_text())]
        self.experts = experts
        self.options: Json = {"epochs": 1, "batch_size": batch, "lr": RATE}

    def measure(self, workload: str) -> Json:
        """Do a workload once, in a new folder, and return what it took."""
        folder = Path(tempfile.mkdtemp())
        gc.collect()
        give_back()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        loaded, start = _status("VmRSS"), time.process_time()
        losses = WORKLOADS[workload](self, folder)
        seconds, extra = time.process_time() - start, _status("VmHWM") - loaded
        shutil.rmtree(folder)
        give_back()  # others measure while this one waits
        facts = {"seconds": seconds, "loaded": round(loaded, 1), "extra": round(extra, 1)}
        return {**facts, "losses": losses}


def train_expert(worker: Worker, folder: Path) -> list[float]:
    """Return the losses of training an expert with the LoRA trainer."""
    from selfmoe_trainer_lora import Lora

    trainer = Lora(Lora.Config(r=RANK, alpha=ALPHA, **worker.options))
    (folder / "out").mkdir()
    fit = find("Fit")()
    trainer.train(
        find("TrainContext")(worker.base, worker.data, fit, 0, folder / "work", folder / "out")
    )
    return _losses(fit)


def train_apart(worker: Worker, folder: Path) -> list[float]:
    """Return the losses of training an expert a domain, one after the other."""
    found = []
    for name, (trainer, context) in _experts(worker, folder).items():
        trainer.train(context._replace(work=folder / f"{name}-work"))
        found += context.fit.history[-1][1].losses
    return found


def train_packed(worker: Worker, folder: Path) -> list[float]:
    """Return the losses of training an expert a domain, all in one pass."""
    experts = _experts(worker, folder)
    trainer, context = next(iter(experts.values()))
    type(trainer).train_together(experts)
    return [loss for _, report in context.fit.history for loss in report.losses]


def _experts(worker: Worker, folder: Path) -> Json:
    """Return trainer and context of an expert a domain."""
    from selfmoe_trainer_lora import Lora

    fit, found = find("Fit")(), {}
    for seed, name in enumerate(sorted({example.domain for example in worker.data})):
        data = [example for example in worker.data if example.domain == name]
        (folder / name).mkdir()
        context = find("TrainContext")(worker.base, data, fit, seed, folder / "work", folder / name)
        found[name] = (Lora(Lora.Config(r=RANK, alpha=ALPHA, **worker.options)), context)
    return found


def fit_router(worker: Worker, folder: Path) -> list[float]:
    """Return the losses of fitting the router topk."""
    from selfmoe_router_topk import TopK

    fit, make = find("Fit")(), find("Expert")
    known = {
        "base": worker.base,
        "experts": {Path(path).name: make(Path(path).name, Path(path)) for path in worker.experts},
        "data": worker.data,
        "trainer": None,
        "fit": fit,
        "seed": 0,
        "work": folder,
    }
    context = find("ComposeContext")
    if "refer" in context._fields:
        from selfmoe.mixture.storage import reference

        known["refer"] = reference
    TopK(TopK.Config(**worker.options)).compose(context(**known))
    return _losses(fit)


def use_trainer(worker: Worker, folder: Path) -> list[float]:
    """Return the losses of training an expert with PEFT and the Trainer of transformers."""
    from fits.trainer import train

    return train(worker.base, worker.data, worker.options, RANK, ALPHA, folder)


WORKLOADS: dict[str, Callable[[Worker, Path], list[float]]] = {
    "expert": train_expert,
    "apart": train_apart,
    "packed": train_packed,
    "router": fit_router,
    "trainer": use_trainer,
}


def give_back() -> None:
    """Let the allocator give free memory back, where it is glibc's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _losses(fit: Any) -> list[float]:
    ((_, report),) = fit.history
    return list(report.losses)


def _status(key: str) -> float:
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    (kilobytes,) = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(kilobytes) / 1000


def main(setting: str) -> None:
    """Answer lines until there are no more; nothing else is printed where answers go."""
    warnings.simplefilter("ignore")
    leave_out_installed()
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        worker = Worker(**json.loads(Path(setting).read_text()))
        for line in sys.stdin:
            print(json.dumps(worker.measure(line.strip())), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
