"""What the engine finds answers with, runs code with and guards benchmarks with."""

from selfmoe.evaluation import mathverify
from selfmoe.evaluation.answers import (
    any_math,
    boxed,
    final_math,
    final_number,
    letter,
    marked_number,
    same_math,
    short,
    stated,
)
from selfmoe.evaluation.answers.notation import GROUPED, digits_of, plain_notation
from selfmoe.evaluation.answers.numbers import rational
from selfmoe.evaluation.code import (
    bound_names,
    code_pieces,
    defines,
    imported,
    parse_code,
    passes,
    python_in,
)
from selfmoe.evaluation.leaks import item_keys
from selfmoe.evaluation.sandbox import Verdict, best_tier, run_many
from selfmoe.evaluation.stock import stock_file, stock_settings
from selfmoe.store.files import read_jsonl, read_text

__all__ = [
    "GROUPED",
    "Verdict",
    "any_math",
    "best_tier",
    "bound_names",
    "boxed",
    "code_pieces",
    "defines",
    "digits_of",
    "final_math",
    "final_number",
    "imported",
    "item_keys",
    "letter",
    "marked_number",
    "mathverify",
    "parse_code",
    "passes",
    "plain_notation",
    "python_in",
    "rational",
    "read_jsonl",
    "read_text",
    "run_many",
    "same_math",
    "short",
    "stated",
    "stock_file",
    "stock_settings",
]
