"""Every generated block: where it stands and what makes it.

A block lies between ``<!-- name: start -->`` and ``<!-- name: end -->``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from _generate import (
    benchmarks,
    claims,
    commands,
    continual,
    contracts,
    elsewhere,
    engines,
    exported,
    failures,
    forecasts,
    former_data,
    generation,
    hooks,
    overlap,
    plugins,
    quotes,
    real_llm,
    regimes,
    results,
    seedling,
    servers,
    settings,
    speed,
    steadiness,
    surface,
    tokens,
    tour,
    training,
    tuning,
    whole,
)

ROOT = Path(__file__).parents[2]
CARD = "plugins/selfmoe_base_seedling/weights/README.md"
ROWS = "selfmoe-domain-rows"
PACKAGE = f"{ROWS}/selfmoe_domain_rows"

BLOCKS: dict[tuple[str, str], Callable[[], str]] = {
    ("README.md", "demo"): results.demo_tables,
    (CARD, "measured"): results.base_table,
    ("docs/quickstart.md", "demo"): results.demo_tables,
    ("docs/quickstart.md", "sizes"): results.demo_sizes,
    ("docs/quickstart.md", "families"): plugins.families,
    ("docs/compare.md", "demo"): results.compared_tables,
    ("docs/benchmarks.md", "overview"): benchmarks.overview,
    ("docs/benchmarks.md", "templates"): benchmarks.templates,
    ("docs/benchmarks.md", "sections"): benchmarks.sections,
    ("docs/benchmarks.md", "rules"): benchmarks.rules,
    ("docs/experts.md", "refit"): partial(results.added_tables, "add-expert-refit"),
    ("docs/experts.md", "extend"): partial(results.added_tables, "add-expert-extend"),
    ("docs/experts.md", "continual"): continual.arrivals,
    ("docs/experts.md", "arrivals"): continual.of_few,
    ("docs/performance.md", "ratios"): speed.ratios,
    ("docs/performance.md", "conditions"): speed.conditions,
    ("docs/performance.md", "generation"): generation.section,
    ("docs/performance.md", "training"): training.section,
    ("docs/performance.md", "overlap"): overlap.section,
    ("docs/performance.md", "whole"): whole.section,
    ("docs/performance.md", "former-data"): former_data.section,
    ("docs/performance.md", "steady"): steadiness.steady,
    ("docs/performance.md", "kernels"): speed.kernels,
    ("docs/performance.md", "memory"): speed.memory,
    ("docs/performance.md", "many"): speed.many,
    ("docs/performance.md", "many-decoding"): partial(speed.many, speed.DECODING),
    ("docs/run-directory.md", "kills"): steadiness.kills,
    ("docs/executors.md", "worker-kills"): steadiness.worker_kills,
    ("docs/executors.md", "worker-demo"): steadiness.demo_by_workers,
    ("docs/bases.md", "tokens"): tokens.compared,
    ("docs/elsewhere.md", "table"): elsewhere.overview,
    ("docs/export.md", "models"): exported.models,
    ("docs/export.md", "adapters"): exported.adapters,
    ("docs/export.md", "vllm"): engines.in_vllm,
    ("docs/export.md", "vllm-scores"): engines.scores_in_vllm,
    ("docs/export.md", "vllm-speed"): engines.speed_in_vllm,
    ("docs/serving.md", "llama"): engines.in_llama,
    ("docs/serving.md", "borne"): servers.borne,
    ("docs/servers.md", "killed"): servers.killed,
    ("docs/servers.md", "speed"): servers.speed,
    ("docs/scale.md", "forecasts"): forecasts.forecasts,
    ("docs/config.md", "sections"): settings.sections,
    ("docs/config.md", "presets"): settings.presets,
    ("docs/config.md", "components"): settings.components,
    ("docs/claims.md", "claims"): claims.claims,
    ("docs/claims.md", "tested"): claims.tested,
    ("docs/claims.md", "planted"): claims.planted,
    ("docs/cli.md", "commands"): commands.reference,
    ("docs/plugins.md", "installed"): plugins.installed,
    ("docs/plugins.md", "hooks"): hooks.overview,
    ("docs/plugins.md", "hook-by-hook"): hooks.sections,
    ("docs/surface.md", "names"): surface.tables,
    ("docs/testing-plugins.md", "fixtures"): contracts.fixtures,
    ("docs/testing-plugins.md", "fakes"): contracts.fakes,
    ("docs/testing-plugins.md", "checks"): contracts.checks,
    ("docs/seedling.md", "sizes"): seedling.sizes,
    ("docs/seedling.md", "scores"): seedling.scores,
    ("docs/seedling.md", "comparison"): seedling.comparison,
    ("docs/seedling.md", "experts"): seedling.experts,
    ("docs/seedling.md", "routing"): seedling.routing,
    ("docs/seedling.md", "labels"): seedling.labels,
    ("docs/seedling.md", "curation"): seedling.curation,
    ("docs/seedling.md", "tuning"): tuning.experts,
    ("docs/seedling.md", "router"): tuning.router,
    ("docs/seedling.md", "weight"): tuning.weight,
    ("docs/seedling.md", "trainers"): partial(tuning.variants, "trainers", timed=True),
    ("docs/seedling.md", "trainers-sdft"): partial(tuning.variants, "trainers-sdft", timed=True),
    ("docs/smollm2.md", "sizes"): partial(seedling.sizes, "smollm2"),
    ("docs/smollm2.md", "scores"): partial(seedling.scores, "smollm2"),
    ("docs/smollm2.md", "comparison"): partial(seedling.comparison, "smollm2"),
    ("docs/smollm2.md", "experts"): partial(seedling.experts, "smollm2"),
    ("docs/smollm2.md", "routing"): partial(seedling.routing, "smollm2"),
    ("docs/smollm2.md", "retention"): real_llm.retention,
    ("docs/smollm2.md", "cross-check"): real_llm.cross_check,
    ("docs/regimes.md", "arriving"): regimes.arriving,
    ("docs/regimes.md", "arrivals"): regimes.arrivals,
    ("docs/regimes.md", "at-once"): regimes.at_once,
    ("docs/regimes.md", "joint"): partial(regimes.scores, regimes.JOINT),
    ("docs/regimes.md", "differences"): partial(regimes.differences, regimes.JOINT),
    ("docs/regimes.md", "sizes"): partial(regimes.scores, regimes.SIZES),
    ("docs/regimes.md", "sizes-differences"): partial(regimes.differences, regimes.SIZES),
    ("docs/regimes.md", "many"): partial(regimes.scores, regimes.MANY),
    ("docs/regimes.md", "many-differences"): partial(regimes.differences, regimes.MANY),
    ("docs/regimes.md", "tally"): regimes.tally,
    ("docs/regimes.md", "crossed"): regimes.crossed,
    ("docs/errors.md", "catalogue"): failures.catalogue,
    ("docs/reading-order.md", "tour"): tour.table_of_modules,
    ("docs/tutorial.md", "entry"): partial(quotes.quoted, f"{ROWS}/pyproject.toml", "entry"),
    ("docs/tutorial.md", "families"): partial(quotes.quoted, f"{PACKAGE}/families.py"),
    ("docs/tutorial.md", "domain"): partial(quotes.quoted, f"{PACKAGE}/__init__.py"),
    ("docs/tutorial.md", "contract"): partial(quotes.quoted, f"{ROWS}/tests/test_contract.py"),
    ("docs/tutorial.md", "more-tests"): partial(quotes.quoted, f"{ROWS}/tests/test_rows.py"),
    ("docs/tutorial.md", "added"): results.added_tables,
    ("docs/own-router.md", "router"): partial(quotes.quoted, "own-router/selfmoe_plugin.py"),
    ("docs/own-router.md", "run"): partial(quotes.quoted, "own-router/run.yaml"),
}
"""File and name of a block -> what makes its text."""


def files() -> list[str]:
    """Return the files that have generated blocks."""
    return sorted({file for file, _ in BLOCKS})


def updated(file: str) -> str:
    """Return the text of a file with its blocks brought up to date.

    Raises:
        LookupError: If the file lacks the markers of a block.
    """
    text = (ROOT / file).read_text("utf-8")
    for (owner, name), make in BLOCKS.items():
        if owner == file:
            text = replaced(text, name, make(), file)
    return text


def replaced(text: str, name: str, body: str, where: str) -> str:
    """Return a text with the content of one block replaced.

    Raises:
        LookupError: If the text lacks the block's markers.
    """
    start, end = f"<!-- {name}: start -->\n", f"<!-- {name}: end -->"
    head, found, rest = text.partition(start)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise LookupError(f"{where} has no block '{name}': {start.strip()} … {end}")
    return f"{head}{start}{body}{end}{tail}"
