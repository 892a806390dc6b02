"""Mini track of the knowledge domain: questions about facts, with four options to choose from."""

from __future__ import annotations

import random

from selfmoe.procedural import Family, Problem, Style

STYLE: Style = "bare"

#: continent -> "country capital" pairs, with spaces inside names written as "_"
_COUNTRIES = {
    "Europe": """Austria Vienna, Belgium Brussels, Bulgaria Sofia, Croatia Zagreb, Denmark
        Copenhagen, Estonia Tallinn, Finland Helsinki, France Paris, Germany Berlin, Greece Athens,
        Hungary Budapest, Ireland Dublin, Italy Rome, Latvia Riga, Norway Oslo, Poland Warsaw,
        Portugal Lisbon, Romania Bucharest, Serbia Belgrade, Spain Madrid, Sweden Stockholm,
        Switzerland Bern, Ukraine Kyiv""",
    "Asia": """China Beijing, India New_Delhi, Indonesia Jakarta, Iran Tehran, Iraq Baghdad,
        Japan Tokyo, Jordan Amman, Lebanon Beirut, Mongolia Ulaanbaatar, Nepal Kathmandu,
        Pakistan Islamabad, Qatar Doha, Syria Damascus, Thailand Bangkok, Vietnam Hanoi""",
    "Africa": """Algeria Algiers, Angola Luanda, Egypt Cairo, Ethiopia Addis_Ababa, Ghana Accra,
        Kenya Nairobi, Libya Tripoli, Mali Bamako, Morocco Rabat, Nigeria Abuja, Rwanda Kigali,
        Senegal Dakar, Somalia Mogadishu, Sudan Khartoum, Tunisia Tunis, Uganda Kampala,
        Zambia Lusaka, Zimbabwe Harare""",
    "America": """Argentina Buenos_Aires, Brazil Brasilia, Canada Ottawa, Chile Santiago, Colombia
        Bogota, Cuba Havana, Ecuador Quito, Jamaica Kingston, Mexico Mexico_City, Panama
        Panama_City, Paraguay Asuncion, Peru Lima, Uruguay Montevideo, Venezuela Caracas""",
}
_SYMBOLS = """
    hydrogen H, helium He, lithium Li, carbon C, nitrogen N, oxygen O, fluorine F, neon Ne, sodium
    Na, magnesium Mg, aluminium Al, silicon Si, phosphorus P, sulfur S, chlorine Cl, argon Ar,
    potassium K, calcium Ca, titanium Ti, chromium Cr, manganese Mn, iron Fe, cobalt Co, nickel
    Ni, copper Cu, zinc Zn, arsenic As, bromine Br, silver Ag, tin Sn, iodine I, tungsten W,
    platinum Pt, gold Au, mercury Hg, lead Pb, radon Rn, radium Ra, uranium U, plutonium Pu
"""
_ANIMALS = {
    "mammal": "bat bear camel cow deer dolphin fox horse lion mouse otter rabbit seal tiger whale",
    "bird": "crow duck eagle falcon goose hawk heron owl parrot penguin robin sparrow swan wren",
    "fish": "carp cod eel herring pike salmon shark sole trout tuna",
    "insect": "ant bee beetle butterfly cricket fly hornet ladybird mosquito moth wasp",
    "reptile": "adder alligator cobra crocodile gecko iguana lizard python tortoise turtle",
}


def _pairs(table: str) -> dict[str, str]:
    rows = (row.split() for row in table.split(","))
    return {key: value.replace("_", " ") for key, value in rows}


_CAPITAL = {k: v for table in _COUNTRIES.values() for k, v in _pairs(table).items()}
_CONTINENT = {country: c for c, table in _COUNTRIES.items() for country in _pairs(table)}
_SYMBOL = _pairs(_SYMBOLS)
_CLASS = {animal: c for c, animals in _ANIMALS.items() for animal in animals.split()}


def _choice(
    family: str, rng: random.Random, question: str, answer: str, others: list[str], fact: str
) -> Problem:
    options = [answer, *rng.sample(others, 3)]
    rng.shuffle(options)
    text = f"{question} Options: {', '.join(options)}."
    return Problem(family, text, answer, fact, f'print("{answer}")')


def _value_of(family: str, table: dict[str, str], relation: str) -> Family:
    def make(rng: random.Random) -> Problem:
        key = rng.choice(list(table))
        others = [value for value in table.values() if value != table[key]]
        fact = f"The {relation} of {key} is {table[key]}."
        return _choice(family, rng, f"What is the {relation} of {key}?", table[key], others, fact)

    return Family(family, make)


def _member_of(family: str, table: dict[str, str], question: str, statement: str) -> Family:
    def make(rng: random.Random) -> Problem:
        answer = rng.choice(list(table))
        others = [key for key in table if table[key] != table[answer]]
        asked = question.format(_with_article(table[answer]))
        fact = statement.format(answer, _with_article(table[answer]))
        return _choice(family, rng, asked, answer, others, fact)

    return Family(family, make)


def _with_article(word: str) -> str:
    if word[0].isupper():
        return word
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


FAMILIES = (
    _value_of("capitals", _CAPITAL, "capital"),
    _value_of("symbols", _SYMBOL, "symbol"),
    _member_of("animals", _CLASS, "Which of these is {}?", "The {} is {}."),
    _member_of("continents", _CONTINENT, "Which of these countries is in {}?", "{} is in {}."),
)
