"""Texts written by any server that speaks OpenAI's protocol: vLLM, SGLang, llama.cpp, selfmoe's."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from selfmoe.contracts import Backend, LoadedBase, StageError, Writer, hookimpl
from selfmoe.contracts import ComponentConfig as Options

SELFMOE_API = 1


class OpenAI(Backend):
    """A server that speaks OpenAI's protocol and has the base.

    A key, where the server asks for one, comes from the environment: `OPENAI_API_KEY`.
    """

    name = "openai"
    reference_url = "https://platform.openai.com/docs/api-reference/completions"
    made_with = frozenset({"model"})

    class Config(Options):
        """Where the server is, and how it is asked."""

        base_url: str = Field(
            description="Its address, up to the version: http://127.0.0.1:8000/v1."
        )
        model: str = Field(min_length=1, description="What it calls the base.")
        concurrency: int = Field(
            256, ge=1, le=10_000, description="Most texts at once; fewer where it refuses some."
        )
        timeout: float = Field(600, gt=0, description="Seconds that a text may take.")
        retries: int = Field(
            8, ge=0, le=100, description="Tries more where it refuses, fails or does not answer."
        )

        @field_validator("base_url")
        @classmethod
        def _is_address(cls, value: str) -> str:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("give an address such as http://127.0.0.1:8000/v1")
            if "@" in parts.netloc or parts.query:
                raise ValueError("give it without a key; keys come from OPENAI_API_KEY")
            return value.rstrip("/")

    def open(self, base: LoadedBase) -> Writer:
        """Return what writes with a base; see ``Backend.open``.

        Raises:
            StageError: If the server cannot be asked, or the package `openai` is missing.
        """
        try:
            import openai  # noqa: F401
        except ImportError:
            raise StageError(
                "backend 'openai' needs the package openai: pip install 'selfmoe[openai]'"
            ) from None
        from selfmoe_backend_openai.server import Server

        return Server(self.options, base)


@hookimpl
def register_backends() -> Iterable[type[Backend]]:
    """Return the backend."""
    return [OpenAI]
