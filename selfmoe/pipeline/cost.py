"""What a system costs to run: counted, not timed. Part of comparisons, not of a run."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfmoe.contracts.records import Expert, LoadedBase, System
from selfmoe.mixture.systems import attached
from selfmoe.pipeline.systems import systems_of
from selfmoe.pipeline.task import Basis, Job, Task
from selfmoe.store.cells import COST, COST_TOKENS
from selfmoe.store.files import write_json

if TYPE_CHECKING:
    from torch import Tensor, nn

    from selfmoe.mixture.handle import Mixture
    from selfmoe.pipeline.plan import Plan


def plan(plan: Plan) -> None:
    """Add one task a system; how many examples the base is shown makes no difference."""
    for system, made_by in systems_of(plan):
        if system.kind != "base" or system == System.base():
            _add(plan, system, made_by)


def _add(plan: Plan, system: System, made_by: Task | None) -> None:
    inputs = {"system": made_by} if made_by else {}
    basis = Basis({"tokens": COST_TOKENS}, inputs=inputs, seeded=False)
    size = f"{COST_TOKENS} tokens"
    plan.add("cost", system.name, partial(measure, system), basis, size=size)


def measure(system: System, job: Job) -> None:
    """Write ``cost.json``: operations of one prefill, and parameters beside the base's."""
    base = job.session.base
    path = job.input("system") if "system" in job.task.inputs else None
    ids = _prompt(base, job.seed("prompt"))
    with attached(base, system, path, job.session.config.registry) as placed:
        facts = {
            "tokens": ids.shape[1],
            "flops": count_flops(base.model, ids, placed),
            "added_parameters": added_parameters(placed),
        }
    write_json(job.out / COST, facts)


def _prompt(base: LoadedBase, seed: int) -> Tensor:
    """Return random token ids, shape ``(1, time)``."""
    import torch

    model: Any = base.model
    size = model.get_input_embeddings().num_embeddings
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(size, (1, min(COST_TOKENS, base.context)), generator=generator)
    return ids.to(next(model.parameters()).device)


def count_flops(model: nn.Module, ids: Tensor, placed: Mixture | None) -> int:
    """Return the floating-point operations of one forward over a prompt, as PyTorch counts them.

    These are the multiplications and additions of matrix products and attention, from shapes alone,
    so they are the same on every machine. A router that runs the base first counts both passes.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    # PyTorch counts attention on accelerators; the operator of the CPU has a name of its own.
    own = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
    mask = torch.ones_like(ids)
    said: Any = contextlib.nullcontext()
    if placed is not None:
        said = placed.annotate(prompt_mask=mask.bool(), domain=placed.experts[:1] or None)
    with torch.no_grad(), said, FlopCounterMode(display=False, custom_mapping=own) as counter:
        model(input_ids=ids, attention_mask=mask, use_cache=False)
    return int(counter.get_total_flops())


def _attention(query: Any, key: Any, value: Any, *others: Any, **more: Any) -> int:
    """Return the operations of one attention, from the shapes of its inputs."""
    from torch.utils.flop_counter import sdpa_flop_count

    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def added_parameters(placed: Mixture | None) -> int:
    """Return how many numbers a system holds beside the base's: those of its gate and adapters.

    What is merged into the weights of the base adds none.
    """
    from selfmoe.mixture.adapters import factors_of

    if placed is None:
        return 0
    composition, gate = placed.composition, placed.gate
    paths = {ref.name: Path(ref.path) for ref in composition.experts} | dict(composition.owned)
    adapters = [factors_of(Expert(name, paths[name])) for name in placed.experts]
    held = [f.a.numel() + f.b.numel() for sites in adapters for f in sites.values()]
    if gate is not None:
        tensors = [*gate.parameters(), *gate.buffers()]
        held += [tensor.numel() for tensor in tensors if tensor.is_floating_point()]
    return sum(held)
