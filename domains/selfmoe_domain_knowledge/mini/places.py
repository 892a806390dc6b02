"""Facts about countries: capitals, continents, languages."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem, facts, lookup, member, multiple_choice

_COUNTRIES = {
    "Europe": """Austria Vienna, Belgium Brussels, Bulgaria Sofia, Croatia Zagreb, Denmark
        Copenhagen, Finland Helsinki, France Paris, Germany Berlin, Greece Athens, Hungary Budapest,
        Ireland Dublin, Italy Rome, Norway Oslo, Poland Warsaw, Portugal Lisbon, Romania Bucharest,
        Spain Madrid, Sweden Stockholm, Switzerland Bern, Ukraine Kyiv""",
    "Asia": """China Beijing, India Delhi, Indonesia Jakarta, Iran Tehran, Iraq Baghdad,
        Japan Tokyo, Jordan Amman, Lebanon Beirut, Nepal Kathmandu, Pakistan Islamabad, Qatar Doha,
        Syria Damascus, Thailand Bangkok, Vietnam Hanoi""",
    "Africa": """Algeria Algiers, Angola Luanda, Egypt Cairo, Ghana Accra, Kenya Nairobi,
        Libya Tripoli, Mali Bamako, Morocco Rabat, Nigeria Abuja, Rwanda Kigali, Senegal Dakar,
        Sudan Khartoum, Tunisia Tunis, Uganda Kampala, Zambia Lusaka""",
    "America": """Argentina Buenos_Aires, Brazil Brasilia, Canada Ottawa, Chile Santiago, Colombia
        Bogota, Cuba Havana, Ecuador Quito, Jamaica Kingston, Mexico Mexico_City, Paraguay Asuncion,
        Peru Lima, Uruguay Montevideo, Venezuela Caracas""",
}
_LANGUAGE = facts(
    """Austria German, Germany German, Spain Spanish, Mexico Spanish, Peru Spanish, Chile Spanish,
    Cuba Spanish, France French, Senegal French, Mali French, Portugal Portuguese, Brazil
    Portuguese, Angola Portuguese, Egypt Arabic, Iraq Arabic, Syria Arabic, Morocco Arabic, Libya
    Arabic, Italy Italian, Greece Greek, Poland Polish, Japan Japanese, Sweden Swedish, Norway
    Norwegian, Denmark Danish, Hungary Hungarian, Ukraine Ukrainian, Jamaica English, Ghana
    English, Zambia English"""
)
CAPITAL = {k: v for table in _COUNTRIES.values() for k, v in facts(table).items()}
_COUNTRY = {capital: country for country, capital in CAPITAL.items()}
_BY_CONTINENT = {continent: tuple(facts(table)) for continent, table in _COUNTRIES.items()}


def _city_continent(rng: random.Random) -> Problem:
    continents = list(_BY_CONTINENT)
    answer = rng.choice(continents)
    country = rng.choice(_BY_CONTINENT[answer])
    others = [continent for continent in continents if continent != answer]
    question = f"On which continent is the city {CAPITAL[country]}?"
    fact = f"The city {CAPITAL[country]} is in {country}. It is in {answer}."
    return multiple_choice("city-continent", rng, question, answer, others, fact)


FAMILIES = (
    lookup("capitals", CAPITAL, "What is the capital of {}?", "The capital of {} is {}.", "easy"),
    lookup("countries", _COUNTRY, "Which country has the capital {}?", "The city {} is in {}."),
    lookup("languages", _LANGUAGE, "Which language is spoken in {}?", "People in {} speak {}."),
    member("continents", _BY_CONTINENT, "Which country is in {}?", "The country {} is in {}."),
    Family("city-continent", _city_continent, "hard"),
)
