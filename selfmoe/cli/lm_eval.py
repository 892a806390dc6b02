"""``selfmoe lm-eval``: lm-eval's own command line, which then knows the systems of runs."""

from __future__ import annotations

import sys

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Run lm-eval with ARGUMENTS of its own; its model selfmoe is any system of a run.

    The model takes run=FOLDER and system=NAME, and device=, dtype=, seed= and max_length=.

    \b
    Examples:
      selfmoe lm-eval run --model selfmoe --model_args run=runs/demo,system=mixse --tasks piqa
    """
    from lm_eval.__main__ import cli_evaluate

    import selfmoe.outward.serve.harness  # noqa: F401 (registers the model)

    sys.argv = ["lm-eval", *arguments]
    cli_evaluate()
