"""A domain made of files: the contract, both formats, and what is wrong with a file."""

from __future__ import annotations

import csv
import json
import random

import pytest

from selfmoe.config.resolve import resolve
from selfmoe.contracts.errors import ConfigError, DataError, MissingDataError
from selfmoe.contracts.records import Source
from selfmoe.registry.registry import registry
from selfmoe.testing import DomainContract

ROWS = [
    {"instruction": "Name the court.", "input": f"Case {n}", "response": f"Court of {n} judges."}
    for n in range(60)
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def law(seeds, benchmark=None, **options):
    options |= {"seeds": str(seeds)} | ({"benchmark": str(benchmark)} if benchmark else {})
    names = registry().with_domains({"law": ("files", options)})
    return names.configure("domain", "law")


class TestContract(DomainContract):
    @pytest.fixture(params=["mini", "benchmark"])
    def source(self, request):
        return Source(request.param)

    @pytest.fixture
    def domain(self, tmp_path):
        seeds, held = write(tmp_path / "s.jsonl", ROWS[:40]), write(tmp_path / "h.jsonl", ROWS[40:])
        return law(seeds, held, description="contract law")


def test_csv_and_jsonl_say_the_same(tmp_path):
    with (tmp_path / "law.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["instruction", "input", "response"])
        table.writeheader()
        table.writerows(ROWS)
    drawn = [
        law(path).seeds(Source(), 20, random.Random(0))
        for path in (tmp_path / "law.csv", write(tmp_path / "law.jsonl", ROWS))
    ]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 20


def test_fewer_seeds_than_asked_for_are_all_of_them_in_order(tmp_path):
    seeds = law(write(tmp_path / "law.jsonl", ROWS[:3])).seeds(Source(), 100, random.Random(0))
    assert [seed.input for seed in seeds] == ["Case 0", "Case 1", "Case 2"]


def test_the_description_is_in_the_prompts_on_both_tracks(tmp_path):
    domain = law(write(tmp_path / "law.jsonl", ROWS), description="contract law")
    unnamed = law(tmp_path / "law.jsonl")
    for track in ("mini", "benchmark"):
        assert "contract law" in domain.prompts(Source(track)).brainstorm_header
        assert " law tasks" in unnamed.prompts(Source(track)).brainstorm_header


def test_without_a_held_out_file_there_is_no_benchmark(tmp_path):
    assert law(write(tmp_path / "law.jsonl", ROWS)).benchmarks(Source()) == []


def test_scores(tmp_path):
    rows = [{"instruction": "Who?", "response": "The  Queen."}]
    (held,) = law(tmp_path / "s.jsonl", write(tmp_path / "h.jsonl", rows)).benchmarks(Source())
    (doc,) = held.items
    right, loose, wrong = {"score": 1.0, "lenient": 1.0}, {"score": 0.0, "lenient": 1.0}, None
    wrong = {"score": 0.0, "lenient": 0.0}
    assert held.score(doc, "the queen") == right
    assert held.score(doc, "It was the queen, I think.") == loose
    assert held.score(doc, "The queens") == wrong


@pytest.mark.parametrize(
    ("response", "same", "within", "other"),
    [
        ("北京", "「北京」。", "中国的首都是北京，人口很多。", "南京"),
        ("インスリン", "ｲﾝｽﾘﾝ。", "膵臓はインスリンを作ります。", "インスリノーマ"),
        ("서울", "서울.", "수도는 서울입니다.", "부산입니다"),
        ("กรุงเทพ", "กรุงเทพ", "เมืองหลวงคือกรุงเทพครับ", "เชียงใหม่"),
        ("धारा 302", "धारा 302।", "यह धारा 302 के अंतर्गत है।", "धारा 3021"),
        ("काल", "काल!", "उत्तर काल है", "यह त्रिकाल है"),
        ("Москва", "москва", "Столица России: Москва, да.", "Подмосковье"),
        ("القاهرة", "«القاهرة»؟", "العاصمة هي القَاهِرَة.", "بالقاهرة"),
        ("C", "c.", "It is C, not a shell.", "It is C++, or C#"),
        ("C++", "Ｃ＋＋", "Use C++11.", "Use C or C#"),
        ("17", "１７", "一共17個。", "一共173個"),
        ("é", "e\u0301", "The letter é.", "été"),
    ],
)
def test_scores_in_any_script(tmp_path, response, same, within, other):
    rows = [{"instruction": "?", "response": response}]
    (held,) = law(tmp_path / "s.jsonl", write(tmp_path / "h.jsonl", rows)).benchmarks(Source())
    (doc,) = held.items
    assert held.score(doc, same) == {"score": 1.0, "lenient": 1.0}
    assert held.score(doc, within) == {"score": 0.0, "lenient": 1.0}
    assert held.score(doc, other) == {"score": 0.0, "lenient": 0.0}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("law.txt", "x", "end in .jsonl or .csv"),
        ("law.jsonl", "", "holds no tasks"),
        ("law.jsonl", '{"instruction": "a", "response": ""}\n', "task 1: 'response' is missing"),
        ("law.jsonl", '{"instruction": 1, "response": "b"}\n', "'instruction' is missing or no"),
        ("law.jsonl", '{"instruction": "a", "answer": "b"}\n', "unknown answer; expected"),
        ("law.jsonl", '{"instruction": "a", "response": "b"}\n' * 2, "task 2 asks what task 1"),
        ("law.jsonl", '{"instruction": "a", "response": "b\\n\\nc"}\n', "ends a task or an answer"),
        ("law.csv", "instruction,input,response\na,b\n", "'response' is missing"),
        ("law.csv", "question,answer\na,b\n", "unknown question, answer"),
        ("law.csv", "instruction;response\na;b\n", "unknown instr.*\n.*separated by commas"),
        ("law.csv", 'instruction,response\n"a,b\n', "cannot read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        law(tmp_path / name).seeds(Source(), 5, random.Random(0))


def test_a_file_that_is_not_there_stops_the_plan(tmp_path):
    with pytest.raises(MissingDataError, match=r"no file .*law.jsonl"):
        law(tmp_path / "law.jsonl").files(Source())


@pytest.mark.parametrize(
    ("define", "words"),
    [
        ({"law": {"domain": "file"}}, "did you mean 'files'"),
        ({"law": {"domain": "files"}}, "define.law.options.seeds: Field required"),
        ({"law": {"domain": "files", "options": {"seeds": "x", "sed": 1}}}, "options.sed: unknown"),
        ({"math": {"domain": "files", "options": {"seeds": "x"}}}, "has a domain 'math' already"),
        ({"Law": {"domain": "files", "options": {"seeds": "x"}}}, "not a possible name"),
        ({"tax": {"domain": "files", "options": {"seeds": "x"}}}, "tax: not among domains"),
    ],
)
def test_definitions_are_checked(define, words):
    with pytest.raises(ConfigError, match=words):
        resolve({"domains": ["math", "law"], "define": define})
