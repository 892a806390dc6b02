"""Trainers that learn from the base with demonstrations: plain loops give the same; resuming."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, nll_loss

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.fitting import FitReport
from selfmoe.contracts.prompts import Prompts, alpaca
from selfmoe.contracts.records import Example, Instruction, LoadedBase
from selfmoe.contracts.trainer import TrainContext
from selfmoe.kits.trainers.ends import LEFT
from selfmoe.models.fitting.batches import collate, encode_all
from selfmoe.models.fitting.loop import Fit
from selfmoe.models.tokens import padding
from selfmoe.registry.registry import registry
from selfmoe.testing.compare import contents
from selfmoe.testing.families import tiny_model
from selfmoe.testing.models import tiny_base, tiny_examples, tiny_tokenizer
from selfmoe.testing.trainers import Steps, ToyTeacher

FAST: dict[str, Any] = {"epochs": 2, "batch_size": 3, "lr": 0.05, "r": 2, "alpha": 4}
SDFT: dict[str, Any] = {"max_new_tokens": 6}
SEED = 5


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def spelled(text: str) -> tuple[int, ...]:
    return tuple(tiny_tokenizer()(text).input_ids)


def examples() -> list[Example]:
    """Return answers as a base would have written them, of several lengths."""
    texts = [" 2", " 34", " five and six", " 7", " 8 or 9", " 10"]
    return [
        replace(one, response=text.strip(), continuation=text, tokens=spelled(text))
        for one, text in zip(tiny_examples(6), texts, strict=True)
    ]


def context(folder: Path, **changes: Any) -> TrainContext:
    out = folder / "adapter"
    out.mkdir(parents=True, exist_ok=True)
    given = TrainContext(tiny_base(), examples(), Fit(), SEED, folder / "work", out, ToyTeacher())
    return given._replace(**changes)


def train(name: str, ctx: TrainContext, **options: Any) -> Any:
    extra = SDFT if name == "sdft" else {}
    return registry().configure("trainer", name, {**FAST, **extra, **options}).train(ctx)


# --- what is learned ------------------------------------------------------------------------------


class Watched:
    """Stands in for the fitting loop: compares the loss and gradient of its first step.

    Args:
        naive: Returns the loss of a row, given the model, its example and the tokens to learn.
    """

    def __init__(self, naive: Any) -> None:
        self._naive = naive
        self.progress = lambda step, steps, text: None
        self.answers: list[list[int]] = []

    def __call__(self, model: Any, parameters: Any, data: Sequence[Example], base: LoadedBase,
                 config: Any, **how: Any) -> FitReport:  # fmt: skip
        torch.manual_seed(0)
        for parameter in parameters.values():
            parameter.data.add_(0.1 * torch.randn(parameter.shape))
        places = [4, 0, 2, 1]
        chosen = [data[place] for place in places]
        if how["on_policy"]:
            chosen = how["on_policy"](0, places)
            assert chosen == how["on_policy"](0, places)
        rows = encode_all(chosen, base, "", places)
        batch = collate(rows, padding(base.tokenizer), torch.device("cpu"))
        loss = how["forward"](batch)
        self.answers = [row.ids[row.prompt :] for row in rows]
        assert torch.equal(loss, how["forward"](batch))
        parts = [
            self._naive(model, data[row.row], row.ids[row.prompt :], base.tokenizer) for row in rows
        ]
        expected = sum(parts)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
        found = [torch.autograd.grad(one, list(parameters.values())) for one in (loss, expected)]
        largest = max(float(one.abs().max()) for one in found[1])
        assert largest > 0
        for name, ours, theirs in zip(parameters, *found, strict=True):
            assert (ours - theirs).abs().max() <= 2e-4 * largest, name
        assert model.training
        return FitReport([1.0], 1, 1)


@contextmanager
def plainly(model: Any) -> Iterator[None]:
    """Let PEFT's own layers compute."""
    learning = [m for m in model.modules() if "forward" in vars(m)]
    kept = [vars(module).pop("forward") for module in learning]
    yield
    for module, forward in zip(learning, kept, strict=True):
        vars(module)["forward"] = forward


def distributions(model: Any, prompt: str, answer: list[int], tokenizer: Any) -> Tensor:
    """Return the log-probabilities before each token of an answer, by a forward pass of its own."""
    before = tokenizer(prompt).input_ids
    logits = model(input_ids=torch.tensor([[*before, *answer]])).logits[0]
    return log_softmax(logits[len(before) - 1 : -1], -1)


def student_and_teacher(
    model: Any, example: Example, answer: list[int], tokenizer: Any
) -> tuple[Tensor, Tensor]:
    with plainly(model), torch.no_grad(), model.disable_adapter():
        teacher = distributions(model, ToyTeacher()(example), answer, tokenizer)
    shares, eos = teacher.exp(), tokenizer.eos_token_id
    for line in tokenizer("\n\r").input_ids:
        shares[:, eos] += (1 - LEFT) * shares[:, line]
        shares[:, line] *= LEFT
    prompt = alpaca(Instruction(example.instruction, example.input))
    with plainly(model):
        return distributions(model, prompt, answer, tokenizer), shares


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen2-tied"])
@pytest.mark.parametrize("mix", [0.0, 0.25])
def test_distillation_is_forward_kl_on_the_tokens_of_the_data(
    family: str, mix: float, tmp_path: Path
) -> None:
    def naive(model: Any, example: Example, answer: list[int], tokenizer: Any) -> Tensor:
        student, shares = student_and_teacher(model, example, answer, tokenizer)
        shares[-1] = torch.eye(shares.shape[-1])[answer[-1]]
        assert answer == [*example.tokens, tokenizer.eos_token_id]
        kl = kl_div(student, shares, reduction="sum")
        return (1 - mix) * kl + mix * nll_loss(student, torch.tensor(answer), reduction="sum")

    base = replace(tiny_base(), model=tiny_model(family))
    train("distill", context(tmp_path, fit=Watched(naive), base=base), mix=mix)


@pytest.mark.parametrize("divergence", ["reverse", "forward"])
def test_sdft_is_kl_at_every_place_where_the_student_wrote(divergence: str, tmp_path: Path) -> None:
    def naive(model: Any, example: Example, answer: list[int], tokenizer: Any) -> Tensor:
        student, shares = student_and_teacher(model, example, answer, tokenizer)
        pair = (student, shares.log()) if divergence == "forward" else (shares.log(), student)
        return kl_div(*pair, log_target=True, reduction="sum")

    watched = Watched(naive)
    train("sdft", context(tmp_path, fit=watched), divergence=divergence)
    assert max(map(len, watched.answers)) == SDFT["max_new_tokens"]


def test_without_a_tail_of_the_model_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("with", "without"):
        ctx = context(tmp_path / name)
        found.append([train(kind, ctx)["losses"] for kind in ("distill", "sdft")])
        monkeypatch.setattr("selfmoe.models.fitting.reading.tail_of", lambda *given: None)
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, rel=1e-2)


def test_a_mix_of_one_is_the_lora_trainer(tmp_path: Path) -> None:
    for name, options in (("lora", {}), ("distill", {"mix": 1.0})):
        train(name, context(tmp_path / name, teacher=None), **options)
    assert contents(tmp_path / "lora" / "adapter") == contents(tmp_path / "distill" / "adapter")


@pytest.mark.parametrize("name", ["distill", "sdft"])
def test_it_comes_nearer_to_the_teacher(name: str, tmp_path: Path) -> None:
    losses = train(name, context(tmp_path), epochs=12, lr=0.01)["losses"]
    assert sum(losses[-4:]) < 0.7 * sum(losses[:4])


def test_answers_are_drawn_by_item_and_step(tmp_path: Path) -> None:
    class Asks:
        progress = staticmethod(lambda step, steps, text: None)

        def __call__(self, *given: Any, on_policy: Any, **how: Any) -> FitReport:
            alone, together = on_policy(0, [1]), on_policy(0, [0, 1, 3])
            assert together[1] == alone[0]
            assert [one.id for one in together] == ["0", "1", "3"]
            assert on_policy(1, [1]) != alone
            return FitReport([1.0], 1, 1)

    train("sdft", context(tmp_path, fit=Asks()))


# --- going on -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["distill", "sdft"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_kill_anywhere_leaves_the_same_bytes(
    name: str, checkpointing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("selfmoe.models.fitting.batches._AT_ONCE_ON_CPUS", 300)  # several parts
    options = {"gradient_checkpointing": checkpointing, "dropout": 0.1}
    steps = Steps()
    whole = context(tmp_path / "whole", fit=Fit(steps))
    train(name, whole, **options)
    expected = contents(whole.out)
    assert steps.count >= 4
    for stop in range(1, steps.count + 1):
        ctx = context(tmp_path / str(stop))
        with pytest.raises(KeyboardInterrupt):
            train(name, ctx._replace(fit=Fit(Steps(stop), save_seconds=-1)), **options)
        assert contents(ctx.out) == {}
        rest = Steps()
        train(name, ctx._replace(fit=Fit(rest)), **options)
        assert contents(ctx.out) == expected
        assert rest.count <= steps.count - stop + 1


def test_the_teacher_reads_each_answer_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from selfmoe.kits.trainers.teaching import Demonstrating

    read: list[int] = []
    plain = Demonstrating.read

    def counted(self: Any, part: Any) -> Any:
        read.extend(row.row for row in part)
        return plain(self, part)

    monkeypatch.setattr(Demonstrating, "read", counted)
    ctx = context(tmp_path)
    train("distill", ctx, epochs=3)
    assert sorted(read) == list(range(6))
    train("distill", ctx, epochs=3)
    assert len(read) == 6


def test_damaged_states_are_read_anew(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    train("distill", ctx)
    expected = load_file(ctx.out / "adapter_model.safetensors")
    (file,) = (ctx.work / "teacher").glob("*/states.safetensors")
    file.write_bytes(file.read_bytes()[:-4])
    again = context(tmp_path / "again", work=ctx.work)
    train("distill", again)
    for name, tensor in load_file(again.out / "adapter_model.safetensors").items():
        assert torch.equal(tensor, expected[name]), name


# --- what is refused ------------------------------------------------------------------------------


class Long(ToyTeacher):
    def __call__(self, example: Example) -> str:
        return "So. " * 200


@pytest.mark.parametrize("name", ["distill", "sdft"])
def test_no_teacher_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"not given\n.*leave specialise.trainer out"):
        train(name, context(tmp_path, teacher=None))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="does not fit the base's context of 512"):
        train("distill", context(tmp_path, teacher=Long()))
    with pytest.raises(StageError, match=r"room for .* tokens .* max_new_tokens is 500"):
        train("sdft", context(tmp_path), max_new_tokens=500)


def test_sdft_refuses_where_answers_hold_what_ends_them(tmp_path: Path) -> None:
    data = [replace(one, tokens=spelled(" 1\n 2")) for one in examples()]
    with pytest.raises(StageError, match="cannot tell an expert where its answers should end"):
        train("sdft", context(tmp_path, data=data))
    train("sdft", context(tmp_path, data=[*examples() * 4, data[0]]), max_steps=1)


def test_prompts_are_the_toy_teachers() -> None:
    one = examples()[0]
    asked = Prompts().respond((), Instruction(one.instruction, one.input))
    assert ToyTeacher()(one).endswith(asked)
