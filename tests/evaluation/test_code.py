"""Finding code in answers; running it is the sandbox's matter."""

import pytest

from selfmoe.evaluation.code import code_pieces, defines, parse_code


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("x = 1", ["x = 1"]),
        ("", []),
        (" \n", []),
        ("```\nx = 1\n```", ["x = 1\n"]),
        ("```python\nx = 1", ["x = 1"]),
        ("So:\n  ```py\nx = 1\n  ```\nand\n```\nx = 2\n```", ["So:\n", "x = 1\n"]),
        ("x = 1\n```\n", ["x = 1\n"]),
        ("x = 1\n```", ["x = 1\n"]),
        ("x = '```'", ["x = '```'"]),
    ],
)
def test_pieces_of_an_answer(text, pieces):
    assert code_pieces(text) == pieces


@pytest.mark.parametrize(
    "text", ["x =", "return 1", "x = '\x00'", "(" * 5000, "\ud800", "1" * 5000, "await x"]
)
def test_what_is_no_code(text):
    assert parse_code(text) is None


def test_code_is_never_run():
    assert parse_code("raise SystemExit") is not None


def test_only_functions_of_the_module_itself_count():
    tree = parse_code("def f():\n    def g(): pass")
    assert tree is not None
    assert defines(tree, "f")
    assert not defines(tree, "g")
