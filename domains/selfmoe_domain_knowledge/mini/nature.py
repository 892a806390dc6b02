"""Facts about elements, animals and the planets."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem, facts, lookup, member, multiple_choice, outsider

_SYMBOL = facts(
    """hydrogen H, helium He, lithium Li, carbon C, nitrogen N, oxygen O, fluorine F, neon Ne,
    sodium Na, magnesium Mg, aluminium Al, silicon Si, phosphorus P, sulfur S, chlorine Cl, argon
    Ar, potassium K, calcium Ca, titanium Ti, chromium Cr, manganese Mn, iron Fe, cobalt Co, nickel
    Ni, copper Cu, zinc Zn, bromine Br, silver Ag, tin Sn, iodine I, platinum Pt, gold Au, mercury
    Hg, lead Pb, radium Ra, uranium U"""
)
_ELEMENT = {symbol: element for element, symbol in _SYMBOL.items()}
_ANIMALS = {
    "a mammal": "bat bear camel cow deer dolphin fox horse lion mouse otter rabbit seal tiger",
    "a bird": "crow duck eagle falcon goose hawk heron owl parrot penguin robin sparrow swan",
    "a fish": "carp cod eel herring pike salmon shark sole trout tuna",
    "an insect": "ant bee beetle butterfly cricket fly hornet ladybird mosquito moth wasp",
    "a reptile": "adder alligator cobra crocodile gecko iguana lizard python tortoise turtle",
}
CLASSES = {kind: tuple(animals.split()) for kind, animals in _ANIMALS.items()}
_YOUNG = facts(
    """dog puppy, cat kitten, cow calf, horse foal, sheep lamb, pig piglet, goat kid, lion cub, duck
    duckling, hen chick, goose gosling, deer fawn, frog tadpole, kangaroo joey, swan cygnet, eagle
    eaglet, butterfly caterpillar, owl owlet, hare leveret, eel elver"""
)
_HOME = facts(
    """bee hive, bird nest, fox den, horse stable, spider web, dog kennel, rabbit burrow, lion
    savanna, camel desert, pig sty, hen coop, ant anthill, shark sea, frog pond, penguin ice, bat
    cave, beaver lodge, monkey forest"""
)
_PLANETS = ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune")


def _kin(rng: random.Random) -> Problem:
    kind = rng.choice(list(CLASSES))
    shown, answer = rng.sample(CLASSES[kind], 2)
    others = [one for other, members in CLASSES.items() if other != kind for one in members]
    question = f"Which animal is of the same kind as the {shown}?"
    fact = f"The {shown} is {kind}. The {answer} is {kind}."
    return multiple_choice("kin", rng, question, answer, others, fact)


def _planets(rng: random.Random) -> Problem:
    shown = sorted(rng.sample(range(len(_PLANETS)), 4))
    near = rng.random() < 0.5
    answer = _PLANETS[shown[0] if near else shown[-1]]
    others = [_PLANETS[i] for i in shown if _PLANETS[i] != answer]
    question = f"Which planet is {'nearest to' if near else 'farthest from'} the Sun?"
    fact = f"From the Sun: {', '.join(_PLANETS[i] for i in shown)}."
    return multiple_choice("planets", rng, question, answer, others, fact)


FAMILIES = (
    lookup("symbols", _SYMBOL, "What is the symbol of {}?", "The symbol of {} is {}.", "easy"),
    lookup("elements", _ELEMENT, "Which element has the symbol {}?", "The symbol {} is {}."),
    member("animals", CLASSES, "Which of these is {}?", "The {} is {}.", "easy"),
    outsider("outsiders", CLASSES, "Which of these is not {}?", "The {} is {}."),
    lookup(
        "young", _YOUNG, "What is the young of the {} called?", "The young of the {} is the {}."
    ),
    lookup("homes", _HOME, "Where is the home of the {}?", "The home of the {} is the {}.", "easy"),
    Family("kin", _kin, "hard"),
    Family("planets", _planets, "hard"),
)
