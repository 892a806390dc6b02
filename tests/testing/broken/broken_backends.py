"""Backends of which each breaks one check, named by ``fails``."""

from __future__ import annotations

from selfmoe.contracts import Backend, Writer, Written

PROBED = 16
"""New tokens of the texts by which a run compares a backend with its base."""


class _Base(Writer):
    """Writes with the base itself."""

    name = "the base"

    def __init__(self, base):
        self.base = base

    def write(self, asked, manner, told):
        found = [self.one(asked, number, manner) for number in range(len(asked))]
        for place, new in enumerate(found):
            told(place, new)
        return found

    def one(self, asked, number, manner):
        from selfmoe.models.generation import Sampling, generate

        how = {}
        if asked[number].seed is not None:
            drawn = Sampling(manner.temperature, manner.top_p)
            how = {"sampling": drawn, "seeds": [self.seed(asked, number)]}
        model, tokenizer = self.base.model, self.base.tokenizer
        text = asked[number].text
        [new] = generate(model, tokenizer, [text], max_new_tokens=manner.max_new_tokens, **how)
        return Written(new.text, new.finished, new.tokens)

    def seed(self, asked, number):
        return asked[number].seed

    def score(self, pairs, told):
        found = [self.chance(prompt, answer) for prompt, answer in pairs]
        for place, chance in enumerate(found):
            told(place, chance)
        return found

    def chance(self, prompt, answer):
        import torch

        with torch.inference_mode():
            logits = self.base.model(torch.tensor([[*prompt, *answer[:-1]]])).logits[0]
        chances = logits[-len(answer) :].float().log_softmax(-1)
        return float(chances.gather(-1, torch.tensor(answer)[:, None]).sum())


class Sound(Backend):
    """Does nothing wrong."""

    name = "sound"
    fails = None
    kind = _Base

    def open(self, base):
        return self.kind(base)


class UnknownOption(Sound):
    """Says to be made with an option that it has not."""

    fails = "test_keys_know_options_that_there_are"
    made_with = frozenset({"model"})


class _Other(_Base):
    def one(self, asked, number, manner):
        new = super().one(asked, number, manner)
        if manner.max_new_tokens != PROBED:
            return new
        tokens = tuple(reversed(range(5, 5 + PROBED)))
        return Written(self.base.tokenizer.decode(tokens), False, tokens)


class OtherModel(Sound):
    """Has another model when it is compared."""

    fails = "test_has_the_base"
    kind = _Other


class _Turned(_Base):
    def one(self, asked, number, manner):
        few = asked[number].seed is None and manner.max_new_tokens != PROBED
        return super().one(asked[::-1] if few else asked, number, manner)


class Turned(Sound):
    """Answers in another order than it was asked."""

    fails = "test_likeliest_tokens_are_those_of_the_base"
    kind = _Turned


class _OneSeed(_Base):
    def seed(self, asked, number):
        return asked[0].seed


class OneSeed(Sound):
    """Draws all texts by the seed of the first."""

    fails = "test_drawn_by_seeds_of_their_own"
    kind = _OneSeed


class _Twice(_Base):
    def write(self, asked, manner, told):
        found = super().write(asked, manner, told)
        told(0, found[0])
        return found


class Twice(Sound):
    """Tells of a text twice."""

    fails = "test_tells_of_every_text"
    kind = _Twice


class _Surer(_Base):
    def chance(self, prompt, answer):
        return super().chance(prompt, answer) / 2


class Surer(Sound):
    """Thinks that texts are likelier than the base does."""

    fails = "test_likelihoods_are_those_of_the_base_or_refused"
    kind = _Surer
