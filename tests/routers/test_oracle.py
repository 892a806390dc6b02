"""Oracle routing: told the domain, it is that domain's expert; told nothing, the base."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner

from selfmoe.cli.app import cli
from selfmoe.contracts.composer import Site, TokenInfo
from selfmoe.mixture.runtime import attach
from selfmoe.reporting.terminal.tables import best_system, legend, marked
from selfmoe.testing.compare import assert_close, assert_same, logits
from selfmoe.testing.composers import ComposerContract
from selfmoe.testing.models import save_toy_base
from selfmoe.testing.routing import tokens
from selfmoe.testing.runs import toy_run
from selfmoe_router_oracle import Oracle
from selfmoe_router_oracle.gate import OracleGate
from selfmoe_router_uniform import Uniform


class TestContract(ComposerContract):
    @pytest.fixture
    def composer(self):
        return Oracle()


def test_the_expert_of_the_rows_domain_has_all_the_weight():
    gate = OracleGate(["math", "coding", "0"])
    rows = ["coding", "law", "0", "math"]
    alpha = gate(torch.ones(4, 3, 8), Site(0), TokenInfo(domain=rows))
    for row, told in zip(rows, alpha, strict=True):
        expected = torch.tensor([float(row == name) for name in ("math", "coding", "0")])
        assert torch.equal(told, expected.expand(3, 3))


def test_without_a_label_there_is_no_weight():
    assert not OracleGate(["math"])(torch.ones(4, 3, 8), Site(0), TokenInfo()).any()


def alone(ctx, name):
    """Return a mixture of one expert, always fully there."""
    router, experts = Uniform(), {name: ctx.experts[name]}
    return attach(ctx.base.model, router, router.compose(ctx._replace(experts=experts)), experts)


def oracle(ctx):
    return attach(ctx.base.model, Oracle(), Oracle().compose(ctx), ctx.experts)


def test_a_row_equals_the_expert_alone_and_others_the_base(three):
    model, rows = three.base.model, ["facts", "math", "law", "coding"]
    ids = tokens(4)
    with oracle(three) as mixture, mixture.annotate(domain=rows):
        told = logits(model, ids)
    for index, name in enumerate(rows):
        if name == "law":
            assert_close(told[index], logits(model, ids)[index])
            continue
        with alone(three, name):
            assert_close(told[index], logits(model, ids)[index])


@pytest.mark.parametrize("beams", [1, 3])
def test_beams_of_a_row_have_its_label(three, beams):
    model, ids = three.base.model, tokens()
    how = {"max_new_tokens": 6, "num_beams": beams, "do_sample": False, "pad_token_id": 257}
    mask = torch.ones_like(ids)
    with oracle(three) as mixture, mixture.annotate(domain=["facts", "math"]):
        told = model.generate(input_ids=ids, attention_mask=mask, **how)
    for index, name in enumerate(("facts", "math")):
        with alone(three, name):
            expected = model.generate(input_ids=ids, attention_mask=mask, **how)[index]
        assert torch.equal(told[index][: len(expected)], expected)


def test_one_label_holds_for_a_batch_of_any_size(three):
    ids = tokens(4)
    with oracle(three) as mixture, mixture.annotate(domain=["math"]):
        for size in (1, 3, 4):
            with mixture.record() as record:
                logits(three.base.model, ids[:size])
            assert record.shares() == {"math": 1.0, "coding": 0.0, "facts": 0.0}


def test_extended_is_composed_anew(two, three):
    assert_same(Oracle().extend(Oracle().compose(two), three), Oracle().compose(three))


# --- in a run -------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a finished run of toys and the oracle."""
    base = save_toy_base(tmp_path / "base")
    return toy_run(Oracle, base=base, out=tmp_path / "run", patch=monkeypatch, settings={})


def test_an_evaluation_tells_it_the_domain_and_tables_say_so(run):
    systems = {system.name: system for system in run.results.systems}
    told = systems["router-oracle"]
    assert told.labelled
    assert not any(s.labelled for name, s in systems.items() if name != "router-oracle")
    assert marked(told) == "router-oracle *"
    assert "* is told the domain of every item" in legend(run.results)
    assert best_system([told]) is None
    routing = run.results.routing["router-oracle"]
    assert routing
    for benchmark, shares in routing.items():
        domain = benchmark.partition("/")[0]
        assert shares == {name: float(name == domain) for name in shares}
        score = told.scores[benchmark]
        assert score.value == systems[f"expert-{domain}"].scores[benchmark].value


def test_generate_must_be_told_the_domain(run):
    name = next(s.name for s in run.results.systems if s.kind == "expert")
    domain = name.removeprefix("expert-")

    def ask(system, *more):
        words = ["generate", str(run.path), "Say it.", "--system", system, "--max-new-tokens", "4"]
        return CliRunner().invoke(cli, [*words, *more])

    told = ask("router-oracle", "--domain", domain)
    assert told.exit_code == 0, told.output
    assert told.stdout == ask(name).stdout
    assert f"{domain} " in ask("router-oracle", "--domain", domain, "--trace").stdout
    for arguments, message in (
        (
            ("router-oracle",),
            "'router-oracle' must be told the domain of the prompt: give --domain",
        ),
        (("router-oracle", "--domain", "x"), "no expert named 'x'"),
        ((name, "--domain", domain), f"'{name}' does not use the domain of a prompt"),
        (("base", "--domain", domain), "'base' does not use the domain of a prompt"),
    ):
        done = ask(*arguments)
        assert done.exit_code == 1
        assert message in done.output
