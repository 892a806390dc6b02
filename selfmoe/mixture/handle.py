"""A mixture on a model: records its routing, is told what rows are, and is taken off again."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from selfmoe.contracts.composer import Gate, Need, TokenInfo
from selfmoe.contracts.errors import CompositionError, NotSupportedError
from selfmoe.contracts.records import Composition
from selfmoe.mixture.forward.caches import cache_of
from selfmoe.mixture.forward.companions import known_length
from selfmoe.mixture.forward.memory import Memory, memory_of
from selfmoe.mixture.forward.record import Record
from selfmoe.mixture.forward.running import Running
from selfmoe.mixture.forward.scope import Annotation, Scope, token_info
from selfmoe.mixture.forward.tape import Hear, Tape
from selfmoe.mixture.names import HANDLE
from selfmoe.mixture.surgery import Surgery
from selfmoe.models.structure import Decoder

_COUNTING = threading.Lock()


class Mixture:
    """A composition at work on a model; made by ``attach``, also found as ``model.mixture``.

    Can be used as a context manager that detaches at the end.

    Args:
        model: What it is attached to.
        composition: What is attached.
        experts: Names of the experts in gate order.
        surgery: The changes that put it on the model, with their ways back.
        gate: The gate that routes tokens, or ``None`` if the composition is static.
        decoder: Where the decoder blocks are, if there is a gate.
        needs: What its composer cannot do without, as far as it concerns forwards.
        keep_alive: Something that must live as long as the mixture, such as a temporary folder.
        live: How many experts a block keeps in memory; ``None``: all.

    Attributes:
        composition: What is attached.
        gate: The gate that routes tokens, or ``None`` if the composition is static.
        experts: Names of the experts in gate order.
        needs: What its composer cannot do without, as far as it concerns forwards.
        live: How many experts a block keeps in memory; ``None``: all.
        memory: What it keeps from one forward to the next.
        running: What it is doing in the thread that asks.
    """

    def __init__(
        self,
        model: nn.Module,
        composition: Composition,
        experts: Sequence[str],
        surgery: Surgery,
        *,
        gate: Gate | None = None,
        decoder: Decoder | None = None,
        needs: frozenset[Need] = frozenset(),
        keep_alive: object = None,
        live: int | None = None,
    ) -> None:
        self.composition, self.experts, self.live = composition, tuple(experts), live
        self.gate: Any = gate
        self.needs = needs
        self.memory = Memory()
        self._blocks = 0
        if gate is not None and decoder is not None:
            self.memory = memory_of(gate, decoder.stack)
            self._blocks = len(decoder.blocks)
        self._model, self._surgery, self._keep_alive = model, surgery, keep_alive
        self.running = Running()
        self._labelled = 0

    @property
    def model(self) -> nn.Module:
        """The model it is attached to."""
        return self._model

    def on_detach(self, step: Callable[[], object]) -> None:
        """Let ``step`` be part of giving the model back."""
        self._surgery.on_undo(step)

    @property
    def said(self) -> Annotation:
        """What the caller says of the rows of forwards to come."""
        return self.running.said or Annotation()

    @property
    def heard(self) -> bool:
        """Whether this thread records or annotates its forwards."""
        return self.running.record is not None or self.running.said is not None

    # --- using it -------------------------------------------------------------------------------

    def detach(self) -> None:
        """Give the model back bit for bit as it was; does nothing the second time."""
        self._surgery.undo()

    def __enter__(self) -> Mixture:
        return self

    def __exit__(self, *failure: object) -> None:
        self.detach()

    @contextmanager
    def annotate(
        self,
        *,
        prompt_mask: Tensor | None = None,
        domain: Sequence[str] | None = None,
        factors: Tensor | None = None,
    ) -> Iterator[None]:
        """Say what the rows of the forwards within are, for gates and records that use it.

        It holds for forwards in the thread that says it. What is not said here stays as an
        annotation around this one says it.

        Args:
            prompt_mask: True on prompt tokens, shape ``(batch, time)``, from the first token of the
                sequence on; tokens beyond its end, such as generated ones, are responses.
            domain: Domain label of each row.
            factors: What the weights of each row's experts are multiplied by, in gate order, shape
                ``(batch, n_experts)``: 0 switches an expert off, and where it was chosen the base
                answers alone.

        Raises:
            CompositionError: If annotations of one thread end in another order than they began.
        """
        before = self.running.said or Annotation()
        said = Annotation(
            before.prompt_mask if prompt_mask is None else prompt_mask,
            before.domain if domain is None else domain,
            before.factors if factors is None else factors,
        )
        labels = domain is not None
        with _COUNTING:
            self._labelled += labels
        try:
            with self.running.having(said=said):
                yield
        finally:
            with _COUNTING:
                self._labelled -= labels

    @contextmanager
    def record(self, *, trace: bool = False) -> Iterator[Record]:
        """Write down how the tokens of the forwards within are routed.

        Those of other threads are not: a thread that runs forwards records its own.

        Args:
            trace: Keep the weights of every token too.

        Raises:
            NotSupportedError: If the composition is static and nothing is routed.
            CompositionError: If records of one thread end in another order than they began.
        """
        self._check_routed()
        record = Record(self._blocks, self.experts, trace)
        with self.running.having(record=record):
            yield record

    @contextmanager
    def listen(self, hear: Hear) -> Iterator[None]:
        """Hand on how every token of the forwards within is routed in every block.

        Args:
            hear: Takes the weights of each forward when it is over, see ``Hear``.

        Raises:
            NotSupportedError: If the composition is static and nothing is routed.
            CompositionError: If contexts of one thread end in another order than they began.
        """
        self._check_routed()
        with self.running.having(record=Tape(hear)):
            yield

    def _check_routed(self) -> None:
        if self.gate is None:
            raise NotSupportedError(
                f"'{self.composition.composer}' is a static composition: no token is routed"
            )

    # --- following the forwards -----------------------------------------------------------------

    def follow(self, stack: nn.Module) -> None:
        """Open a scope for every forward of a stack of decoder blocks, until ``detach``."""
        names = tuple(inspect.signature(stack.forward).parameters)
        opens, closes = partial(self._open, names), partial(self._close, names)
        before = stack.register_forward_pre_hook(opens, with_kwargs=True)
        after = stack.register_forward_hook(closes, with_kwargs=True, always_call=True)
        self._surgery.on_undo(before.remove)
        self._surgery.on_undo(after.remove)

    def _open(
        self, names: Sequence[str], stack: nn.Module, args: Any, kwargs: dict[str, Any]
    ) -> None:
        given = _by_name(names, args, kwargs)
        running, memory = self.running, self.memory
        scope = Scope(self._tokens(given), running.record, factors=self.said.factors)
        scope.past = known_length(cache_of(given), memory.owner)
        if memory.keeps:
            running.scope = Scope(scope.info, plain=True)
            memory.begin(scope, given)
        running.scope = scope

    def _tokens(self, given: Mapping[str, Any]) -> TokenInfo:
        said = self.running.said or Annotation()
        if said.domain is None and self._labelled and "labels_at_inference" in self.needs:
            raise CompositionError(
                f"router '{self.composition.composer}' is told domains in another thread than the "
                "one that runs this forward; call annotate in the thread of its forwards"
            )
        return token_info(given, said, self.memory.owner)

    def _close(
        self, names: Sequence[str], stack: nn.Module, args: Any, kwargs: Any, output: Any
    ) -> None:
        scope, self.running.scope = self.running.scope, None
        if scope is None:
            return
        scope.running = False
        if scope.record is not None:
            scope.record.close(scope.info)
        if output is not None:
            given = _by_name(names, args, kwargs)
            self.memory.end(scope, given, output)


def _by_name(
    names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all arguments of a forward by name."""
    # torch.compile of torch 2.8 cannot follow a zip that is told strict=False.
    return {**dict(zip(names, args)), **kwargs}  # noqa: B905


def mixture_of(model: nn.Module) -> Mixture:
    """Return the mixture that is attached to a model.

    Raises:
        CompositionError: If there is none.
    """
    mixture = getattr(model, HANDLE, None)
    if not isinstance(mixture, Mixture):
        raise CompositionError(
            f"the {type(model).__name__} carries no mixture: give what selfmoe.compose, "
            "selfmoe.load or selfmoe.load_mixture returned, before it is detached"
        )
    return mixture
