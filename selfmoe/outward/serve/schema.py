"""What clients may ask, after OpenAI's protocol, with three fields more.

``experts`` switches experts off or weighs them, ``trace`` asks for the routing of every token, and
``domain`` tells a system the domain of the prompt, if it must be told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from selfmoe.contracts.errors import DataError, did_you_mean

IGNORED = {
    "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
    "parallel_tool_calls", "reasoning_effort", "verbosity",
}  # fmt: skip
"""Fields that change no answer here."""
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "logit_bias": (None, {}),
    "suffix": (None, ""),
    "best_of": (None, 1),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "web_search_options": (None,),
    "top_k": (None, 0, -1),
    "min_p": (None, 0),
    "repetition_penalty": (None, 1),
}
"""Fields of the protocol that are not offered, and the values by which they ask for nothing."""

Stop = Annotated[str, Field(min_length=1, max_length=256)]
Weight = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
Token = Annotated[int, Field(strict=True, ge=0, lt=2**31)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StreamOptions(_Strict):
    """What is sent with a stream."""

    include_usage: bool = False
    include_obfuscation: bool = False


class Request(_Strict):
    """What both kinds of requests have."""

    model: str | None = None
    max_tokens: int | None = Field(None, ge=0)
    temperature: float | None = Field(1.0, ge=0, le=2)
    top_p: float | None = Field(1.0, gt=0, le=1)
    n: int | None = Field(1, ge=1, le=128)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=16)] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop_token_ids: list[Token] | None = Field(None, max_length=64)
    return_token_ids: bool | None = False
    experts: dict[str, Weight] = Field({}, max_length=256)
    domain: str | None = None
    trace: bool = False

    @property
    def stops(self) -> tuple[str, ...]:
        """Return the stop strings."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def longest(self) -> int | None:
        """Return the longest answer that is asked for."""
        return self.max_tokens

    @property
    def tops(self) -> int | None:
        """Return how many of the likeliest tokens are asked for; ``None``: not even the own."""
        raise NotImplementedError


class Completion(Request):
    """A text to continue."""

    prompt: str | list[str] | list[Token] | list[list[Token]]
    echo: bool | None = False
    logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def longest(self) -> int | None:
        """Return the longest answer that is asked for; without a word OpenAI's 16."""
        return 16 if self.max_tokens is None else self.max_tokens

    @property
    def tops(self) -> int | None:
        """Return how many of the likeliest tokens are asked for; ``None``: not even the own."""
        return self.logprobs

    @property
    def prompts(self) -> list[str | list[int]]:
        """Return the prompts, as texts or as tokens."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)  # type: ignore[arg-type]


class Part(_Strict):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class Message(_Strict):
    """Something said."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None

    @property
    def text(self) -> str:
        """Return the words."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class ChatCompletion(Request):
    """A conversation to answer."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def longest(self) -> int | None:
        """Return the longest answer that is asked for; ``None``: what there is room for."""
        newer = self.max_completion_tokens
        return self.max_tokens if newer is None else newer

    @property
    def tops(self) -> int | None:
        """Return how many of the likeliest tokens are asked for; ``None``: not even the own."""
        return (self.top_logprobs or 0) if self.logprobs else None


Kind = TypeVar("Kind", bound=Request)


def read(kind: type[Kind], body: bytes) -> Kind:
    """Return a request.

    Args:
        kind: Of the request.
        body: JSON.

    Raises:
        DataError: If it is no JSON, or asks for what there is not; says which field it is about.
    """
    given = _parsed(body)
    for name, neutral in NEUTRAL.items():
        if given.get(name) not in neutral and name in given:
            raise DataError(f"{name}: selfmoe does not offer that; leave it out")
    asked = {k: v for k, v in given.items() if k not in IGNORED and k not in NEUTRAL}
    unknown = sorted(set(asked) - set(kind.model_fields))
    if unknown:
        hint = did_you_mean(unknown[0], kind.model_fields)
        raise DataError(f"{unknown[0]}: there is no such field{hint}")
    try:
        request = kind.model_validate(asked)
    except ValidationError as error:
        raise DataError(_said(error)) from None
    if request.temperature and request.temperature < 0.01:
        raise DataError("temperature: 0 (the likeliest token), or 0.01 to 2")
    return request


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(given, dict):
        raise DataError(f"the body is a {type(given).__name__}, not an object")
    return given


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _said(error: ValidationError) -> str:
    """Return what is wrong with the first field that is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"][:3])
    return f"{where}: {first['msg']}"
