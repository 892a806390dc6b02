"""Model cards: what a folder is, how it is loaded, what it was made of, and how well it answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfmoe.outward.export.adapter import Adapter
from selfmoe.reporting.model import BenchmarkScore, DataYield, RunResults, SystemScores

LICENCES = ("LICENSE*", "LICENCE*", "NOTICE*")


@dataclass(frozen=True)
class Facts:
    """What a card tells of.

    Attributes:
        system: The system's name.
        kind: What it is made by.
        composer: The router or merge.
        experts: Their names, in gate order.
        base: Hub id of the base, or the name of its folder.
        files: Folder of the base.
        on_hub: Whether the base is one of the hub.
        results: Scores of the run, if it has any.
        data: What became of the texts that the base wrote, by domain.
    """

    system: str
    kind: str
    composer: str
    experts: Sequence[str]
    base: str
    files: Path
    on_hub: bool
    results: RunResults | None = None
    data: Mapping[str, DataYield] = field(default_factory=dict)


_WHAT = {
    "router": "LoRA experts on one base; the router `{composer}` weighs them as the model runs",
    "merge": "several LoRA experts of one base, merged by `{composer}`",
    "expert": "a LoRA expert of one domain on its base",
}

_USE = {
    "hf": """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{folder}")
model = AutoModelForCausalLM.from_pretrained("{folder}"{trust})""",
    "peft": """\
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, "{folder}")""",
    "mlx": 'import mlx_lm\n\nmodel, tokenizer = mlx_lm.load("{base}", adapter_path="{folder}")',
    "gguf": "llama-server -m {base}.gguf --lora {folder}/adapter.gguf",
}


def write_card(
    facts: Facts,
    folder: Path,
    *,
    out: Path,
    form: str,
    adapter: Adapter | None,
    apart: float | None,
) -> None:
    """Write ``README.md``, and bring along the base's licence files.

    Args:
        facts: What there is to tell.
        folder: Where to.
        out: What the folder will be called.
        form: The format.
        adapter: What was written, if it is an adapter.
        apart: How far its logits are from the system's, if that was checked.
    """
    for pattern in LICENCES if form == "hf" else ():
        for file in sorted(facts.files.glob(pattern)):
            shutil.copyfile(file, folder / file.name)
    lines = [*_opening(facts, form, out), *_told(adapter, apart), *_scores(facts), *_data(facts)]
    text = "\n".join([f"---\n{_header(facts, form)}\n---\n", *lines, *_licence(facts)])
    (folder / "README.md").write_text(text + "\n", "utf-8")


def licence_of(files: Path) -> dict[str, str]:
    """Return what a base's own card says of its licence; empty if it says nothing."""
    from huggingface_hub import metadata_load

    card = files / "README.md"
    told = (metadata_load(card) or {}) if card.is_file() else {}
    keys = ("license", "license_name", "license_link")
    return {key: told[key] for key in keys if isinstance(told.get(key), str)}


def _header(facts: Facts, form: str) -> str:
    from huggingface_hub import ModelCardData

    told: dict[str, Any] = {**licence_of(facts.files), "tags": ["selfmoe", "self-moe", facts.kind]}
    if facts.on_hub:
        told["base_model"] = facts.base
        told["base_model_relation"] = {"hf": "merge"}.get(form, "adapter")
    library = {"hf": "transformers", "peft": "peft", "mlx": "mlx", "gguf": "llama.cpp"}[form]
    data = ModelCardData(library_name=library, pipeline_tag="text-generation", **told)
    return data.to_yaml()


def _opening(facts: Facts, form: str, out: Path) -> Iterator[str]:
    what = _WHAT[facts.kind].format(composer=facts.composer)
    code = form == "hf" and facts.kind == "router"
    use = _USE[form].format(
        folder=out.name, base=facts.base, trust=", trust_remote_code=True" if code else ""
    )
    yield f"# {facts.system} on {Path(facts.base).name}\n"
    yield f"This is {what}. selfmoe made it by Self-MoE (https://arxiv.org/abs/2406.12034).\n"
    yield f"- Base: `{facts.base}`"
    yield f"- Experts: {', '.join(f'`{name}`' for name in facts.experts)}"
    yield f"- Format: `{form}`\n"
    yield f"```{'sh' if form == 'gguf' else 'python'}\n{use}\n```\n"
    if code:
        yield (
            "`modeling_mixture.py` in this folder, with the files that it imports, is what "
            "`trust_remote_code=True` runs: the plain formulas of the mixture on the base's own "
            "class. It needs no selfmoe.\n"
        )


def _told(adapter: Adapter | None, apart: float | None) -> Iterator[str]:
    if adapter is not None:
        yield f"Rank {adapter.rank}. Of the energy (squared norm of all deltas) the rank leaves out"
        yield f"{adapter.discarded:.2%}.\n"
    if apart is not None and (adapter is None or adapter.whole):
        yield f"Logits on a few prompts differ by {apart:.1e} of the largest from the system's.\n"
    elif apart is not None:
        yield (
            "It answers otherwise than the system does: logits on a few prompts differ by "
            f"{apart:.1e} of the largest, because of what the rank leaves out.\n"
        )


# --- scores and data ------------------------------------------------------------------------------


def _scores(facts: Facts) -> Iterator[str]:
    """Yield a table: the system beside its base, each with its interval."""
    if facts.results is None:
        return
    known = {scores.name: scores for scores in facts.results.systems}
    shown = [known[name] for name in ("base", facts.system) if name in known]
    names = list(dict.fromkeys(name for scores in shown for name in scores.scores))
    if not names:
        return
    yield f"## Scores\n\nTrack `{facts.results.track}`. Shares of items that are right, with"
    yield f"intervals of {facts.results.confidence:.0%} over {facts.results.interval}.\n"
    yield f"| benchmark | items | {' | '.join(scores.name for scores in shown)} |"
    yield "|---" * (len(shown) + 2) + "|"
    for name in names:
        row = [scores.scores.get(name) for scores in shown]
        items = max((score.n for score in row if score), default=0)
        yield f"| {name} | {items} | {' | '.join(map(_score, row))} |"
    yield f"| average | | {' | '.join(map(_average, shown))} |\n"


def _score(score: BenchmarkScore | None) -> str:
    if score is None or score.value is None:
        return "not run"
    return _between(score.value, score.low, score.high)


def _average(scores: SystemScores) -> str:
    if scores.average is None:
        return "not run"
    return _between(scores.average, scores.average_low, scores.average_high)


def _between(value: float, low: float | None, high: float | None) -> str:
    return f"{value:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def _data(facts: Facts) -> Iterator[str]:
    if not facts.data:
        return
    yield "## Data\n\nThe experts learned from tasks and answers that the base wrote itself, with"
    yield "seed tasks of each domain in its context; what did not pass the filters was dropped.\n"
    yield "| domain | texts written | examples kept |\n|---|---|---|"
    for name, found in facts.data.items():
        yield f"| {name} | {found.written} | {found.kept} |"
    yield ""


def _licence(facts: Facts) -> Iterator[str]:
    told = licence_of(facts.files)
    yield "## Licence\n"
    if told:
        yield (
            f"That of the base, whose card says: `{told['license']}`."
            if "license" in told
            else ("That of the base; see its card.")
        )
    else:
        yield (
            f"That of the base, `{facts.base}`, which its files do not tell here. Look it up there "
            "before you pass this on."
        )
