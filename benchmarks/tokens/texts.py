"""Texts on which tokenizers differ: code, digits, runs of spaces, line ends, many scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

Make = Callable[[Random], str]

_SCRIPTS = (
    "The quick brown fox didn't jump; they'll see, I'm sure, WE'RE late and it'S odd.",
    "Señor Müller aß 3 crêpes à la carte, naïve façade, Ærøskøbing, Łódź, İstanbul.",
    "Η γρήγορη αλεπού πηδάει πάνω από το σκυλί.",
    "Съешь ещё этих мягких французских булок, да выпей чаю.",
    "اللغة العربية جميلة، أليس كذلك؟ ١٢٣٤",
    "השועל החום המהיר קפץ מעל הכלב.",
    "हिन्दी में लिखना आसान है। १२३",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ ๑๒๓",
    "今天天气很好，我们去公园散步吧。价格是１２３元！",
    "今日はとても良い天気ですね。カタカナ、ひらがな、漢字。",
    "오늘은 날씨가 정말 좋네요. 산책하러 가요!",
    "Tiếng Việt có nhiều dấu thanh; e\u0301 und a\u0308 sind zerlegt.",
    "🙂👍🏽 👩‍👩‍👧 ½ ² Ⅷ ① ∑∫√ € £ ¥ © ™ → ≠",
)
_CODE = (
    "def f(x):\n    return {'a': x[0] ** 2}\n",
    "for(int i=0;i<10;++i){\n\tsum+=a[i];\n}\n",
    "SELECT a.b, COUNT(*) FROM t WHERE x >= 10 AND y != 'z';",
    '<div class="a-b">\n  <p>&nbsp;1 &lt; 2</p>\n</div>\n',
    "if __name__ == '__main__':\n        main(sys.argv[1:])  # go\n",
    '{"k": [1, 2.5, -3e-7, null], "s": "a\\n\\t\\u00e9"}',
    "x = 0x1F + 0b101 - 1_000_000 // 7 % 3 << 2 | ~y",
    "\\begin{align} x^2 &= \\frac{1}{2}\\\\ y_{i+1} &\\leq 3 \\end{align}",
)
_SPACES = (
    " ", "  ", "   ", "    ", "        ", "\t", "\t\t", " \t ", "\n", "\n\n", "\r\n", " \n  ",
    "\u00a0", "\u3000", "\u2009", "\n\n\n   ",
)  # fmt: skip
_PIECES = (
    "10", "7", "x", "word", "Ωmega", "дом", "中文", "=", "!?", "...", "(", "'s", "'LL", "e\u0301",
    "1234567", "3.14", "#", "_", "½", "🙂",
)  # fmt: skip


def _digits(rng: Random) -> str:
    numbers = [str(rng.randrange(10 ** rng.randint(1, 12))) for _ in range(rng.randint(1, 8))]
    return rng.choice([" ", ", ", " + ", "  ", ".", "-", "\n"]).join(numbers)


def _spaces(rng: Random) -> str:
    parts = (rng.choice(_SPACES) + rng.choice(_PIECES) for _ in range(rng.randint(2, 9)))
    return "".join(parts) + rng.choice(["", " ", "  ", "\n", "\t"])


def _script(rng: Random) -> str:
    words = [word for text in rng.sample(_SCRIPTS, 3) for word in text.split()]
    return " ".join(rng.sample(words, min(len(words), rng.randint(4, 14))))


def _code(rng: Random) -> str:
    lines = [line for text in rng.sample(_CODE, 3) for line in text.splitlines(keepends=True)]
    return "".join(" " * rng.randrange(9) + line for line in rng.sample(lines, 3))


def _mixed(rng: Random) -> str:
    pieces = [rng.choice(_PIECES + _SPACES) for _ in range(rng.randint(3, 30))]
    return "".join(pieces)


KINDS: Mapping[str, Make] = {
    "digits": _digits,
    "spaces": _spaces,
    "scripts": _script,
    "code": _code,
    "mixed": _mixed,
}


def texts(count: int, special: tuple[str, ...] = (), seed: int = 0) -> list[tuple[str, str]]:
    """Return texts with their kinds: the fixed ones first, then made ones, the kinds in turn.

    Args:
        count: How many.
        special: Special tokens, to stand within some of the texts.
        seed: Of the made ones.
    """
    rng = Random(seed)
    found = [("scripts", text) for text in _SCRIPTS] + [("code", text) for text in _CODE]
    kinds = [*KINDS] + (["special"] if special else [])
    while len(found) < count:
        kind = kinds[len(found) % len(kinds)]
        made = KINDS.get(kind, _mixed)(rng)
        if kind == "special":
            made = f"{rng.choice(special)}{made}{rng.choice(special)} {_script(rng)}"
        found.append((kind, made))
    return found[:count]
