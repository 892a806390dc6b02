"""Train the seedling from nothing: `python -m selfmoe_base_seedling.train --out DIR --steps N`.

One process, one command, resumable: the same command again goes on from the newest checkpoint,
which lies outside the work tree (`$SELFMOE_CACHE/seedling`, else `~/.cache/selfmoe/seedling`).
Batch `step` is a function of `--seed`, `--steps` and `step` alone, so an interrupted run sees the
same data as a whole one. Windows are short at first, where copying is learned fastest, and grow;
responses weigh more than the random tasks they answer. First losses and a fingerprint are printed.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from selfmoe.contracts import expand
from selfmoe_base_seedling import state
from selfmoe_base_seedling.corpus import END, document
from selfmoe_base_seedling.layouts import responses
from selfmoe_base_seedling.tokenizer import CONTEXT, train_tokenizer

TOKENS = 4096
#: Lengths of the windows, each with the share of all steps after which it begins.
WINDOWS = ((256, 0.0), (512, 0.6), (1024, 0.85))
PROMPT_WEIGHT = 0.25
TOKENIZER_DOCUMENTS = 8000
FIRST_STEPS, PRINT_EVERY = 200, 20
WARM_UP, DECAY_FROM = 0.03, 0.4


@dataclass(frozen=True)
class Options:
    """Settings of one training run.

    Attributes:
        out: Folder that gets the exported model.
        state: Folder with the tokenizer and the resumable checkpoints.
        steps: Optimizer steps in all, each of `TOKENS` tokens.
        lr: Peak learning rate.
        seed: Root of corpus, initial weights and data order.
        threads: Threads of torch; results repeat only at an equal number.
        save_every_s: Seconds between checkpoints.
        device: "cpu" or a torch accelerator.
        compile: Compile the loss; faster, and other rounding than without.
        until: Stop after this many steps, with a checkpoint and no export.
    """

    out: Path
    state: Path
    steps: int = 3500
    lr: float = 6e-3
    seed: int = 0
    threads: int = 1
    save_every_s: float = 180.0
    device: str = "cpu"
    compile: bool = False
    until: int | None = None


def new_model(vocab_size: int, seed: int) -> LlamaForCausalLM:
    """Return the untrained model: Llama, 3.2 M parameters, tied embeddings, float32."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=6,
        num_attention_heads=3,
        num_key_value_heads=3,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    return LlamaForCausalLM(config)


class Batch(NamedTuple):
    """Token ids, shape (rows, window + 1), and the weight of each as a target, same shape."""

    ids: Tensor
    weights: Tensor


def batch(tokenizer: Any, options: Options, step: int) -> Batch:
    """Return the `TOKENS` training tokens of one step.

    Each row starts with a whole document; documents are joined by the end token until it is full.
    """
    window = [length for length, since in WINDOWS if step >= since * options.steps][-1]
    rows = [_row(tokenizer, options.seed, step, row, window) for row in range(TOKENS // window)]
    return Batch(torch.tensor([ids for ids, _ in rows]), torch.tensor([w for _, w in rows]))


def _row(
    tokenizer: Any, seed: int, step: int, row: int, window: int
) -> tuple[list[int], list[float]]:
    ids: list[int] = []
    weights: list[float] = []
    index = 0
    while len(ids) <= window:
        text = document(seed, step, row, index) + END
        encoded = tokenizer(text, return_offsets_mapping=True)
        spans = responses(text)
        ids += encoded["input_ids"]
        weights += [
            1.0 if any(start <= left < end for start, end in spans) else PROMPT_WEIGHT
            for left, _ in encoded["offset_mapping"]
        ]
        index += 1
    return ids[: window + 1], weights[: window + 1]


def learning_rate(options: Options, step: int) -> float:
    """Return the rate of `step`: linear warm-up, constant, then linear decay to zero."""
    done = step / options.steps
    rising = (step + 1) / max(1, math.ceil(WARM_UP * options.steps))
    return options.lr * min(1.0, rising, (1 - done) / (1 - DECAY_FROM))


def optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Return Muon for the hidden matrices and AdamW for embeddings and norms."""
    hidden = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(hidden, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def loss_of(model: LlamaForCausalLM, data: Batch) -> Tensor:
    """Return the weighted mean next-token loss in nats, a scalar; products run in bfloat16."""
    ids, weights = data.ids.to(model.device), data.weights.to(model.device)[:, 1:].flatten()
    with torch.autocast(ids.device.type, torch.bfloat16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    losses = nn.functional.cross_entropy(
        logits.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    return (losses * weights).sum() / weights.sum()


def train(options: Options) -> None:
    """Train from the newest checkpoint to `options.steps`, then export.

    Raises:
        FloatingPointError: If the loss is not finite; nothing of that step is saved.
    """
    torch.set_num_threads(options.threads)
    tokenizer = prepare_tokenizer(options)
    model = new_model(len(tokenizer), options.seed).to(options.device)
    parts = optimizers(model)
    measure = torch.compile(loss_of, dynamic=False) if options.compile else loss_of
    first, average = state.restore(options.state, model, parts, options.device)
    last = min(options.steps, options.until or options.steps)
    began = saved = time.monotonic()
    for step in range(first, last):
        data = batch(tokenizer, options, step)
        loss = _update(model, parts, measure, data, learning_rate(options, step))
        average = loss if average is None else 0.98 * average + 0.02 * loss
        done = step + 1
        if done <= FIRST_STEPS or done % PRINT_EVERY == 0 or done == last:
            seconds = (time.monotonic() - began) / (done - first)
            _progress(done, options.steps, loss, average, seconds)
            if done == FIRST_STEPS:
                print(f"weights after {done}: sha256 {state.fingerprint(model)}", flush=True)
        if time.monotonic() - saved > options.save_every_s or done == last:
            state.save(options.state, done, average, model, parts)
            saved = time.monotonic()
    if last == options.steps:
        state.export(options.state, options.out, model.config, tokenizer)


def _update(
    model: LlamaForCausalLM,
    parts: list[torch.optim.Optimizer],
    measure: Callable[[LlamaForCausalLM, Batch], Tensor],
    data: Batch,
    rate: float,
) -> float:
    loss = measure(model, data)
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(f"loss is {value}; lower --lr and run again from the checkpoint")
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for part in parts:
        for group in part.param_groups:
            group["lr"] = rate
        part.step()
        part.zero_grad()
    return value


def _progress(done: int, steps: int, loss: float, average: float, seconds: float) -> None:
    tokens = done * TOKENS / 1e6
    losses = f"loss {loss:.6f}  average {average:.4f}"
    pace = f"{TOKENS / seconds:.0f} tok/s  {(steps - done) * seconds / 60:.0f} min left"
    print(f"step {done}/{steps}  {tokens:.2f} Mtok  {losses}  {pace}", flush=True)


def prepare_tokenizer(options: Options) -> Any:
    """Return the run's tokenizer, training and storing it on first use."""
    folder = options.state / "tokenizer"
    if not folder.exists():
        documents = (document(options.seed, -1, i) for i in range(TOKENIZER_DOCUMENTS))
        with state.replacing(folder) as temporary:
            train_tokenizer(documents).save_pretrained(temporary)
    return AutoTokenizer.from_pretrained(folder)


def _cache() -> Path:
    return expand(os.environ.get("SELFMOE_CACHE", "~/.cache/selfmoe")) / "seedling"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Train the seedling base model.")
    parser.add_argument("--out", type=expand, required=True, help="folder for the exported model")
    parser.add_argument("--state", type=expand, default=_cache(), help="folder for resumable state")
    parser.add_argument("--steps", type=int, default=Options.steps)
    parser.add_argument("--lr", type=float, default=Options.lr)
    parser.add_argument("--seed", type=int, default=Options.seed)
    parser.add_argument("--threads", type=int, default=Options.threads)
    parser.add_argument("--save-every-s", type=float, default=Options.save_every_s)
    parser.add_argument("--device", default=Options.device)
    parser.add_argument("--compile", action="store_true", help="faster; rounds differently")
    parser.add_argument("--until", type=int, help="stop after this step, without an export")
    parser.add_argument("--export", action="store_true", help="only export the newest checkpoint")
    arguments = vars(parser.parse_args())
    only_export = arguments.pop("export")
    options = Options(**arguments)
    if only_export:
        tokenizer = prepare_tokenizer(options)
        config = new_model(len(tokenizer), options.seed).config
        state.export(options.state, options.out, config, tokenizer)
    else:
        train(options)


if __name__ == "__main__":
    main()
