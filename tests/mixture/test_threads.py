"""One mixture in several threads: what belongs to a forward is its thread's own."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from contextlib import ExitStack

import pytest
import torch

from selfmoe.contracts.errors import CompositionError
from selfmoe.mixture.forward.running import Running
from selfmoe.mixture.runtime import attach
from selfmoe.testing.composers import assert_close
from selfmoe.testing.routing import logits, refer, tokens
from selfmoe_router_oracle import Oracle
from selfmoe_router_sequence import Sequence

FORWARDS = 60


@pytest.fixture(autouse=True)
def busy():
    """Let threads take turns often, as on a busy server."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(*works):
    """Run each in a thread of its own, all at once; return what they return."""
    begin, found = threading.Barrier(len(works)), [None] * len(works)

    def run(place, work):
        begin.wait()
        try:
            found[place] = work()
        except Exception as error:
            found[place] = error

    threads = [threading.Thread(target=run, args=one) for one in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found:
        if isinstance(one, Exception):
            raise one
    return found


def sequence(experts, k=1):
    composer = Sequence(Sequence.Config(k=k))
    theta = torch.randn(len(experts), 32, generator=torch.Generator().manual_seed(5))
    return composer, refer(
        experts, tensors={"theta": theta}, options=composer.options.model_dump(mode="json")
    )


@torch.no_grad()
def test_rows_are_those_that_the_thread_has_named(llama, llama_experts):
    composer, made = sequence(llama_experts)
    ids = [tokens(1, 12, seed=seed) for seed in range(4)]
    masks = [(torch.arange(12) < 3 * i + 1)[None] for i in range(4)]
    with attach(llama, composer, made, llama_experts) as mixture:

        def read(i):
            with mixture.annotate(prompt_mask=masks[i]):
                return logits(llama, ids[i])

        alone = [read(i) for i in range(4)]

        def work(i):
            return [read(i) for _ in range(FORWARDS)]

        for i, found in enumerate(together(*(lambda i=i: work(i) for i in range(4)))):
            for one in found:
                assert_close(one, alone[i])


@torch.no_grad()
def test_a_record_counts_the_forwards_of_its_thread(llama, llama_experts, routed):
    with routed(llama, llama_experts) as mixture:

        def work(length):
            with mixture.record(trace=True) as record:
                for _ in range(FORWARDS):
                    logits(llama, tokens(1, length))
            return record

        lengths = (3, 5, 7)
        records = together(*(lambda n=n: work(n) for n in lengths))
        for length, record in zip(lengths, records, strict=True):
            assert record.tokens() == length * FORWARDS
            assert {trace.weights.shape[1] for trace in record.traces} == {length}
            assert_close(record.mean(), work(length).mean())


@torch.no_grad()
def test_a_failure_in_one_thread_leaves_the_others_alone(llama, llama_experts, routed):
    ids = tokens()
    with routed(llama, llama_experts):
        expected = logits(llama, ids)

        def fails():
            for _ in range(FORWARDS):
                with pytest.raises(IndexError):
                    llama(torch.full_like(ids, 10**6))

        def works():
            return [logits(llama, ids) for _ in range(FORWARDS)]

        for found in together(fails, works)[1]:
            assert_close(found, expected)


def test_backward_of_a_checkpoint_beside_other_forwards(llama, llama_experts, routed):
    """A recomputation sees its own forward, whatever other threads run meanwhile."""
    ids, other = tokens(), tokens(1, 7, seed=9)
    with routed(llama, llama_experts) as mixture:
        mixture.gate.requires_grad_(True)
        (theta,) = mixture.gate.parameters()

        def gradient():
            loss = logits(llama, ids, use_cache=False).float().logsumexp(-1).mean()
            return torch.autograd.grad(loss, theta)[0]

        expected = gradient()
        llama.gradient_checkpointing_enable({"use_reentrant": False})
        llama.train()

        def forwards():
            with torch.no_grad():
                for _ in range(FORWARDS):
                    logits(llama, other)

        for found in together(lambda: [gradient() for _ in range(9)], forwards)[0]:
            assert_close(found, expected)
        llama.gradient_checkpointing_disable()
        llama.eval()


@torch.no_grad()
def test_a_label_that_another_thread_was_told_is_not_left_out_silently(llama, llama_experts):
    with attach(llama, Oracle(), refer(llama_experts), llama_experts) as mixture:
        with mixture.annotate(domain=["math", "math"]):
            assert torch.isfinite(logits(llama, tokens())).all()
            with pytest.raises(CompositionError, match="in another thread than the one that runs"):
                together(lambda: logits(llama, tokens()))
        together(lambda: logits(llama, tokens()))  # nobody says anything: the base alone


def test_annotations_that_take_turns_are_refused(llama, llama_experts, routed):
    """As two tasks of an event loop do; neither must go on with what the other has said."""
    with routed(llama, llama_experts) as mixture:
        for begin in (lambda: mixture.annotate(domain=["a"]), mixture.record):
            first, second = ExitStack(), ExitStack()
            first.enter_context(begin())
            second.enter_context(begin())
            with pytest.raises(CompositionError, match="reverse order"):
                first.close()
            with pytest.raises(CompositionError, match="reverse order"):
                second.close()
            first, second = ExitStack(), ExitStack()
            first.enter_context(begin())
            second.enter_context(begin())
            second.close()
            first.close()
        mixture.running.said = mixture.running.record = None


def test_copies_begin_with_nothing_running():
    running = Running()
    running.record = object()
    for twin in (copy.deepcopy(running), pickle.loads(pickle.dumps(running))):
        assert twin.record is None
    assert running.record is not None
