"""Generation: prompts in, continuations out.

`generate` is all that stages, evaluations and commands know. Behind it stand two engines that write
the same tokens: one that lets rows come and go (`continuous`), and `generate` of transformers on
fixed batches (`static`), for models of which the first cannot be sure (`ability`).
"""

from selfmoe.models.generation.engine import generate
from selfmoe.models.generation.records import Continuation, Progress, Sampling, Tell

__all__ = ["Continuation", "Progress", "Sampling", "Tell", "generate"]
