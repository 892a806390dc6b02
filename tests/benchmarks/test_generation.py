"""The measurements of generation: prompts, rounds, ratios, and every system on a tiny base."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import generation
from _generate import generation as page
from selfmoe.config.resolve import resolve
from selfmoe.testing.models import tiny_tokenizer
from writing import builds, jobs, rounds, systems, worker
from writing.prompts import Reader, workloads

Json = dict[str, Any]
COUNTS = {"seeds": {"n": 6}, "brainstorm": {"max_new_tokens": 8}, "respond": {"max_new_tokens": 4}}


def made(context: int = 4096, longest: int = 99) -> list[Any]:
    config = resolve({"domains": ["math", "knowledge"], **COUNTS})
    return list(workloads(config, Reader(tiny_tokenizer(), context, longest), 5))


def test_prompts_are_those_of_the_stages() -> None:
    brainstorm, respond, *others = made()
    assert [work.title for work in others] == ["brainstorm, knowledge", "respond, knowledge"]
    assert (brainstorm.title, respond.title) == ("brainstorm, math", "respond, math")
    assert {text.count("Instruction:") for text in brainstorm.prompts} == {4}
    assert {text.count("Response:") for text in respond.prompts} == {6}
    assert len(set(brainstorm.prompts)) == len(set(respond.prompts)) == 5
    assert (brainstorm.batch, respond.batch) == (96, 64)
    assert (brainstorm.max_new_tokens, respond.max_new_tokens) == (8, 4)
    assert (brainstorm.sampling, respond.sampling) == ((1.0, 0.98), None)
    assert made() == [brainstorm, respond, *others]


def test_prompts_fit_the_context_and_texts_the_limit() -> None:
    short = made(context=500, longest=2)
    assert {work.max_new_tokens for work in short} == {2}
    count = tiny_tokenizer()
    assert max(len(count(text).input_ids) for work in short for text in work.prompts) <= 498


def test_results_go_beside_those_in_the_file(tmp_path: Path) -> None:
    file, row = tmp_path / "found.json", {"base": "a", "threads": 1, "title": "respond"}
    file.write_text(json.dumps({"written": [row | {"n": 1}, row | {"base": "b"}], "sums": []}))
    again = row | {"n": 2}
    found = generation._beside({"written": [again], "sums": [], "asked": []}, file)
    assert found == {"written": [again, row | {"base": "b"}], "sums": [], "asked": []}


def test_builds_take_turns_and_turn_around() -> None:
    order: list[str] = []

    def carry_out(job: Json) -> Json:
        order.append(job["n"])
        return job

    found = rounds.alternate({name: {"n": name} for name in "abc"}, 2, carry_out)
    assert "".join(order) == "abccba"
    assert found["a"] == [{"n": "a"}] * 2


def wrote(prefill: float, whole: float, *lengths: int) -> Json:
    return {"prefill": prefill, "whole": whole, "tokens": [[7] * n for n in lengths]}


def test_ratios_say_how_many_times_as_fast() -> None:
    results = {
        "former": [wrote(2.0, 10.0, 3, 5), wrote(2.0, 10.0, 3, 5), wrote(4.0, 12.0, 3, 5)],
        "this": [wrote(1.0, 3.0, 3, 5), wrote(1.0, 2.0, 3, 5), wrote(1.0, 3.0, 3, 5)],
    }
    found = rounds.written(results)["this"]
    assert found["prefill"] == {"ratio": 2.0, "low": 2.0, "high": 3.0, "seconds": 1.0}
    assert found["decode"] == {"ratio": 4.0, "low": 4.0, "high": 6.0, "seconds": 2.0}
    assert found["whole"]["ratio"] == 4.0
    assert (found["tokens"], found["same"]) == (8, 2)
    former = rounds.written(results)["former"]
    assert {former[part]["ratio"] for part in ("prefill", "decode", "whole")} == {1.0}


def test_where_other_numbers_of_tokens_are_written_ratios_are_of_time_per_token() -> None:
    results = {"former": [wrote(1.0, 9.0, 4, 4)], "this": [wrote(1.0, 5.0, 8, 8)]}
    found = rounds.written(results)["this"]
    assert found["prefill"]["ratio"] == 1.0
    assert found["decode"]["ratio"] == 4.0
    assert found["whole"]["ratio"] == 3.6
    assert (found["whole"]["seconds"], found["same"]) == (5.0, 0)


def test_sums_are_of_what_all_did_scaled_to_the_same_tokens() -> None:
    one = {"former": [wrote(0, 6.0, 4)], "this": [wrote(0, 2.0, 8)], "other": [wrote(0, 1.0, 4)]}
    two = {"former": [wrote(0, 4.0, 4)], "this": [wrote(0, 3.0, 4)]}
    assert rounds.summed([one, two]) == {
        "former": {"whole": {"ratio": 1.0, "low": 1.0, "high": 1.0, "seconds": 10.0}},
        "this": {"whole": {"ratio": 2.5, "low": 2.5, "high": 2.5, "seconds": 4.0}},
    }


def test_evaluations_are_compared_item_by_item() -> None:
    former = {"whole": 4.0, "answers": ["A", "B", "C"], "score": 0.5}
    mine = {"whole": 1.0, "answers": ["A", "B", "D"], "score": 0.25}
    found = rounds.answered({"former": [former], "this": [mine]})["this"]
    assert (found["whole"]["ratio"], found["score"], found["same"]) == (4.0, 0.25, 2)


# --- in processes of their own -------------------------------------------------------------------


@pytest.fixture
def setting(tiny_base_folder: Path) -> jobs.Setting:
    names = (*jobs.BUILDS, *jobs.ALONE[:2])
    return jobs.Setting(tiny_base_folder, builds.HERE, 1, names)


def test_every_system_writes_the_same_and_is_timed(setting: jobs.Setting) -> None:
    work = made(context=2048)[1]
    results = {name: [worker.write(job)] for name, job in jobs.writing(work, setting).items()}
    assert all(one["prefill"] > 0 for (one,) in results.values())
    found = rounds.written(results)
    assert {row["same"] for row in found.values()} == {5}
    assert {row["tokens"] for row in found.values()} == {found["former"]["tokens"]}
    assert found["former"]["tokens"] > 0


def test_transformers_continuous_batching_is_asked_in_its_own_way(
    setting: jobs.Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systems, "BLOCKS", 32)
    work = made(context=2048)[1]
    alone = setting._replace(systems=("generate_batch", "generate, batch 8"))
    found = {name: worker.write(job)["tokens"] for name, job in jobs.writing(work, alone).items()}
    for paged, plain in zip(*found.values(), strict=True):
        assert len(paged) == work.max_new_tokens
        assert paged[: len(plain)] == plain


def test_a_build_that_takes_seeds_is_given_all_prompts_at_once() -> None:
    calls: list[Json] = []

    def generate(model: Any, tokenizer: Any, prompts: Any, *, seeds: Any, **options: Any) -> Any:
        calls.append({"prompts": prompts, "seeds": seeds, **options})
        return [SimpleNamespace(tokens=(7, 256, 8)) for _ in prompts]

    build = SimpleNamespace(generate=generate, Sampling=lambda *given: given)
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=256))
    job = {"prompts": ["a", "b", "c"], "sampling": [1.0, 0.9], "max_new_tokens": 2, "stop": ["."]}
    assert systems._by_item(build, model, tiny_tokenizer(), job) == [[7]] * 3
    drawn = {"sampling": (1.0, 0.9), "seeds": [0, 1, 2]}
    assert calls == [{"prompts": ["a", "b", "c"], "max_new_tokens": 2, "stop": ["."], **drawn}]


def test_the_code_of_another_build_is_refused(tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"build": str(tmp_path), "kind": "write"}))
    with pytest.raises(RuntimeError, match=r"the code of selfmoe\S* is that of"):
        worker.main(str(job), str(tmp_path / "result.json"))


def test_a_process_that_fails_is_told_of(tmp_path: Path) -> None:
    job = {"build": str(tmp_path), "title": "respond, math", "system": "this", "threads": 1}
    with pytest.raises(RuntimeError, match=r"respond, math, this:[\s\S]*Error"):
        builds.carry_out(job)


def test_a_former_build_that_git_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "FORMER", "0" * 40)
    with pytest.raises(RuntimeError, match="git worktree add"), builds.former(None):
        pass


def test_the_command_measures_and_keeps_and_the_page_shows_it(
    tiny_base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"What is {n} + 1?", "answer": f"It is.\n#### {n + 1}"} for n in range(90)]
    (tmp_path / "data" / "gsm8k").mkdir(parents=True)
    for split in ("train", "test"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "data" / "gsm8k" / f"{split}.jsonl").write_text(text)
    config = {"domains": ["math"], "preset": "paper", "track": "benchmark", **COUNTS}
    settings = {**config, "base": str(tiny_base_folder), "data_dir": str(tmp_path / "data")}
    base = generation.Base("tiny", tiny_base_folder, resolve(settings), 3, 4)
    monkeypatch.setattr(generation, "_bases", lambda given: [base])
    monkeypatch.setattr(jobs, "BENCHMARKS", {"GSM8K": jobs.BENCHMARKS["GSM8K"]})
    monkeypatch.setattr(builds, "carry_out", _here)
    monkeypatch.setattr(generation, "bfloat16_instructions", lambda: None)
    target = tmp_path / "generation.json"
    options = ("--former", builds.HERE, "--items", 2, "--rounds", 2, "--threads", 1)
    chosen = ("--system", "this", "--data-dir", tmp_path / "data", "--json", target)
    done = CliRunner().invoke(generation.command, list(map(str, (*options, *chosen))))
    assert done.exit_code == 0, done.exception
    found = json.loads(target.read_text())
    assert [row["title"] for row in found["written"]] == ["brainstorm, math", "respond, math"]
    assert found["written"][1]["systems"]["this"]["same"] == 3
    assert [list(row["systems"]) for row in found["asked"]] == [["former", "this"]]
    shown = page.section(target)
    assert "| respond, math | tiny | 1 | 3 |" in shown
    assert "3 of 3 |" in shown
    assert "| GSM8K | tiny | 1 | 2 |" in shown
    assert "all of them" in shown


def _here(job: Json) -> Json:
    return {"write": worker.write, "ask": worker.ask}[job["kind"]](job)


def test_a_base_without_data_is_not_measured_and_that_is_said(
    tiny_base_folder: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "nowhere"
    options = ("--base", tiny_base_folder, "--data-dir", missing, "--no-seedling")
    done = CliRunner().invoke(
        generation.command, list(map(str, (*options, "--former", builds.HERE)))
    )
    assert done.exit_code == 0, done.exception
    assert f"{missing} is no folder: nothing is measured on {tiny_base_folder}" in done.stderr


def test_there_is_no_page_before_there_is_a_measurement(tmp_path: Path) -> None:
    assert page.section(tmp_path / "generation.json") == ""
