"""Things that change place or direction, followed step by step."""

from __future__ import annotations

import random

from selfmoe.kits.domains import Family, Problem
from selfmoe_domain_reasoning.mini.words import COLOURS, NAMES, problem

_THINGS = ("key", "ring", "coin", "map")
_PLACES = ("box", "bag", "cup", "drawer", "basket")
_WINDS = ("north", "east", "south", "west")
_TURNS = {"right": 1, "around": 2, "left": 3}


def _moves(rng: random.Random) -> Problem:
    things, asked = rng.sample(_THINGS, 2), rng.choice((0, 1))
    places = [[place] for place in rng.sample(_PLACES, 2)]
    text = [f"The {things[i]} is in the {places[i][0]}." for i in (0, 1)]
    for _ in range(rng.choice((1, 2, 3))):
        which = rng.choice((0, 1))
        place = rng.choice([p for p in _PLACES if p != places[which][-1]])
        places[which].append(place)
        text.append(f"Then {rng.choice(NAMES)} puts the {things[which]} in the {place}.")
    text.append(f"Where is the {things[asked]}?")
    steps = f"The {things[asked]}: {', '.join(places[asked])}."
    return problem("moves", " ".join(text), places[asked][-1], steps)


def _turns(rng: random.Random) -> Problem:
    facing = rng.randrange(4)
    text, seen = [f"You face {_WINDS[facing]}."], []
    for _ in range(rng.choice((2, 3, 4, 4))):
        turn = rng.choice(tuple(_TURNS))
        facing = (facing + _TURNS[turn]) % 4
        text.append(f"Turn {turn}.")
        seen.append(f"{turn} {_WINDS[facing]}")
    text.append("Which way do you face?")
    return problem("turns", " ".join(text), _WINDS[facing], f"Turn {', '.join(seen)}.")


def _walk(rng: random.Random) -> Problem:
    place = rng.randint(3, 9)
    text, steps = [f"{place} forward"], []
    for _ in range(rng.choice((1, 2))):
        size = rng.randint(1, 9)
        back = size <= place and rng.random() < 0.5
        text.append(f"{size} {'back' if back else 'forward'}")
        new = place - size if back else place + size
        steps.append(f"{place} {'-' if back else '+'} {size} = {new}.")
        place = new
    asked = f"You walk {', then '.join(text)}. How many steps are you from the start?"
    return problem("walk", asked, str(place), " ".join(steps))


def _swaps(rng: random.Random) -> Problem:
    names, colours = rng.sample(NAMES, 3), rng.sample(COLOURS, 3)
    balls = dict(zip(names, colours, strict=True))
    text, steps = [f"The balls: {_state(balls)}"], []
    for _ in range(rng.choice((1, 2, 2))):
        one, two = rng.sample(names, 2)
        balls[one], balls[two] = balls[two], balls[one]
        text.append(f"Then {one} and {two} swap.")
        steps.append(f"Then {_state(balls)}")
    who = rng.choice(names)
    text.append(f"Which ball has {who} now?")
    return problem("swaps", " ".join(text), balls[who], " ".join(steps))


def _state(balls: dict[str, str]) -> str:
    return ", ".join(f"{name} {colour}" for name, colour in balls.items()) + "."


FAMILIES = (
    Family("moves", _moves, "easy"),
    Family("turns", _turns, "medium"),
    Family("walk", _walk, "medium"),
    Family("swaps", _swaps, "hard"),
)
