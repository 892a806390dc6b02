"""A run in the base's own chat template: one prompt in every place, and keys that know of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import selfmoe
from selfmoe.api.load import load_system
from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import DataError, RunError
from selfmoe.contracts.prompts import turn
from selfmoe.contracts.records import Example, Instruction
from selfmoe.models.asking import prompt_of
from selfmoe.models.chat import chat_of
from selfmoe.models.fitting.batches import encode
from selfmoe.models.tokens import prompt_ids
from selfmoe.pipeline.demonstrations import Demonstrations
from selfmoe.pipeline.make import make_plans
from selfmoe.pipeline.records import read_examples
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.stages import s3_respond
from selfmoe.store.directory import RunDirectory
from selfmoe.store.files import read_jsonl
from selfmoe.testing.models import save_toy_base, tiny_tokenizer
from selfmoe.testing.tokenizers import CHATS

NOTES = "Say what it is.\n\nSay nothing at all, and say it well.\n\nA pear.\n"
TEMPLATE = "chat_template.jinja"
Prompted = tuple[dict[str, str], dict[str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, plugin_code: str) -> Path:
    folder = tmp_path_factory.mktemp("chat")
    (folder / "selfmoe_plugin.py").write_text(plugin_code)
    save_toy_base(folder / "base")
    (folder / "base" / TEMPLATE).write_text(CHATS["marked"])
    (folder / "notes").mkdir()
    (folder / "notes" / "say.txt").write_text(NOTES)
    return folder


def settings(place: Path, **changed: Any) -> dict[str, Any]:
    return {
        "base": str(place / "base"), "device": "cpu", "plugin_dir": str(place), "preset": "demo",
        "domains": ["anything"], "out": str(place / "run"), "seeds": {"n": 5},
        "brainstorm": {"n": 4, "max_new_tokens": 16},
        "respond": {"max_new_tokens": 24, "shots": 3, "documents": str(place / "notes")},
        "specialise": {"trainer": "distill", "options": {"max_steps": 1, "r": 2}},
        "compose": {"mixse": {"router": "topk", "options": {"k": 1, "max_steps": 1}}},
        "evaluate": {"limit": 2, "base_shots": 1}, **changed,
    }  # fmt: skip


@pytest.fixture(scope="module")
def asked(place: Path) -> Prompted:
    """Return the prompts of a run by id: of the respond stage, and of the teacher."""
    answered: dict[str, str] = {}
    taught: dict[str, str] = {}
    prompt, teach = s3_respond._prompt, Demonstrations.__call__

    def written(*given: Any) -> Any:
        row, text = prompt(*given)
        answered[row["id"]] = text
        return row, text

    def shown(self: Demonstrations, example: Example) -> str:
        taught[example.id] = teach(self, example)
        return taught[example.id]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_respond, "_prompt", written)
        patch.setattr(Demonstrations, "__call__", shown)
        selfmoe.run(settings(place))
    return answered, taught


def talking() -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = CHATS["marked"]
    return tokenizer


def cell(place: Path, pattern: str) -> Path:
    (found,) = (place / "run").glob(pattern)
    return found


def test_solved_seeds_are_earlier_turns_and_passages_stand_before_the_task(
    place: Path, asked: Prompted
) -> None:
    answered, taught = asked
    seeds = {row["id"]: row for row in read_jsonl(cell(place, "seeds/*/seeds.jsonl"))}
    rows = read_jsonl(cell(place, "respond/*/responses.jsonl"))
    passages = NOTES.strip().split("\n\n")
    assert len(rows) == 4 and all(row["sources"] for row in rows)
    for row in rows:
        solved = [seeds[name] for name in row["solved_seeds"]]
        before = [
            (turn(Instruction(seed["instruction"], seed["input"])), seed["response"])
            for seed in solved
        ]
        shown = [f"Document: {passages[ref['number'] - 1]}" for ref in row["sources"]]
        task = turn(Instruction(row["instruction"], row["input"]))
        expected = chat_of(talking()).prompt("\n\n".join([*shown, task]), before)
        assert len(solved) == 3
        assert answered[row["id"]] == expected
    kept = read_examples(cell(place, "data/*"))
    assert kept
    assert {one.id: answered[one.id] for one in kept} == taught
    assert {type(text).__name__ for text in taught.values()} == {"ChatPrompt"}


def test_what_was_answered_is_learned_up_to_the_end_of_the_turn(
    place: Path, asked: Prompted
) -> None:
    tokenizer = talking()
    for example in read_examples(cell(place, "data/*")):
        row = encode(example, tokenizer, "chat")
        assert example.tokens
        assert row.ids[row.prompt :] == [*example.tokens, tokenizer.eos_token_id]
        task = Instruction(example.instruction, example.input)
        messages = [{"role": "user", "content": turn(task)}]
        whole = tokenizer.apply_chat_template(messages, add_generation_prompt=True).input_ids
        assert row.ids[: row.prompt] == whole


def test_experts_are_asked_as_they_were_trained(place: Path, asked: Prompted) -> None:
    tokenizer = talking()
    (domain,) = next(iter(make_plans(resolve(settings(place))))).domains
    (benchmark,) = domain.benchmarks(resolve(settings(place)).source)
    docs = {str(doc["id"]): doc for doc in benchmark.items}
    for system in ("base", "expert-anything", "mixse"):
        (rows,) = (place / "run").glob(f"evaluations/{system}@*/*.samples.jsonl")
        facts = json.loads(rows.with_name(rows.name.replace(".samples.jsonl", ".json")).read_text())
        assert facts["extra"]["template"] == "chat"
        for row in read_jsonl(rows):
            task = benchmark.ask(docs[row["id"]])
            trained = encode(Example("", "", task.instruction, task.input, "x"), tokenizer, "chat")
            prompt = prompt_of(task, tokenizer, "chat")
            assert row["prompt"] == prompt
            assert prompt_ids(tokenizer, prompt) == trained.ids[: trained.prompt]
            assert row["prompt_tokens"] == trained.prompt
    (shown,) = (place / "run").glob("evaluations/base-1shot@*/*.samples.jsonl")
    (first, *_) = read_jsonl(shown)
    assert first["prompt"].count("<|user|>") == 2
    assert first["shots_used"] == 1


def test_routing_and_traces_see_these_tokens(place: Path, asked: Prompted) -> None:
    (traces,) = (place / "run").glob("evaluations/mixse@*/*.traces.jsonl")
    (rows,) = (place / "run").glob("evaluations/mixse@*/*.samples.jsonl")
    (facts,) = (path for path in (place / "run").glob("evaluations/mixse@*/anything.mini.json"))
    lengths = [row["prompt_tokens"] for row in read_jsonl(rows)]
    assert [row["prompt"] for row in read_jsonl(traces)] == lengths
    assert json.loads(facts.read_text())["routing"]["tokens"]["prompt"] == sum(lengths)


def test_the_run_keeps_what_auto_stood_for(place: Path, asked: Prompted) -> None:
    manifest = RunDirectory(place / "run").manifest()
    assert manifest.config["prompts"] == {"template": "chat"}
    assert manifest.base.chat
    assert "template: chat" in (place / "run" / "config.yaml").read_text()


def test_a_loaded_system_can_be_asked_in_it(place: Path, asked: Prompted) -> None:
    model, tokenizer = selfmoe.load(place / "run", "mixse")
    ids = selfmoe.prompt_ids(place / "run", tokenizer, "Say it.", "Twice.")
    messages = [{"role": "user", "content": "Say it.\n\nTwice."}]
    assert ids == tokenizer.apply_chat_template(messages, add_generation_prompt=True).input_ids
    assert tokenizer.eos_token_id in model.generation_config.eos_token_id
    assert load_system(place / "run", "base").template == "chat"


def test_commands_ask_and_show_in_it(
    place: Path, asked: Prompted, cli: Any, monkeypatch: Any
) -> None:
    shown = json.loads(cli("explain-data", str(place / "run"), "anything", "--json").output)
    assert shown
    for one in shown:
        assert "".join(one["prompt"]).endswith("<eos>\n<|assistant|>\n")
        assert one["target"][-1] == "<eos>"
    heard: list[str] = []

    def answer(model: Any, tokenizer: Any, prompts: list[str], **_: Any) -> Any:
        heard.extend(prompts)
        return [type("Written", (), {"text": "so"})()]

    monkeypatch.setattr("selfmoe.models.generation.generate", answer)
    assert cli("generate", str(place / "run"), "Say it.\nTwice.").output == "so\n"
    assert cli("generate", str(place / "run"), "Say it.\nTwice.", "--raw").output == "so\n"
    assert heard == ["<|user|>\nSay it.\n\nTwice.<eos>\n<|assistant|>\n", "Say it.\nTwice."]
    assert cli("run", str(place / "run" / "config.yaml"), "--dry-run").output.count(
        "Tasks are put in template chat (as the settings say)."
    )


def test_another_chat_template_is_another_base_where_it_was_used(
    place: Path, asked: Prompted
) -> None:
    path = place / "base" / TEMPLATE
    path.write_text(CHATS["opened"])
    try:
        with pytest.raises(RunError, match=r"the chat template of the base .* is not the one"):
            selfmoe.load(place / "run", "base")
    finally:
        path.write_text(CHATS["marked"])


def test_a_run_made_before_there_were_templates_used_alpaca(
    place: Path, asked: Prompted, tmp_path: Path
) -> None:
    shutil.copytree(place / "run", tmp_path / "old")
    path = tmp_path / "old" / "manifest.json"
    told = json.loads(path.read_text())
    del told["config"]["prompts"], told["base"]["chat"]
    path.write_text(json.dumps(told))
    assert load_system(tmp_path / "old", "base").template == "alpaca"
    ids = selfmoe.prompt_ids(tmp_path / "old", talking(), "Say it.")
    assert tiny_tokenizer().decode(ids).startswith("Below is an instruction")


# --- keys -----------------------------------------------------------------------------------------

Planned = Callable[..., RunPlan]


@pytest.fixture
def plan(tmp_path: Path, tiny_base_folder: Path) -> Planned:
    shutil.copytree(tiny_base_folder, tmp_path / "base")

    def make(chat: str | None = CHATS["marked"], **changed: Any) -> RunPlan:
        (tmp_path / "base" / TEMPLATE).unlink(missing_ok=True)
        if chat is not None:
            (tmp_path / "base" / TEMPLATE).write_text(chat)
        given = {"base": str(tmp_path / "base"), "out": str(tmp_path / "run"), "preset": "demo"}
        return make_plans(resolve({**given, "domains": ["math"], **changed}))

    return make


def keys(plans: RunPlan) -> dict[str, str]:
    (one,) = plans
    return {task.name: task.cell.key for task in one.tasks}


def changed(one: RunPlan, other: RunPlan) -> set[str]:
    before, after = keys(one), keys(other)
    assert before.keys() == after.keys()
    return {name.partition(" ")[0] for name in before if before[name] != after[name]}


def asking(name: str, **evaluate: Any) -> dict[str, Any]:
    return {"prompts": {"template": name}, "evaluate": evaluate}


LATER = {"curate", "specialise", "compose", "evaluate"}


def test_auto_is_chat_where_there_is_one_but_for_the_paper(plan: Planned) -> None:
    def chosen(**settings: Any) -> tuple[str, str]:
        plans = plan(**settings)
        assert plans.config.prompts.template == plans.base.template.name
        return plans.base.template.name, plans.base.template.why

    assert chosen() == ("chat", "the base has one")
    assert chosen(chat=None) == ("alpaca", "the base has no chat template")
    assert chosen(preset="paper")[0] == "alpaca"
    assert "preset paper" in chosen(preset="paper")[1]
    assert chosen(preset="paper", **asking("chat")) == ("chat", "as the settings say")
    assert chosen(**asking("plain")) == ("plain", "as the settings say")


def test_templates_are_in_the_keys_of_what_they_change(plan: Planned) -> None:
    alpaca, chat, plain = (plan(**asking(name)) for name in ("alpaca", "chat", "plain"))
    assert changed(alpaca, chat) == {"respond", *LATER}
    assert changed(alpaca, plain) == LATER
    assert changed(plan(), chat) == set()


def test_without_a_chat_template_keys_are_what_they_were(plan: Planned) -> None:
    before = keys(plan(chat=None))
    assert keys(plan(**asking("alpaca"))) == before
    (one,) = plan(chat=None)
    assert one.template == {}


def test_another_chat_template_changes_what_is_asked_in_it(plan: Planned) -> None:
    other = CHATS["opened"]
    assert changed(plan(), plan(chat=other)) == {"respond", *LATER}
    assert changed(plan(**asking("alpaca")), plan(chat=other, **asking("alpaca"))) == set()
    there, gone = (plan(chat=one, **asking("alpaca")) for one in (other, None))
    assert changed(there, gone) == set()


def test_what_evaluation_asks_in_goes_before_the_rest(plan: Planned) -> None:
    alpaca, chat = plan(**asking("alpaca")), plan(**asking("alpaca", template="chat"))
    assert changed(alpaca, chat) == {"evaluate"}
    one, other = (keys(plan(**asking(name, template="alpaca"))) for name in ("alpaca", "chat"))
    asked = {name for name in one if name.startswith("evaluate base")}
    assert asked and all(one[name] == other[name] for name in asked)


def test_prompts_of_the_harness_stay_what_they_are(plan: Planned) -> None:
    data = {"track": "benchmark", "domains": ["reasoning"]}
    sample = str(Path(__file__).parents[2] / "docs" / "sample-data")
    one, other = (keys(plan(**data, data_dir=sample, **asking(t))) for t in ("alpaca", "chat"))
    asked = {name for name in one if name.startswith("evaluate base/")}
    assert asked and all(one[name] == other[name] for name in asked)


@pytest.mark.parametrize(
    ("given", "setting"),
    [(asking("chat"), "prompts"), (asking("alpaca", template="chat"), "evaluate")],
)
def test_a_chat_template_that_is_not_there_is_missed_before_any_work(
    plan: Planned, given: dict[str, Any], setting: str
) -> None:
    with pytest.raises(DataError, match=f"no chat template, which {setting}.template=chat asks"):
        plan(chat=None, **given)


def test_one_that_refuses_is_said_before_any_work(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "base", tmp_path / "base")
    (tmp_path / "base" / TEMPLATE).write_text("{{ raise_exception('never') }}")
    given = settings(place, base=str(tmp_path / "base"), out=str(tmp_path / "run"))
    with pytest.raises(DataError, match=r"fails on user: TemplateError: never(.|\n)*alpaca"):
        selfmoe.run(given)
    assert not list((tmp_path / "run").glob("seeds/*"))


def test_templates_of_older_folders_stand_among_the_tokenizers_settings(
    plan: Planned, tmp_path: Path
) -> None:
    path = tmp_path / "base" / "tokenizer_config.json"
    told = json.loads(path.read_text())
    for held in (CHATS["marked"], [{"name": "default", "template": CHATS["marked"]}]):
        path.write_text(json.dumps(told | {"chat_template": held}))
        assert plan(chat=None).base.template.chat == plan().base.template.chat != ""
    path.write_text(json.dumps(told | {"chat_template": CHATS["opened"]}))
    assert plan().base.template.chat != plan(chat=None).base.template.chat
    path.write_text(json.dumps(told | {"chat_template": [{"name": "tools", "template": "x"}]}))
    assert plan(chat=None).base.template.name == "alpaca"
