"""The ways in which servers are asked: what is sent, and what is read of the answer.

All are asked for the tokens that they generate. vLLM and selfmoe tell them as ``token_ids``
(https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html), llama.cpp's server on a path
of its own (https://github.com/ggml-org/llama.cpp/tree/master/tools/server); others tell the text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from selfmoe.contracts import Asked, Manner, NotSupportedError, StageError, Written

Json = dict[str, Any]

MOST_STOPS = {"plain": 4, "telling": 16}
"""Stop strings that are sent: as many as OpenAI takes, or as selfmoe's server does."""


BROKEN_OFF = ("abort", "error")
"""Why vLLM ends a text that it has not written to its end."""


class Way(ABC):
    """A way to ask a server.

    Attributes:
        says: What it is, in words.
        tells: Whether the tokens that were generated are told.
    """

    says: str
    tells: bool = True

    def url(self, base_url: str) -> str:
        """Return where it is asked."""
        return f"{base_url}/completions"

    @abstractmethod
    def body(self, model: str, asked: Asked, manner: Manner) -> Json:
        """Return what is sent.

        Raises:
            StageError: If the text cannot be put in this way.
        """

    @abstractmethod
    def read(self, answer: Any) -> Written:
        """Return what was written.

        Raises:
            LookupError, TypeError, ValueError: If the answer is not of this way.
        """


class Plain(Way):
    """What the protocol itself has, with tokens in and text out."""

    says, tells = "text, asked by tokens", False

    def body(self, model: str, asked: Asked, manner: Manner) -> Json:
        """Return what is sent."""
        drawn = {} if asked.seed is None else {"seed": asked.seed}
        stops = list(manner.stop[: MOST_STOPS["telling" if self.tells else "plain"]])
        return {
            "model": model,
            "prompt": list(asked.ids),
            "max_tokens": manner.max_new_tokens,
            "temperature": manner.temperature,
            "top_p": manner.top_p,
            **drawn,
            **({"stop": stops} if stops else {}),
        }

    def read(self, answer: Any) -> Written:
        """Return what was written.

        Raises:
            ValueError: If it was broken off.
        """
        choice = answer["choices"][0]
        why = choice["finish_reason"]
        if why in BROKEN_OFF:
            raise ValueError(f"finish_reason: {why}")
        return Written(str(choice["text"]), why == "stop")


class Words(Plain):
    """What the protocol itself has, for servers that take texts alone."""

    says = "text, asked by text"

    def body(self, model: str, asked: Asked, manner: Manner) -> Json:
        """Return what is sent.

        Raises:
            StageError: If the text holds special tokens.
        """
        if asked.text is None:
            raise StageError(
                "a prompt in the base's chat template holds tokens that a server which takes texts "
                "alone cannot be told\n  Take a server that takes tokens as prompts, or another "
                "prompts.template."
            )
        return super().body(model, asked, manner) | {"prompt": asked.text}


class TokenIds(Plain):
    """Tokens in and out, as vLLM has them; what servers would do of their own accord is off."""

    says, tells = "tokens (token_ids)", True

    def body(self, model: str, asked: Asked, manner: Manner) -> Json:
        """Return what is sent."""
        more = {"stop_token_ids": list(manner.ends)} if manner.ends else {}
        neutral = {"top_k": -1, "min_p": 0, "repetition_penalty": 1}
        return {**super().body(model, asked, manner), **more, **neutral, "return_token_ids": True}

    def read(self, answer: Any) -> Written:
        """Return what was written."""
        ids = tuple(map(int, answer["choices"][0]["token_ids"]))
        return super().read(answer)._replace(tokens=ids)


class LlamaCpp(Way):
    """Tokens in and out, as llama.cpp's server has them on a path of its own."""

    says = "tokens (llama.cpp's /completion)"

    def url(self, base_url: str) -> str:
        """Return where it is asked: beside the protocol's paths."""
        return f"{base_url.removesuffix('/v1')}/completion"

    def body(self, model: str, asked: Asked, manner: Manner) -> Json:
        """Return what is sent; temperature comes before the nucleus, as everywhere else."""
        return {
            "model": model,
            "prompt": list(asked.ids),
            "n_predict": manner.max_new_tokens,
            "temperature": manner.temperature,
            "top_p": manner.top_p,
            "samplers": ["temperature", "top_p"],
            "stop": list(manner.stop),
            "return_tokens": True,
            **({} if asked.seed is None else {"seed": asked.seed % (2**32 - 1)}),
        }

    def read(self, answer: Any) -> Written:
        """Return what was written."""
        ended = answer["stop_type"] in ("eos", "word")
        return Written(str(answer["content"]), ended, tuple(map(int, answer["tokens"])))


WAYS: tuple[type[Way], ...] = (TokenIds, LlamaCpp, Plain, Words)
"""In the order in which they are tried."""


def scoring(model: str, prompt: tuple[int, ...], answer: tuple[int, ...]) -> Json:
    """Return what is sent to have the likelihoods of a text's tokens, in the protocol's way."""
    ids, one = [*prompt, *answer], {"max_tokens": 1, "temperature": 0}
    return {"model": model, "prompt": ids, **one, "echo": True, "logprobs": 1}


def likelihood(told: Mapping[str, Any], before: int, tokens: int, name: str) -> float:
    """Return how likely an answer is (natural log), from those of a text's tokens.

    Args:
        told: The server's answer.
        before: Tokens of the prompt.
        tokens: Tokens of the answer.
        name: What errors call the server.

    Raises:
        NotSupportedError: If the server does not tell them.
    """
    try:
        chances = told["choices"][0]["logprobs"]["token_logprobs"]
        found = [float(chance) for chance in chances[before : before + tokens]]
    except (LookupError, TypeError, ValueError):
        chances, found = (), []
    if len(found) != tokens or not 0 <= len(chances) - before - tokens <= 1:
        raise NotSupportedError(
            f"{name} gives no likelihoods of texts (echo with logprobs), by which items with "
            "options are decided\n  Let this process answer: --set "
            "'generate.stages=[brainstorm, respond]'."
        )
    return sum(found)
