import pytest

from selfmoe.evaluation.answers import final_number, last_number, letter, marked_number


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
        ("A dog", None),
        ("E", None),
        ("It is said", None),
        ("", None),
    ],
)
def test_letter(text, choice):
    assert letter(text) == choice
