"""KL and its gradient a few tokens at a time; what a teacher's end of an answer counts as."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from selfmoe.kits.trainers.divergences import Direction, Divergence
from selfmoe.kits.trainers.ends import LEFT, Ends, ends_among
from selfmoe.models.fitting import chunks
from selfmoe.testing.models import tiny_base

WIDTH, VOCABULARY, TOKENS = 6, 11, 9
EOS, STOP = 10, 3


@pytest.fixture(autouse=True, params=[chunks.AT_ONCE, 4 * VOCABULARY])
def _chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(chunks, "AT_ONCE", request.param)


class Head:
    vocabulary = VOCABULARY
    parameters: list[nn.Parameter]

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.parameters = []
        self.weight = torch.randn(VOCABULARY, WIDTH)

    def __call__(self, states: Tensor) -> Tensor:
        return states @ self.weight.T


def given() -> tuple[Head, Tensor, Tensor, Tensor]:
    head = Head()
    student = torch.randn(TOKENS, WIDTH, requires_grad=True)
    targets = torch.randint(0, EOS, (TOKENS,))
    targets[[4, 8]] = EOS
    return head, student, torch.randn(TOKENS, WIDTH), targets


def both(divergence: Divergence, naive: Any, student: Tensor, *rest: Tensor) -> None:
    """Compare a divergence and its gradient with what autograd makes of the definition."""
    ours, theirs = divergence(student, *rest), naive(student)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    mine, expected = (torch.autograd.grad(2 * one, student)[0] for one in (ours, theirs))
    assert expected.abs().max() > 0
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_equals_the_definition(direction: Direction) -> None:
    head, student, teacher, targets = given()
    wanted = log_softmax(head(teacher), -1)

    def naive(states: Tensor) -> Tensor:
        logs = log_softmax(head(states), -1)
        pair = (logs, wanted) if direction == "forward" else (wanted, logs)
        return kl_div(*pair, log_target=True, reduction="sum")

    both(Divergence(head, Ends(EOS, ()), direction), naive, student, teacher, targets)


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_forward_mixes_with_the_loss_on_the_tokens(mix: float) -> None:
    head, student, teacher, targets = given()
    shares = head(teacher).softmax(-1)
    shares[targets == EOS] = 0
    shares[targets == EOS, EOS] = 1

    def naive(states: Tensor) -> Tensor:
        logits = head(states)
        kl = kl_div(log_softmax(logits, -1), shares, reduction="sum")
        return (1 - mix) * kl + mix * cross_entropy(logits, targets, reduction="sum")

    divergence = Divergence(head, Ends(EOS, ()), mix=mix, known_ends=True)
    both(divergence, naive, student, teacher, targets)


def test_of_equal_distributions_it_is_nothing() -> None:
    head, student, _, targets = given()
    for direction in ("forward", "reverse"):
        divergence = Divergence(head, Ends(EOS, ()), direction)  # type: ignore[arg-type]
        loss = divergence(student, student.detach(), targets)
        assert loss.item() == pytest.approx(0, abs=1e-5)
        assert torch.autograd.grad(loss, student)[0].abs().max() < 1e-5


def test_without_gradients_it_is_the_same_number() -> None:
    head, student, teacher, targets = given()
    divergence = Divergence(head, Ends(EOS, (STOP,)), "reverse")
    with torch.no_grad():
        loss = divergence(student, teacher, targets)
    assert loss.item() == pytest.approx(divergence(student, teacher, targets).item())


# --- ends -----------------------------------------------------------------------------------------


def test_what_ends_an_answer_counts_as_end_of_text() -> None:
    logs = log_softmax(torch.randn(4, VOCABULARY), -1)
    before, after = logs.exp(), Ends(EOS, (1, STOP)).counted(logs.clone()).exp()
    torch.testing.assert_close(after.sum(-1), torch.ones(4))
    moved = (1 - LEFT) * (before[:, 1] + before[:, STOP])
    torch.testing.assert_close(after[:, EOS], before[:, EOS] + moved)
    torch.testing.assert_close(after[:, STOP], LEFT * before[:, STOP])
    others = [token for token in range(VOCABULARY) if token not in (1, STOP, EOS)]
    torch.testing.assert_close(after[:, others], before[:, others])


def test_a_student_that_ends_another_way_has_a_finite_divergence() -> None:
    head, student, teacher, targets = given()
    loss = Divergence(head, Ends(EOS, (STOP,)), "reverse")(student, teacher, targets)
    assert math.isfinite(loss.item())


def ends(answers: list[str], *, rare: float = 0.0, stop: tuple[str, ...] = ("\n\n",)) -> set[str]:
    base = tiny_base()
    ids = [base.tokenizer(answer).input_ids for answer in answers]
    found = ends_among(base, stop, ids, rare=rare)
    assert found.text == base.tokenizer.eos_token_id
    assert found.told == bool(found.others)
    return {base.tokenizer.decode([token]) for token in found.others}


def test_ends_are_what_a_stop_begins_with_unless_answers_hold_it() -> None:
    assert ends(["a", "b"]) == {"\n"}
    assert ends(["a", "b\nc"]) == set()
    assert ends(["a", "b\nc"], rare=0.5) == {"\n"}
    assert ends(["a"], stop=("\n\n", ";")) == {"\n", ";"}


class Pieces:
    """A tokenizer with tokens for blank lines and more."""

    eos_token_id = 9
    texts = ("a", "\n", "\n\n", "\r\n\r\n", "\r", ".\n\n", "\nRes", "")

    def __len__(self) -> int:
        return len(self.texts)

    def __call__(self, text: str, **options: Any) -> Any:
        start = [0] * text.startswith("a")
        lines = [2] if "\n\n" in text else [1] * ("\n" in text)
        return SimpleNamespace(input_ids=[*start, *lines])

    def batch_decode(self, rows: list[list[int]]) -> list[str]:
        return [self.texts[token] for (token,) in rows]


def test_tokens_that_hold_a_whole_stop_are_ends_though_answers_have_lines() -> None:
    base: Any = SimpleNamespace(model=None, tokenizer=Pieces(), template="alpaca")
    found = ends_among(base, ("\n\n", "\nResponse:"), [[0, 1, 0]])
    assert [Pieces.texts[token] for token in found.others] == ["\n\n", "\r\n\r\n", "\nRes"]
    assert found.told
    assert not ends_among(base, ("\nResponse:",), [[0, 1, 0]]).told
