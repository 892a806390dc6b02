"""Numbers as models write them: read as a whole, or not at all."""

import pytest

from selfmoe.evaluation.answers import (
    final_number,
    fraction,
    last_number,
    marked_number,
    money,
    quantity,
)
from selfmoe.evaluation.answers.numbers import rational

WHOLE = {
    "9500": [
        *(r"$9{,}500$", r"9\,500", r"9\;500", r"9\ 500", "$9~500$", r"9,\!500", r"9{\,}500"),
        *("9\u2009500", "9\u202f500", "9\u00a0500", "9\u2007500", "9 500", "9'500", "9\u2019500"),
        *("9_500", "\uff19\uff0c\uff15\uff10\uff10", "\u0669\u066c\u0665\u0660\u0660"),
        *("\u096f\u096b\u0966\u0966", "\u0e59\u0e55\u0e50\u0e50", "9\u200b500", "**9,500**"),
        *(r"\boxed{9{,}500}", r"$\textbf{9,500}$", "US$9,500", "9,500 USD", "`9500`"),
    ],
    "1234567.89": [r"1{,}234{,}567.89", "1.234.567,89", "1 234 567,89", "1'234'567.89"],
    "123456": ["1,23,456", "\u20b91,23,456", r"1{,}23{,}456"],
    "12.5": ["\u20ac12,50", "12,50 \u20ac", "12{,}5", "12\u00bd", r"12\frac12", "12 1/2", "25/2"],
    "0.75": ["0,75", "3/4", "\u00be", "3\u20444", r"\frac34", r"\dfrac{3}{4}", "\u0660\u066b75"],
    "-5": [
        *("\u22125", "\u20135", "\uff0d\uff15", "\ufe635", "\u20115", "- 5", "$-5$", r"-\$5"),
        *(r"$-\,5$", "x = - 5", "negative 5", "minus 5", "-{5}", "**-5**", "-5.0"),
    ],
    "-0.5": [r"-\frac{1}{2}", "-\u00bd", r"\frac{-1}{2}", r"\frac{1}{-2}", "\u22121/2"],
    "1000": ["10^3", "10^{3}", "10\u00b3", "10**3", "1e3", r"1 \times 10^3", "1\u00d710\u00b3"],
    "0.001": ["10^{-3}", "10\u207b\u00b3", "1e-3", r"1\cdot 10^{-3}"],
    "1/3": ["1/3", r"\frac{1}{3}", "\u2153", r"0.\overline{3}"],
    "12": ["12 cm^2", "12 cm\u00b2", r"12\text{ cm}^2", r"12^\circ", "12%", r"12\%", "3 x 4 = 12"],
}  # fmt: skip
IN_PART = [
    *("12:30", "3:2", "5 : 3", "3.14.15", "344_5", "344_{5}", "\u00b15", r"\pm 5", r"2\sqrt{3}"),
    *("2\u221a3", r"3\pi", "3\u03c0", r"\sqrt{16}", r"\binom{5}{2}", "5'10\"", "0x1F", "5/0"),
    *("5/3/2021", "1,2345", "1234,567", "12,50", "1,2,3", "9^{x}", "9^9999", r"\frac{\pi}{2}"),
    *(r"\frac{\sqrt{3}}{2}", r"9\,50", "9~50", r"\log_2 8"),
]


@pytest.mark.parametrize(
    ("value", "said"), [(v, said) for v, all_ in WHOLE.items() for said in all_]
)
def test_a_number_is_read_as_a_whole(value, said):
    assert marked_number(f"The answer is {said} .") == value
    assert marked_number(f"#### {said}") == value
    assert final_number(f"I had 7. The answer is {said} .") == value


@pytest.mark.parametrize("said", IN_PART)
def test_a_part_of_something_else_is_no_number(said):
    assert marked_number(f"The answer is {said} .") is None
    assert final_number(f"I had 7. The answer is {said} .") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The area is 12 cm^2", "12"),
        ("x^2", None),
        ("x_{10}", None),
        ("a total of 9{,}500 people", "9500"),
        ("from 5\u20138", "8"),
        ("so 10 minus 8", "8"),
        ("- 5 apples", "5"),
        ("at 12:30", None),
        ("5 \u2212 8 = \u22123", "-3"),
        ("\u7b54\u6848\u662f\uff19\uff15\uff10\uff10\u3002", "9500"),
    ],
)
def test_the_last_number(text, number):
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 2 + 3 = 5 apples.", "5"),
        (r"The answer is $3 \times 4 = 12$.", "12"),
        ("The answer is 18 = 2 * 9.", "18"),
        ("The answer is 18, since 2 * 9 = 18 and 3 + 4 = 7.", "18"),
        ("#### 48/2 = 24", "24"),
    ],
)
def test_a_stated_equation_comes_to_its_result(text, number):
    assert marked_number(text) == number


def test_the_other_rules_read_the_same_notation():
    assert fraction(r"9{,}500/1{,}000") == fraction("9.5") == "19/2"
    assert fraction("\u00be") == fraction(r"75\%") == "3/4"
    assert money(r"\$9{,}500") == money("9\u202f500 dollars") == "9500 USD"
    assert money("\u20ac12,50") == "12.5 EUR"
    assert quantity("1\u00a0500 m") == quantity(r"1\,500 metres") == "1500 m"
    assert rational("9{,}500") == rational("\uff19500") == 9500
    assert rational("1,2") is rational("12:30") is rational("9 50") is None
