"""Golden tables: what each rule takes for the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfmoe.evaluation.answers import (
    RULES,
    any_math,
    boolean,
    boxed,
    date,
    describe,
    final_math,
    final_number,
    fraction,
    last_number,
    letter,
    marked_number,
    members,
    money,
    plain_math,
    quantity,
    same_math,
    short,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("48 / 2 = 24.\n#### 24", "24"),
        ("####24", "24"),
        ("#### 1,234,567", "1234567"),
        ("#### -3", "-3"),
        ("#### $18.00", "18"),
        ("#### -$5", "-5"),
        ("#### $-5", "-5"),
        ("#### €1,200.50", "1200.5"),
        ("#### 5.0", "5"),
        ("#### 0.50", "0.5"),
        ("#### .5", "0.5"),
        ("#### -0", "0"),
        ("#### 007", "7"),
        ("#### 70%", "70"),
        ("#### 12 apples", "12"),
        ("#### about 12", "12"),
        ("#### 24.", "24"),
        ("So she has 3. The answer is 3.", "3"),
        ("The answer is $1,000.", "1000"),
        ("the answer is: 9", "9"),
        ("The final answer is -12.50 dollars.", "-12.5"),
        ("The answer is 6. The answer is 7.", "6"),
        ("#### 6\nQ: another\n#### 7", "6"),
        ("The answer is 12\u22125", "12"),
        ("#### \u22125", "-5"),
        ("####\n5", None),
        ("#### none", None),
        ("The answer is unknown.\n4", None),
        ("3 + 4 = 7", None),
        ("", None),
    ],
)
def test_marked_number(text, number):
    assert marked_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 + 4 = 7", "7"),
        ("10-8", "8"),
        ("10 - 8", "8"),
        ("it is -8", "-8"),
        ("x=-8", "-8"),
        ("(-8)", "-8"),
        ("2024-05-03", "3"),
        ("He pays $1,250.75 in all.", "1250.75"),
        ("1,2,3", "3"),
        ("12,50", "50"),
        ("v2", "2"),
        ("3.5.", "3.5"),
        ("none", None),
        ("", None),
    ],
)
def test_last_number(text, number):
    assert last_number(text) == number


def test_a_marked_number_counts_before_the_last_one():
    assert final_number("The answer is 5. I checked 3 times.") == "5"
    assert final_number("I checked 3 times") == "3"
    assert final_number("zero: #### 0 of 9") == "0"


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("B", "B"),
        (" B", "B"),
        ("B.", "B"),
        ("(B)", "B"),
        ("B) the second", "B"),
        ("B. the second", "B"),
        ("B: the second", "B"),
        ("**C**", "C"),
        ("C\nbecause", "C"),
        ("The answer is D.", "D"),
        ("The answer is (D), not A.", "D"),
        ("Answer: b", "B"),
        ("I would take (A) here.", "A"),
        ("The answer is C because", "C"),
        ("The answer is a.", "A"),
        ("answer b)", "B"),
        ("A dog", None),
        ("The answer is a dog", None),
        ("So the answer: a lamp. (B)", "B"),
        ("The answer is a dog. The answer is B.", "B"),
        ("The answer is D'Artagnan", None),
        ("The answers d. vary", None),
        ("E", None),
        ("It is said", None),
        ("", None),
    ],
)
def test_letter(text, choice):
    assert letter(text) == choice


def test_the_word_i_is_no_letter_unless_it_stands_apart():
    letters = "ABCDEFGHIJ"
    assert letter("To find the answer I need B", letters) is None
    assert letter("The answer is I think B", letters) is None
    assert letter("The answer is (I)", letters) == "I"
    assert letter("The answer is I.", letters) == "I"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6/8", "3/4"),
        ("0.75", "3/4"),
        (".5", "1/2"),
        ("75%", "3/4"),
        ("12.5 percent", "1/8"),
        ("1 1/2", "3/2"),
        ("-1 1/2", "-3/2"),
        ("\u22123/4", "-3/4"),
        ("4/2", "2"),
        ("\\frac{3}{4}", "3/4"),
        ("-\\dfrac{6}{8}", "-3/4"),
        ("1,250/1,000 is odd, 1,250 is not", "1250"),
        ("1/2 of 3/4 is 3/8.", "3/8"),
        ("The answer is 2/3, not 3/4.", "2/3"),
        ("The answer is two thirds.", None),
        ("1/0", None),
        ("9" * 5000, None),
        ("one half", None),
        ("", None),
    ],
)
def test_fraction(text, value):
    assert fraction(text) == value


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("$5", "5 USD"),
        ("5 dollars", "5 USD"),
        ("5.00 USD", "5 USD"),
        ("$1,250.50", "1250.5 USD"),
        ("$-3", "-3 USD"),
        ("-$3", "-3 USD"),
        ("50 cents", "0.5 USD"),
        ("\u20ac7.5", "7.5 EUR"),
        ("7 euros", "7 EUR"),
        ("\u00a3 2", "2 GBP"),
        ("$2.5 million", "2500000 USD"),
        ("3 thousand dollars", "3000 USD"),
        ("He has $3 and gets $4.", "4 USD"),
        ("The answer is $3. He had $4.", "3 USD"),
        ("3 apples", None),
        ("3", None),
        ("", None),
    ],
)
def test_money(text, amount):
    assert money(text) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("12 km", "12 km"),
        ("12 kilometres", "12 km"),
        ("1,500 Meters", "1500 m"),
        ("6 feet", "6 ft"),
        ("3 inches", "3 in"),
        ("90%", "90 %"),
        ("45\u00b0", "45 \u00b0"),
        ("60 km/h", "60 km/h"),
        ("2.50 kg", "2.5 kg"),
        ("5 apples", "5 apple"),
        ("3 bus", "3 bus"),
        ("12 gas", "12 gas"),
        ("2 glass", "2 glass"),
        ("5 hours and 12 minutes", "12 min"),
        ("The answer is 5 hours, that is 300 minutes.", "5 h"),
        ("5", None),
        ("km", None),
        ("", None),
    ],
)
def test_quantity(text, amount):
    assert quantity(text) == amount


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes", "yes"),
        ("yes, it is", "yes"),
        ("True.", "yes"),
        ("no", "no"),
        ("False", "no"),
        ("No, yes would be wrong", "no"),
        ("It is not so. The answer is yes.", "yes"),
        ("Yes? No! So the answer is No.", "no"),
        ("I think it is true", "yes"),
        ("not true", "no"),
        ("The answer is not false.", "yes"),
        ("It isn't true", "no"),
        ("It may be true or false", None),
        ("nothing", None),
        ("eyes", None),
        ("", None),
    ],
)
def test_boolean(text, answer):
    assert boolean(text) == answer


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2021-05-03", "2021-05-03"),
        ("05/03/2021", "2021-05-03"),
        ("5/3/2021", "2021-05-03"),
        ("May 3, 2021", "2021-05-03"),
        ("may 3rd 2021", "2021-05-03"),
        ("3 May 2021", "2021-05-03"),
        ("the 3rd of May, 2021", "2021-05-03"),
        ("Sept. 14, 1999", "1999-09-14"),
        ("It was 01/02/2020, so it is 01/03/2020.", "2020-01-03"),
        ("The answer is 01/02/2020, not 01/03/2020", "2020-01-02"),
        ("02/30/2021", None),
        ("13/01/2021", None),
        ("0000-01-01", None),
        ("Maybe 3, 2021", None),
        ("1/2", None),
        ("", None),
    ],
)
def test_date(text, day):
    assert date(text) == day


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{b, a}", "a; b"),
        ("\\{2, 1, 2\\}", "1; 2"),
        ("[x; y]", "x; y"),
        ("red, green and blue", "blue; green; red"),
        ("red, green, and blue", "blue; green; red"),
        ("First {a}.\nThen {b, c}", "b; c"),
        ("The answer is b and a.\nDone {c}", "a; b"),
        ("so\nthe cat, a dog", "cat; dog"),
        ("x", "x"),
        ("{(3, 4), (1,2)}", "(1, 2); (3, 4)"),
        ("\\{(1,2)\\}", "(1, 2)"),
        ("{[1, 2), {b, the cat}}", "[1, 2); {b, cat}"),
        ("{a (b, c} x", "b; c"),
        ("红、黄，蓝", "红; 蓝; 黄"),
        ("{أحمر، أزرق}", "أحمر; أزرق"),
        ("{}", None),
        ("", None),
    ],
)
def test_members(text, found):
    assert members(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("  The  Beatles!\nQ:", "beatles"),
        ("14 December 1972 UTC", "14 december 1972 utc"),
        ("U.S.", "us"),
        ("Rock 'n' Roll", "rock n roll"),
        ("The The", "the the"),
        ("A", "a"),
        ("?", "?"),
        ("「東京」。", "東京"),
        ("ＵＳＡ！", "usa"),
        ("नई दिल्ली।", "नई दिल्ली"),
        ("¿Qué?", "qué"),
        ("\n\nParis", "paris"),
        ("", None),
        (" \n", None),
    ],
)
def test_short(text, found):
    assert short(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"so $\boxed{5}$", "5"),
        (r"\boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        (r"\fbox{7}", "7"),
        (r"$\boxed 9$", "9"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{4} or \boxed{", "4"),
        (r"\boxed{}", None),
        ("boxed{5}", None),
        ("", None),
    ],
)
def test_boxed(text, found):
    assert boxed(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Final Answer: The final answer is $[2,5)$. I hope it is correct.", "[2,5)"),
        ("The final answer is 12", "12"),
        ("final answer is: $x$.", "x"),
        (r"The final answer is $\$5$. I hope it is correct.", r"\$5"),
        (r"The final answer is $5\$$. I hope it is correct.", r"5\$"),
        ("The final answer is $1$.\nThe final answer is $2$.", "2"),
        ("The final answer is . I hope it is correct.", None),
        ("The answer is 12", None),
        ("", None),
    ],
)
def test_final_math(text, found):
    assert final_math(text) == found


def test_a_final_answer_counts_before_a_box_and_a_box_before_what_is_stated():
    final, box, said = "The final answer is $1$.", r"\boxed{2}", "The answer is 3."
    assert any_math(f"{box} {said}\n{final}") == "1"
    assert any_math(f"{said} {box}") == "2"
    assert any_math(said) == "3"
    assert any_math("4") is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\frac{1}{2}", "0.5"),
        (r"\frac{1}{2}", "1/2"),
        (r"\dfrac12", r"\tfrac{2}{4}"),
        (r"-\frac{3}{4}", "-0.75"),
        (r"\sqrt2", r"\sqrt{2}"),
        ("1,250", r"1{,}250"),
        ("1250", r"1,\!250"),
        (r"\$5", "5"),
        (r"50\%", "50"),
        (r"90^\circ", "90"),
        (r"90^{\circ}", r"90\degree"),
        (r"5\text{ cm}", "5"),
        (r"10\text{ cm}^2", "10"),
        (r"\text{Monday}", "Monday"),
        (r"\left(1, 2\right)", "(1,2)"),
        (r"\{2, 1\}", r"\{1,2\}"),
        (r"\{(1,3), (0,2)\}", r"\{(0,2),(1,3)\}"),
        (r"2\frac{1}{2}", "2.5"),
        (r"-2\dfrac12", r"-\frac{5}{2}"),
        (r"1 \frac{3}{4}", r"1\,\frac34"),
        ("1 1/2", r"\frac{3}{2}"),
        (r"(2\frac{1}{2}, 3)", r"(\frac52,3)"),
        (r"\frac{4}{2}\pi", r"2\pi"),
        ("x = 5", "5"),
        ("f(x)=2x", "2x"),
        ("x^{2}", "x^2"),
        ("5.", "5"),
        ("5.0", "5"),
        (".5", "0.5"),
        ("\u22123", "-3"),
        (r"$\frac{1}{2}$", r"\(\frac{1}{2}\)"),
    ],
)
def test_two_forms_of_one_answer(one, other):
    assert same_math(one, other), (plain_math(one), plain_math(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "2"),
        ("1,2", "12"),
        ("(1,2)", "(2,1)"),
        ("[2,5)", "(2,5]"),
        ("x=5,y=6", "6"),
        ("x<5", "5"),
        (r"\frac{1}{2}", r"\frac{2}{1}"),
        (r"\frac{1}{0}", "1"),
        (r"2\frac{1}{2}", "21/2"),
        (r"3\frac{1}{2}", r"\frac{31}{2}"),
        (r"11\frac{1}{2}", "111/2"),
        ("1 1/2", "11/2"),
        (r"1 \frac{3}{4}", "13/4"),
        (r"x^2\frac{1}{3}", r"x^{21/3}"),
        (r"\frac{3}{4}5", r"\frac{3}{45}"),
        (r"x-\frac{-1}{2}", "x1/2"),
        (r"\{(1,2),(0,3)\}", r"\{(1,3),(0,2)\}"),
        ("-3", "3"),
        (r"\text{Monday}", r"\text{Sunday}"),
        (r"\infty", ""),
        ("", ""),
    ],
)
def test_two_answers(one, other):
    assert not same_math(one, other)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_described_and_finds_nothing_in_nothing(name):
    assert describe(name) == f"{name}: {RULES[name].about}"
    assert not RULES[name].about.startswith("Return")
    assert "`" not in RULES[name].about
    assert RULES[name].find("") is None


def test_a_sentence_describes_itself():
    assert describe("Whatever is said last.") == "Whatever is said last."


@given(st.text() | st.from_regex(r"[\d\-.,/$%{}\\()= a-z#]*(The answer is)?[\d.,/$%{}\\frac ]*"))
def test_no_rule_ever_raises(text):
    for rule in RULES.values():
        found = rule.find(text)
        assert found is None or found
    assert same_math(text, text) == bool(plain_math(text))
