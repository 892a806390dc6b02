"""Mathematics in any markup, with math-verify and without."""

import pytest

from selfmoe.evaluation import mathverify
from selfmoe.evaluation.answers import any_math, final_math, plain_math, same_math
from selfmoe.evaluation.answers.plain import algebraic

needs_it = pytest.mark.skipif(mathverify.installed() is None, reason="math-verify not installed")
MATRIX = r"\begin{pmatrix}1&\frac12\\3&4\end{pmatrix}"
SAME = {  # gold: what stands behind "The final answer is"
    "12": [
        *(r"$\boxed{12}$.", "**12**.", "*12*.", "`12`.", "__12__.", "**$12$**.", r"$\mathbf{12}$."),
        *(
            r"\[12\]",
            "$$12$$",
            ":\n\n$12$.",
            ":\n$$\n\\boxed{12}\n$$\n",
            "\n**12**\n",
            "<b>12</b>.",
        ),
        *(
            r"$x=\boxed{12}$.",
            r"$3\cdot4=\boxed{12}$.",
            r"$3 \times 4 = 12$.",
            r"$\underline{12}$.",
        ),
        *(
            r"$\boxed{12\text{ cm}}$.",
            r"$\boxed{12}\text{ cm}^2$.",
            "$12$ square inches.",
            "$12$ m.",
        ),
        *("12 miles per hour.", r"$12\ \mathrm{m/s}$.", "12 degrees.", "12\u00b0.", r"\$12."),
        *("$12$, since $3*4=12$.", "12 because 3*4=12.", "12. This is right.", r"\( \fbox{12} \)."),
    ],
    "-5": [r"$-\boxed{5}$.", r"$\boxed{-5}$.", "\u22125.", "\u20135."],
    "9500": [r"$9{,}500$.", r"$9\,500$.", r"$9,\!500$.", "9,500.", "9\u202f500.", "\uff19500."],
    r"(\frac12,3)": [r"$\boxed{(0.5, 3)}$.", r"$\left(\frac{1}{2},3\right)$.", "(1/2, 3)."],
    "1,2": ["$1$ and $2$.", "$x=1$ or $x=2$.", r"$\boxed{1}$ and $\boxed{2}$.", "$2, 1$."],
    r"\frac{\sqrt{3}}{2}": ["\u221a3/2.", "sqrt(3)/2.", r"$\dfrac{\sqrt3}{2}$."],
    r"\frac{\pi}{2}": ["\u03c0/2.", "pi/2.", r"$\tfrac{\pi}{2}$."],
    "x^2": ["x\u00b2.", "x**2.", "$x^{2}$."],
    MATRIX: [
        "$\\begin{bmatrix}\n1 & 0.5 \\\\\n3 & 4\n\\end{bmatrix}$.",
        r"$\left[\begin{array}{cc}1&1/2\\[4pt]3&4\end{array}\right]$.",
        r"$\boxed{\begin{pmatrix} 1 & \frac{1}{2} \\ 3 & 4 \end{pmatrix}}$",
    ],
    r"\text{Monday}": ["Monday.", "**Monday**.", r"$\boxed{\text{Monday}}$."],
    r"\text{(B)}": ["B.", "(B).", r"$\boxed{\textbf{(B)}}$."],
    "[2,5)": [r"$2\le x<5$.", r"$5 > x \geq 2$.", r"$x\in[2,5)$."],
    r"(-\infty,2)\cup(3,\infty)": ["$x<2$ or $x>3$.", r"$(3,\infty)\cup(-\infty,2)$."],
    r"50\%": ["50.", "0.5.", "50 percent.", r"$\frac12$."],
    "3000000": ["3 million.", r"$\boxed{3}$ million.", r"3\text{ million dollars}.", "3 x 10^6."],
    r"3\pm\sqrt{2}": [r"$3+\sqrt2$ and $3-\sqrt2$.", r"$\{3-\sqrt{2}, 3+\sqrt{2}\}$."],
    r"10,\!000\pi": [r"$10000\pi$.", r"$10{,}000\pi\text{ cm}^2$.", r"$10\,000\pi$ square units."],
    "2.5": [r"$2\frac{1}{2}$.", "2\u00bd.", "5/2.", "2 1/2."],
    "12:30": ["12:30.", "**12:30**."],
    "344_5": ["$344_{5}$.", r"$\boxed{344_5}$."],
}
OTHER = {
    "64": ["2^3^2", "2^{3}^2"],
    r"\frac{1}{f(x)}": ["f^{-1}(x)", "f^-1(x)"],
    r"\frac{1}{g(2)}": ["g^{-1}(2)"],  # gold: what is not it
    "512": [r"12\,500"],
    "0": [r"1\,000\,000"],
    "9": [r"9{,}500", "9 500", r"9\,500"],
    "500": [r"9{,}500"],
    "3": ["3 million", r"3\text{ million}", r"\boxed{3}$ million$", r"3\text{ or }5", "3 and 5"],
    "12": [r"1\quad 2", "1 2", "12!", r"\frac{12}{5}", "12, 13", "12:30", "13", r"\boxed{13}"],
    "5": ["5 squared", r"\pm 5", r"-\boxed{5}", r"2\boxed{5}", "5^2", "0,5", "5x", "x'"],
    "2": ["2x", r"2\pi", "2i", "2 thirds", "2m^2"],
    "10": ["10 or more", "10^{3}", r"10\sqrt{2}"],
    "(1,2,3)": [r"\{1,2,3\}", "(1,2)", "(3,2,1)", "[1,2,3]"],
    "[1,2]": ["1,2", "1<x<2", "(1,2)"],
    "344": ["344_5", "344_{5}"],
    "100_2": ["100_3", "100", "4"],
    "0.4": ["12:30"],
    "1.5": ["3:2"],
    "1/3": ["0.333", "0.333333"],
    r"\pi": ["3.141593", "3.14"],
    "A": ["a", "B"],
    "1=1": ["2=2"],
    r"\infty": [r"-\infty", "x"],
    r"\text{evil}": [r"\text{live}"],
    r"\text{No}": [r"\text{on}", "Yes"],
    "(1,250)": ["1,250", "1250"],
    r"\begin{pmatrix}1\\2\end{pmatrix}": [
        *(r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}2\\1\end{pmatrix}", "(1,2)"),
        r"\begin{vmatrix}1\\2\end{vmatrix}",
    ],
    "x=1,y=2": ["(1,2)", "1,2", "x=2,y=1"],
    "1.234": ["1.234.567"],
}
ALGEBRA = [
    ("x+1", "1+x"),
    (r"\sqrt{12}", r"2\sqrt3"),
    ("(x+1,2)", "(1+x,2)"),
    (r"\{\sqrt8,1\}", r"\{1,2\sqrt2\}"),
    ("ab", "ba"),
    ("y-2x=1", "y=1+2x"),
    (r"\frac{\sqrt4}{4}", "0.5"),
    (r"\log_2 8", "3"),
    (r"\begin{pmatrix}x+1\\2\end{pmatrix}", r"\begin{pmatrix}1+x\\2\end{pmatrix}"),
]


def final(said):
    return final_math(f"Final Answer: The final answer is {said} I hope it is correct.") or ""


def pairs(table):
    return [(gold, said) for gold, all_ in table.items() for said in all_]


@pytest.mark.parametrize(("gold", "said"), pairs(SAME))
def test_form_is_no_part_of_the_answer(gold, said):
    assert same_math(gold, final(said)), (plain_math(gold), plain_math(final(said)))
    assert same_math(final(said), gold)


@pytest.mark.parametrize(("gold", "said"), pairs(OTHER))
def test_what_is_another_answer(gold, said):
    for answer in (said, final(f"${said}$"), final(f"{said}.")):
        assert not same_math(gold, answer), (plain_math(gold), plain_math(answer))


@needs_it
@pytest.mark.parametrize(("gold", "said"), pairs(OTHER))
def test_math_verify_does_not_make_them_equal(gold, said):
    for answer in (said, final(f"${said}$")):
        assert not mathverify.same(gold, answer)
        assert not mathverify.same(answer, gold)


@needs_it
@pytest.mark.parametrize(("one", "other"), ALGEBRA)
def test_algebra_needs_math_verify(one, other):
    assert not same_math(one, other)
    assert mathverify.same(one, other)
    assert mathverify.same(other, one)


@pytest.mark.parametrize(("one", "other"), [("(2,3)", "2<x<3"), ("x>2", "2<x"), ("y=2x", "2x")])
def test_the_order_does_not_matter(one, other):
    assert same_math(one, other)
    assert same_math(other, one)


def test_expressions_alone_are_for_algebra():
    assert algebraic("x+1", "1+x")
    assert not algebraic("5", "6")
    assert not algebraic("x+1", "")
    assert not algebraic("2x", "2")
    assert not algebraic("x=1", "1+x")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("**Final Answer:** 73", "73"),
        ("The answer is:\n\n$73$", "73"),
        ("#### $73$", "73"),
        ("Answer: **73**", "73"),
        ("**The final answer is:** $73$", "73"),
        ("The **final answer** is *73*.", "73"),
        ("The final answer is $2$. $\\boxed{1/2}$", "2"),
        ("The final answer is", None),
        ("The final answer is\n\n", None),
        ("I do not know.", None),
    ],
)
def test_where_an_answer_stands(text, answer):
    assert any_math(text) == answer
