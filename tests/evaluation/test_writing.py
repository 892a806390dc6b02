"""Written answers are those of lm-eval's own loop; code is run while more is written."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from selfmoe.contracts.lines import plain_lines
from selfmoe.contracts.records import Source
from selfmoe.evaluation import bridge, harness
from selfmoe.evaluation.bridge import Setup, evaluate
from selfmoe.evaluation.prompting import render
from selfmoe.evaluation.sandbox import Verdict
from selfmoe.testing.families import tiny_model
from selfmoe_domain_coding import Coding

STOPS: list[tuple[str, ...]] = [(), ("\n",), ("e", "\n\n"), ("ab", "t", "### Instruction:")]
PROMPTS = ["Add.\n", "2 + 2 =", "Which of these is the longest prompt of all?\nAnswer:", "a", "Go!"]


def cut(text: str, stop: tuple[str, ...]) -> str:
    places = [text.index(string) for string in stop if string in text]
    return text[: min(places, default=len(text))]


def written_by_lm_eval(model: Any, tokenizer: Any, stop: tuple[str, ...], limit: int) -> list[str]:
    """Return what lm-eval's own loop makes of the prompts, with plain ends of lines."""
    own = harness.HarnessModel(model, tokenizer, batch_size=2, context=512)
    settings = {"until": list(stop), "max_gen_toks": limit, "do_sample": False}
    requests = [type("Request", (), {"args": (prompt, settings)}) for prompt in PROMPTS]
    texts = HFLM.generate_until(own, requests, disable_tqdm=True)
    return [cut(plain_lines(text), stop) for text in texts]


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("bos", [True, False])
def test_texts_are_those_of_lm_eval(
    make_tokenizer: Any, family: str, stop: tuple[str, ...], bos: bool
) -> None:
    model, tokenizer = tiny_model(family, seed=1), make_tokenizer(bos)
    expected = written_by_lm_eval(model, tokenizer, stop, 24)
    own = harness.HarnessModel(model, tokenizer, batch_size=2, context=512)
    assert harness.complete(own, PROMPTS, stop=stop, max_new_tokens=24) == expected


def test_the_text_that_ends_texts_ends_an_answer_even_spelt_out(tokenizer: Any) -> None:
    model = tiny_model("llama", seed=1)
    model.generation_config.eos_token_id = None
    (text, *_) = written_by_lm_eval(model, tokenizer, (), 40)
    pairs = [text[n : n + 2] for n in range(len(text) - 1)]
    spelt = next(pair for pair in pairs if pair.isascii() and pair.isprintable())
    tokenizer.add_special_tokens({"eos_token": spelt})
    own = harness.HarnessModel(model, tokenizer, batch_size=2, context=512)
    found = harness.complete(own, PROMPTS, stop=(), max_new_tokens=40)
    assert found[0] == text[: text.index(spelt)] != text
    assert found == written_by_lm_eval(model, tokenizer, (), 40)


# --- while it goes on -----------------------------------------------------------------------------


@pytest.fixture
def coding(make_oracle: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what asks an oracle 40 items of a benchmark whose answers are run as ``run`` says."""
    (benchmark,) = Coding().benchmarks(Source())
    benchmark.items = benchmark.items[:40]
    texts = {render(benchmark, d, [], "alpaca"): benchmark.gold(d) for d in benchmark.items}
    monkeypatch.setattr(bridge, "_sandbox_tier", lambda: "bubblewrap")

    def ask(run: Any, work: Any, **told: Any) -> tuple[Any, Any]:
        oracle = make_oracle(tokenizer, texts)
        monkeypatch.setattr(
            "selfmoe.evaluation.sandbox.run_sandboxed", lambda *_, **__: run(oracle)
        )
        setup = Setup(batch_size=4, template="alpaca")
        whole = evaluate(
            oracle, tokenizer, benchmark, setup,
            benchmark_id="coding/mini", context=4096, work=work, **told,
        )  # fmt: skip
        return whole, oracle

    return ask


def passed(oracle: Any) -> Verdict:
    return Verdict("passed", "bubblewrap")


def test_code_is_run_while_the_next_answers_are_written(coding: Any, tmp_path: Any) -> None:
    overlapped = threading.Event()

    def run(oracle: Any) -> Verdict:
        for _ in range(2000):
            if oracle.asked > 16:
                overlapped.set()
                return passed(oracle)
            time.sleep(0.01)
        return Verdict("failed", "bubblewrap")

    (score, _), _ = coding(run, tmp_path)
    assert overlapped.is_set()
    assert score.value == 1.0


def test_what_is_interrupted_waits_for_no_more_programs(coding: Any, tmp_path: Any) -> None:
    ran: list[int] = []

    def slow(oracle: Any) -> Verdict:
        ran.append(1)
        time.sleep(0.2)
        return passed(oracle)

    def interrupt(done: int, total: int, speed: str) -> None:
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        coding(slow, tmp_path, tell=interrupt)
    assert len(ran) < 16
    assert not list(tmp_path.iterdir())
    again, oracle = coding(passed, tmp_path)
    assert again == coding(passed, tmp_path / "whole")[0]
    assert oracle.asked == 40


@pytest.mark.parametrize("options", [None, ["one", "two", "three"]])
def test_progress_is_told_from_the_first_batch_on(
    llama: Any, tokenizer: Any, make_sums: Any, tmp_path: Any, options: list[str] | None
) -> None:
    told: list[tuple[int, int, str]] = []
    evaluate(
        llama, tokenizer, make_sums(40, options), Setup(batch_size=4), benchmark_id="toy/sums",
        context=512, work=tmp_path, tell=lambda *now: told.append(now),
    )  # fmt: skip
    done = [now[0] for now in told]
    assert done[0] == 0 and done[-1] == 40 and done == sorted(done)
    assert len(set(done)) > 6, "no more than a word a shard"
    assert {now[1] for now in told} == {40}
    if options:
        assert told[-1][2].endswith(" tokens/s")


def test_the_generation_of_one_run_is_greedy_whatever_the_seed(llama: Any, tokenizer: Any) -> None:
    own = harness.HarnessModel(llama, tokenizer, batch_size=2, context=512)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one = harness.complete(own, PROMPTS, stop=(), max_new_tokens=8)
        torch.manual_seed(2)
        assert harness.complete(own, PROMPTS, stop=(), max_new_tokens=8) == one
