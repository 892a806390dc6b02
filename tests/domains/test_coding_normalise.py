"""Problems of MBPP in the form of HumanEval; nothing of the sandbox here but two checks."""

import ast

import pytest

from selfmoe.contracts.records import Rejected
from selfmoe_domain_coding.normalise import Problem, to_humaneval


def rewritten(code, *tests, text="Write a function.", setup=""):
    row = {"text": text, "code": code, "setup": setup, "tests": tests or ("assert f(2) == 4",)}
    return to_humaneval(row)


def runs(problem):
    """Run a problem of this file, which is no generated code."""
    for code in (problem.prompt + problem.completion, problem.program):
        exec(f"{code}\n{problem.test}check({problem.entry_point})\n", {})
    return True


def test_prompt_body_and_tests():
    problem = rewritten(
        "def f(x):\n  # doubles\n  return (x+x)", "assert f(2) == 4", "assert f('ab') == 'abab'"
    )
    assert problem == Problem(
        prompt='def f(x):\n    """Write a function.\n    >>> f(2)\n    4\n    """\n',
        entry_point="f",
        completion="    return x + x\n",
        program="def f(x):\n    return x + x",
        test="def check(candidate):\n    assert candidate(2) == 4\n"
        "    assert candidate('ab') == 'abab'\n",
    )
    assert runs(problem)


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\r\n\treturn x * 2 ",
        "def f(x):\r\n    if x:\r\n\treturn x * 2\r\n",
        "def f(x):\n\tif x:\n\t\treturn x * 2",
        "\r\n\r\ndef f( x ) :\n  return x * 2;",
        "def f(x):\n    '''Twice.'''\n\n\n    return x * 2",
        "@staticmethod\ndef f(x):\n    return x * 2",
        "async_ = 2\ndef f(x):\n    return x * async_",
        "def f(x):\n    return g(x)\n\ndef g(x):\n    return x * 2",
        "def g(x):\n    return x * 2\ndef f(x):\n    return g(x)",
        "def f(x):\n    return x\ndef f(x):\n    return x * 2",
        "import operator as o\ndef f(x):\n    return o.mul(x, 2)",
        "def f(x):\n    import operator\n    return operator.mul(x, 2)",
        "class Two:\n    n = 2\n\ndef f(x, y=2):\n    return x * Two.n",
        "def f(x):\n    return [v * 2 for v in [x]][0]",
    ],
)
def test_odd_layouts_and_solutions_of_several_parts(code):
    problem = rewritten(code)
    assert runs(problem)
    for text in (problem.prompt, problem.completion, problem.program):
        assert not {"\t", "\r"} & set(text)
    assert "\n\n" not in problem.program
    assert "Twice" not in problem.prompt + problem.completion


@pytest.mark.parametrize(
    ("code", "imports"),
    [
        ("def f(x):\n    return int(math.pow(x, 2))", "import math"),
        ("import math\ndef f(x):\n    return int(math.pow(x, 2))", "import math"),
        ("from math import pow\ndef f(x):\n    return int(pow(x, 2))", "from math import pow"),
        ("def f(x: List) -> Dict:\n    return x * x",
         "from typing import Dict\nfrom typing import List"),
        ("def f(string):\n    return string * 2", ""),
    ],
)  # fmt: skip
def test_imports_stand_on_top_and_missing_ones_are_added(code, imports):
    problem = rewritten(code)
    assert problem.prompt.partition("def f")[0].strip() == imports
    assert runs(problem)


def test_tests_may_need_an_import_of_their_own():
    problem = rewritten("def f(x):\n    return x / 3", "assert math.isclose(f(1), 0.33, abs_tol=1)")
    assert problem.prompt.startswith("import math\n")
    assert runs(problem)


@pytest.mark.parametrize(
    ("test", "shown"),
    [
        ("assert f( 2 )==4", ">>> f(2)\n    4"),
        ("assert f(2)", ">>> f(2)\n    True"),
        ("assert not f(2) > 5", ">>> not f(2) > 5\n    True"),
        ("assert set(f(2) for _ in 'a') == {4}", ">>> set((f(2) for _ in 'a'))\n    {4}"),
        ("assert f(2) == 4, 'message'", ">>> f(2)\n    4"),
    ],
)
def test_the_first_test_is_shown_as_an_interpreter_would(test, shown):
    problem = rewritten("def f(x):\n    return x * 2", test)
    assert shown in problem.prompt
    assert runs(problem)


def test_a_docstring_says_what_the_description_says():
    text = 'Split at\r\n "\\d" and """quotes""" é.'
    problem = rewritten("def f(x):\n    return x", 'assert f("a\\n") == "a\\n"', text=text)
    (function,) = ast.parse(problem.prompt).body
    shown = 'Split at "\\d" and """quotes""" é.\n>>> f(\'a\\n\')\n\'a\\n\''
    assert ast.get_docstring(function) == shown
    assert runs(problem)


def test_set_up_code_stands_before_the_tests():
    problem = rewritten("def f(x):\n    return x + x", "assert f(two) == 4", setup="two = 2\r\n")
    assert problem.test.startswith("two = 2\ndef check(candidate):\n")
    assert runs(problem)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (("def f(x) return x",), "does not parse"),
        (("def f(x):\n    return x", "assert f(2) == "), "does not parse"),
        (("return 1",), "does not parse"),
        (("def g(x):\n    return x",), "no test calls a function of the code"),
        (("f = abs",), "no test calls a function of the code"),
        (("def f(x):\n    return x", "f(2)"), "no test calls a function of the code"),
        (("def check(x):\n    return x", "assert check(2)"), "called 'check'"),
        (("class N: pass\ndef f(x):\n    return x", "assert f(N())"), "use N, which only"),
        (("K = 2\ndef f(x, k=K):\n    return x",), "signature use K"),
        (("K = 2\ndef f(x):\n    return x", "assert f(K)"), "use K, which only"),
    ],
)
def test_what_cannot_be_rewritten_says_why(row, reason):
    refused = rewritten(*row)
    assert isinstance(refused, Rejected)
    assert reason in refused.reason
