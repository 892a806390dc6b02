"""What is said to a llama-server (https://github.com/ggml-org/llama.cpp/tree/master/tools/server)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from selfmoe.contracts.errors import RunError
from selfmoe.contracts.records import System

ADAPTERS, COMPLETION = "/lora-adapters", "/completion"


class LlamaServer:
    """A llama-server that was started with the experts as adapters.

    Args:
        address: Where it listens, such as ``http://127.0.0.1:8080``.
    """

    def __init__(self, address: str) -> None:
        import httpx

        self.address = address
        self._client = httpx.AsyncClient(base_url=address, timeout=None)
        self._numbers: dict[str, int] = {}

    async def numbers(self) -> Mapping[str, int]:
        """Return the number of each adapter, by the name of its file or, if that is
        ``adapter.gguf``, of its folder.

        Raises:
            RunError: If nobody answers, or it is no llama-server.
        """
        if not self._numbers:
            told = await self._get(ADAPTERS)
            self._numbers = {adapter_name(row["path"]): int(row["id"]) for row in told}
        return self._numbers

    async def _get(self, path: str) -> Any:
        import httpx

        try:
            answer = await self._client.get(path)
            return answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise RunError(
                f"{self.address}{path}: no llama-server answers: {error or type(error).__name__}\n"
                "  Start one: llama-server -m BASE.gguf --lora EXPERT.gguf --lora …"
            ) from None

    async def write(self, asked: Mapping[str, Any]) -> AsyncIterator[tuple[list[int], bool]]:
        """Yield new tokens as they are written, and whether the model ended the text by itself.

        Args:
            asked: The request, as ``request`` makes it.

        Raises:
            RunError: If the server refuses it or stops answering.
        """
        import httpx

        try:
            async with self._client.stream("POST", COMPLETION, json=dict(asked)) as answer:
                if answer.is_error:
                    raise RunError(f"llama-server: {_reason(await answer.aread())}")
                async for line in answer.aiter_lines():
                    if line.startswith("data: "):
                        part = json.loads(line.removeprefix("data: "))
                        yield part.get("tokens", []), part.get("stop_type") == "eos"
        except httpx.HTTPError as error:
            raise RunError(f"{self.address}: {error or type(error).__name__}") from None

    async def close(self) -> None:
        """Leave the server."""
        await self._client.aclose()


def request(
    prompt: list[int], new: int, scales: Mapping[int, float], drawn: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what a llama-server is asked for one answer.

    Args:
        prompt: Its tokens.
        new: Most tokens to write.
        scales: What every adapter weighs, by its number.
        drawn: ``temperature``, ``top_p`` and ``seed``; without it the likeliest tokens are taken.
    """
    sampling = {"temperature": 0.0} if drawn is None else {**drawn, "top_k": 0, "min_p": 0.0}
    return {
        "prompt": prompt,
        "n_predict": new,
        "lora": [{"id": number, "scale": scale} for number, scale in scales.items()],
        "stream": True,
        "return_tokens": True,
        "cache_prompt": False,
        "repeat_penalty": 1.0,
        **sampling,
    }


def adapter_name(path: str) -> str:
    """Return the expert that a file of an adapter is called after."""
    file = Path(path)
    name = file.parent.name if file.stem == "adapter" else file.stem
    ours = name.startswith(System.of_expert("").name)
    return System(name, "expert").expert if ours else name


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
