"""Reads tasks about things that change place or direction: moves, turns, walks, swaps."""

from __future__ import annotations

import re

from readers.rules import Rules
from selfmoe_domain_reasoning.mini import tracking

RULES = Rules()

_IS_IN = re.compile(r"The (\w+) is in the (\w+)\. ?")
_PUTS = re.compile(r"Then (\w+) puts the (\w+) in the (\w+)\. ?")
_TURN = re.compile(r"Turn (\w+)\. ?")
_SWAP = re.compile(r"Then (\w+) and (\w+) swap\. ?")
_STEP = re.compile(r"(\d{1,6}) (forward|back)")


@RULES.add("moves", "{story*} Where is the {asked}?")
def _moves(found: re.Match[str]) -> str | None:
    story = f"{found['story']} "
    start, puts = _IS_IN.findall(story), _PUTS.findall(story)
    whole = "".join(part[0] for part in re.finditer(f"{_IS_IN.pattern}|{_PUTS.pattern}", story))
    places = dict(start)
    if whole.strip() != story.strip() or len(places) < len(set(start)):
        return None
    for _, thing, place in puts:
        places[thing] = place
    return places.get(found["asked"])


@RULES.add("turns", "You face {wind}. {turns*} Which way do you face?")
def _turns(found: re.Match[str]) -> str | None:
    turns = _TURN.findall(f"{found['turns']} ")
    if _TURN.sub("", f"{found['turns']} ").strip() or not set(turns) <= set(tracking._TURNS):
        return None
    if found["wind"] not in tracking._WINDS:
        return None
    facing = tracking._WINDS.index(found["wind"]) + sum(tracking._TURNS[turn] for turn in turns)
    return tracking._WINDS[facing % 4]


@RULES.add("walk", "You walk {steps*}. How many steps are you from the start?")
def _walk(found: re.Match[str]) -> str | None:
    steps = [_STEP.fullmatch(step) for step in re.split(", then |, ", found["steps"])]
    sizes = [int(s[1]) * (1 if s[2] == "forward" else -1) for s in steps if s]
    return str(abs(sum(sizes))) if len(sizes) == len(steps) else None


@RULES.add("swaps", "The balls: {balls*}. {swaps*} Which ball has {who} now?")
def _swaps(found: re.Match[str]) -> str | None:
    pairs = [pair.split() for pair in found["balls"].split(", ")]
    if any(len(pair) != 2 for pair in pairs) or len({pair[0] for pair in pairs}) < len(pairs):
        return None
    balls = dict(pairs)
    swaps = f"{found['swaps']} "
    if _SWAP.sub("", swaps).strip():
        return None
    for one, two in _SWAP.findall(swaps):
        if one == two or one not in balls or two not in balls:
            return None
        balls[one], balls[two] = balls[two], balls[one]
    return balls.get(found["who"])
