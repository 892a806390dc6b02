"""``selfmoe generate``: try a system of a run on a prompt."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from selfmoe.cli import options
from selfmoe.cli.completing import runs

if TYPE_CHECKING:
    from rich.text import Text

    from selfmoe.contracts.records import LoadedBase

COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red", "bright_cyan", "bright_yellow")


@click.command()
@click.argument("run", type=options.PATH, shell_complete=runs)
@click.argument("prompt")
@options.system("the first that routes, or its only composition")
@options.placed_as_run
@options.trace
@click.option(
    "--raw", is_flag=True, help="Continue the prompt as it is, without the run's template."
)
@options.max_new_tokens(96)
@options.seed
@click.option("--domain", help="Domain of the prompt, for systems that must be told it.")
def command(
    run: Path,
    prompt: str,
    system: str | None,
    trace: bool,
    raw: bool,
    max_new_tokens: int,
    seed: int | None,
    domain: str | None,
    device: str | None,
    dtype: str | None,
) -> None:
    """Let a system of a finished run answer PROMPT (an instruction; its input on further lines).

    It is asked in the template of the run. PROMPT is taken as it is; for several lines, bash and
    zsh write $'first\\nsecond'.

    \b
    Examples:
      selfmoe generate runs/demo $'Answer the question.\\nWhat is the capital of Peru?'
      selfmoe generate runs/demo $'Solve it.\\nTom has 3 pens and buys 4.' --trace
    """
    from selfmoe.api.load import default_system, load_system
    from selfmoe.reporting.terminal.progress import output

    lines = _checked(prompt)
    system = default_system(run) if system is None else system
    base = load_system(run, system, seed, device=device, dtype=dtype)
    text = lines if raw else _asked(base, lines)
    _check(base, text, max_new_tokens)
    console = output()
    with _labelled(base, system, domain):
        if not trace:
            console.print(_answer(base, text, max_new_tokens), markup=False, soft_wrap=True)
            return
        coloured = console.color_system is not None and not console.no_color
        console.print(*_traced(base, text, max_new_tokens, coloured), sep="\n", soft_wrap=True)


def _checked(prompt: str) -> str:
    """Return what was given, its lines ended by plain newlines."""
    from selfmoe.contracts.errors import DataError
    from selfmoe.contracts.lines import plain_lines

    if not prompt.strip():
        raise DataError("the prompt is empty; give an instruction")
    return plain_lines(prompt)


def _asked(base: LoadedBase, lines: str) -> str:
    """Return what the base is given to go on from: the instruction in the template of the run."""
    from selfmoe.models.asking import prompt_of, task_in

    return prompt_of(task_in(lines), base.tokenizer, base.template)


def _labelled(
    base: LoadedBase, system: str, domain: str | None
) -> contextlib.AbstractContextManager[None]:
    """Tell a system the domain of the prompt, if it must be told.

    Raises:
        DataError: If it must and is not, or is and need not.
        UnknownNameError: If it has no expert of that domain.
    """
    from selfmoe.contracts.errors import DataError, unknown_name

    mixture: Any = getattr(base.model, "mixture", None)
    needed = mixture is not None and "labels_at_inference" in mixture.needs
    if needed and domain is None:
        raise DataError(
            f"'{system}' must be told the domain of the prompt: give --domain, one of "
            f"{', '.join(mixture.experts)}"
        )
    if domain is None:
        return contextlib.nullcontext()
    if not needed:
        raise DataError(f"'{system}' does not use the domain of a prompt; leave --domain out")
    if domain not in mixture.experts:
        raise unknown_name("expert", domain, mixture.experts)
    return mixture.annotate(domain=[domain])  # type: ignore[no-any-return]


def _check(base: LoadedBase, prompt: str, max_new_tokens: int) -> None:
    """Refuse prompts the base cannot read."""
    from selfmoe.contracts.errors import DataError
    from selfmoe.models.tokens import prompt_ids

    try:
        prompt.encode()
        tokens = len(prompt_ids(base.tokenizer, prompt))
    except UnicodeError:
        raise DataError("the prompt is not UTF-8 text") from None
    if not tokens:
        raise DataError("the prompt is empty; give an instruction")
    if tokens + max_new_tokens > base.context:
        raise DataError(
            f"the prompt has {tokens} tokens and the answer may have {max_new_tokens}, but the "
            f"base reads {base.context}\n  Shorten the prompt or lower --max-new-tokens."
        )


def _answer(base: LoadedBase, prompt: str, max_new_tokens: int) -> str:
    from selfmoe.models.asking import end_of
    from selfmoe.models.generation import generate

    ends = [end_of(base.tokenizer, base.template)]
    (new,) = generate(
        base.model, base.tokenizer, [prompt], max_new_tokens=max_new_tokens, ends=ends
    )
    return new.text.strip()


def _traced(base: LoadedBase, prompt: str, max_new_tokens: int, coloured: bool) -> list[Text]:
    """Return the answer and a legend: every token in the colour of its strongest expert.

    Without colours each token has a line of its own, after the expert's name.
    """
    from rich.text import Text

    from selfmoe.contracts.errors import NotSupportedError
    from selfmoe.models.spelling import texts_of
    from selfmoe.models.tokens import prompt_ids

    mixture: Any = getattr(base.model, "mixture", None)
    if mixture is None or mixture.gate is None:
        raise NotSupportedError("--trace needs a system that routes tokens, such as a router's")
    ids, weights = trace_tokens(base, prompt, _answer(base, prompt, max_new_tokens))
    shown = Text()
    counts = dict.fromkeys(mixture.experts, 0)
    texts = texts_of(base.tokenizer, ids, before=prompt_ids(base.tokenizer, prompt))
    for text, row in zip(texts, weights, strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        counts[mixture.experts[best]] += 1
        if coloured:
            shown.append(text, style=COLOURS[best % len(COLOURS)])
        else:
            shown.append(f"{mixture.experts[best]:<12} {row[best]:.2f}  {text!r}\n")
    legend = Text("\n")
    for index, (name, count) in enumerate(counts.items()):
        style = COLOURS[index % len(COLOURS)]
        legend.append(f"{name} {count}/{len(ids)}  ", style=style)
    return [shown, legend]


def trace_tokens(base: LoadedBase, prompt: str, answer: str) -> tuple[list[int], list[list[float]]]:
    """Return the answer's token ids and, for each, the experts' weights averaged over blocks.

    Read again, an answer can have more tokens than it was written with: it is cut at the context.
    """
    from selfmoe.evaluation.traces import weights_of
    from selfmoe.models.tokens import answered_ids

    model: Any = base.model
    ids, start = answered_ids(base.tokenizer, prompt, answer)
    weights = weights_of(model.mixture, base, ids, start)
    return ids[start : len(weights)], weights[start:]
