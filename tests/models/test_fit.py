"""The one training loop: what it computes, how it resumes, when it stops."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from selfmoe.contracts.errors import StageError
from selfmoe.contracts.fitting import IGNORE, FitConfig, FitReport
from selfmoe.contracts.randomness import derive, permutation
from selfmoe.contracts.records import Example, LoadedBase
from selfmoe.models.fitting.batches import collate, encode
from selfmoe.models.fitting.loop import Fit
from selfmoe.testing.models import tiny_base, tiny_examples

CONFIG = FitConfig(lr=0.01, epochs=2, batch_size=2, warmup=0, schedule="constant", clip=1e9)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def ready(seed: int = 0) -> tuple[LoadedBase, dict[str, nn.Parameter]]:
    """Return a base of which the final norm and one linear are to be fitted."""
    base = tiny_base(seed)
    names = ("model.norm.weight", "model.layers.1.mlp.down_proj.weight")
    parameters = {n: p for n, p in base.model.named_parameters() if n in names}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    return base, parameters


def fit(
    work: Path, config: FitConfig = CONFIG, stop: int | None = None, **changes: Any
) -> tuple[FitReport | None, Mapping[str, Tensor]]:
    """Fit; stop as if killed after ``stop`` steps. Return the report and the parameters."""
    base, parameters = ready()

    def progress(step: int, steps: int, text: str) -> None:
        if step - 1 == stop:
            raise KeyboardInterrupt

    examples = changes.pop("examples", tiny_examples(6))
    try:
        report = Fit(progress, save_seconds=-1.0)(
            base.model, parameters, examples, base, config,
            seed=5, work=work, label="test", **changes,
        )  # fmt: skip
    except KeyboardInterrupt:
        report = None
    return report, {name: p.detach().clone() for name, p in parameters.items()}


def same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_equals_a_naive_loop(tmp_path: Path) -> None:
    report, fitted = fit(tmp_path)
    base, parameters = ready()
    rows = [encode(example, base.tokenizer) for example in tiny_examples(6)]
    optimizer = torch.optim.AdamW(parameters.values(), lr=0.01, weight_decay=0.0)
    losses = []
    for epoch in range(2):
        order = permutation(6, derive(5, "epoch", epoch))
        for first in (0, 2, 4):
            total, count = torch.zeros(()), 0
            for row in (rows[i] for i in order[first : first + 2]):
                logits = base.model(input_ids=torch.tensor([row.ids])).logits[
                    0, row.prompt - 1 : -1
                ]
                answer = torch.tensor(row.ids[row.prompt :])
                total, count = (
                    total + cross_entropy(logits, answer, reduction="sum"),
                    count + len(answer),
                )
            optimizer.zero_grad()
            (total / count).backward()
            optimizer.step()
            losses.append((total / count).item())
    assert report is not None
    assert report.steps == len(losses) == 6
    assert report.losses == pytest.approx(losses, rel=1e-4)
    assert report.tokens == 2 * sum(len(row.ids) for row in rows)
    for name, parameter in parameters.items():
        assert torch.allclose(fitted[name], parameter, atol=1e-4)
    assert losses[-1] < losses[0]


def test_loss_is_on_response_and_end_only() -> None:
    base = tiny_base()
    example = Example("1", "math", "Add.", "1 + 1", "It is 2.")
    row = encode(example, base.tokenizer)
    batch = collate([row, encode(tiny_examples(1)[0], base.tokenizer)], 257, torch.device("cpu"))
    learned = batch.labels[0] != IGNORE
    assert base.tokenizer.decode(batch.labels[0][learned]) == "It is 2.<eos>"
    assert base.tokenizer.decode(row.ids[: row.prompt]).endswith("### Response:\n")
    assert batch.prompt_mask[0].sum() == row.prompt
    assert (batch.labels[batch.attention_mask == 0] == IGNORE).all()


def test_prompts_do_not_matter_for_the_loss(tmp_path: Path) -> None:
    seen = []

    def forward(batch: Any) -> Tensor:
        logits = torch.zeros(*batch.input_ids.shape, 288)
        targets = batch.input_ids.roll(-1, dims=1)
        wrong = batch.prompt_mask.roll(-1, dims=1)  # arbitrarily wrong wherever a prompt follows
        logits.scatter_(2, targets.unsqueeze(-1), torch.where(wrong, -99.0, 99.0).unsqueeze(-1))
        seen.append(batch.domains)
        return logits + 0 * parameters["model.norm.weight"].sum()

    base, parameters = ready()
    report = Fit()(
        base.model, parameters, tiny_examples(4), base, CONFIG,
        seed=0, work=tmp_path, label="test", forward=forward,
    )  # fmt: skip
    assert report.losses == pytest.approx([0.0] * 4, abs=1e-6)
    assert {domain for row in seen for domain in row} == {"math", "coding"}


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_an_interrupted_fit_ends_with_the_same_bits(tmp_path: Path, stop: int) -> None:
    report, whole = fit(tmp_path / "whole")
    assert fit(tmp_path / "broken", stop=stop)[0] is None
    assert list((tmp_path / "broken").glob("step-*"))
    resumed, parts = fit(tmp_path / "broken")
    assert report is not None
    assert resumed is not None
    assert same(whole, parts)
    assert (resumed.losses, resumed.tokens) == (report.losses, report.tokens)


@pytest.mark.parametrize("file", ["state.safetensors", "state.json", "cell.json"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, file: str) -> None:
    _, whole = fit(tmp_path / "whole")
    fit(tmp_path / "broken", stop=4)
    newest = sorted((tmp_path / "broken").glob("step-*"))[-1]
    content = bytearray((newest / file).read_bytes())
    content[-1] ^= 64
    (newest / file).write_bytes(content[: -1 if file == "cell.json" else None])
    assert same(whole, fit(tmp_path / "broken")[1])


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    fit(tmp_path, stop=5)
    assert len(list(tmp_path.glob("step-*"))) == 2


def test_small_forward_passes_give_the_same_step(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"batch_size": 6, "epochs": 1})
    small = config.model_copy(update={"micro_batch_size": 4})
    one, two = fit(tmp_path / "a", config), fit(tmp_path / "b", small)
    assert one[0] is not None
    assert two[0] is not None
    assert one[0].losses == pytest.approx(two[0].losses, rel=1e-5)
    gradients = []
    for size in (6, 4):  # float32 sums in another order: equal to 1e-5 of the largest entry
        base, parameters = ready()
        rows = [encode(example, base.tokenizer) for example in tiny_examples(6)]
        for first in range(0, 6, size):
            batch = collate(rows[first : first + size], 257, torch.device("cpu"))
            logits = base.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
            targets = batch.labels[:, 1:]
            cross_entropy(
                logits.logits[:, :-1].flatten(0, 1), targets.flatten(), reduction="sum"
            ).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in parameters.values()]))
    assert (gradients[0] - gradients[1]).abs().max() < 1e-5 * gradients[0].abs().max()
    for name in one[1]:
        assert torch.allclose(
            one[1][name], two[1][name], atol=2e-3
        )  # Adam amplifies tiny gradients


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_within_one_step(tmp_path: Path, poison: float) -> None:
    base, parameters = ready()
    calls = []

    def forward(batch: Any) -> Tensor:
        calls.append(1)
        logits = base.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        return logits * poison if len(calls) == 3 else logits

    with pytest.raises(StageError, match=r"test: loss (nan|inf).*step 3 of 6.*Lower lr \(0.01\)"):
        Fit(save_seconds=-1.0)(
            base.model, parameters, tiny_examples(6), base, CONFIG,
            seed=5, work=tmp_path, label="test", forward=forward,
        )  # fmt: skip
    assert len(calls) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-0000001", "step-0000002"]
    assert all(torch.isfinite(parameter).all() for parameter in parameters.values())


def test_examples_that_cannot_be_fitted(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="test: there are no examples"):
        fit(tmp_path, examples=[])
    long = Example("1", "math", "Add. " * 200, "", "2")
    with pytest.raises(StageError, match=r"1 of 3 examples are longer than .* 512 tokens"):
        fit(tmp_path, examples=[*tiny_examples(2), long])


def test_order_depends_on_the_seed_only(tmp_path: Path) -> None:
    assert same(fit(tmp_path / "a")[1], fit(tmp_path / "b")[1])
    torch.manual_seed(99)
    torch.rand(7)
    assert same(fit(tmp_path / "a2")[1], fit(tmp_path / "c")[1])


def test_the_global_generator_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    fit(tmp_path)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_rate_rises_then_follows_its_schedule(
    tmp_path: Path, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = []
    step = torch.optim.AdamW.step

    def spy(self: Any, *arguments: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    fit(tmp_path, CONFIG.model_copy(update={"schedule": schedule, "warmup": 0.3, "epochs": 3}))
    assert len(rates) == 9
    assert rates[0] < rates[1] < rates[2] < 0.01
    assert rates[3] == 0.01
    assert all(0 < rate <= 0.01 for rate in rates)
    assert (rates[-1] == 0.01) == (schedule == "constant")


def test_a_parameter_can_have_a_rate_of_its_own(tmp_path: Path) -> None:
    name = "model.norm.weight"
    one = CONFIG.model_copy(update={"max_steps": 1})
    _, usual = fit(tmp_path / "usual", one)
    _, slow = fit(tmp_path / "slow", one, rates={name: CONFIG.lr / 10})
    start = {n: p.detach().clone() for n, p in ready()[1].items()}
    moved = {n: float((usual[n] - start[n]).abs().max()) for n in start}
    assert float((slow[name] - start[name]).abs().max()) == pytest.approx(
        moved[name] / 10, rel=0.01
    )
    other = next(n for n in start if n != name)
    assert torch.equal(slow[other], usual[other])


def test_memory_is_saved_while_a_fit_lasts_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It has rows read whole, which rounds otherwise; here that is so with it and without.
    monkeypatch.setattr("selfmoe.models.fitting.reading.can_read_apart", lambda *given: False)

    def saving() -> bool:
        modules = list(base.model.modules())
        return any(getattr(module, "gradient_checkpointing", False) for module in modules)

    base, parameters = ready()
    config = CONFIG.model_copy(update={"gradient_checkpointing": True, "max_steps": 2})
    seen: list[bool] = []
    report = Fit(lambda step, steps, text: seen.append(saving() and not base.model.training))(
        base.model, parameters, tiny_examples(6), base, config, seed=5, work=tmp_path, label="test"
    )
    assert seen == [True, True]
    assert not saving()
    assert not any(module.training for module in base.model.modules())
    assert report.losses == fit(tmp_path / "other")[0].losses[:2]  # type: ignore[union-attr]
    assert set(report.summary()) == {"first_loss", "last_loss", "steps", "tokens"}
