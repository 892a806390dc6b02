"""Running programs of models in the sandbox."""

from selfmoe.evaluation.sandbox import Verdict, best_tier, run_many

__all__ = ["Verdict", "best_tier", "run_many"]
