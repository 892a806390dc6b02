import json
import random
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from selfmoe.contracts.errors import DataError, MissingDataError
from selfmoe.contracts.records import Source
from selfmoe.contracts.text import normalise
from selfmoe.evaluation.prompting import Prompter, choose_shots, render
from selfmoe_domain_reasoning import bbh
from selfmoe_domain_reasoning.bbh import BBH
from selfmoe_domain_reasoning.bbh_answers import one_form
from selfmoe_domain_reasoning.bbh_files import CUE, TASKS

REAL = Path(__file__).parents[3] / "shared" / "data"
needs_real = pytest.mark.skipif(not (REAL / "bbh").exists(), reason=f"no BBH files in {REAL}")

CANARY = "Never train on this. 1234-abcd"


def task_file(folder: Path, task: str, items: list, shots: int = 3) -> None:
    (folder / "cot-prompts").mkdir(parents=True, exist_ok=True)
    content = {"canary": CANARY, "examples": items}
    (folder / f"{task}.json").write_text(json.dumps(content), "utf-8")
    worked = "".join(
        f"\n\nQ: {task} {n}?\nOptions:\n(A) x\n(B) y\n{CUE}\nStep.\nSo the answer is (A)."
        for n in range(shots)
    )
    prompt = f"{CANARY}\n-----\nDo {task}.\n\nIn two parts.{worked}\n"
    (folder / "cot-prompts" / f"{task}.txt").write_text(prompt, "utf-8")


def items_of(task: str, n: int, target: str = "(B)") -> list[dict[str, str]]:
    return [{"input": f"{task} item {i}?", "target": target} for i in range(n)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    task_file(tmp_path / "bbh", "navigate", items_of("navigate", 22, "Yes"))
    task_file(tmp_path / "bbh", "hyperbaton", items_of("hyperbaton", 25))
    return tmp_path


@pytest.fixture
def benchmark(files: Path) -> BBH:
    return BBH(Source("benchmark", files))


def test_tasks_take_turns_and_reserved_positions_are_not_scored(files, benchmark):
    ids = [doc["id"] for doc in benchmark.items]
    assert ids[:3] == ["bbh-hyperbaton-20", "bbh-navigate-20", "bbh-hyperbaton-21"]
    assert len(ids) == 5 + 2
    dev = BBH(Source("benchmark", files, "dev"))
    assert {doc["id"].rpartition("-")[2] for doc in dev.items} == set(map(str, range(10, 20)))
    assert benchmark.extra["tasks"] == ["hyperbaton", "navigate"]
    assert len(benchmark.extra["tasks_missing"]) == 25


@pytest.mark.parametrize("layout", ["inside", "upstream"])
def test_other_layouts_give_the_same(files, benchmark, layout):
    folder = files
    if layout == "inside":
        folder = files / "bbh"
    else:
        (files / "bbh" / "cot-prompts").rename(files / "cot-prompts")
    other = BBH(Source("benchmark", folder))
    assert other.items == benchmark.items
    assert len(other.pool) == 6


def test_an_item_is_shown_the_examples_of_its_task(benchmark):
    shots = choose_shots(benchmark, None, None)
    prompter = Prompter(benchmark, "plain", shots, len, 10_000)
    assert prompter.asked == 3
    for doc in benchmark.items:
        prompt = prompter.fit(doc)
        assert prompt.used == 3
        assert prompt.text.startswith(f"Do {doc['task']}.\n\nIn two parts.\n\nQ: {doc['task']} 0?")
        assert prompt.text.endswith(f"Q: {doc['input']}\n{CUE}\n")
    tight = Prompter(benchmark, "plain", shots, len, 256 + len(prompt.text) - 1)
    assert tight.fit(doc).used == 2
    drawn = Counter(doc["task"] for doc in choose_shots(benchmark, 2, 7))
    assert drawn == {"navigate": 2, "hyperbaton": 2}


def test_seeds_are_worked_examples_then_reserved_items_evenly(files):
    source = Source("benchmark", files)
    seeds = bbh.seeds(source, 16, random.Random(3))
    worked = [seed for seed in seeds if "worked" in seed.id]
    assert worked == seeds[:6]
    assert worked[0].response == "Step.\nSo the answer is (A)."
    assert {seed.response for seed in seeds[6:]} == {
        "So the answer is (B).",
        "So the answer is Yes.",
    }
    assert Counter(seed.id.split("-")[1] for seed in seeds) == {"hyperbaton": 8, "navigate": 8}
    assert all(int(seed.id.rpartition("-")[2]) < 10 for seed in seeds)
    assert not any("1234" in f"{seed}" for seed in seeds)


def test_examples_that_tasks_share_are_one_seed(files):
    task_file(files / "bbh", "snarks", items_of("snarks", 30))
    shared = (files / "bbh" / "cot-prompts" / "navigate.txt").read_text("utf-8")
    (files / "bbh" / "cot-prompts" / "snarks.txt").write_text(shared, "utf-8")
    seeds = bbh.seeds(Source("benchmark", files), 36, random.Random(0))
    assert sum("worked" in seed.id for seed in seeds) == 6


def test_reserved_items_that_are_also_scored_are_no_seeds(files):
    items = items_of("hyperbaton", 25)
    items[24] = items[4]
    items[13] = items[5]
    task_file(files / "bbh", "hyperbaton", items)
    for split in ("test", "dev"):
        seeds = bbh.seeds(Source("benchmark", files, split), 24, random.Random(0))
        assert not {"bbh-hyperbaton-4", "bbh-hyperbaton-5"} & {seed.id for seed in seeds}


def test_the_hub_gives_the_same_items(files, monkeypatch):
    def load(path, name, split):
        assert (path, split) == ("SaylorTwift/bbh", "test")
        file = files / "bbh" / f"{name}.json"
        return json.loads(file.read_text())["examples"] if file.exists() else items_of(name, 21)

    monkeypatch.setattr("datasets.load_dataset", load)
    hub, local = BBH(Source("benchmark")), BBH(Source("benchmark", files))
    assert hub.extra["tasks"] == list(TASKS)
    assert len(hub.pool) == 3 * len(TASKS)
    wording = {"description"}  # the hand-made files have descriptions of their own
    bare = [{k: v for k, v in doc.items() if k not in wording} for doc in hub.items]
    for doc in local.items:
        assert {k: v for k, v in doc.items() if k not in wording} in bare


@pytest.mark.parametrize(
    ("target", "completion", "strict", "lenient"),
    [
        ("(B)", "Steps. So the answer is (B).", 1, 1),
        ("(B)", "So the answer is (B)", 0, 1),
        ("(B)", "The answer is (B).", 0, 1),
        ("(B)", "(B) second", 0, 1),
        ("(B)", "So the answer is second.", 0, 1),
        ("(B)", "So the answer is (A). No, the answer is (B).", 0, 0),
        ("(R)", "The answer is **(R)**", 0, 1),
        ("Yes", "So the answer is Yes.", 1, 1),
        ("Yes", "So the answer is yes.", 0, 1),
        ("Yes", "So the answer is No.", 0, 0),
        ("True", "not False and True = True", 0, 1),
        ("False", "True and False = False", 0, 1),
        ("valid", "So the answer is invalid.", 0, 0),
        ("valid", "The argument is not valid.", 0, 0),
        ("-12", "So the answer is -12.", 1, 1),
        ("-12", "So the answer is -12.0.", 0, 1),
        ("-12", "So the answer is 12.", 0, 0),
        ("1000", "We get 1,000", 0, 1),
        ("] ) >", "So the answer is ] ) >.", 1, 1),
        ("] ) >", "So the answer is ])>", 0, 1),
        ("] ) >", "So the answer is ] >.", 0, 0),
        ("] ) >", "I do not know.", 0, 0),
        ("ant bee it&t", "So the answer is ant bee it&t.", 1, 1),
        ("ant bee it&t", "So the answer is Ant, bee, it&t.", 0, 1),
        ("ant bee it&t", "So the answer is bee ant it&t.", 0, 0),
        ("ant bee it&t", "", 0, 0),
        ("ant bee", "The answer is ant bee. So my answer is ant bee.", 0, 1),
        ("] ) >", "The answer is ] ) >. The answer is ] ) >.", 0, 1),
        ("(A)", "The answer is a shade of sky, blue.", 0, 0),
        ("(R)", "To find the answer I need (R)", 0, 1),
        ("dearth, wind, & fire", "So the answer is dearth, wind, & fire.", 1, 1),
    ],
)
def test_strict_is_to_the_letter_and_lenient_in_any_form(
    benchmark, target, completion, strict, lenient
):
    doc = {"input": "Which?\nOptions:\n(A) first\n(B) second", "target": target}
    assert benchmark.score(doc, completion) == {"score": strict, "lenient": lenient}


@pytest.mark.parametrize(
    ("completion", "form"),
    [
        ("So the answer is (B).", "b"),
        ("Steps.\n(B)", "b"),
        ("The answer is 12.0.", "12"),
        ("The answer is 1,200.", "1200"),
        ("The answer is ] ).", "])"),
        ("I see.\n])", "])"),
        ("The answer is Ant, bee. So the answer is ant bee.", "ant bee"),
        (" \n", None),
    ],
)
def test_equal_answers_have_one_form(completion, form):
    assert one_form(completion) == form


def test_only_the_harness_template_stops_at_a_blank_line(benchmark):
    assert "\n\n" in benchmark.stops("plain")
    assert benchmark.stops("alpaca") == ()


def test_what_is_extracted_is_what_counts(benchmark):
    doc = benchmark.items[0]
    assert benchmark.extract(doc, "Steps. So the answer is (B).\nMore.") == "(B)"
    assert benchmark.extract(doc, "Steps.\nIt is B") == "It is B"
    assert benchmark.extract(doc, " ") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read"),
        ("[]", "field 'examples'"),
        ('{"examples": 3}', "field 'examples'"),
        ('{"examples": []}', "holds no items"),
        ('{"examples": ["a"]}', "item 1: field 'input'"),
        ('{"examples": [{"input": "a", "target": "b"}, {"input": "a"}]}', "item 2: field 'target'"),
        ('{"examples": [{"input": " ", "target": "b"}]}', "item 1: field 'input'"),
    ],
)
def test_malformed_task_files_are_one_clear_error(files, content, message):
    (files / "bbh" / "navigate.json").write_text(content)
    with pytest.raises(DataError, match=rf"navigate\.json.*{message}|{message}.*navigate\.json"):
        _ = BBH(Source("benchmark", files)).items


@pytest.mark.parametrize(
    "content", ["", "a\n-----\nOnly words.", f"a\n-----\nDo.\n\nQ: b?\n{CUE}\nNo answer."]
)
def test_malformed_examples_are_one_clear_error(files, content):
    (files / "bbh" / "cot-prompts" / "navigate.txt").write_text(content)
    with pytest.raises(DataError, match=r"navigate\.txt is no file of worked examples"):
        _ = BBH(Source("benchmark", files)).pool


def test_missing_files_say_what_was_looked_for(files, tmp_path_factory):
    with pytest.raises(MissingDataError, match=r"boolean_expressions\.json"):
        BBH(Source("benchmark", tmp_path_factory.mktemp("empty"))).files()
    (files / "bbh" / "cot-prompts" / "navigate.txt").unlink()
    with pytest.raises(MissingDataError, match=r"navigate\.txt"):
        BBH(Source("benchmark", files)).files()


@needs_real
def test_seeds_dev_and_test_share_no_question():
    benchmark = BBH(Source("benchmark", REAL))
    parts = [
        {normalise(doc["task"], doc["input"]) for doc in benchmark.part(positions)}
        for positions in (bbh.SEEDS, bbh.DEV, bbh.TEST)
    ]
    shown = {normalise(doc["task"], doc["input"]) for doc in benchmark.pool}
    assert all(a.isdisjoint(b) for a, b in combinations([*parts, shown], 2))
    assert len(benchmark.items) == sum(250 - 20 for _ in benchmark.tasks())


def stock_task(task: str, rows: list[dict[str, str]]):
    """Return lm-eval's own task on the given rows, its settings, and the rows as it sees them."""
    import lm_eval
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    folder = Path(lm_eval.__file__).parent / "tasks" / "bbh" / "cot_fewshot"
    stock = load_yaml(folder / f"{task}.yaml")
    for key in ("tag", "dataset_path", "dataset_name"):
        stock.pop(key, None)
    data = Dataset.from_list(rows)
    made = ConfigurableTask(config={**stock, "custom_dataset": lambda **_: {"test": data}})
    return made, stock, data


def check_prompts(benchmark: BBH, every: int) -> None:
    shots = choose_shots(benchmark, None, None)
    for name in benchmark.tasks():
        docs = [doc for doc in benchmark.items if doc["task"] == name][::every]
        rows = [{"input": doc["input"], "target": doc["target"]} for doc in docs]
        task, stock, data = stock_task(name, rows)
        own = [shot for shot in shots if shot["task"] == name]
        assert list(benchmark.stop) == stock["generation_kwargs"]["until"]
        for doc, theirs in zip(docs, data, strict=True):
            expected = task.fewshot_context(theirs, stock["num_fewshot"])
            assert render(benchmark, doc, own, "plain") == expected
            assert doc["target"] == task.doc_to_target(theirs)


@needs_real
def test_prompts_equal_those_of_lm_eval():
    pytest.importorskip("lm_eval")
    check_prompts(BBH(Source("benchmark", REAL)), every=5)


def test_prompts_of_hub_items_equal_those_of_lm_eval(monkeypatch):
    pytest.importorskip("lm_eval")
    monkeypatch.setattr("datasets.load_dataset", lambda path, name, split: items_of(name, 22))
    check_prompts(BBH(Source("benchmark")), every=1)


@needs_real
def test_files_and_lm_eval_carry_the_same_examples(monkeypatch):
    pytest.importorskip("lm_eval")
    monkeypatch.setattr("datasets.load_dataset", lambda path, name, split: items_of(name, 21))
    hub = {doc["id"]: doc for doc in BBH(Source("benchmark")).pool}
    local = BBH(Source("benchmark", REAL)).pool
    assert local
    assert all(hub[doc["id"]] == doc for doc in local)


@pytest.mark.parametrize(
    "completion",
    ["the answer is (A).", "the answer is (A)", "So the answer is\n(A).", "the answer is .", "",
     "the answer is x. the answer is y.", "the answer is \nthe answer is 3.", "The answer is 3.",
     "the answer is  ] ] .\nQ"],
)  # fmt: skip
def test_strict_extraction_is_that_of_lm_eval(benchmark, completion):
    pytest.importorskip("lm_eval")
    from lm_eval.filters.extraction import RegexFilter

    _, stock, _ = stock_task("navigate", items_of("navigate", 1))
    (regex, _) = stock["filter_list"][0]["filter"]
    ((found,),) = RegexFilter(regex["regex_pattern"]).apply([[completion]], [{}])
    doc = {"input": "?", "target": found}
    assert benchmark.score(doc, completion)["score"] == float(found != "[invalid]")
