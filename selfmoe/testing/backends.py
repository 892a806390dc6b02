"""What every backend must hold, as a test class to subclass.

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def backend(self):
            return MyBackend()

Override ``base`` where the backend has another one than the tiny random Llama.
"""

from __future__ import annotations

import pytest
import torch

from selfmoe.contracts.backend import Asked, Backend, Manner, Written
from selfmoe.contracts.component import Component
from selfmoe.contracts.errors import NotSupportedError
from selfmoe.contracts.records import LoadedBase
from selfmoe.models.generation import Sampling, generate
from selfmoe.models.remote.sameness import check_same
from selfmoe.models.remote.writing import Remote
from selfmoe.models.tokens import prompt_ids
from selfmoe.testing.components import ComponentContract
from selfmoe.testing.models import tiny_base

PROMPTS = ("1, 2, 3, 4,", "Once upon a time", "The answer is")
NEW = 6
"""New tokens a prompt."""


class BackendContract(ComponentContract):
    """Checks of a program that writes texts with a base."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Return the backend to check; subclasses override this."""
        raise NotImplementedError("override the fixture 'backend'")

    @pytest.fixture
    def component(self, backend: Backend) -> Component:
        """Return the backend."""
        return backend

    @pytest.fixture
    def base(self) -> LoadedBase:
        """Return the base that the backend has."""
        return tiny_base()

    @pytest.fixture
    def remote(self, backend: Backend, base: LoadedBase) -> Remote:
        """Return the backend at work."""
        return Remote(backend.open(base), base)

    def test_keys_know_options_that_there_are(self, backend: Backend) -> None:
        """What it says to be made with are options that it has."""
        assert backend.made_with <= set(backend.Config.model_fields)

    def test_has_the_base(self, remote: Remote, base: LoadedBase) -> None:
        """It passes the comparison with the base that a run begins with."""
        check_same(remote.writer, base)

    def test_likeliest_tokens_are_those_of_the_base(self, remote: Remote, base: LoadedBase) -> None:
        """Without drawing it writes what the base writes, in the order of what was asked."""
        own = generate(base.model, base.tokenizer, PROMPTS, max_new_tokens=NEW)
        found = remote.generate(PROMPTS, max_new_tokens=NEW)
        assert [new.text for new in found] == [new.text for new in own]

    def test_drawn_by_seeds_of_their_own(self, remote: Remote) -> None:
        """What it draws depends on the seed of each text, and comes again with it."""
        how = Sampling(1.0, 1.0)
        prompts = PROMPTS[:1] * 4

        def drawn(seeds: list[int]) -> list[str]:
            found = remote.generate(prompts, max_new_tokens=NEW, sampling=how, seeds=seeds)
            return [new.text for new in found]

        first = drawn([1, 2, 3, 4])
        assert first == drawn([1, 2, 3, 4])
        assert drawn([4, 3, 2, 1]) == first[::-1]

    def test_tells_of_every_text(self, backend: Backend, base: LoadedBase) -> None:
        """It tells of every text once, as it comes, with its place."""
        asked = [Asked(tuple(prompt_ids(base.tokenizer, text)), text) for text in PROMPTS]
        told: list[tuple[int, Written]] = []
        found = backend.open(base).write(asked, Manner(NEW), lambda *new: told.append(new))
        assert sorted(told) == list(enumerate(found))

    def test_likelihoods_are_those_of_the_base_or_refused(
        self, remote: Remote, base: LoadedBase
    ) -> None:
        """It gives the likelihoods that the base gives, or says that it gives none."""
        ids = prompt_ids(base.tokenizer, PROMPTS[0])
        try:
            [found] = remote.likelihoods([(ids[:-2], ids[-2:])], context=base.context)
        except NotSupportedError:
            return
        with torch.inference_mode():
            logits = base.model(torch.tensor([ids[:-1]])).logits[0, -2:].float()
        own = logits.log_softmax(-1).gather(-1, torch.tensor(ids[-2:])[:, None]).sum()
        assert found == pytest.approx(float(own), abs=1e-3)
