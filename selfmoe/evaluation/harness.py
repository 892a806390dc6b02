"""The one module that talks to lm-eval (https://github.com/EleutherAI/lm-evaluation-harness).

A list of finished prompts becomes an lm-eval task, the model an `HFLM`, whose requests are answered
by ``likelihood`` and by ``generate``. Its request cache is never used: it is not keyed by model.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import torch
from datasets import Dataset
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM

from selfmoe.contracts.prompts import ChatPrompt
from selfmoe.evaluation import likelihood
from selfmoe.evaluation.pace import Watch, unwatched
from selfmoe.evaluation.prepared import Encodings
from selfmoe.evaluation.reading import Reader
from selfmoe.models.chat import Chat
from selfmoe.models.generation import Progress, generate
from selfmoe.models.remote.writing import Remote
from selfmoe.models.tokens import check_known, padding, prompt_ids, side_by_side, text_ids


class HarnessModel(HFLM):  # type: ignore[misc]
    """lm-eval's view of a model that is already loaded.

    Prompts are encoded as in training (``selfmoe.models.tokens``). An option after a line end (the
    Alpaca template) is encoded apart from its prompt, as responses are, and so it is in a chat,
    where every prompt is one of the base's chat template. A mixture on the model is
    told which tokens are prompts, so that no router sees an option.

    Attributes:
        watch: Told how many of the requests at hand are answered.
        chat: The base's chat template, where it wrote the prompts.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        batch_size: int,
        context: int,
        encodings: Encodings | None = None,
        chat: Chat | None = None,
        remote: Remote | None = None,
    ) -> None:
        with quiet():
            super().__init__(
                pretrained=model,
                tokenizer=tokenizer,
                backend="causal",
                batch_size=batch_size,
                max_length=context,
            )
        self.watch: Watch = unwatched
        self.chat, self._remote = chat, remote
        self._reader, self._before = Reader(self.model), 0
        self._encodings = encodings or Encodings()

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Return what the model writes after each prompt, cut before the first stop string."""
        texts: list[str] = []
        for settings, some in groupby((request.args for request in requests), itemgetter(1)):
            texts += self._write([prompt for prompt, _ in some], settings)
        return texts

    def loglikelihood(
        self, requests: list[Any], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """Return how likely each option is after its prompt (natural log)."""
        return list(super().loglikelihood(requests, disable_tqdm=True))

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Return the answers to requests of (texts, prompt tokens, option tokens).

        A backend does not tell which answers are greedy; nothing here asks for that.
        """
        if self._remote is not None:
            return [(chance, False) for chance in self._score(self._remote, requests)]
        return list(
            likelihood.likelihoods(
                self._reader,
                [(prompt, option) for _, prompt, option in requests],
                context=self.max_length,
                batch_size=self.batch_size,
                progress=lambda done: self.watch(done, len(requests), self._reader.tokens),
            )
        )

    def _score(self, remote: Remote, requests: list[Any]) -> list[float]:
        return remote.likelihoods(
            [(prompt, option) for _, prompt, option in requests],
            context=self.max_length,
            progress=lambda done: self.watch(done, len(requests), 0),
        )

    def _write(self, prompts: list[str], settings: Mapping[str, Any]) -> list[str]:
        """Return the greedy continuations of prompts; the text that ends texts is a stop string."""
        end = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
        here = partial(generate, self.model, self.tokenizer)
        write = here if self._remote is None else self._remote.generate
        found = write(
            [self._prompt(prompt) for prompt in prompts],
            max_new_tokens=settings["max_gen_toks"],
            stop=(*settings["until"], end),
            ends=() if self.chat is None else (self.chat.end,),
            batch_size=self.batch_size,
            progress=self._written,
        )
        self._before += sum(len(continuation.tokens) for continuation in found)
        return [continuation.text for continuation in found]

    def _written(self, now: Progress) -> None:
        self.watch(now.done, now.rows, self._before + now.tokens)

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        left_truncate_len: int | None = None,
        **_: Any,
    ) -> list[int]:
        """Return the tokens of a text, unfinished: lm-eval cuts options off prompts by length."""
        encode = text_ids if add_special_tokens is False else prompt_ids
        ids = encode(self.tokenizer, string)
        check_known(self.tokenizer, self.model, ids)
        return ids[-left_truncate_len:] if left_truncate_len else ids

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: str = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens of several prompts and their mask, both of shape ``(batch, time)``.

        Prompts are padded on the left; the mask is 1 on their tokens.
        """
        rows = [self.tok_encode(s, left_truncate_len=left_truncate_len) for s in strings]
        return side_by_side(rows, padding(self.tokenizer))

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        pair = cache(partial(self._encode_apart, context, continuation))
        known = [context] if self.chat is None else ["chat", context]
        prompt = self._encodings.of(known, lambda: pair()[0])
        return prompt, self._encodings.of([*known, continuation], lambda: pair()[1])

    def _prompt(self, text: str) -> str:
        """Return a prompt as what it is; lm-eval hands on texts."""
        return text if self.chat is None else ChatPrompt(text)

    def _encode_apart(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        if self.chat is not None:
            prompt = self.tok_encode(ChatPrompt(context))
            option = text_ids(self.tokenizer, continuation, after=context)
            check_known(self.tokenizer, self.model, option)
            return prompt, option
        if not context.endswith("\n"):
            prompt, option = super()._encode_pair(context, continuation)
            return list(prompt), list(option)
        return self.tok_encode(context), self.tok_encode(continuation, add_special_tokens=False)


class _Finished(ConfigurableTask):  # type: ignore[misc]
    """An lm-eval task whose prompts are complete as they are."""

    def build_all_requests(self, **_: Any) -> None:
        """Make one request a prompt, or one an option."""
        self._instances = []
        for number, row in enumerate(self.eval_docs):
            made = self.construct_requests(row, row["prompt"], metadata=(self.task_name, number, 1))
            self._instances += made if isinstance(made, list) else [made]


def complete(
    model: HarnessModel,
    prompts: Sequence[str],
    *,
    stop: Sequence[str],
    max_new_tokens: int,
    watch: Watch = unwatched,
) -> list[str]:
    """Return the model's greedy continuation of each prompt, cut before the first stop string."""
    model.watch = watch
    settings = {"until": list(stop), "max_gen_toks": max_new_tokens, "do_sample": False}
    task = _task({"prompt": list(prompts)}, "generate_until", generation_kwargs=settings)
    return [sample["resps"][0][0] for sample in _run(model, task)]


def likelihoods(
    model: HarnessModel,
    prompts: Sequence[str],
    options: Sequence[Sequence[str]],
    *,
    watch: Watch = unwatched,
) -> list[list[float]]:
    """Return, for each prompt, the log-likelihood of each of its options.

    Options follow a space, or directly where the prompt ends a line; in a chat they follow as an
    assistant's words do.
    """
    model.watch = watch
    after: Callable[[str, str], str] = _after
    if model.chat is not None:
        after = partial(_said, model.chat)
    apart = [[after(prompt, o) for o in row] for prompt, row in zip(prompts, options, strict=True)]
    task = _task(
        {"prompt": list(prompts), "options": apart},
        "multiple_choice",
        doc_to_choice=lambda row: row["options"],
        target_delimiter="",
    )
    return [[response[0][0] for response in sample["resps"]] for sample in _run(model, task)]


def _after(prompt: str, option: str) -> str:
    return option if prompt.endswith("\n") else f" {option}"


def _said(chat: Chat, prompt: str, option: str) -> str:
    return chat.answer(option)


def _task(columns: dict[str, list[Any]], kind: str, **settings: Any) -> Any:
    rows = Dataset.from_dict(columns)
    config = {
        "task": "selfmoe",
        "custom_dataset": lambda **_: {"test": rows},
        "test_split": "test",
        "output_type": kind,
        "doc_to_text": lambda row: row["prompt"],
        "doc_to_target": lambda row: 0 if kind == "multiple_choice" else "",
        "process_results": lambda row, results: {"asked": 1.0},
        "metric_list": [{"metric": "asked", "aggregation": "mean", "higher_is_better": True}],
        **settings,
    }
    with quiet():
        return _Finished(config=config)


def _run(model: HarnessModel, task: Any) -> list[dict[str, Any]]:
    with quiet():
        results = evaluate(lm=model, task_dict={"tasks": {"selfmoe": task}}, bootstrap_iters=0)
    return sorted(results["samples"]["selfmoe"], key=lambda sample: int(sample["doc_id"]))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep lm-eval's log lines and library warnings off the terminal; errors still show."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "transformers")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
