"""``selfmoe merge``: adapters from anywhere merged on their base, without a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from selfmoe.cli.completing import names

if TYPE_CHECKING:
    from selfmoe.outward.merging.model import Merged

_EXACT = 1e-9
"""Share of a delta that counts as nothing: what rounding leaves."""


@click.command()
@click.argument("adapters", nargs=-1, required=True, metavar="ADAPTER...")
@click.option("--method", required=True, shell_complete=names("merge"), help="Name of the merge.")
@click.option("--base", required=True, shell_complete=names("base"), help="What they adapt.")
@click.option("--out", required=True, help="The folder to write; must not exist.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="OPTION=VALUE",
    help="An option of the merge, such as density=0.2. Repeatable.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["hf", "peft"]),
    default="hf",
    help="hf, a plain model (default), or peft, one LoRA for the base.",
)
@click.option("--rank", type=int, help="Of a peft LoRA; default: the sum of the adapters' ranks.")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    help="Number format of a model's weights; default: auto, that of the base's files.",
)
@click.option("--seed", type=int, default=0, help="Decides what a merge draws; default: 0.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
def command(
    adapters: tuple[str, ...],
    assignments: tuple[str, ...],
    format_: Any,
    as_json: bool,
    **flags: Any,
) -> None:
    """Merge LoRA adapters on their base into one model, or one adapter, without a run.

    ADAPTER is the folder of a PEFT LoRA, or NAME=FOLDER. Ranks, layers and scales may differ. The
    base is a base plugin, the folder of a model, a GGUF file, or a hub id. What is written loads
    without selfmoe; it is read again with transformers or PEFT before it gets its name, and must
    compute what selfmoe computes. All is done in float32 on the CPU.

    \b
    Examples:
      selfmoe merge adapters/math adapters/code --method ties --base ./my-model --out merged
      selfmoe merge a b --method dare --set density=0.2 --base owner/model --out merged
      selfmoe merge a b --method mean --base ./my-model --format peft --rank 32 --out merged-lora
    """
    import json

    from selfmoe.api.merge import merge
    from selfmoe.config.layers import assign

    options: dict[str, Any] = {}
    for assignment in assignments:
        assign(options, assignment)
    made = merge(adapters, options=options, format=format_, **flags)
    if as_json:
        click.echo(json.dumps(made.to_json(), indent=1))
    else:
        for line in _told(made):
            click.echo(line)


def _told(made: Merged) -> Iterator[str]:
    """Yield what was merged, what is written, and that it was checked."""
    options = ", ".join(f"{k}={v}" for k, v in made.options.items() if v is not None)
    yield f"{made.method}({options}) of {made.layers} layers of {made.base}:"
    width = max(map(len, made.adapters))
    for name, part in made.adapters.items():
        yield f"  {name:{width}}  rank {part.rank:<4} {part.path}"
    yield from (f"Note: {note}." for note in made.notes)
    yield from _model(made) if made.rank is None else _lora(made)


def _model(made: Merged) -> Iterator[str]:
    yield f"Written: {made.path} (a model in {made.dtype})"
    if made.moved:
        yield f"  Rounding weights to {made.dtype} moves {_logits(made.moved)}."
    yield f"Checked: transformers loads it, and it computes what selfmoe does: {_off(made)}"
    path = str(made.path)
    yield f'Use it: AutoModelForCausalLM.from_pretrained("{path}"), or --base {shlex.quote(path)}'


def _lora(made: Merged) -> Iterator[str]:
    yield f"Written: {made.path} (a PEFT LoRA of rank {made.rank})"
    if made.discarded < _EXACT:
        yield "  The rank holds all of the merge."
    else:
        yield (
            f"  The rank leaves out {_percent(made.discarded)} of the merge's energy (squared "
            f"norm), which moves {_logits(made.moved)}."
        )
        yield "  A higher --rank leaves out less, --format hf nothing."
    yield f"Checked: PEFT loads it, and it computes what selfmoe does: {_off(made)}"
    yield f'Use it: PeftModel.from_pretrained(base, "{made.path}")'


def _logits(share: float) -> str:
    return f"logits by up to {_percent(share)} of the largest one"


def _percent(share: float) -> str:
    """Return a share with two digits that count: ``0.012 %``, ``3.4 %``, ``110 %``."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _off(made: Merged) -> str:
    if made.off == 0:
        return "the same logits in float32, bit for bit."
    return f"logits in float32 differ by {made.off:.0e} of the largest one."
