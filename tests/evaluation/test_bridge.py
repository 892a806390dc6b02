import json
import math
import socket
from pathlib import Path

import pytest
import torch

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import Source
from selfmoe.evaluation import bridge, harness
from selfmoe.evaluation.benchmarks import choose
from selfmoe.evaluation.bridge import Setup, evaluate
from selfmoe.evaluation.prompting import render
from selfmoe.evaluation.sandbox import Verdict, best_tier
from selfmoe_domain_coding import Coding
from selfmoe_domain_knowledge import Knowledge
from selfmoe_domain_math import Math
from selfmoe_domain_reasoning import Reasoning

REAL = Path(__file__).parents[3] / "shared" / "data"
DOMAINS = [Coding, Knowledge, Math, Reasoning]


@pytest.fixture
def ask(tokenizer, tmp_path):
    def ask(model, benchmark, **options):
        settings = {"benchmark_id": "toy/sums", "context": 2048, "work": tmp_path / "work"}
        settings |= {k: options.pop(k) for k in ("context", "work", "progress") if k in options}
        setup = Setup(**{"batch_size": 4, **options})
        return evaluate(model, tokenizer, benchmark, setup, **settings)

    return ask


@pytest.fixture
def oracle_for(make_oracle, tokenizer):
    def oracle_for(benchmark, template="alpaca", answer=None):
        space = "" if template == "alpaca" else " "
        find = answer or benchmark.gold
        return make_oracle(
            tokenizer,
            {render(benchmark, d, [], template): space + find(d) for d in benchmark.items},
        )

    return oracle_for


# --- right is right ---


def test_right_answers_score_one(ask, oracle_for, sums):
    score, rows = ask(oracle_for(sums), sums)
    assert (score.value, score.stderr, score.n) == (1.0, 0.0, 40)
    assert [row["id"] for row in rows] == [doc["id"] for doc in sums.items]
    assert rows[3] == {
        "id": "s3",
        "prompt": render(sums, sums.items[3], [], "alpaca"),
        "gold": "6",
        "shots_asked": 0,
        "shots_used": 0,
        "prompt_tokens": len(rows[3]["prompt"]) + 1,
        "fits": True,
        "completion": "6",
        "score": 1.0,
    }


def test_wrong_answers_score_zero(ask, oracle_for, sums):
    score, _ = ask(oracle_for(sums, answer=sums.wrong), sums)
    assert score.value == 0.0


def test_half_right_is_one_half(ask, oracle_for, sums):
    right = [doc["id"] for doc in sums.items[:20]]
    oracle = oracle_for(sums, answer=lambda d: sums.gold(d) if d["id"] in right else sums.wrong(d))
    score, _ = ask(oracle, sums)
    assert score.value == 0.5
    assert score.stderr == pytest.approx(math.sqrt(0.25 / 39))


@pytest.mark.parametrize("template", ["alpaca", "plain", "examples"])
def test_the_likeliest_option_is_taken(ask, oracle_for, make_sums, template):
    benchmark = make_sums(10, options=["one", "two", "three"])
    benchmark.plain = lambda doc: f"{doc['a']} + {doc['b']} ="
    score, rows = ask(oracle_for(benchmark, template), benchmark, template=template)
    assert score.value == 1.0
    assert len(rows[0]["loglikelihoods"]) == 3


def test_of_equally_likely_options_the_first_wins(ask, make_oracle, make_sums, tokenizer):
    _, rows = ask(make_oracle(tokenizer, {}), make_sums(10, options=["b", "a", "c"]))
    assert {row["completion"] for row in rows} == {"b"}


@pytest.mark.parametrize("kind", DOMAINS)
def test_an_oracle_solves_every_mini_track(ask, oracle_for, kind):
    (benchmark,) = kind().benchmarks(Source())
    if benchmark.needs_sandbox and best_tier() is None:
        pytest.skip("no sandbox here: generated code is not run")
    benchmark.items = benchmark.items[:8]
    score, _ = ask(oracle_for(benchmark), benchmark)
    assert (score.value, score.lenient, score.n) == (1.0, 1.0, 8)


@pytest.mark.parametrize("kind", DOMAINS)
@pytest.mark.parametrize("track", ["mini", "benchmark"])
def test_a_random_model_is_asked_everything(ask, llama, kind, track, tmp_path):
    if track not in kind.tracks:
        pytest.skip(f"{kind.name} has no benchmark track yet")
    if track == "benchmark" and not REAL.exists():
        pytest.skip(f"no benchmark files in {REAL}")
    source = Source(track, REAL if track == "benchmark" else None)
    for benchmark in choose(kind(), source, None).asked:
        if benchmark.needs_sandbox and best_tier() is None:
            pytest.skip("no sandbox here: generated code is not run")
        work = tmp_path / benchmark.name
        score, rows = ask(llama, benchmark, limit=3, context=4096, work=work)
        assert score.n == len(rows) == 3
        assert 0.0 <= score.value <= 1.0
        assert json.loads(json.dumps(rows)) == rows


# --- tokens are those of training ---


@pytest.mark.parametrize("bos", [True, False])
def test_prompts_are_encoded_as_in_training(llama, make_tokenizer, sums, bos):
    tokenizer = make_tokenizer(bos)
    model = harness.HarnessModel(llama, tokenizer, batch_size=4, context=512)
    for doc in sums.items[:3]:
        text = render(sums, doc, [], "alpaca")
        ids = tokenizer(text)["input_ids"]
        assert (ids[0] == tokenizer.bos_token_id) == bos
        assert model.tok_encode(text) == ids
        batch, mask = model.tok_batch_encode([text, text + " and more"])
        assert batch[0][mask[0].bool()].tolist() == ids
        option = tokenizer("12", add_special_tokens=False)["input_ids"]
        assert model._encode_pair(text, "12") == (ids, option)


@pytest.mark.parametrize("bos", [True, False])
def test_greedy_answers_equal_those_of_generate(llama, make_tokenizer, sums, bos):
    tokenizer = make_tokenizer(bos)
    prompts = [render(sums, doc, [], "alpaca") for doc in sums.items[:5]]
    model = harness.HarnessModel(llama, tokenizer, batch_size=2, context=2048)
    found = harness.complete(model, prompts, stop=(), max_new_tokens=6)
    for prompt, text in zip(prompts, found, strict=True):
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        out = llama.generate(ids, max_new_tokens=6, do_sample=False)
        assert text == tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


def test_likelihoods_equal_a_direct_sum(llama, tokenizer):
    prompts, options = ["Add.\n", "2 + 2 ="], [["12", "3"], ["4", "five"]]
    model = harness.HarnessModel(llama, tokenizer, batch_size=3, context=64)
    found = harness.likelihoods(model, prompts, options)
    for prompt, row, scores in zip(prompts, options, found, strict=True):
        for option, score in zip(row, scores, strict=True):
            start = tokenizer(prompt)["input_ids"]
            text = option if prompt.endswith("\n") else f" {option}"
            ids = start + tokenizer(text, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                logs = llama(torch.tensor([ids])).logits[0].log_softmax(-1)
            direct = sum(logs[i - 1, ids[i]].item() for i in range(len(start), len(ids)))
            assert score == pytest.approx(direct, abs=1e-4)


# --- overflow ---


def test_dropped_examples_are_counted_and_nothing_is_left_out(ask, llama, sums):
    score, rows = ask(llama, sums, shots=4, context=700)
    assert score.n == 40
    assert score.extra["shots_asked"] == 4
    assert 0 < score.extra["shots_used"] < 4
    assert score.extra["overflowed"] == 0
    assert all(row["prompt_tokens"] + sums.max_new_tokens <= 700 for row in rows)


def test_what_never_fits_scores_zero_and_is_counted(ask, oracle_for, sums):
    sums.items[5]["b"] = "9" * 500
    sums.gold = lambda doc: "1"
    score, rows = ask(oracle_for(sums), sums, context=300)
    assert (score.n, score.extra["overflowed"]) == (40, 1)
    assert score.value == 39 / 40
    assert (rows[5]["fits"], rows[5]["completion"], rows[5]["score"]) == (False, "", 0.0)


def test_nothing_fits(ask, llama, sums):
    score, _ = ask(llama, sums, context=8)
    assert (score.value, score.n, score.extra["overflowed"]) == (0.0, 40, 40)


def test_overflow_can_be_an_error(ask, llama, sums):
    with pytest.raises(StageError, match="40 of 40 prompts of 'toy/sums'"):
        ask(llama, sums, shots=4, context=700, overflow="error")


# --- killed and resumed ---


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_killed_evaluation_goes_on_where_it_was(ask, oracle_for, sums, tmp_path):
    whole = ask(oracle_for(sums), sums, work=tmp_path / "whole")

    def kill(done, total):
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(oracle_for(sums), sums, work=tmp_path / "killed", progress=kill)
    oracle, told = oracle_for(sums), []
    again = ask(
        oracle, sums, work=tmp_path / "killed", progress=lambda done, n: told.append((done, n))
    )
    assert oracle.asked == 8
    assert told == [(0, 40), (16, 40), (32, 40), (40, 40)]
    assert again == whole
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_resumed_answers_of_a_real_model_are_the_same_bytes(ask, llama, sums, tmp_path):
    def kill(done, total):
        if done == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(llama, sums, work=tmp_path / "killed", progress=kill, shots=2)
    ask(llama, sums, work=tmp_path / "killed", shots=2)
    ask(llama, sums, work=tmp_path / "whole", shots=2)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.parametrize("content", ["", "{", "[]\n", '{"id": "other"}\n' * 16])
def test_a_damaged_shard_is_asked_again(ask, oracle_for, sums, tmp_path, content):
    whole = ask(oracle_for(sums), sums)
    (tmp_path / "work" / "shard-00001.jsonl").write_text(content)
    oracle = oracle_for(sums)
    assert ask(oracle, sums) == whole
    assert oracle.asked == 16


# --- scoring that goes wrong ---


def test_no_items_is_a_clear_error(ask, llama, make_sums):
    with pytest.raises(StageError, match="has no items"):
        ask(llama, make_sums(0))


def test_a_scorer_that_raises_names_the_item(ask, oracle_for, sums):
    sums.score = lambda doc, completion: 1 / 0
    with pytest.raises(StageError, match=r"cannot score item 's\d': ZeroDivisionError"):
        ask(oracle_for(sums), sums)


@pytest.mark.parametrize("scores", [{}, {"score": 2.0}, {"score": math.nan}, {"right": 1.0}])
def test_a_score_out_of_range_is_refused(ask, oracle_for, sums, scores):
    sums.score = lambda doc, completion: scores
    with pytest.raises(StageError, match=r"values in 0\.\.1"):
        ask(oracle_for(sums), sums)


def test_without_a_sandbox_code_is_not_scored(ask, llama, sums, monkeypatch):
    sums.needs_sandbox = True
    monkeypatch.setattr(bridge, "_sandbox_tier", lambda: None)
    score, rows = ask(llama, sums)
    assert (score.not_run, score.n, rows) == ("no sandbox", 40, [])
    assert math.isnan(score.value)
    score, _ = ask(llama, sums, unsafe_code=True)
    assert score.extra["sandbox"] == "unsafe"


def test_a_failing_sandbox_is_no_wrong_answer(ask, oracle_for, monkeypatch):
    (benchmark,) = Coding().benchmarks(Source())
    tried = []

    def broken(program, timeout_s, **options):
        tried.append(options)
        return Verdict("infra_error", "bubblewrap", "cannot fork")

    monkeypatch.setattr(bridge, "_sandbox_tier", lambda: "bubblewrap")
    monkeypatch.setattr("selfmoe.evaluation.sandbox.run_sandboxed", broken)
    with pytest.raises(StageError, match="cannot fork"):
        ask(oracle_for(benchmark), benchmark, limit=1)
    assert tried == [{"unsafe": False}] * 3


def test_unsafe_code_reaches_the_sandbox(ask, oracle_for, monkeypatch):
    (benchmark,) = Coding().benchmarks(Source())
    benchmark.items = benchmark.items[:3]
    tried = []

    def run(program, timeout_s, **options):
        tried.append(options)
        return Verdict("passed", "unsafe")

    monkeypatch.setattr(bridge, "_sandbox_tier", lambda: None)
    monkeypatch.setattr("selfmoe.evaluation.sandbox.run_sandboxed", run)
    score, _ = ask(oracle_for(benchmark), benchmark, unsafe_code=True)
    assert score.value == 1.0
    assert tried == [{"unsafe": True}] * 3


# --- manners ---


def test_it_is_silent_and_stays_off_the_network(ask, llama, sums, capfd, monkeypatch):
    def refuse(*_):
        raise AssertionError("tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    ask(llama, sums, limit=4)
    assert capfd.readouterr() == ("", "")
