"""Likelihoods of texts that are read behind what they share are those of lm-eval's own reading."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM

import selfmoe
from selfmoe.evaluation import likelihood
from selfmoe.evaluation.harness import HarnessModel
from selfmoe.evaluation.reading import Reader
from selfmoe.mixture.names import HANDLE
from selfmoe.registry.registry import registry
from selfmoe.testing.families import FAMILIES, tiny_model
from selfmoe.testing.models import random_adapter, tiny_examples, tiny_llama, tiny_tokenizer
from selfmoe.testing.sparse import SPARSE

OTHER_PAST = ("qwen3_next", "granitemoehybrid", "lfm2_moe", "jamba", "gemma3n", "gemma4")
"""Families whose layers keep more than keys and values, or take them from other layers."""
FIRST_OF_ALL = ("sequence", "retrieval")
"""Routers that decide from a whole prompt."""
Requests = list[tuple[tuple[str, str], list[int], list[int]]]


def draw(seed: int, number: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (number,), generator=generator).tolist()


def requests(header: int = 40, items: int = 7) -> Requests:
    """Return items of uneven length behind headers, and some behind none."""
    found: Requests = []
    for item in range(items):
        shared = draw(item % 2, header)
        prompt = [*shared, *draw(100 + item, 1 + 5 * item)]
        for option in range(4):
            longer = draw(200 + 4 * item + option, 1 + option) if item % 3 else [60 + option]
            found.append(((f"{item}", f"{option}"), prompt, longer))
    for item in range(3):
        prompt = draw(300 + item, 2 + 9 * item)
        found += [(("", ""), prompt, [7, 8]), (("", ""), prompt, [7, 9]), (("", ""), prompt, [3])]
    return found


def harness(model: Any, batch_size: int = 4, context: int = 512) -> HarnessModel:
    return HarnessModel(model, tiny_tokenizer(), batch_size=batch_size, context=context)


def by_lm_eval(model: Any, asked: Requests, **settings: Any) -> list[tuple[float, bool]]:
    found: list[tuple[float, bool]] = HFLM._loglikelihood_tokens(
        harness(model, **settings), asked, disable_tqdm=True
    )
    return found


def assert_alike(found: Any, expected: Any) -> None:
    assert len(found) == len(expected)
    for (score, greedy), (other, likewise) in zip(found, expected, strict=True):
        assert score == pytest.approx(other, rel=1e-4, abs=1e-4)
        assert greedy == likewise


def greedy_option(model: Any, prompt: list[int], length: int) -> list[int]:
    ids = model.generate(torch.tensor([prompt]), max_new_tokens=length, do_sample=False)
    return list(ids[0, len(prompt) :].tolist())


@pytest.mark.parametrize("family", [*FAMILIES, *SPARSE])
def test_every_family_is_read_as_lm_eval_reads_it(family: str) -> None:
    model, asked = tiny_model(family), requests()
    found = harness(model)
    assert_alike(found._loglikelihood_tokens(asked), by_lm_eval(model, asked))
    assert found._reader.shares == (family not in OTHER_PAST)


def test_what_is_shared_is_read_once() -> None:
    model, asked = tiny_llama(), requests()
    found = harness(model)
    found._loglikelihood_tokens(asked)
    whole = {(*prompt, *option[:-1]) for _, prompt, option in asked}
    assert found._reader.tokens < 0.45 * sum(map(len, whole))


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("header", [0, 1, 33, 120])
def test_headers_and_batches_of_any_size(batch_size: int, header: int) -> None:
    model, asked = tiny_llama(), requests(header)
    found = harness(model, batch_size)._loglikelihood_tokens(asked)
    assert_alike(found, by_lm_eval(model, asked))


@pytest.mark.parametrize("context", [12, 44, 60])
def test_prompts_lose_their_front_as_with_lm_eval(context: int) -> None:
    model, asked = tiny_llama(), requests()
    found = harness(model, context=context)._loglikelihood_tokens(asked)
    assert_alike(found, by_lm_eval(model, asked, context=context))


def test_the_likeliest_option_is_called_so_whether_long_or_short() -> None:
    model = tiny_llama()
    prompts = [[*draw(0, 40), *draw(n, 5)] for n in range(5)]
    asked = [(("", ""), p, greedy_option(model, p, n)) for p in prompts for n in (1, 2, 4)]
    found = harness(model)._loglikelihood_tokens(asked)
    assert all(greedy for _, greedy in found)
    assert_alike(found, by_lm_eval(model, asked))


def test_a_prompt_with_nothing_of_its_own_is_read_behind_what_it_shares() -> None:
    model, header = tiny_llama(), draw(0, 50)
    asked = [(("", ""), header, [n]) for n in range(3)]
    asked += [(("", ""), [*header, *draw(n, 3)], [5, 6]) for n in range(6)]
    assert_alike(harness(model)._loglikelihood_tokens(asked), by_lm_eval(model, asked))


def test_an_option_that_fills_the_context_is_refused() -> None:
    reader = Reader(tiny_llama())
    for prompt, option in (([1], [2] * 9), ([1], []), ([], [1])):
        with pytest.raises(ValueError, match="tokens and an option"):
            likelihood.likelihoods(reader, [(prompt, option)], context=8, batch_size=1)


# --- mixtures -------------------------------------------------------------------------------------

NAMES = ("math", "coding", "facts")
LEARNING = ("phatgoose", "ridge", "joint", "retrieval")
DRAWN = ("topk", "topp", "xlora", "sequence")


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what composes three experts on a tiny Llama by a router, once."""
    room: Path = tmp_path_factory.mktemp("experts")

    @cache
    def compose(router: str) -> Any:
        base = tiny_llama()
        experts = {n: str(random_adapter(base, room / router / n, seed=ord(n[0]))) for n in NAMES}
        more: dict[str, Any] = {"options": {"init_std": 0.6}} if router in DRAWN else {}
        if router in LEARNING:
            more |= {"data": tiny_examples(6, NAMES), "tokenizer": tiny_tokenizer()}
        if router in ("phatgoose", "joint"):
            more["options"] = {"max_steps": 2}
        return selfmoe.compose(base, experts, router=router, **more)

    return compose


@pytest.mark.filterwarnings("ignore:router .* was given no data")
@pytest.mark.parametrize("router", registry().names("router"))
def test_every_router_routes_as_in_a_whole_text(composed: Any, router: str) -> None:
    model, asked = composed(router), requests()
    mixture, found = getattr(model, HANDLE), harness(model)
    said = mixture.annotate(domain=["math"]) if router == "oracle" else nullcontext()
    with said:
        answers = found._loglikelihood_tokens(asked)
        assert found._reader.shares == (router not in FIRST_OF_ALL)
        if router in FIRST_OF_ALL:
            expected = [one_by_one(mixture, model, *request[1:]) for request in asked]
        else:
            expected = by_lm_eval(model, asked)
    assert_alike(answers, expected)
    assert not mixture.gate or not found._reader.shares or counted(mixture, found, asked)


def counted(mixture: Any, harness: HarnessModel, asked: Requests) -> bool:
    """Return whether tokens that are read once count as often as they stand in the texts."""
    texts = {likelihood._text(prompt, option, 512) for _, prompt, option in asked}
    with mixture.annotate(domain=["math"]), mixture.record() as record:
        harness._loglikelihood_tokens(asked)
    with mixture.record() as whole, torch.no_grad():
        for text in texts:
            prompt = torch.arange(len(text.tokens))[None] < text.prompt
            with mixture.annotate(domain=["math"], prompt_mask=prompt):
                mixture.model(torch.tensor([text.tokens]))
    for part in ("all", "prompt", "response"):
        assert record.tokens(part) == whole.tokens(part)
        assert torch.allclose(record.mean(part), whole.mean(part), atol=1e-5)
        assert record.entropy(part) == pytest.approx(whole.entropy(part), abs=1e-5)
    with mixture.record(trace=True):
        assert not harness._reader.shares
    return True


@torch.no_grad()
def one_by_one(mixture: Any, model: Any, prompt: list[int], option: list[int]) -> Any:
    """Return the answer to one request, the router told what the prompt is."""
    ids = torch.tensor([[*prompt, *option]])
    with mixture.annotate(prompt_mask=torch.arange(ids.shape[1])[None] < len(prompt)):
        chances = model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    wanted = torch.tensor(option)
    score = chances.gather(1, wanted[:, None]).sum()
    return float(score), bool((chances.argmax(-1) == wanted).all())


def test_a_merge_is_read_behind_a_prefix(tmp_path: Path) -> None:
    base = tiny_llama()
    experts = {n: str(random_adapter(base, tmp_path / n, seed=ord(n[0]))) for n in NAMES}
    model, asked = selfmoe.compose(base, experts, merge="ties"), requests()
    found = harness(model)
    assert_alike(found._loglikelihood_tokens(asked), by_lm_eval(model, asked))
    assert found._reader.shares


# --- models that cannot ---------------------------------------------------------------------------


class Heedless(torch.nn.Module):
    """A model that takes a past and reads on as if there were none."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = tiny_llama()
        self.config, self.device = self.inner.config, self.inner.device

    def tie_weights(self) -> None: ...

    def forward(
        self, input_ids: Any, attention_mask: Any = None, position_ids: Any = None,
        past_key_values: Any = None, use_cache: bool = True,
    ) -> Any:  # fmt: skip
        return self.inner(input_ids)


def test_a_model_that_heeds_no_past_is_read_whole() -> None:
    model, asked = Heedless(), requests()
    found = harness(model)
    assert_alike(found._loglikelihood_tokens(asked), by_lm_eval(model, asked))
    assert not found._reader.shares


def test_windows_that_move_in_chunks_are_read_whole() -> None:
    config = tiny_llama().config
    config.attention_chunk_size = 8
    model = tiny_llama()
    model.config = config
    assert not Reader(model).shares


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_of_numbers(dtype: torch.dtype) -> None:
    model, asked = tiny_llama(dtype=dtype), requests()
    found = harness(model)
    exact = by_lm_eval(tiny_llama(dtype=torch.float64), asked)
    rough = {"rel": 0.05} if dtype == torch.bfloat16 else {"rel": 1e-9}
    for (score, _), (other, _) in zip(found._loglikelihood_tokens(asked), exact, strict=True):
        assert score == pytest.approx(other, **rough)
    assert found._reader.shares
