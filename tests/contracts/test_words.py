"""What a word is, in any script."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfmoe.contracts.text import holds, normalise, trimmed, words
from selfmoe.contracts.words import cut, runs, size, terms

TEXTS = {
    "Chinese": ("用Python写代码。", "用 python 写 代 码"),
    "Japanese": ("GDPの意味を説明してください。", "gdp の 意 味 を 説 明 してください"),
    "katakana": ("ラーメン・コーヒーとﾃﾞｰﾀ", "ラーメン コーヒー と データ"),
    "hiragana": ("らーめんはあなたの。すきですか", "らーめん は あなた の すきですか"),
    "Korean": ("Python의 값은 3이다.", "python 의 값 은 3 이 다"),
    "Thai": ("ซื้อแอป 2 ผล", "ซื้ อ แ อ ป 2 ผ ล"),
    "Lao": ("ລາວ", "ລ າ ວ"),
    "Burmese": ("မြန်မာ", "မြ န် မာ"),
    "Hindi": ("कानून की धारा ३०२ क्या है?", "कानून की धारा 302 क्या है"),
    "Tamil": ("தமிழ் மொழி", "தமிழ் மொழி"),
    "Russian": ("У Ани 3 яблока-то!", "у ани 3 яблока то"),
    "Arabic": ("ما هو العَقْد؟ ٣ أنواع", "ما هو العقد 3 انواع"),
    "Persian": ("می‌خواهم کتاب", "ميخواهم كتاب"),
    "Hebrew": ("שָׁלוֹם עולם", "שלום עולם"),
    "Greek": ("ΟΔΟΣ Οδός", "οδοσ οδοσ"),
    "Turkish": ("İSTANBUL, ISPARTA", "istanbul isparta"),
    "French": ("L’été, ça brûle.", "l été ça brûle"),
    "Vietnamese": ("Tiếng Việt", "tiếng việt"),
    "Amharic": ("ሰላም ነህ።", "ሰላም ነህ"),
    "emoji": ("Guess: 🦁👑 or 🇫🇷🇩🇪?", "guess 🦁 👑 or 🇫🇷 🇩🇪"),
    "names": ("C, C++, C#; F#, C♯ g++ C++11 C++的", "c c++ c# f# c# g++ c++ 11 c++ 的"),
    "no names": ("a+b a++b x #1 5# c## C+++ x_1", "a b a b x 1 5 c c x 1"),
    "raised": ("5² + x₁ = 1½", "5 ² x ₁ 1 ½"),
}


@pytest.mark.parametrize(("text", "found"), TEXTS.values(), ids=TEXTS)
def test_words_in_any_script(text: str, found: str) -> None:
    assert words(text) == found.split()


@pytest.mark.parametrize("text", [text for text, _ in TEXTS.values()], ids=TEXTS)
def test_words_are_the_same_however_a_text_is_stored(text: str) -> None:
    decomposed, upper = unicodedata.normalize("NFD", text), text.upper()
    assert words(decomposed) == words(text)
    assert normalise(decomposed) == normalise(text)
    if "ı" not in upper.lower():
        assert words(upper) == words(text)


@pytest.mark.parametrize("seed", range(4))
def test_in_ascii_words_are_runs_of_letters_and_digits(seed: int) -> None:
    rng, letters = random.Random(seed), [*map(chr, range(128)), *"ab1 _'.,-+#\n" * 8]
    names = re.compile(r"[a-z]#|[a-z]\+\+", re.IGNORECASE)
    for _ in range(3000):
        text = names.sub("", "".join(rng.choices(letters, k=rng.randint(0, 15))))
        if names.search(text):
            continue
        assert words(text) == re.findall("[a-z0-9]+", text.lower())
        assert terms(text) == re.findall(r"\w+", text.lower())
        assert normalise(text) == " ".join(text.lower().split())
        part, n = "".join(rng.choices(letters, k=2)).lower(), rng.randint(1, 4)
        within = re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text.lower())
        assert holds(text, part) == bool(within), (text, part)
        tokens = text.split()
        assert size(tokens) == len(tokens)
        assert runs(tokens, n) == [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
        pieces = [" ".join(tokens[i : i + n]) for i in range(0, len(tokens), n)]
        assert list(cut(text, n)) == pieces


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("الأَنْسُولِين", "الانسولين"),
        ("هـــرمون", "هرمون"),
        ("איךְ", "איך"),
        ("ещё за́мок", "еще замок"),
        ("ﬁnd the Ｃｏｄｅ", "FIND THE CODE"),
        ("co\u00adoperate", "cooperate"),
        ("ｶﾞﾗｽ", "ガラス"),
        ("०१२", "012"),
        ("ISPARTA", "ısparta"),
        ("क\u200dष", "कष"),
    ],
)
def test_the_same_word_in_other_forms(one: str, other: str) -> None:
    assert words(one) == words(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("कल", "काल"),
        ("दिन", "दीन"),
        ("ขาว", "ข่าว"),
        ("はし", "ばし"),
        ("コーヒー", "コヒ"),
        ("мой", "мои"),
        ("x²", "x2"),
        ("5½", "51/2"),
        ("naïve", "naive"),
        ("カ", "か"),
        ("가", "각"),
    ],
)
def test_other_words(one: str, other: str) -> None:
    assert words(one) != words(other)
    assert normalise(one) != normalise(other)


def test_the_normal_form_keeps_points_and_words_do_not() -> None:
    assert normalise("عَقد") != normalise("عقد")
    assert normalise("３　Äpfel") == "3 äpfel"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("one two", 2),
        ("合同法的要约", 3),
        ("要件を説明してください", 4),
        ("데이터 3", 2.5),
        ("เมืองหลวง", 8 / 3),
        ("C++ 和 C#", 2.5),
        ("ください", 1),
        ("", 0),
    ],
)
def test_size(text: str, length: float) -> None:
    assert size(words(text)) == pytest.approx(length)


def test_runs_are_of_equal_size_whatever_the_script() -> None:
    assert runs(words("甲乙丙 x"), 1) == [("甲", "乙"), ("乙", "丙"), ("丙", "x"), ("x",)]
    assert runs(words("甲乙丙"), 2) == []
    assert len(runs(words("เมืองหลวงคือ"), 2)) == len(words("เมืองหลวงคือ")) - 5


def test_terms_are_pairs_where_words_are_characters() -> None:
    assert terms("胰岛素 insulin_a 肺") == ["胰岛", "岛素", "insulin_a", "肺"]
    assert terms("인슐린은 C++") == ["인슐", "슐린", "린은", "c++"]
    assert terms("インスリンは膵臓で") == ["インスリン", "は", "膵臓", "で"]
    assert terms("!?") == []


@pytest.mark.parametrize(
    ("text", "n", "pieces"),
    [
        ("潮水每天涨落两次，渔民出海。", 3, ["潮水每天涨落", "两次，渔民出海。"]),
        ("あめ は ふる、つちのなか", 3, ["あめ は ふる、", "つちのなか"]),
        ("写 Python代码 now. Then", 2, ["写 Python代", "码 now.", "Then"]),
        ("데이터의 값", 2, ["데이터의", "값"]),
        ("กรุงเทพ", 1, ["กรุง", "เทพ"]),
        ("don't cut 3.5-4", 2, ["don't cut", "3.5-4"]),
        (" ", 1, []),
    ],
)
def test_texts_are_cut_by_words(text: str, n: int, pieces: list[str]) -> None:
    assert list(cut(text, n)) == pieces


@pytest.mark.parametrize("n", [1, 2, 5, 50])
@pytest.mark.parametrize("text", [text for text, _ in TEXTS.values()], ids=TEXTS)
def test_nothing_is_lost_in_cutting(text: str, n: int) -> None:
    pieces = list(cut(text, n))
    whole = unicodedata.normalize("NFC", text)
    assert "".join("".join(pieces).split()) == "".join(whole.split())


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("「北京」。", "北京"),
        ("¿Qué?!", "Qué"),
        ("«Да»…", "Да»…"),
        ("ठीक है।", "ठीक है"),
        ("ما هذا؟", "ما هذا"),
        ("'(a)*'.", "(a)*"),
        ("?", ""),
    ],
)
def test_outer_punctuation_is_taken_off(text: str, inner: str) -> None:
    assert trimmed(text) == inner


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    found = words(text)
    assert all(found)
    assert all(terms(text))
    assert size(found) <= len(found)
    assert normalise(normalise(text)) == normalise(text)
    whole = unicodedata.normalize("NFC", text)
    for n in (1, 3):
        assert "".join("".join(cut(text, n)).split()) == "".join(whole.split())


def test_digits_newer_than_this_python_do_no_harm() -> None:
    assert words("٣ " + "".join(map(chr, range(0x10000, 0x20000))))[0] == "3"
