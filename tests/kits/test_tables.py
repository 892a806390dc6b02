"""Tables as pandas, spreadsheets and people write them, and ends of lines in what is read."""

from __future__ import annotations

import csv
import json
import random
import threading
from types import SimpleNamespace

import pytest
import torch

from selfmoe.contracts.errors import DataError
from selfmoe.contracts.lines import plain_lines, plain_record
from selfmoe.contracts.records import Example, Seed, Source
from selfmoe.kits.domains.tables import csv_lines, csv_table
from selfmoe.models.generation import generate
from selfmoe.pipeline.retrieval import read_passages
from selfmoe.registry.registry import registry
from selfmoe.testing.models import tiny_tokenizer

COLUMNS = ("instruction", "input", "response")
ROWS = [("Name it.", "a", "One."), ("Name that.", "b", "Two, or three.")]
PLAIN = 'instruction,input,response\nName it.,a,One.\nName that.,b,"Two, or three."\n'


def seeds(path):
    domain = registry().with_domains({"law": ("files", {"seeds": str(path)})})
    found = domain.configure("domain", "law").seeds(Source(), 100, random.Random(0))
    return [(seed.instruction, seed.input, seed.response) for seed in found]


def table(tmp_path, text):
    path = tmp_path / "law.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


INDEXED = ',instruction,input,response\n0,Name it.,a,One.\n1,Name that.,b,"Two, or three."\n'
WRITTEN = {
    "index of pandas": INDEXED,
    "index, filtered": INDEXED.replace("\n0,", "\n7,").replace("\n1,", "\n3,"),
    "index, read and written again": (
        ",Unnamed: 0,Unnamed: 0.1,instruction,input,response\n"
        '0,0,4.0,Name it.,a,One.\n1,1,5.0,Name that.,b,"Two, or three."\n'
    ),
    "mark in front": "\ufeff" + PLAIN,
    "mark in front of an index": (
        '\ufeff,instruction,input,response\n0,Name it.,a,One.\n1,Name that.,b,"Two, or three."\n'
    ),
    "separators at the ends": (
        'instruction,input,response,,\nName it.,a,One.,,\nName that.,b,"Two, or three.",,\n'
    ),
    "separators at the ends of rows alone": (
        'instruction,input,response\nName it.,a,One.,\nName that.,b,"Two, or three.",,,\n'
    ),
    "empty rows": PLAIN.replace("\nName that", "\n\n,,\n , ,\t\nName that") + ",,\n\n",
    "empty rows of pandas": (
        ',instruction,input,response\n0,Name it.,a,One.\n1,,,\n2,Name that.,b,"Two, or three."\n'
    ),
    "an empty column between": (
        'instruction,,input,response\nName it.,,a,One.\nName that.,,b,"Two, or three."\n'
    ),
    "an empty column with a name": (
        'instruction,input,response,notes\nName it.,a,One.,\nName that.,b,"Two, or three.", \n'
    ),
    "names as people write them": PLAIN.replace(
        "instruction,input,response", "Instruction, Input ,RESPONSE"
    ),
    "another order": 'response,instruction,input\nOne.,Name it.,a\n"Two, or three.",Name that.,b\n',
    "lines of Windows": PLAIN.replace("\n", "\r\n"),
    "lines of an old Macintosh": PLAIN.replace("\n", "\r"),
    "everything quoted": "".join(
        ",".join(f'"{cell}"' for cell in row) + "\r\n" for row in [COLUMNS, *ROWS]
    ),
    "no end of the last line": PLAIN.rstrip("\n"),
    "spaces around": PLAIN.replace("Name it.,a", " Name it. , a "),
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_what_programs_add_to_a_table_does_not_change_what_it_says(tmp_path, text):
    assert seeds(table(tmp_path, text)) == ROWS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("instruction,,response\na,7,b\n", "column 2 holds data but has no name"),
        (",instruction,response\nx1,a,b\n", "column 1 holds data but has no name"),
        ("instruction,response,\na,b,see above\n", "column 3 holds data but has no name"),
        ("Unnamed: 0,instruction,response\nlaw,a,b\n", "column 1 holds data"),
        ("instruction,response,notes\na,b,c\n", "unknown notes; expected: instruction"),
        ("instruction,input,response\na,b, c, d\n", "line 2: 4 cells, but the first line names 3"),
        ("instruction,input,Input,response\na,b,c,d\n", "2 columns are named 'input'"),
        ("instruction;response\na;b, c\n", "separated by commas"),
        ("instruction\tresponse\na\tb\n", "separated by commas"),
        (",,\n\n", "holds no tasks"),
        ("instruction,response\n,b\n", "task 1: 'instruction' is missing"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        seeds(table(tmp_path, text))


@pytest.mark.parametrize("ending", ["CSV", "Csv", "csv"])
def test_endings_of_tables_in_any_case(tmp_path, ending):
    path = tmp_path / f"law.{ending}"
    path.write_text(PLAIN)
    assert seeds(path) == ROWS


@pytest.mark.parametrize("ending", ["JSONL", "JsonL", "jsonl"])
def test_endings_of_json_lines_in_any_case(tmp_path, ending):
    path = tmp_path / f"law.{ending}"
    path.write_text(
        "".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in ROWS)
    )
    assert seeds(path) == ROWS


@pytest.mark.parametrize("value", [0, False, [], {}, 7])
def test_what_is_no_text_in_json_is_not_taken_for_an_empty_one(tmp_path, value):
    path = tmp_path / "law.jsonl"
    path.write_text(json.dumps({"instruction": "a", "input": value, "response": "b"}) + "\n")
    with pytest.raises(DataError, match="'input' is missing or no text"):
        seeds(path)


# --- long fields ---------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [131_072, 131_073, 400_000])
def test_fields_of_any_length_are_read(tmp_path, length):
    long = "x" * length
    assert seeds(table(tmp_path, f'instruction,response\n"{long}",One.\n')) == [(long, "", "One.")]


def test_the_limit_of_the_process_stays_what_it_was(tmp_path):
    before = csv.field_size_limit(2_000)
    try:
        assert csv_lines(table(tmp_path, "x" * 5_000 + ",y\n"))[0].cells[1] == "y"
        with pytest.raises(DataError, match="cannot read"):
            csv_lines(table(tmp_path, '"' + "x" * 5_000))
        assert csv.field_size_limit() == 2_000
    finally:
        csv.field_size_limit(before)


def test_threads_read_long_fields_side_by_side(tmp_path):
    before, found = csv.field_size_limit(), []
    paths = []
    for number in range(4):
        paths.append(tmp_path / f"{number}.csv")
        paths[-1].write_text("instruction,response\n" + f"{'x' * 150_000},{number}\n" * 20)

    def read(path):
        found.append({row["response"] for row in csv_table(path, COLUMNS)})

    threads = [threading.Thread(target=read, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(min, found)) == ["0", "1", "2", "3"]
    assert csv.field_size_limit() == before


# --- ends of lines -------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_lines_within_fields_end_alike(tmp_path, end, ending):
    rows = [("Name it.\nIn short.", "One\nTwo", "It is\na cat."), ("Name that.", "", "A dog.")]
    brought = [[cell.replace("\n", end) for cell in row] for row in rows]
    path = tmp_path / f"law.{ending}"
    if ending == "csv":
        quoted = [",".join(f'"{cell}"' for cell in row) for row in [COLUMNS, *brought]]
        path.write_bytes(end.join(quoted).encode())
    else:
        lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in brought]
        path.write_text("\n".join(lines))
    assert seeds(path) == rows


@pytest.mark.parametrize("blank", ["\n\n", "\r\n\r\n", "\r\r", "\n\r\n", "\r\n\n", "\n\r"])
@pytest.mark.parametrize("column", COLUMNS)
def test_a_blank_line_is_refused_however_lines_end(tmp_path, blank, column):
    row = {"instruction": "Name it.", "input": "a", "response": "One."}
    row[column] += f"{blank}Two."
    path = tmp_path / "law.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="ends a task or an answer"):
        seeds(path)


def test_a_mark_of_an_answer_is_found_behind_any_end_of_a_line(tmp_path):
    path = table(tmp_path, 'instruction,response\n"Name it.\r\nResponse: x",One.\r\n')
    with pytest.raises(DataError, match="ends a task or an answer"):
        seeds(path)


def test_texts_of_records_are_made_plain_and_others_left_alone():
    seed = Seed("1", "a\r\nb", "c\rd", "e\n")
    assert plain_record(seed) == Seed("1", "a\nb", "c\nd", "e\n")
    example = Example("1", "law", "a", "", "b\r\n\r\nc", seeds=("0",))
    assert plain_record(example) == Example("1", "law", "a", "", "b\n\nc", seeds=("0",))
    same = "no such thing"
    assert plain_lines(same) is same


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_paragraphs_of_documents_are_told_by_any_end_of_a_line(tmp_path, end):
    text = "One of them.\n\nTwo of them.\nGoing on.".replace("\n", end)
    (tmp_path / "a.TXT").write_bytes(text.encode())
    (tmp_path / "b.JSONL").write_text(json.dumps({"text": text}) + "\n")
    found = [passage.text for passage in read_passages(tmp_path, 100)]
    assert found == ["One of them.", "Two of them. Going on."] * 2


@pytest.mark.parametrize(
    ("written", "text", "finished"),
    [
        ("One.\n\nTwo.", "One.", True),
        ("One.\r\n\r\nTwo.", "One.", True),
        ("One.\r\rTwo.", "One.", True),
        ("One.\n\r\nTwo.", "One.", True),
        ("One.\r\nTwo.", "One.\nTwo.", False),
        ("One.\r\nResponse: Two.", "One.", True),
    ],
)
def test_what_a_model_writes_is_cut_at_any_blank_line(written, text, finished):
    tokenizer = tiny_tokenizer()
    told = Parrot(tokenizer, written)
    (found,) = generate(told, tokenizer, ["x"], max_new_tokens=99, stop=("\n\n", "\nResponse:"))
    assert (found.text, found.finished) == (text, finished)
    assert told.stopped == finished


class Parrot:
    """Stands for a model that writes a text, and stops where it is told to."""

    device = "cpu"

    def __init__(self, tokenizer, text):
        self.tokens = tokenizer(text, add_special_tokens=False).input_ids
        self.generation_config = SimpleNamespace(eos_token_id=tokenizer.eos_token_id)
        self.stopped = False

    def generate(self, input_ids, stopping_criteria, **_):
        for token in self.tokens:
            input_ids = torch.cat([input_ids, torch.tensor([[token]])], dim=1)
            if stopping_criteria(input_ids, None).all():
                self.stopped = True
                break
        return input_ids
