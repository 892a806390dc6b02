"""The teacher of a run: the prompts that the base answered with, once more."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import selfmoe
from selfmoe.config.model import RunConfig
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import StageError
from selfmoe.contracts.records import Example, PassageRef
from selfmoe.pipeline.demonstrations import Demonstrations
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.records import read_examples
from selfmoe.pipeline.stages import s3_respond
from selfmoe.testing.models import tiny_base

NOTES = "Say what it is.\n\nSay nothing at all, and say it well.\n\nA pear.\n"
DOMAINS = ["anything", "whatever"]


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, tiny_base_folder: Path, plugin_code: str
) -> Path:
    folder = tmp_path_factory.mktemp("demonstrations")
    (folder / "selfmoe_plugin.py").write_text(plugin_code)
    shutil.copytree(tiny_base_folder, folder / "base")
    (folder / "notes").mkdir()
    (folder / "notes" / "say.txt").write_text(NOTES)
    return folder


def config(place: Path, trainer: str = "distill", **respond: Any) -> RunConfig:
    documents = {"anything": str(place / "notes")}
    return resolve(
        {
            "base": str(place / "base"), "device": "cpu", "plugin_dir": str(place),
            "domains": DOMAINS, "out": str(place / "run"), "seeds": {"n": 5},
            "brainstorm": {"n": 4, "max_new_tokens": 8},
            "respond": {"max_new_tokens": 8, "shots": 3, "documents": documents, **respond},
            "specialise": {"trainer": trainer, "options": {"max_steps": 1, "r": 2}},
            "compose": {"instance": {"merge": "instance"}},
            "evaluate": {"limit": 1, "base_shots": 0},
        }
    )  # fmt: skip


Asked = list[tuple[str, str | None]]


@pytest.fixture(scope="module")
def asked(place: Path) -> tuple[Asked, Asked]:
    """Return the prompts of a run, by id: those of the respond stage, and those of the teacher."""
    answered: Asked = []
    taught: Asked = []
    prompt, teach = s3_respond._prompt, Demonstrations.__call__

    def written(*given: Any) -> Any:
        row, text = prompt(*given)
        answered.append((row["id"], text))
        return row, text

    def shown(self: Demonstrations, example: Example) -> str:
        taught.append((example.id, teach(self, example)))
        return str(taught[-1][1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_respond, "_prompt", written)
        patch.setattr(Demonstrations, "__call__", shown)
        selfmoe.run(config(place))
    return answered, taught


def data(place: Path) -> dict[str, Path]:
    return {name: next((place / "run").glob(f"data/{name}@*")) for name in DOMAINS}


def test_it_is_asked_with_the_prompts_of_the_respond_stage(
    place: Path, asked: tuple[Asked, Asked]
) -> None:
    answered, taught = asked
    kept = [one.id for folder in data(place).values() for one in read_examples(folder)]
    assert sorted(one for one, _ in taught) == sorted([*kept, *kept])  # experts, and all in one
    assert set(taught) <= set(answered)
    texts = dict(taught)
    assert all("Document: " in str(texts[one]) for one in kept if one.startswith("anything"))
    assert all(str(texts[one]).count("Response: ") == 3 for one in kept)


def test_its_stops_are_those_of_all_domains(place: Path, asked: tuple[Asked, Asked]) -> None:
    given = config(place)
    prompts = [given.registry.configure("domain", one).prompts(given.source) for one in DOMAINS]
    stop = Demonstrations(given, data(place), tiny_base()).stop
    assert len(stop) == len(set(stop))
    assert set(stop) == {end for one in prompts for end in one.stop}


def test_what_no_base_wrote_has_no_teacher(place: Path, asked: tuple[Asked, Asked]) -> None:
    own = Example("mine", "anything", "Say.", "", "So.")
    with pytest.raises(
        StageError, match=r"not written by the base.*\n.*Leave specialise.trainer out"
    ):
        Demonstrations(config(place), data(place), tiny_base())(own)


def test_what_stood_in_a_prompt_must_be_there(place: Path, asked: tuple[Asked, Asked]) -> None:
    teacher = Demonstrations(config(place), data(place), tiny_base())
    example = read_examples(data(place)["anything"])[0]
    with pytest.raises(StageError, match=r"seed 'gone' stood in .* not among the seeds"):
        teacher(replace(example, solved=("gone",)))
    with pytest.raises(StageError, match=r"passage 1 of say\.txt stood in .* not among the doc"):
        teacher(replace(example, sources=(PassageRef("say.txt", 1, "0" * 10),)))


def test_seeds_documents_and_shots_are_in_the_keys_of_experts(place: Path) -> None:
    def keys(given: RunConfig) -> dict[str, str]:
        (plan,) = make_plans(given)
        return {task.label: task.cell.key for task in plan.of("specialise").values()}

    before = keys(config(place))
    for changed in ({"shots": 2}, {"retrieved": 1}):
        assert keys(config(place, **changed))["anything"] != before["anything"]
    assert keys(config(place, "lora"))["anything"] != before["anything"]
    seeds = config(place).model_copy(update={"seeds": config(place).seeds.model_copy(
        update={"n": 4})})  # fmt: skip
    assert not set(keys(seeds).values()) & set(before.values())
    (place / "notes" / "say.txt").write_text(NOTES + "\nMore.")
    after = keys(config(place))
    assert after["anything"] != before["anything"]
    assert after["whatever"] == before["whatever"]
