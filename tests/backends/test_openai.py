"""A run whose texts a server writes: the same as its own, whatever goes wrong on the way."""

from __future__ import annotations

import json
import time
from collections import Counter
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

import selfmoe
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import SelfmoeError
from selfmoe.models.generation import Sampling, generate
from selfmoe.pipeline.make import make_plans
from selfmoe.store.files import read_jsonl

STAGES = ["brainstorm", "respond"]
FOLDERS = {"instructions": "brainstorm", "responses": "respond", "examples": "data"}


def rows(run: Path, name: str) -> list[dict[str, Any]]:
    [file] = run.glob(f"{FOLDERS[name]}/*/{name}.jsonl")
    return read_jsonl(file)


def by(address: str, **options: Any) -> dict[str, Any]:
    stages = options.pop("stages", STAGES)
    chosen = {"base_url": address, "model": "demo/base", "retries": 3, **options}
    return {"backend": "openai", "options": chosen, "stages": stages}


class Completing:
    """Answers as vLLM does, by the base; what is odd about it is said."""

    def __init__(self, base: Any, *, told: bool = True, takes_ids: bool = True) -> None:
        self._base, self._told, self._takes_ids, self._lock = base, told, takes_ids, Lock()

    def __call__(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path != "/v1/completions":
            return 404, {"error": {"message": f"no {path}"}}
        if not isinstance(body["prompt"], str) and not self._takes_ids:
            return 422, {"error": {"message": "prompt: not a string"}}
        known = {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "stop"}
        if not self._told and (more := set(body) - known):
            return 400, {"error": {"message": f"unknown: {sorted(more)}"}}
        with self._lock:
            return 200, self._answer(body)

    def _answer(self, body: dict[str, Any]) -> Any:
        tokenizer, model = self._base.tokenizer, self._base.model
        prompt = body["prompt"]
        text = prompt if isinstance(prompt, str) else tokenizer.decode(prompt)
        heat = body["temperature"]
        [new] = generate(
            model,
            tokenizer,
            [text],
            max_new_tokens=body["max_tokens"],
            stop=body.get("stop", ()),
            sampling=Sampling(heat, body["top_p"]) if heat else None,
            seeds=[body["seed"]] if heat else (),
        )
        ended = "stop" if new.finished else "length"
        choice = {"text": new.text, "finish_reason": ended, "index": 0}
        if body.get("return_token_ids") and self._told:
            choice["token_ids"] = list(new.tokens)
        return {"choices": [choice], "usage": {"prompt_tokens": len(tokenizer(text).input_ids)}}


def made(settings: Any, out: Path, address: str, **options: Any) -> Path:
    return selfmoe.run(resolve(settings(out, generate=by(address, **options)))).path


def check_equal(run: Path, local: Path) -> None:
    for name in ("instructions", "responses", "examples"):
        assert rows(run, name) == rows(local, name)


def test_what_our_own_server_writes_is_what_this_process_writes(served, settings, local, tmp_path):
    every = [*STAGES, "evaluate"]
    run = made(settings, tmp_path / "demo", served, stages=every)
    check_equal(run, local)
    files = sorted(local.glob("evaluations/base@*/*.jsonl"))
    assert files
    for file in files:
        [other] = run.glob(f"evaluations/base@*/{file.name}")
        assert read_jsonl(other) == read_jsonl(file)


def test_refusals_failures_and_cut_connections_cost_time_and_nothing_else(
    stand_in, base, settings, local, tmp_path
):
    good, numbers = Completing(base), count()

    def answer(path, body):
        odd = {2: 429, 3: 500, 5: 0, 7: 503, 8: 0}.get(next(numbers) % 10)
        return good(path, body) if odd is None else (odd, {"error": {"message": "later"}})

    with stand_in(answer) as server:
        check_equal(made(settings, tmp_path / "demo", server.url, retries=12), local)


def test_a_server_that_is_slow_is_asked_again(stand_in, base, settings, local, tmp_path):
    good, numbers = Completing(base), count()

    def answer(path, body):
        if next(numbers) == 12:
            time.sleep(3)
        return good(path, body)

    with stand_in(answer) as server:
        check_equal(made(settings, tmp_path / "demo", server.url, timeout=2.0), local)


def test_killed_in_the_middle_nothing_is_lost_and_nothing_made_twice(
    stand_in, base, settings, local, tmp_path
):
    good, asked, left = Completing(base), Counter(), [24]

    def answer(path, body):
        if not left[0]:
            return 0, {}
        left[0] -= 1
        asked[json.dumps(body, sort_keys=True)] += 1
        return good(path, body)

    with stand_in(answer) as server:
        by_one = {"retries": 1, "concurrency": 1}
        with pytest.raises(SelfmoeError, match="no answer after 2 tries") as failed:
            made(settings, tmp_path / "demo", server.url, **by_one)
        assert "run the same command again" in str(failed.value)
        left[0], before = 10_000, Counter(asked)
        asked.clear()
        again = made(settings, tmp_path / "demo", server.url, **by_one)
    check_equal(again, local)
    # The base is compared anew, and nothing else.
    writing = {body: n for body, n in asked.items() if json.loads(body)["max_tokens"] == 12}
    assert writing
    assert not writing.keys() & before.keys()
    assert max(writing.values()) == 1
    assert not list(again.rglob("answers*"))


def test_a_server_that_tells_the_text_alone(stand_in, base, settings, tmp_path):
    for name, takes_ids in (("ids", True), ("words", False)):
        answer = Completing(base, told=False, takes_ids=takes_ids)
        with stand_in(answer) as server:
            run = made(settings, tmp_path / name, server.url)
            assert len(rows(run, "responses")) == 6
            for row in rows(run, "responses"):
                assert base.tokenizer.decode(row["tokens"]) == row["continuation"]
            prompts = {type(body["prompt"]) for path, body in server.asked[8:]}
            assert prompts == {list if takes_ids else str}


def test_texts_are_drawn_by_seeds_of_their_own(stand_in, base, settings, tmp_path):
    with stand_in(Completing(base)) as server:
        made(settings, tmp_path / "demo", server.url)
        drawn = [body["seed"] for _, body in server.asked if body["temperature"]]
        greedy = [body for _, body in server.asked if not body["temperature"]]
    assert len(set(drawn)) == len(drawn) > 6
    assert all(0 <= seed < 2**63 for seed in drawn)
    assert not any("seed" in body for body in greedy)


def test_another_model_is_refused_with_what_differs(stand_in, base, settings, tmp_path):
    import copy

    import torch

    other = copy.deepcopy(base.model)
    with torch.no_grad():
        for weight in other.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    from dataclasses import replace

    with (
        stand_in(Completing(replace(base, model=other))) as server,
        pytest.raises(SelfmoeError, match="does not serve the base") as failed,
    ):
        made(settings, tmp_path / "demo", server.url)
    assert server.url in str(failed.value)
    assert "it writes" in str(failed.value)
    assert not list((tmp_path / "demo").rglob("cell.json"))


def test_another_tokenizer_is_refused(stand_in, base, settings, tmp_path):
    good = Completing(base)

    def answer(path, body):
        status, said = good(path, body)
        if status == 200:
            said["choices"][0]["text"] = said["choices"][0]["text"][::-1] + "?"
        return status, said

    with stand_in(answer) as server, pytest.raises(SelfmoeError, match="does not serve the base"):
        made(settings, tmp_path / "demo", server.url)


def test_likelihoods_that_are_not_given_are_refused_before_anything_is_done(
    stand_in, base, settings, tmp_path
):
    from selfmoe_backend_openai import OpenAI

    with stand_in(Completing(base)) as server:
        options = OpenAI.Config(base_url=server.url, model="m")
        writer = OpenAI(options).open(base)
        with pytest.raises(SelfmoeError, match=r"(?s)gives no likelihoods.*generate\.stages"):
            writer.score([((5, 6), (7,))], lambda _: None)


def test_likelihoods_are_those_of_the_base(served, base):
    from selfmoe.evaluation.likelihood import likelihoods
    from selfmoe.evaluation.reading import Reader
    from selfmoe.models.remote.writing import Remote
    from selfmoe_backend_openai import OpenAI

    pairs = [((5, 6, 7), (8,)), ((5, 6), (7, 9, 10)), ((9, 9, 9, 4), (4, 4)), ((5, 6, 7), (8,))]
    options = OpenAI.Config(base_url=served, model="demo/base")
    remote = Remote(OpenAI(options).open(base), base)
    found = remote.likelihoods(pairs, context=base.context)
    own = likelihoods(Reader(base.model), pairs, context=base.context, batch_size=4)
    assert found == pytest.approx([answer.likelihood for answer in own], abs=1e-5)


def test_a_server_that_is_not_there_is_named(settings, tmp_path):
    with pytest.raises(SelfmoeError, match=r"the server at http://127.0.0.1:9/v1.*no answer"):
        made(settings, tmp_path / "demo", "http://127.0.0.1:9/v1", retries=0)


def test_a_key_that_is_wrong_is_looked_for_in_the_environment(
    stand_in, settings, tmp_path, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with (
        stand_in(lambda path, body: (401, {"error": {"message": "who?"}})) as server,
        pytest.raises(SelfmoeError, match="OPENAI_API_KEY") as failed,
    ):
        made(settings, tmp_path / "demo", server.url)
    assert "secret" not in str(failed.value)


def test_a_server_that_is_busy_at_first_is_not_taken_for_one_that_tells_less(
    stand_in, settings, tmp_path
):
    with (
        stand_in(lambda path, body: (429, {"error": {"message": "later"}})) as server,
        pytest.raises(SelfmoeError, match=r"answers 429 after 2 tries: .*later"),
    ):
        made(settings, tmp_path / "demo", server.url, retries=1)
    assert all("return_token_ids" in body for _, body in server.asked)


def test_fewer_are_asked_at_once_where_some_are_refused(stand_in, base, settings, tmp_path):
    good = Completing(base)
    with stand_in(good) as server:

        def answer(path, body):
            if server.at_once > 3:
                return 429, {"error": {"message": "busy"}}
            return good(path, body)

        server.answer = answer
        run = made(settings, tmp_path / "demo", server.url, retries=20)
    assert len(rows(run, "responses")) == 6


# --- keys and settings ----------------------------------------------------------------------------


def keys(settings: Any, out: Path, **generate: Any) -> dict[str, str]:
    plans = make_plans(resolve(settings(out, **generate)))
    return {task.name: task.cell.key for task in plans.tasks}


def test_the_model_is_part_of_keys_and_the_address_is_not(settings, tmp_path):
    here = keys(settings, tmp_path)
    there = keys(settings, tmp_path, generate=by("http://a/v1", stages=[*STAGES, "evaluate"]))
    elsewhere = keys(
        settings,
        tmp_path,
        generate=by("http://b/v1", stages=[*STAGES, "evaluate"], concurrency=3, timeout=9.0),
    )
    other = keys(settings, tmp_path, generate=by("http://a/v1", model="x", stages=STAGES))
    assert there == elsewhere
    assert here["seeds anything"] == there["seeds anything"]
    for name in ("brainstorm anything", "respond anything"):
        assert len({here[name], there[name], other[name]}) == 3
    name = "evaluate base/anything/mini"
    assert here[name] == other[name] != there[name]


@pytest.mark.parametrize(
    ("generate", "said"),
    [
        ({"backend": "openai"}, "base_url"),
        ({"options": {"model": "x"}}, "name generate.backend"),
        ({"backend": "opneai"}, "did you mean 'openai'"),
        (by("ftp://x"), "give an address"),
        (by("http://me:key@x/v1"), "OPENAI_API_KEY"),
        (by("http://x/v1", stages=["curate"]), "generate.stages"),
    ],
)
def test_wrong_settings_are_said(generate, said, settings, tmp_path):
    with pytest.raises(SelfmoeError, match=said):
        resolve(settings(tmp_path, generate=generate))
