"""Finding code in answers; running it is the sandbox's matter."""

import pytest

from selfmoe.evaluation.code import bound_names, code_pieces, defines, parse_code, passes, python_in


@pytest.fixture
def sandboxed():
    from selfmoe.evaluation.sandbox import best_tier

    if best_tier() is None:
        pytest.skip("no sandbox here: generated code is not run")


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


def test_blocks_are_looked_at_up_to_the_first_that_is_wanted():
    text = "```sh\npip install x\n```\n```\n3\n```\n```\nx = 1\n```\n```\nx = 2\n```"
    assert code_pieces(text) == ["pip install x\n", "3\n"]
    assert code_pieces(text, lambda piece: "x = " in piece)[-1] == "x = 1\n"
    assert code_pieces(text, lambda piece: False)[-1] == "x = 2\n"


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("~~~python\nx = 1\n~~~\nDone.", "x = 1\n"),
        ("````py\nx = '''\n```\n'''\n````", "x = '''\n```\n'''\n"),
        ("```\nx = '''\n```\n1\n```\n'''\n```\nDone.", "x = '''\n```\n1\n```\n'''\n"),
        ("1. So:\n\n   ```python\n   if x:\n       y\n   ```\n2. Done", "if x:\n    y\n"),
        ("- ```python\n  x = 1\n  ```", "x = 1\n"),
        ("> ```python\n> if x:\n>     y\n> ```", "if x:\n    y\n"),
        ("[PYTHON]\nx = 1\n[/PYTHON]\nDone.", "x = 1\n"),
        ("<pre><code>\nx = 1\n</code></pre>", "x = 1\n"),
        ("\\begin{lstlisting}[language=Python]\nx = 1\n\\end{lstlisting}", "x = 1\n"),
        ("```python x = 1```", "x = 1\n"),
        ("```python\nx = 1\n```python\ny = 1\n```", "x = 1\n"),
        ("``` {.python .numberLines}\nx = 1", "x = 1"),
        ("So:\n\n    if x:\n        y\n\nDone.", "if x:\n    y\n"),
        ("So:\n\n\tx = 1\n\nDone.", "x = 1\n"),
    ],
)
def test_any_fence(text, block):
    assert block in code_pieces(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x = 1", "x = 1"),
        ("    def f():\n        return 1\n    x = 1", "def f():\n    return 1\nx = 1"),
        ("\tdef f():\n\t\treturn 1", "def f():\n\t\treturn 1"),
        ("def f():\n        return 1\n    x = 1", "def f():\n    return 1\nx = 1"),
        (">>> def f():\n...     return 1\n...\n>>> f()\n1", "def f():\n    return 1\n\nf()"),
        ("x =", None),
        ("", None),
    ],
)
def test_any_indent(text, code):
    assert python_in(text) == code


def test_what_a_module_binds():
    code = "import a.b, c as d\nfrom e import f\ndef g(): h = 1\nclass I: j = 1\nif k: l = m = 1\n"
    assert bound_names(code) == {"a", "d", "f", "g", "I", "l", "m"}
    assert bound_names("x =") == set()


GUARDED = """from __future__ import annotations
import dataclasses, pickle
@dataclasses.dataclass
class Point:
    x: int
def f():
    return __name__
{guard}
    {body}
assert f() != "__main__"
assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
"""


@pytest.mark.parametrize(
    ("guard", "body"),
    [
        ('if __name__ == "__main__":', "raise SystemExit(f())"),
        ("if '__main__' == __name__:", "import sys; sys.exit()"),
        ('if __name__ in ("__main__",):', "f(input())"),
        ('if __name__ == "__main__" and f():', "import unittest; unittest.main()"),
        ('while __name__ == "__main__":', "pass"),
        ("if True:", "assert f()"),
    ],
)
@pytest.mark.usefixtures("sandboxed")
def test_a_main_guard_does_not_run(guard, body):
    program = GUARDED.format(guard=guard, body=body)
    assert passes(program)
    assert not passes(program + "assert False\n")
    assert not passes(program + "x = \n")
