"""From a request to rows of the engine."""

from __future__ import annotations

import secrets

from selfmoe.contracts.errors import DataError, UnknownNameError
from selfmoe.contracts.randomness import derive
from selfmoe.models.asking import chat_in
from selfmoe.models.generation.drawing import draws
from selfmoe.models.generation.records import Sampling
from selfmoe.models.generation.stopping import Stops, ends_of
from selfmoe.outward.serve.asked import Asked
from selfmoe.outward.serve.failures import RefusalError
from selfmoe.outward.serve.limits import Limits
from selfmoe.outward.serve.prompts import conversation, encoded
from selfmoe.outward.serve.schema import ChatCompletion, Completion, Request
from selfmoe.outward.serve.systems import Systems


class Reader:
    """Makes rows of requests.

    Args:
        systems: The systems.
        default: The one that is meant where a request names none.
        limits: What is allowed.
    """

    def __init__(self, systems: Systems, default: str, limits: Limits) -> None:
        self._systems, self._default, self._limits = systems, default, limits

    def texts(self, request: Completion) -> tuple[list[Asked], list[str]]:
        """Return a row for every choice, and what is to stand before its answer.

        Raises:
            DataError: If a prompt is empty or too long, or too much is asked for.
            RefusalError: If there is no such model.
        """
        if request.echo and (request.trace or (request.stream and request.logprobs is not None)):
            raise DataError("echo: not together with trace, nor with logprobs in a stream")
        if request.max_tokens == 0 and not request.echo:
            raise DataError("max_tokens: at least 1, or echo to have the prompt alone")
        count = request.n or 1
        self._check_count(len(request.prompts) * count)
        base, context = self._systems.base, self._limits.context
        ids = [encoded(prompt, base, context, request.longest) for prompt in request.prompts]
        scores = bool(request.echo and request.logprobs is not None)
        rows = [row for some in ids for row in self._rows(request, some, scores=scores)]
        shown = [base.tokenizer.decode(some) if request.echo else "" for some in ids]
        return rows, [text for text in shown for _ in range(count)]

    def talk(self, request: ChatCompletion) -> list[Asked]:
        """Return a row for every answer to a conversation.

        Raises:
            DataError: If it is too long, or something that was said has no place.
            RefusalError: If there is no such model.
        """
        if request.longest == 0:
            raise DataError("max_tokens: at least 1")
        self._check_count(request.n or 1)
        prompt = conversation(request.messages, self._systems.base)
        ids = encoded(prompt, self._systems.base, self._limits.context, request.longest)
        return self._rows(request, ids, chat=True)

    def system(self, model: str | None) -> str:
        """Return the system that a client means.

        Raises:
            RefusalError: If there is none.
        """
        try:
            return self._default if model is None else self._systems.named(model)
        except UnknownNameError as error:
            raise RefusalError(404, str(error), "model_not_found") from None

    def _check_count(self, rows: int) -> None:
        if rows > self._limits.queue:
            raise DataError(f"{rows} answers are asked for at once, {self._limits.queue} may be")

    def _rows(
        self, request: Request, ids: list[int], *, chat: bool = False, scores: bool = False
    ) -> list[Asked]:
        """Return one row for each choice; the first draws by the seed itself."""
        if request.return_token_ids and request.stream:
            raise DataError("return_token_ids: not in a stream")
        most = self._limits.context - len(ids) if request.longest is None else request.longest
        stops, way = self._stops(request, chat=chat), _way(request)
        root = secrets.randbits(62) if request.seed is None else request.seed % 2**63
        rows = []
        for number in range(request.n or 1):
            row = Asked(number, ids, most=most, stops=stops, sampling=way, tops=request.tops)
            row.draws = draws(derive(root, number) if number else root, most) if way else None
            row.system, row.experts = self.system(request.model), request.experts
            row.domain, row.traced, row.scores = request.domain, request.trace, scores
            row.streams, row.told = bool(request.stream), bool(request.return_token_ids)
            rows.append(row)
        return rows

    def _stops(self, request: Request, *, chat: bool) -> Stops:
        """Return what ends an answer: in a chat its turn, too."""
        base = self._systems.base
        ends = (ends_of(base.model, base.tokenizer) | set(request.stop_token_ids or ())) - {None}
        template = chat_in(base) if chat else None
        return Stops(ends | ({template.end} if template else set()), request.stops, base.tokenizer)


def _way(request: Request) -> Sampling | None:
    """Return how tokens are drawn; ``None``: the likeliest."""
    heat = 1.0 if request.temperature is None else request.temperature
    return Sampling(heat, 1.0 if request.top_p is None else request.top_p) if heat else None
