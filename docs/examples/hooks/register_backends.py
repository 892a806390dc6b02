"""A backend: the base itself, by transformers' own ``generate``, one text after the other."""

from selfmoe.contracts import Backend, Writer, Written, hookimpl

SELFMOE_API = 1


class Slow(Writer):
    name = "transformers"

    def __init__(self, base):
        self.base = base

    def write(self, asked, manner, told):
        found = []
        for place, one in enumerate(asked):
            found.append(self._one(one, manner))
            told(place, found[-1])
        return found

    def _one(self, one, manner):
        import torch

        drawn = {"do_sample": False}
        if one.seed is not None:
            drawn = {"do_sample": True, "top_k": 0, "top_p": manner.top_p}
            drawn |= {"temperature": manner.temperature}
        tokenizer, ids = self.base.tokenizer, torch.tensor([one.ids])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(one.seed or 0)
            whole = self.base.model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=manner.max_new_tokens,
                pad_token_id=tokenizer.eos_token_id, **drawn,
            )  # fmt: skip
        new = whole[0, len(one.ids) :].tolist()
        ended = len(new) < manner.max_new_tokens
        return Written(tokenizer.decode(new, skip_special_tokens=True), ended, tuple(new))


class Plainly(Backend):
    """Transformers' own ``generate``."""

    name = "transformers"

    def open(self, base):
        return Slow(base)


@hookimpl
def register_backends():
    return [Plainly]
