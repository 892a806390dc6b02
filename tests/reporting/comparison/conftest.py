"""A comparison that nobody made."""

from __future__ import annotations

import pytest

from selfmoe.reporting.comparison.model import ComparedSystem
from selfmoe.reporting.comparison.order import order
from selfmoe.reporting.model import Paired

KINDS = {"base": "base", "expert-math": "expert", "chance": "router", "mixse": "router"}
KINDS |= {"told": "router", "mean": "merge"}


def system(name: str, place: int) -> dict:
    value = 0.3 + 0.1 * place
    score = {"value": value, "low": value - 0.05, "high": value + 0.05, "lenient": 0.9, "n": 20}
    score |= {"role": "target", "not_run": None, "interval": "items", "extra": {}, "stderr": 0.1}
    routed = KINDS[name] == "router"
    return {
        "name": name, "kind": KINDS[name],
        "scores": {f"{domain}/mini": score for domain in ("math", "coding", "knowledge", "logic")},
        "average": value, "average_low": value - 0.05, "average_high": value + 0.05,
        "average_lenient": 0.9, "covers": [4, 4],
        "composer": name, "options": {}, "control": name == "chance",
        "labelled": name == "told",
        "trained_parameters": 512, "added_parameters": 1_234_567, "flops": 10, "forward": 1.25,
        "entropy": 0.5 if routed else None, "collapsed": "math" if name == "chance" else None,
        "seconds": 3.0,
    }  # fmt: skip


def estimate(difference: float) -> dict:
    return {"difference": difference, "low": difference - 0.1, "high": difference + 0.1, "p": 0.01}


@pytest.fixture
def results() -> dict:
    """Return the numbers of a comparison, made up."""
    systems = [system(name, place) for place, name in enumerate(KINDS)]
    estimates = {
        s["name"]: {"score": estimate(s["average"] - 0.6), "lenient": estimate(0.0)}
        for s in systems
        if s["name"] != "mixse"
    }
    routing = {"math/mini": {"math": 0.75, "coding": 0.25}}
    paired = {"reference": "mixse", "systems": estimates}
    compared = [ComparedSystem.model_validate(s) for s in systems]
    pairs = order(compared, Paired.model_validate(paired), 0.05)
    return {
        "format": 1, "base": {"name": "seedling", "hash": "0123abcd"}, "track": "mini",
        "preset": "demo", "root_seed": 3, "versions": {"torch": "2.13.0"}, "cells": ["0123456789"],
        "routing": {"mixse": routing, "chance": routing}, "routing_response": {"mixse": routing},
        "seed": "composer seed", "seeds": [0], "interval": "items",
        "confidence": 0.95, "tokens": 256, "systems": systems, "paired": paired,
        "order": [pair.to_json() for pair in pairs], "left_out": {"narrow": "too few experts"},
        "missing": {"0": {"compose/odd": "no luck\nmore", "evaluate/odd/math": "not done: it"}},
    }  # fmt: skip
