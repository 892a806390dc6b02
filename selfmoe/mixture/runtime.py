"""A mixture on a model: attached in place, exact, and gone without a trace after ``detach``."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from selfmoe.contracts.composer import Composer, Gate, Need, TokenInfo
from selfmoe.contracts.errors import CompositionError, NotSupportedError, did_you_mean
from selfmoe.contracts.records import Composition, Expert
from selfmoe.mixture.adapters import Factors, factors_of
from selfmoe.mixture.cache_check import check_cache, trial
from selfmoe.mixture.doors import guard
from selfmoe.mixture.forward.blocks import Block
from selfmoe.mixture.forward.caches import cache_of
from selfmoe.mixture.forward.companions import known_length
from selfmoe.mixture.forward.kernels import AUTO, check_kernel
from selfmoe.mixture.forward.memory import Memory, memory_of
from selfmoe.mixture.forward.running import Running
from selfmoe.mixture.forward.scope import Annotation, Record, Scope, describe
from selfmoe.mixture.sites.coverage import refuse_unweighable
from selfmoe.mixture.surgery import Surgery
from selfmoe.models.structure import Decoder, find_decoder

HANDLE = "mixture"
_GATE = "selfmoe_gate"
_COUNTING = threading.Lock()


class Mixture:
    """A composition at work on a model; made by ``attach``, also found as ``model.mixture``.

    Can be used as a context manager that detaches at the end.

    Attributes:
        composition: What is attached.
        gate: The gate that routes tokens, or ``None`` if the composition is static.
        experts: Names of the experts in gate order.
        needs: What its composer cannot do without, as far as it concerns forwards.
        keep_alive: Something that must live as long as the mixture, such as a temporary folder.
    """

    def __init__(self, model: nn.Module, composition: Composition, experts: Sequence[str]) -> None:
        self.composition = composition
        self.experts = tuple(experts)
        self.gate: Any = None
        self.needs: frozenset[Need] = frozenset()
        self.keep_alive: Any = None
        self._surgery = Surgery(model)
        self._running = Running()
        self._labelled = 0
        self._memory = Memory()
        self._blocks = 0
        self._model = model
        self._surgery.attribute(model, HANDLE, self)

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
        return self._running.said or Annotation()

    @property
    def heard(self) -> bool:
        """Whether this thread records or annotates its forwards."""
        return self._running.record is not None or self._running.said is not None

    def replace(self, module: nn.Module, name: str, method: Callable[..., Any]) -> None:
        """Let a part of the model do something else in the place of one of its methods."""
        self._surgery.method(module, name, method)

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
        self, *, prompt_mask: Tensor | None = None, domain: Sequence[str] | None = None
    ) -> Iterator[None]:
        """Say what the rows of the forwards within are, for gates and records that use it.

        It holds for forwards in the thread that says it. What is not said here stays as an
        annotation around this one says it.

        Args:
            prompt_mask: True on prompt tokens, shape ``(batch, time)``, from the first token of the
                sequence on; tokens beyond its end, such as generated ones, are responses.
            domain: Domain label of each row.

        Raises:
            CompositionError: If annotations of one thread end in another order than they began.
        """
        before = self._running.said or Annotation()
        said = Annotation(
            before.prompt_mask if prompt_mask is None else prompt_mask,
            before.domain if domain is None else domain,
        )
        labels = domain is not None
        with _COUNTING:
            self._labelled += labels
        try:
            with self._running.having(said=said):
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
        if self.gate is None:
            raise NotSupportedError(
                f"'{self.composition.composer}' is a static composition: no token is routed"
            )
        record = Record(self._blocks, self.experts, trace)
        with self._running.having(record=record):
            yield record

    # --- putting it on --------------------------------------------------------------------------

    def route(
        self,
        gate: Gate,
        factors: Sequence[Mapping[str, Factors]],
        decoder: Decoder,
        kernel: str = AUTO,
        *,
        check: bool = True,
    ) -> None:
        """Let ``gate`` weigh the experts in every layer that one of them changes.

        Raises:
            CompositionError: If an expert changes another layer, or ``check`` is on and two tokens
                read with a cache are not what they are without one.
        """
        assert isinstance(gate, nn.Module)
        sites = by_site(factors)
        changed = {site: [self.experts[i] for i in parts] for site, parts in sites.items()}
        refuse_unweighable(self._model, decoder, changed)
        self.gate = gate
        self._blocks = len(decoder.blocks)
        device = next(decoder.stack.parameters()).device
        self._surgery.attribute(self._model, _GATE, gate.to(device).requires_grad_(False))
        self._watch(decoder.stack)
        states = [Block(i, gate, self._running, kernel) for i in range(self._blocks)]
        for block, state in zip(decoder.blocks, states, strict=True):
            self._surgery.block(block, state)
        for site, parts in sites.items():
            number = site.removeprefix(f"{decoder.path}.").partition(".")[0]
            self._surgery.experts(site, parts, self.experts, states[int(number)])
        if gate.site != "linear":  # weights that differ by linear leave nothing to share
            self._find_shared_inputs(decoder.stack, states, device)
        self._memory = memory_of(gate, decoder.stack)
        if check:
            check_cache(self, decoder.stack, states)

    def add_adapters(self, factors: Sequence[Mapping[str, Factors]]) -> None:
        """Add adapters with a constant weight of 1."""
        for site, parts in by_site(factors).items():
            self._surgery.experts(site, parts, self.experts)

    def add_deltas(self, deltas: Mapping[str, Tensor]) -> None:
        """Put ``W0 + delta`` in the place of weights."""
        for site in deltas:
            self._surgery.weight(site, deltas[site])

    def _find_shared_inputs(
        self, stack: nn.Module, states: Sequence[Block], device: torch.device
    ) -> None:
        token = torch.zeros(1, 1, dtype=torch.long, device=device)
        with ExitStack() as watching, trial(stack, device):
            for state in states:
                watching.enter_context(state.watched())
            stack(input_ids=token, use_cache=False)

    # --- following the forwards -----------------------------------------------------------------

    def _watch(self, stack: nn.Module) -> None:
        """Open a scope for every forward of the stack."""
        names = tuple(inspect.signature(stack.forward).parameters)
        opens, closes = partial(self._open, names), partial(self._close, names)
        before = stack.register_forward_pre_hook(opens, with_kwargs=True)
        after = stack.register_forward_hook(closes, with_kwargs=True, always_call=True)
        self._surgery.on_undo(before.remove)
        self._surgery.on_undo(after.remove)

    def _open(
        self, names: Sequence[str], stack: nn.Module, args: Any, kwargs: dict[str, Any]
    ) -> None:
        given = dict(zip(names, args, strict=False)) | kwargs
        running, memory = self._running, self._memory
        scope = Scope(self._describe(given), running.record)
        scope.past = known_length(cache_of(given), memory.owner)
        if memory.keeps:
            running.scope = Scope(scope.info, plain=True)
            memory.begin(scope, given)
        running.scope = scope

    def _describe(self, given: Mapping[str, Any]) -> TokenInfo:
        said = self._running.said or Annotation()
        if said.domain is None and self._labelled and "labels_at_inference" in self.needs:
            raise CompositionError(
                f"router '{self.composition.composer}' is told domains in another thread than the "
                "one that runs this forward; call annotate in the thread of its forwards"
            )
        return describe(given, said, self._memory.owner)

    def _close(
        self, names: Sequence[str], stack: nn.Module, args: Any, kwargs: Any, output: Any
    ) -> None:
        scope, self._running.scope = self._running.scope, None
        if scope is None:
            return
        scope.running = False
        if scope.record is not None:
            scope.record.close(scope.info)
        if output is not None:
            given = dict(zip(names, args, strict=False)) | kwargs
            self._memory.end(scope, given, output)


def attach(
    model: nn.Module,
    composer: Composer,
    composition: Composition,
    experts: Mapping[str, Expert],
    *,
    blocks: str | None = None,
    kernel: str = AUTO,
    check: bool = True,
) -> Mixture:
    """Put a composition to work on a model, in place.

    Args:
        model: A causal language model of transformers; its own weights stay untouched or are put
            back by ``detach``.
        composer: The composer that made the composition.
        composition: What to attach.
        experts: At least the experts that a routed composition names.
        blocks: Name of the list of decoder blocks, for models where it cannot be told.
        kernel: How routed layers compute, see ``selfmoe.mixture.forward.kernels``; ``auto`` goes
            by shape.
        check: Read two tokens with a cache and without, and refuse the mixture where they differ.

    Returns:
        The handle to record with and to detach; also ``model.mixture``.

    Raises:
        CompositionError: If composition, experts and model do not fit; the model is as before.
        UnknownNameError: If there is no such kernel.
    """
    check_kernel(kernel)
    if hasattr(model, HANDLE):
        raise CompositionError("the model carries a mixture already; detach it first")
    gate = composer.gate(composition)
    paths = {} if gate is None else {r.name: _path(r.name, experts) for r in composition.experts}
    paths |= composition.owned
    mixture = Mixture(model, composition, tuple(paths))
    mixture.needs = composer.needs - {"data"}
    try:
        deltas = composer.deltas(composition) if gate is None else {}
        factors = {} if deltas else {n: factors_of(Expert(n, path)) for n, path in paths.items()}
        if gate is not None:
            decoder = find_decoder(model, blocks)
            mixture.route(gate, list(factors.values()), decoder, kernel, check=check)
        elif factors:
            mixture.add_adapters(list(factors.values()))
        elif deltas:
            mixture.add_deltas(deltas)
        else:
            raise CompositionError(
                f"'{composition.composer}' made a composition without gate, deltas or adapters"
            )
        guard(mixture)
    except BaseException:
        mixture.detach()
        raise
    return mixture


def by_site(factors: Sequence[Mapping[str, Factors]]) -> dict[str, dict[int, Factors]]:
    """Return, for every layer that any expert changes, what those experts add, by their index."""
    sites: dict[str, dict[int, Factors]] = {}
    for index, expert in enumerate(factors):
        for site, part in expert.items():
            sites.setdefault(site, {})[index] = part
    return dict(sorted(sites.items()))


def _path(name: str, experts: Mapping[str, Expert]) -> Any:
    if name not in experts:
        known = ", ".join(experts) or "none"
        raise CompositionError(
            f"the composition needs expert '{name}'{did_you_mean(name, experts)}; given: {known}"
        )
    return experts[name].path
