"""Every benchmark: facts, prompt, data format, from its class and the sample data.

``docs/sample-data`` holds a few made-up rows in each upstream format. It is what the pages show,
and a test reads it through the benchmarks, so that a documented format is one that works.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from _generate.markdown import block, code, paragraphs, plain, table
from _generate.plugins import own
from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.names import BenchmarkName
from selfmoe.contracts.records import Source, Track
from selfmoe.evaluation.answers import RULES
from selfmoe.evaluation.prompting import render
from selfmoe.registry.registry import registry

SAMPLE = Path(__file__).parents[1] / "sample-data"
LONGEST = 700
"""Characters of a file or prompt that are shown."""

SOURCES: Mapping[str, tuple[str, str]] = {
    "coding/humaneval": ("https://github.com/openai/human-eval", "MIT"),
    "coding/mbpp": (
        "https://github.com/google-research/google-research/tree/master/mbpp",
        "CC BY 4.0",
    ),
    "knowledge/mmlu": ("https://github.com/hendrycks/test", "MIT"),
    "knowledge/nq-open": (
        "https://github.com/google-research-datasets/natural-questions/tree/master/nq_open",
        "Apache-2.0; the data CC BY-SA 3.0",
    ),
    "knowledge/triviaqa": ("https://github.com/mandarjoshi90/triviaqa", "Apache-2.0 (repository)"),
    "knowledge/truthfulqa": ("https://github.com/sylinrl/TruthfulQA", "Apache-2.0"),
    "math/gsm8k": ("https://github.com/openai/grade-school-math", "MIT"),
    "math/math": ("https://github.com/hendrycks/math", "MIT"),
    "reasoning/bbh": ("https://github.com/suzgunmirac/BIG-Bench-Hard", "MIT"),
    "reasoning/hellaswag": ("https://github.com/rowanz/hellaswag", "MIT"),
    "reasoning/piqa": ("https://github.com/ybisk/ybisk.github.io/tree/master/piqa", "AFL 3.0"),
}
"""Benchmark -> where its data comes from, and under which licence."""


class Found(NamedTuple):
    """A benchmark on the data that the documentation shows."""

    identity: str
    track: Track
    domain: Domain
    benchmark: Benchmark

    @property
    def doc(self) -> Mapping[str, Any]:
        """Return the item that is shown."""
        return self.benchmark.items[0]


def found() -> Iterator[Found]:
    """Yield every benchmark of this distribution, track by track within a domain."""
    for entry in own("domain"):
        if entry.cls.from_files:  # type: ignore[attr-defined]
            continue  # it has a benchmark where a run gives it one
        domain: Domain = registry().configure("domain", entry.cls.name)
        for track in domain.tracks:
            source = Source() if track == "mini" else Source("benchmark", SAMPLE)
            for benchmark in domain.benchmarks(source):
                name = str(BenchmarkName(domain.name, benchmark.name))
                yield Found(name, source.track, domain, benchmark)


def overview() -> str:
    """Return one row a benchmark."""
    head = ("benchmark", "role", "examples", "prompt", "answer", "scores", "splits")
    return table(head, (_row(one) for one in found()))


def _row(one: Found) -> tuple[str, ...]:
    benchmark = one.benchmark
    options = benchmark.choices(one.doc)
    answer = "most likely option" if options else f"up to {benchmark.max_new_tokens} tokens"
    if benchmark.needs_sandbox:
        answer += ", run in the sandbox"
    return (
        f"[{one.identity}](#{_anchor(one.identity)})",
        benchmark.role,
        str(benchmark.shots),
        benchmark.template,
        answer,
        "strict, lenient" if "lenient" in benchmark.score(one.doc, "") else "strict",
        ", ".join(benchmark.splits),
    )


def _anchor(identity: str) -> str:
    return identity.replace("/", "")


def sections() -> str:
    """Return one section a benchmark, by domain."""
    parts = []
    for number, one in enumerate(all_found := list(found())):
        if number == 0 or all_found[number - 1].domain.name != one.domain.name:
            parts.append(_opening(one.domain))
        parts.append("\n".join(_section(one)))
    return "\n".join(parts)


def _opening(domain: Domain) -> str:
    """Return what a domain is and where its seeds come from."""
    text = f"## Domain `{domain.name}`\n\n{_about(type(domain))}"
    drawn = inspect.getdoc(getattr(domain, "file_seeds", None)) or ""
    if "benchmark" in domain.tracks and drawn:
        files = domain.files(Source("benchmark", SAMPLE))
        names = ", ".join(code(path.relative_to(SAMPLE).as_posix()) for path in files)
        about = plain(paragraphs(drawn)[0].removeprefix("Return ").removesuffix("."))
        text += f"\n**Seeds of the track `benchmark`:** {about}; read from {names}.\n"
    return text


def _section(one: Found) -> Iterator[str]:
    benchmark = one.benchmark
    yield f"### {one.identity}\n"
    if one.track != "mini":
        yield _about(sys.modules[type(benchmark).__module__])
    yield _about(type(benchmark))
    if benchmark.rule:
        yield f"**What counts as the answer:** {_rule(benchmark.rule)}\n"
    if one.track != "mini":
        yield _source(one)
        yield from _files(one)
    shown = f"{benchmark.shots} solved examples and the item" if benchmark.shots else "The item"
    without = ", here without the examples" if benchmark.shots else ""
    yield f"{shown} in the template `{benchmark.template}`{without}:\n"
    yield block("text", _prompt(one))
    options = benchmark.choices(one.doc)
    if options:
        yield f"Options: {', '.join(code(option) for option in options)}.\n"
    yield "A right answer, and a wrong one:\n"
    yield block("text", benchmark.gold(one.doc))
    yield block("text", benchmark.wrong(one.doc))


def _prompt(one: Found) -> str:
    """Return the prompt without examples; a long opening that all items share is left out."""
    text = render(one.benchmark, one.doc, [], one.benchmark.template)
    opening = one.benchmark.preamble(one.doc) if one.benchmark.template == "plain" else ""
    if len(opening) <= LONGEST / 2:
        return text
    return f"(a fixed opening of {len(opening)} characters)\n\n{text[len(opening) :]}"


def _source(one: Found) -> str:
    if one.identity not in SOURCES:
        raise LookupError(f"docs/_generate/benchmarks.py: no source and licence of {one.identity}")
    url, licence = SOURCES[one.identity]
    hub = getattr(one.benchmark, "hub", "")
    return table(
        ("data", "licence", "hub"), [(f"<{url}>", licence, code(hub) if hub else "not there")]
    )


def _files(one: Found) -> Iterator[str]:
    """Yield the files below ``--data-dir``, with the beginning of the sample ones."""
    yield "Files below `--data-dir`, as upstream publishes them:\n"
    for path in one.benchmark.files():
        yield f"`{path.relative_to(SAMPLE).as_posix()}`\n"
        yield block("text", _cut(path.read_text("utf-8")))


def _cut(text: str) -> str:
    """Return the beginning of a text, at whole lines where there are several."""
    if len(text) <= LONGEST:
        return text
    head = text[:LONGEST]
    return (head.rpartition("\n")[0] or head) + "\n…"


def _about(owner: object) -> str:
    parts = paragraphs(inspect.getdoc(owner) or "")
    return "\n\n".join(_emphasise(plain(part)) for part in parts) + "\n"


def _emphasise(text: str) -> str:
    start, colon, rest = text.partition(":")
    return f"**{start}:**{rest}" if colon and start.startswith("Differs from") else text


def templates() -> str:
    """Return one item after one solved example, in each template."""
    (one,) = (one for one in found() if one.identity == "math/gsm8k")
    doc, shot = one.benchmark.items[:2]
    parts = []
    for name in ("alpaca", "examples", "plain"):
        parts.append(f"### `{name}`\n")
        parts.append(block("text", render(one.benchmark, doc, [shot], name)))
    return "\n".join(parts)


def rules() -> str:
    """Return the extraction rules."""
    return table(("rule", "takes for the answer"), ((code(name), _meaning(name)) for name in RULES))


def _rule(rule: str) -> str:
    """Return what a benchmark's ``rule`` means: the name of one and its meaning, or a sentence."""
    return f"rule `{rule}`: {_meaning(rule)}" if rule in RULES else plain(rule)


def _meaning(rule: str) -> str:
    text = RULES[rule].about.removeprefix("Return ")
    return plain(text[0].upper() + text[1:])
