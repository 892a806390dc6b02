"""The terminal, lm-eval and `generate` say the same; orders do what they say."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import selfmoe
from selfmoe.cli.app import cli
from selfmoe.models.asking import prompt_of, task_in
from selfmoe.models.generation import generate
from selfmoe.outward.opening import open_run
from selfmoe.outward.serve.systems import Systems, twin

ASKED = "Say where the herons are."


@pytest.fixture(scope="module")
def expected(run):
    """Return what `generate` writes, by system."""
    prompt, found = prompt_of(task_in(ASKED), None, "alpaca"), {}
    for system in ("base", "mixse", "ties"):
        model, tokenizer = selfmoe.load(run, system)
        [text] = generate(model, tokenizer, [prompt], max_new_tokens=12)
        found[system] = text.text
    return found


def talk(run, *lines: str, options: tuple[str, ...] = ()) -> list[str]:
    said = "\n".join(lines) + "\n"
    words = ["chat", str(run), "--system", "mixse", "--max-new-tokens", "12", *options]
    done = CliRunner().invoke(cli, words, input=said)
    assert done.exit_code == 0, done.output
    return [done.stdout, done.stderr]


def test_chat_answers_as_generate_does_and_orders_hold(run, expected):
    out, told = talk(
        run, ASKED, "/expert anything off", "/expert whatever 0", ASKED, "/expert", ASKED,
        "/system ties", ASKED, "/nothing", "/system tie", "/expert anything", "/quit", ASKED,
    )  # fmt: skip
    order = ("mixse", "base", "mixse", "ties")
    assert out == "".join(f"{expected[name]}\n" for name in order)
    assert "anything 0, whatever 0" in told
    assert "there is no /nothing" in told
    assert "did you mean 'demo/ties'" in told
    assert "no expert named 'anything'" in told


def test_chat_shows_where_tokens_go(run):
    out, _ = talk(run, ASKED, options=("--trace",))
    lines = [line for line in out.splitlines() if "'" in line]
    assert lines
    assert all(line.split()[0] in ("anything", "whatever") for line in lines[:-1])


def test_lm_eval_s_model_writes_the_same(run, expected):
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.api.registry import get_model

    import selfmoe.outward.serve.harness  # noqa: F401 (registers it)

    model = get_model("selfmoe").create_from_arg_string(
        f"run={run},system=mixse", {"batch_size": 2, "device": "cuda:0"}
    )
    settings = {"until": ["\x00"], "max_gen_toks": 12, "do_sample": False}
    prompt = prompt_of(task_in(ASKED), None, "alpaca")
    asked = Instance("generate_until", {}, (prompt, settings), 0)
    assert model.generate_until([asked]) == [expected["mixse"]]
    assert model.get_model_info()["selfmoe_system"] == "mixse"
    option = Instance("loglikelihood", {}, (prompt, " by"), 0)
    [(logprob, _)] = model.loglikelihood([option])
    assert logprob < 0


def test_systems_share_the_weights_of_one_base(run):
    opened = open_run(run)
    systems = Systems(opened, opened.load_base())
    own = {id(weight) for weight in systems.base.model.parameters()}
    for name in ("mixse", "expert-anything", "seq"):
        served = systems.load(name)
        assert systems.load(name) is served
        assert own <= {id(weight) for weight in served.model.parameters()}  # and a gate's
    assert getattr(systems.base.model, "mixture", None) is None
    with pytest.raises(selfmoe.SelfmoeError, match="no twin"):
        twin(systems.load("mixse").model)


def test_several_routers_must_be_told_apart(run):
    done = CliRunner().invoke(cli, ["chat", str(run)])
    assert done.exit_code == 1
    assert "several systems that route (mixse, seq, oracle)" in done.output
