"""Near duplicates, overlap and retrieval in languages of many scripts, as in English."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from selfmoe.config.model import RunConfig
from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.records import Example, Instruction, PassageRef, Seed
from selfmoe.pipeline.curation.duplicates import Duplicates
from selfmoe.pipeline.curation.overlap import Overlap
from selfmoe.pipeline.retrieval import Finder, Passage, read_passages
from selfmoe.store.files import write_jsonl


class Language(NamedTuple):
    """Sentences of one language.

    Attributes:
        task: A task.
        alike: The same but for a particle, an ending or a word.
        others: Tasks that share a formula or a foreign word with it, or with each other.
        item: A benchmark item of more than 13 words.
        formula: How many tasks begin; no item of its own.
        passages: Two passages of a document; the first holds the answer.
        question: What is asked.
    """

    task: str
    alike: str
    others: tuple[str, ...]
    item: str
    formula: str
    passages: tuple[str, str]
    question: str


LANGUAGES = {
    "English": Language(
        "Explain how an offer differs from an acceptance in contract law.",
        "Explain how an offer differs from acceptance in contract law.",
        ("Explain what a deposit is.", "Which court hears a tax case?"),
        "A train leaves the town at nine and travels sixty miles an hour; when does it arrive at "
        "the coast, which is two hundred and forty miles away?",
        "Read the following text and answer the question.",
        ("Insulin is a hormone made in the pancreas.", "The heart pumps blood through the body."),
        "Which organ makes insulin?",
    ),
    "Chinese": Language(
        "请解释一下合同法中要约与承诺的区别。",
        "请解释一下合同法中要约和承诺的区别。",
        ("请解释一下什么是定金。", "Python中列表和元组有什么区别？", "解释Python中装饰器的作用。"),
        "一列火车上午九点从城里出发，每小时行驶六十公里，"
        "海边离城里有二百四十公里，火车几点能到达海边的车站？",
        "阅读下面的文章并回答问题，选出正确的一项。",
        ("胰岛素是由胰腺分泌的一种激素，它可以降低血糖。", "心脏有四个腔室，把血液泵送到全身。"),
        "哪个器官分泌胰岛素？",
    ),
    "Japanese": Language(
        "契約法における申込みと承諾の違いを説明してください。",
        "契約法における申込みと承諾の違いを説明してくださいね。",
        (
            "民法の意義を説明してください。",
            "刑法の目的を説明してください。",
            "日本のGDPは何円ですか。",
        ),
        "列車が午前九時に町を出発して時速六十キロで走るとき、"
        "二百四十キロ離れた海辺の駅に着くのは何時になるか答えなさい。",
        "次の文章を読んで質問に答えてください。",
        ("インスリンは膵臓で作られるホルモンです。", "心臓は血液を全身に送り出します。"),
        "インスリンはどの臓器で作られますか。",
    ),
    "Korean": Language(
        "계약법에서 청약과 승낙의 차이를 설명해 주세요.",
        "계약법에서 청약과 승낙의 차이를 설명해주세요!",
        (
            "계약금이란 무엇인가요?",
            "Python의 데코레이터가 하는 일을 쓰시오.",
            "세금 사건은 어느 법원이 맡나요?",
        ),
        "기차가 오전 아홉 시에 도시를 떠나 한 시간에 "
        "육십 킬로미터를 달린다면, 이백사십 킬로미터 떨어진 "
        "바닷가 역에는 몇 시에 도착하는지 계산하시오.",
        "다음 글을 읽고 물음에 답하시오.",
        ("인슐린은 췌장에서 만들어지는 호르몬이다.", "심장은 혈액을 온몸으로 보낸다."),
        "인슐린을 만드는 기관은?",
    ),
    "Thai": Language(
        "จงอธิบายความแตกต่างระหว่างคำเสนอกับคำสนองในกฎหมายสัญญา",
        "จงอธิบายความแตกต่างระหว่างคำเสนอและคำสนองในกฎหมายสัญญา",
        ("เงินมัดจำคืออะไร", "ศาลใดพิจารณาคดีภาษี", "ฟังก์ชันใน Python ทำอะไร"),
        "รถไฟออกจากเมืองตอนเก้าโมงเช้าด้วยความเร็วหกสิบกิโลเมตรต่อชั่วโมง "
        "จะถึงสถานีริมทะเลซึ่งอยู่ห่างออกไปสองร้อยสี่สิบกิโลเมตรเวลาใด",
        "จงอ่านข้อความแล้วตอบคำถาม",
        ("อินซูลินเป็นฮอร์โมนที่สร้างจากตับอ่อน", "หัวใจสูบฉีดเลือดไปทั่วร่างกาย"),
        "อวัยวะใดสร้างอินซูลิน",
    ),
    "Hindi": Language(
        "अनुबंध कानून में प्रस्ताव और स्वीकृति के बीच का अंतर समझाइए।",
        "अनुबंध कानून में प्रस्ताव और स्वीकृति के बीच अंतर समझाइए।",
        (
            "धारा 302 के अंतर्गत सजा बताइए।",
            "कानून की धारा 302 क्या है?",
            "कर का मामला कौन सुनता है?",
        ),
        "एक रेलगाड़ी सुबह नौ बजे शहर से चलती है और साठ "
        "किलोमीटर प्रति घंटे की गति से जाती है, तो वह "
        "दो सौ चालीस किलोमीटर दूर समुद्र तट पर कब पहुँचेगी?",
        "निम्नलिखित पाठ पढ़िए और प्रश्न का उत्तर दीजिए।",
        ("इंसुलिन अग्न्याशय में बनने वाला हार्मोन है।", "हृदय पूरे शरीर में रक्त भेजता है।"),
        "इंसुलिन किस अंग में बनता है?",
    ),
    "Russian": Language(
        "Объясните, чем оферта отличается от акцепта в договорном праве.",
        "Объясните же, чем оферта отличается от акцепта в договорном праве.",
        (
            "Объясните, что такое задаток.",
            "Какой суд рассматривает споры о налогах?",
            "Что такое Python?",
        ),
        "Поезд выходит из города в девять часов утра и "
        "едет со скоростью шестьдесят километров в час; "
        "когда он придёт на станцию у моря, до которой двести сорок километров?",
        "Прочитайте текст и ответьте на вопрос.",
        (
            "Инсулин — гормон, который вырабатывает поджелудочная железа.",
            "Сердце качает кровь по телу.",
        ),
        "Какой орган вырабатывает инсулин?",
    ),
    "Arabic": Language(
        "اشرح الفرق بين الإيجاب والقبول في قانون العقود.",
        "اشرح لي الفرق بين الإيجاب والقبول في قانون العقود.",
        ("ما هو العربون؟", "أي محكمة تنظر في قضايا الضرائب؟", "اشرح وظيفة Python."),
        "ينطلق قطار من المدينة في الساعة التاسعة صباحا "
        "بسرعة ستين كيلومترا في الساعة، فمتى يصل إلى محطة "
        "الساحل التي تبعد مئتين وأربعين كيلومترا عن المدينة؟",
        "اقرأ النص التالي ثم أجب عن السؤال.",
        ("الإنسولين هرمون يُفرزه البنكرياس.", "يضخ القلب الدم إلى الجسم كله."),
        "ما العضو الذي يفرز الانسولين؟",
    ),
    "Burmese": Language(
        "စာချုပ်ဥပဒေတွင် ကမ်းလှမ်းချက်နှင့် လက်ခံချက်၏ ကွာခြားချက်ကို ရှင်းပြပါ။",
        "စာချုပ်ဥပဒေတွင် ကမ်းလှမ်းချက်နှင့် လက်ခံချက်တို့၏ ကွာခြားချက်ကို ရှင်းပြပါ။",
        ("စရံငွေဆိုတာ ဘာလဲ။", "အခွန်အမှုကို ဘယ်တရားရုံးက စစ်ဆေးသလဲ။"),
        "ရထားသည် နံနက်ကိုးနာရီတွင် မြို့မှထွက်ခွာပြီး "
        "တစ်နာရီလျှင် ကီလိုမီတာခြောက်ဆယ်နှုန်းဖြင့် သွားသည်၊ "
        "ကီလိုမီတာနှစ်ရာလေးဆယ်ဝေးသော ပင်လယ်ကမ်းခြေသို့ မည်သည့်အချိန်တွင် ရောက်မည်နည်း။",
        "အောက်ပါစာကို ဖတ်ပါ။",
        ("အင်ဆူလင်သည် ပန်ကရိယမှ ထုတ်သော ဟော်မုန်းဖြစ်သည်။", "နှလုံးသည် သွေးကို ညှစ်ထုတ်သည်။"),
        "အင်ဆူလင်ကို ဘယ်အင်္ဂါက ထုတ်သလဲ။",
    ),
    "Greek": Language(
        "Εξηγήστε τη διαφορά ανάμεσα στην πρόταση και την αποδοχή στο δίκαιο των συμβάσεων.",
        "Εξηγήστε μας τη διαφορά ανάμεσα στην πρόταση και την αποδοχή στο δίκαιο των συμβάσεων.",
        ("Εξηγήστε τι είναι ο αρραβώνας.", "Ποιο δικαστήριο κρίνει φορολογικές υποθέσεις;"),
        "Ένα τρένο φεύγει από την πόλη στις εννέα το πρωί "
        "με εξήντα χιλιόμετρα την ώρα· πότε φτάνει στον "
        "σταθμό της ακτής που απέχει διακόσια σαράντα χιλιόμετρα;",
        "Διαβάστε το κείμενο και απαντήστε στην ερώτηση.",
        ("Η ινσουλίνη είναι ορμόνη που παράγει το πάγκρεας.", "Η καρδιά στέλνει αίμα στο σώμα."),
        "Ποιο όργανο παράγει ινσουλίνη;",
    ),
}  # fmt: skip

languages = pytest.mark.parametrize("language", LANGUAGES.values(), ids=LANGUAGES)


class One(Benchmark):
    """A benchmark of one item."""

    name = "one"
    items: Sequence[Mapping[str, Any]] = ()

    def __init__(self, text: str) -> None:
        self.items = ({"id": "1", "text": text},)

    def ask(self, doc: Mapping[str, Any]) -> Instruction:
        return Instruction(doc["text"])

    def score(self, doc: Mapping[str, Any], completion: str) -> Mapping[str, float]:
        return {"score": 0.0}

    def gold(self, doc: Mapping[str, Any]) -> str:
        return "yes"

    def wrong(self, doc: Mapping[str, Any]) -> str:
        return "no"


class Free(Domain):
    """Free text, asked for one item."""

    name = "free"
    templated = frozenset()
    item = "Name the largest planet."

    def seeds(self, source: Any, n: int, rng: Any) -> list[Seed]:
        return []

    def benchmarks(self, source: Any) -> list[Benchmark]:
        return [One(self.item)]


def example(instruction: str, text: str = "") -> Example:
    return Example("free-0", "free", instruction, text, "yes")


def duplicates(folder: Path, seeds: Sequence[Seed] = ()) -> Duplicates:
    write_jsonl(folder / "seeds.jsonl", [asdict(seed) for seed in seeds])
    job: Any = SimpleNamespace(
        session=SimpleNamespace(config=RunConfig()), input=lambda role: folder
    )
    return Duplicates(Free(), job)


def overlap_with(text: str) -> Overlap:
    job: Any = SimpleNamespace(session=SimpleNamespace(config=RunConfig()))
    return Overlap(type("Asked", (Free,), {"item": text})(), job)


def stored_otherwise(text: str) -> str:
    """Return the same text, decomposed, in upper case and with wide spaces."""
    return unicodedata.normalize("NFD", text.upper()).replace(" ", "\u3000")


# --- near duplicates ------------------------------------------------------------------------------


@languages
def test_what_is_alike_is_dropped_and_what_is_not_is_kept(
    tmp_path: Path, language: Language
) -> None:
    seen = duplicates(tmp_path, [Seed("s", "Name a fruit.", "", "x")])
    assert seen(example(language.task)) is None
    for other in language.others:
        assert seen(example(other)) is None, other
    assert seen(example(language.alike)) == "near duplicate"
    assert seen(example(stored_otherwise(language.task))) == "duplicate"


def test_foreign_words_alone_make_no_duplicates(tmp_path: Path) -> None:
    seen = duplicates(tmp_path)
    for text in ("Python", "GDP", "302", "C++", "C#", "C", "🦁👑", "🦁🐍"):
        assert seen(example(text)) is None, text
    for language in LANGUAGES.values():
        for text in (language.task, language.formula, language.question, language.item):
            assert seen(example(f"{text} Python")) is None, text


# --- contamination --------------------------------------------------------------------------------


@languages
def test_an_item_is_found_in_any_script(language: Language) -> None:
    overlap = overlap_with(language.item)
    assert overlap(example(language.item)) == "benchmark overlap"
    assert overlap(example(stored_otherwise(language.item))) == "benchmark overlap"
    within = f"{language.formula} {language.item} {language.question}"
    assert overlap(example("?", within)) == "benchmark overlap"
    for other in (language.task, language.question, *language.others):
        assert overlap(example(other)) is None, other
    assert not overlap.touched


@languages
def test_how_many_tasks_begin_is_no_overlap(language: Language) -> None:
    overlap = overlap_with(f"{language.formula} {language.item}")
    assert overlap(example(f"{language.formula} {language.question}")) is None


@languages
def test_of_short_items_only_the_same_text_counts(language: Language) -> None:
    overlap = overlap_with(language.question)
    assert overlap(example(stored_otherwise(language.question))) == "benchmark overlap"
    assert overlap(example(f"{language.formula} {language.question}")) is None


# --- retrieval ------------------------------------------------------------------------------------


@languages
def test_the_passage_that_shares_a_noun_is_found(language: Language) -> None:
    first = [text for other in LANGUAGES.values() for text in other.passages]
    finder = Finder([Passage(PassageRef("a.txt", n, ""), text) for n, text in enumerate(first)])
    (found,) = finder.find(language.question, 1)
    assert found.text == language.passages[0]


@languages
def test_documents_are_cut_into_passages_of_like_size(tmp_path: Path, language: Language) -> None:
    (tmp_path / "a.txt").write_text(" ".join([language.item] * 30), "utf-8")
    found = read_passages(tmp_path, 100)
    letters = len(" ".join([language.item] * 30))
    assert 4 <= len(found) <= 12
    assert max(len(one.text) for one in found) < letters / 3
    assert "".join("".join(one.text for one in found).split()) == "".join(
        unicodedata.normalize("NFC", language.item * 30).split()
    )


def test_names_told_apart_by_their_sign_are_found() -> None:
    texts = ["C is older.", "C++ has classes.", "C# runs on .NET.", "Ｆ＃ is functional."]
    finder = Finder([Passage(PassageRef("a.txt", n, ""), text) for n, text in enumerate(texts)])
    for number, query in enumerate(("c?", "What is C++?", "c#", "F#")):
        assert [one.ref.number for one in finder.find(query, 1)] == [number]
