"""What people do wrong, and the one message each of them gets.

Every row makes a mistake in an empty folder and holds the whole message. In messages ``TMP`` is
that folder, ``BASE`` a random base model, ``CACHE`` the hub's cache, ``DEVICES`` what the machine
has, ``HOLDER`` the process that holds a lock, ``KEY`` a hash and ``N`` a size.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shlex
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from selfmoe.cli.app import COMMANDS
from selfmoe.config.model import BrainstormConfig, RunConfig, SeedsConfig
from selfmoe.config.resolve import known_presets
from selfmoe.registry.registry import registry
from selfmoe.store.directory import RunDirectory

Files = dict[str, str | bytes]


@dataclass(frozen=True)
class Mistake:
    """A command line that is wrong, and what is said about it.

    Attributes:
        line: The arguments, as typed.
        message: What follows ``Error: ``.
        files: What lies in the folder, by path.
        scene: What is going on meanwhile; a key of ``SCENES``.
        code: Exit code.
        variables: Environment.
        writes: Whether something may have been written before the mistake showed.
    """

    line: str
    message: str
    files: Files = field(default_factory=dict)
    scene: str = ""
    code: int = 1
    variables: dict[str, str] = field(default_factory=dict)
    writes: bool = False


def known(section: type) -> str:
    """Return the end of a message about an unknown key of a section."""
    return f"Known keys: {', '.join(section.model_fields)}."


def available(kind: str) -> str:
    """Return the end of a message about an unknown name."""
    return f"Available: {', '.join(registry().names(kind))}."


def commands() -> str:
    """Return the end of a message about an unknown command."""
    return f"Commands: {', '.join(COMMANDS)}."


def one(problem: str, origin: str = "settings") -> str:
    """Return the message for a single problem with settings."""
    return f"{origin}: 1 problem\n  {problem}"


GOOD = json.dumps({"question": "What is 1 + 1?", "answer": "1 + 1 = 2\n#### 2"}) + "\n"
KNOWLEDGE = "run --track benchmark --domains knowledge --data-dir data --out run"
MATH = "run --track benchmark --domains math --data-dir data --out run"
TOPK = registry().get("router", "topk").Config
KNOWN_BASES = ", ".join(registry().names("base"))
PRESETS = ", ".join(known_presets(registry().get("base", "seedling")))
LORA = registry().get("trainer", "lora").Config
MARKED = "from selfmoe import hookimpl\nSELFMOE_API = 1\n"
TWICE = (
    MARKED
    + """
from selfmoe.contracts.composer import Merge

class Mine(Merge):
    "Has a name that is taken."

    name = "ties"

    def compose(self, ctx):
        raise NotImplementedError

@hookimpl
def register_merges():
    return [Mine]
"""
)


def gsm8k(train: str) -> Files:
    """Return a data folder with these training problems."""
    return {"data/gsm8k/train.jsonl": train, "data/gsm8k/test.jsonl": GOOD}


def plugin(code: str, domain: str = "mine") -> Files:
    """Return a run file that asks for a domain, and a plugin beside it."""
    return {"x.yaml": f"domains: [{domain}]\n", "selfmoe_plugin.py": code}


def yaml(text: str | bytes) -> Files:
    """Return a run file."""
    return {"x.yaml": text}


# fmt: off
USAGE = [
    Mistake("rum", f"no command named 'rum'; did you mean 'run'? {commands()}", code=2),
    Mistake("run --domain math", "No such option '--domain'. Did you mean '--domains'?", code=2),
    Mistake("run --seed x", "Invalid value for '--seed': 'x' is not a valid integer.", code=2),
    Mistake("run --out", "Option '--out' requires an argument.", code=2),
    Mistake("run a.yaml b.yaml", "Got unexpected extra argument (b.yaml)", code=2),
    Mistake("list-plugins --kind routers",
        "Invalid value for '--kind': 'routers' is not one of 'base', 'domain', "
        "'trainer', 'router', 'merge', 'backend', 'executor'.",
        code=2),
    Mistake("generate runs/demo", "Missing argument 'PROMPT'.", code=2),
    Mistake("generate runs/demo Hello --max-new-tokens 0",
        "Invalid value for '--max-new-tokens': 0 is not in the range x>=1.", code=2),
    *(Mistake(f"{command} --dtype float8",
        "Invalid value for '--dtype': 'float8' is not one of 'auto', 'float32', 'bfloat16', "
        "'float16'.", code=2) for command in ("run", "generate runs/demo Hello")),
    Mistake("completion powershell",
        "Invalid value for 'SHELL': 'powershell' is not one of 'bash', 'zsh', 'fish'.", code=2),
    Mistake("gc", "Missing argument 'RUN'.", code=2),
    Mistake("config print", "No such command 'print'.", code=2),
]

SETTINGS = [
    Mistake("run --set brainstrom.n=3",
        one(f"brainstrom: unknown key; did you mean 'brainstorm'? {known(RunConfig)}")),
    Mistake("run --set brainstorm.shot=3",
        one(f"brainstorm.shot: unknown key; did you mean 'shots'? {known(BrainstormConfig)}")),
    Mistake("run --set compose.mixse.options.topk=2",
        one(f"compose.mixse.options.topk: unknown key. {known(TOPK)}")),
    Mistake("run --set specialise.options.rank=2",
        one(f"specialise.options.rank: unknown key. {known(LORA)}")),
    Mistake("run --set compose.instance.options.lr=0.1",
        one("compose.instance.options.lr: unknown key. There are no options here.")),
    Mistake("run --domains maths",
        one(f"domains: no domain named 'maths'; did you mean 'math'? {available('domain')}")),
    Mistake("run --domains math,math", one("domains: 'math' is named twice.")),
    Mistake("run --domains ,", one("domains: give at least one.")),
    Mistake("run --track bench",
        one("track: Input should be 'mini' or 'benchmark'; got \"bench\".")),
    Mistake("run --preset papers",
        one(f"preset: there is no 'papers' for this base, only: {PRESETS}; "
            "did you mean 'paper'?")),
    Mistake("run --set specialise.trainer=lara",
        one("specialise.trainer: no trainer named 'lara'; did you mean 'lora'? "
            f"{available('trainer')}")),
    Mistake("run --set compose.mine.router=topkk",
        one("compose.mine.router: no router named 'topkk'; did you mean 'topk'? "
            f"{available('router')}")),
    Mistake("run --set compose.mine.merge=topk",
        one(f"compose.mine.merge: no merge named 'topk'. {available('merge')}")),
    Mistake("run --set compose.mixs.options.k=2",
        one("compose.mixs: give either router or merge; did you mean 'mixse'? Its options alone "
            "change one of: mixse, dare, instance, ties.")),
    Mistake(f"run --set compose.{'x' * 300}.router=topk",
        one(f"compose.{'x' * 80}: not a possible label; use up to 64 lower-case letters, digits, "
            "- and _, not 'base', 'base-…' or 'expert-…'.")),
    Mistake("run --set plugin_dir=/nope",
        one("plugin_dir: there is no selfmoe_plugin.py in /nope.")),
    Mistake("run x.yaml",
        one("compose.a: give either router or merge.", "x.yaml"),
        yaml('compose: {a: {router: topk, merge: ties}}')),
    Mistake("run x.yaml",
        one("compose.base: not a possible label; use up to 64 lower-case letters, digits, - and _, "
            "not 'base', 'base-…' or 'expert-…'.", "x.yaml"),
        yaml('compose: {base: {router: topk}}')),
    Mistake("run x.yaml",
        one("compose: Input should be a section with keys of its own; got [\"topk\"].", "x.yaml"),
        yaml('compose: [topk]')),
    Mistake("run --domains math --set compose.mixse.options.k=2",
        "compose.mixse: k = 2 of only 1 expert; choose k from 1 to 1"),
    Mistake("run --set compose.mixse.options.renormalise=true",
        one("compose.mixse.options: there is no renormalise any more; write weight: one where it "
            "was true, weight: softmax where it was false.")),
    Mistake("run --set brainstorm.n=many",
        one("brainstorm.n: Input should be a valid integer; got \"many\".")),
    Mistake("run --set brainstorm.n=1e3",
        one("brainstorm.n: Input should be a valid integer; got 1000.0.")),
    Mistake("run --set brainstorm.n=0",
        one("brainstorm.n: Input should be greater than or equal to 1; got 0.")),
    Mistake("run --set brainstorm.top_p=1.5",
        one("brainstorm.top_p: Input should be less than or equal to 1; got 1.5.")),
    Mistake("run --set evaluate.limit=0",
        one("evaluate.limit: Input should be greater than or equal to 1; got 0.")),
    Mistake("run --set curate.contamination=no",
        one("curate.contamination: Input should be true or false; got \"no\".")),
    Mistake("run x.yaml",
        one("specialise.options.lr: Input should be a valid number; got \"1e-4\"; write it "
            "without quotes.", "x.yaml"),
        yaml("specialise:\n  options:\n    lr: '1e-4'\n")),
    Mistake("run --set brainstorm.n",
        "--set brainstorm.n: expected key=value, such as brainstorm.n=100"),
    Mistake("run --seed 1 --set seed.n=3", "--set seed.n=3: 'seed' is a value, not a section"),
    Mistake("run --set domains=math",
        one("domains: Input should be a list, as in [a, b]; got \"math\".")),
    Mistake("run --set dtype=fp16",
        one("dtype: Input should be 'auto', 'float32', 'bfloat16' or 'float16'; got \"fp16\".")),
    Mistake("run --seeds 4..0", "--seeds 4..0: counts down; write 0..4"),
    Mistake("run --seeds 0..5000",
        "--seeds 0..5000: 5001 root seeds; at the most 1000 at a time"),
    Mistake("run --seeds 1-4",
        "--seeds 1-4: expected a range such as 0..4 or a list such as 0,3,7, of whole numbers "
        "from 0"),
    Mistake("run --seeds=-1..3",
        "--seeds -1..3: expected a range such as 0..4 or a list such as 0,3,7, of whole numbers "
        "from 0"),
    Mistake("run --seeds 0,0", one("seed: give one or more different seeds.")),
    Mistake("run --seed 1 --seeds 0..4", "give --seed or --seeds, not both"),
    Mistake("run --seed=-1", one("seed: must lie between 0 and 2**63 - 1.")),
    Mistake("run --out .", one("out: must name a folder of its own, not the current one.")),
    Mistake("config show --preset tiny",
        one(f"preset: there is no 'tiny' for this base, only: {PRESETS}.")),
]

YAML = [
    Mistake("run absent.yaml", "cannot read absent.yaml: No such file or directory"),
    Mistake("run folder", "cannot read folder: Is a directory", {"folder/x": ""}),
    Mistake("run x.yaml",
        "x.yaml must hold a mapping of settings, not list", yaml('- math\n- coding\n')),
    Mistake("run x.yaml",
        "x.yaml is not valid YAML: line 3, column 3: duplicate key 'n'",
        yaml('seeds:\n  n: 3\n  n: 4\n')),
    Mistake("run x.yaml",
        "x.yaml is not valid YAML: line 2, column 1: found character '\\t' that cannot "
        "start any token; indent with spaces, not with tabs",
        yaml('seeds:\n\tn: 3\n')),
    Mistake("run x.yaml",
        "x.yaml is not valid YAML: line 2, column 5: expected ',' or ']', but got ':', "
        "while parsing a flow sequence from line 1",
        yaml('domains: [math\nseed: 0\n')),
    Mistake("run x.yaml",
        "x.yaml is not valid YAML: line 1, column 9: mapping values are not allowed "
        "here; put nested keys on lines of their own, or quote the text",
        yaml('seeds: n: 3\n')),
    Mistake("run x.yaml", "x.yaml is not UTF-8 text", yaml(b'base: \xff\xfe')),
    Mistake("run x.yaml",
        "x.yaml: 3 problems\n"
        "  track: Input should be 'mini' or 'benchmark'; got \"x\".\n"
        "  out: Input should be a path; got 3; put it in quotes.\n"
        f"  seeds.m: unknown key. {known(SeedsConfig)}",
        yaml('seeds: {m: 3}\ntrack: x\nout: 3\n')),
    Mistake("run x.yaml",
        "x.yaml is not valid YAML: line 1, column 8: found unconstructable recursive node",
        yaml('seeds: &a\n  n: *a\n')),
    Mistake("run x.yaml",
        "x.yaml is not valid YAML: line 1, column 7: could not determine a constructor "
        "for the tag 'tag:yaml.org,2002:python/object:os.system'",
        yaml('base: !!python/object:os.system {}\n')),
    Mistake("init",
        "selfmoe.yaml exists; choose another name, or overwrite it with --force",
        {"selfmoe.yaml": "precious"}),
    Mistake("init configs",
        "configs is a folder; name a file, such as configs/selfmoe.yaml", {"configs/x": ""}),
    Mistake("init /proc/selfmoe.yaml",
        "cannot write /proc/selfmoe.yaml: No such file or directory; choose another place"),
    Mistake("config show run.txt",
        "run.txt must hold a mapping of settings, not str", {"run.txt": "math"}),
]

DATA = [
    Mistake(MATH, "TMP/data does not exist; --data-dir must name a folder"),
    Mistake(MATH, "TMP/data is a file; --data-dir must name a folder", {"data": "a file"}),
    Mistake(MATH,
        "no gsm8k data in TMP/data: neither TMP/data/gsm8k/train.jsonl nor "
        "TMP/data/train.jsonl exists\n"
        "  Put the upstream files there, or leave --data-dir out to fetch them from the "
        "hub.",
        {"data/readme.md": ""}),
    Mistake(MATH,
        "no gsm8k data in TMP/data: neither TMP/data/gsm8k/test.jsonl nor "
        "TMP/data/test.jsonl exists\n"
        "  Put the upstream files there, or leave --data-dir out to fetch them from the "
        "hub.",
        {"data/gsm8k/train.jsonl": GOOD}),
    Mistake(MATH,
        "TMP/data/gsm8k/train.jsonl, line 2: not valid JSON: Expecting property name "
        "enclosed in double quotes: line 1 column 31 (char 30)",
        gsm8k(GOOD + GOOD[:30]), writes=True),
    Mistake(MATH,
        "TMP/data/gsm8k/train.jsonl, item 1: field 'question' is missing or no text\n"
        "  Expected on every line: question, answer.",
        gsm8k('{"prompt": "Why?", "answer": "So."}\n'), writes=True),
    Mistake(MATH,
        "TMP/data/gsm8k/train.jsonl, line 1: expected a JSON object with named fields",
        gsm8k('["a list"]\n'), writes=True),
    Mistake(MATH,
        "TMP/data/gsm8k/train.jsonl, item 1: field 'answer' must end in '#### ' and a "
        "number",
        gsm8k('{"question": "Why?", "answer": "So."}\n'), writes=True),
    Mistake(MATH,
        "TMP/data/gsm8k/train.jsonl holds no items\n"
        "  Was the download complete?",
        gsm8k(""), writes=True),
    Mistake(MATH,
        "GSM8K has 1 training problems for seeds, not 100; lower seeds.n",
        gsm8k(GOOD), writes=True),
    Mistake(KNOWLEDGE,
        "TMP/data/mmlu/dev/x_dev.csv, line 1: 3 columns, expected 6: question, A, B, C, "
        "D, answer",
        {"data/mmlu/dev/x_dev.csv": "Question,A,B\n",
         "data/mmlu/test/x_test.csv": "Why?,a,b,c,d,A\n"}, writes=True),
    Mistake("run --track benchmark --domains math --set evaluate.benchmarks=[math/gsm]",
        "evaluate.benchmarks: 'math/gsm': track 'benchmark' has no such benchmark; did you mean "
        "'math/gsm8k'?\n"
        "  Available: math/gsm8k, math/math."),
    Mistake("run --domains math --set evaluate.benchmarks=[math/gsm8k]",
        "evaluate.benchmarks: 'math/gsm8k': track 'mini' has no such benchmark; did you mean "
        "'math/mini'?\n"
        "  Available: math/mini."),
    Mistake("run --domains math --set evaluate.benchmarks=[coding/mini]",
        "evaluate.benchmarks: 'coding/mini': domain 'coding' is not among domains (math)\n"
        "  Available: math/mini."),
    Mistake("run --domains math --set evaluate.benchmarks=[math/mini,math/mini]",
        "evaluate.benchmarks: 'math/mini' is named twice"),
]

BASES = [
    Mistake("run --base nobody",
        "base 'nobody' does not exist\n"
        f"  Give a folder, a hub id <owner>/<model>, or one of: {KNOWN_BASES}."),
    Mistake("run --base ./absent",
        "base './absent' does not exist\n"
        f"  Give a folder, a hub id <owner>/<model>, or one of: {KNOWN_BASES}."),
    Mistake("run --base nobody/nothing",
        "base 'nobody/nothing' is no folder here and could not be had from the hub: the "
        "hub cannot be reached, HF_HUB_OFFLINE is set, and the cache CACHE does not hold "
        "all of it\n"
        "  Go online, or fetch it where there is a network: hf download nobody/nothing\n"
        f"  Give a folder, a hub id <owner>/<model>, or one of: {KNOWN_BASES}."),
    Mistake("run --base file",
        "base 'TMP/file' holds no model; expected config.json, *.safetensors "
        "and a tokenizer, as save_pretrained writes them",
        {"file": "x"}),
    Mistake("run --base empty",
        "base 'TMP/empty' holds no model; expected config.json, *.safetensors "
        "and a tokenizer, as save_pretrained writes them; there is neither "
        "model.safetensors nor model.safetensors.index.json",
        {"empty/config.json": "{}"}),
    Mistake("run --base bin",
        "base 'TMP/bin' holds its weights as pytorch_model.bin only; selfmoe "
        "reads safetensors, which cannot run code when they are read\n"
        "  If you trust the file, load it with transformers and save it again with "
        "model.save_pretrained.",
        {"bin/config.json": "{}", "bin/pytorch_model.bin": "x"}),
    Mistake("run --base lora",
        "base 'TMP/lora' holds an adapter, not a model\n"
        "  Give the model it was trained on; experts are not a base.",
        {"lora/adapter_config.json": "{}", "lora/adapter_model.safetensors": ""}),
    Mistake("run --base bare",
        "base 'TMP/bare' has no tokenizer, such as tokenizer.json\n"
        "  Put the model's tokenizer there with tokenizer.save_pretrained.",
        {"bare/config.json": "{}", "bare/model.safetensors": "x"}),
    Mistake("run --base bert",
        "base 'TMP/bert' writes no text: TMP/bert/config.json names BertForMaskedLM\n"
        "  Give a decoder-only language model, such as a Llama, Qwen or GPT-2; models "
        "without a language-model head cannot be used either.",
        {"bert/config.json": '{"architectures": ["BertForMaskedLM"], "model_type": "bert"}',
         "bert/model.safetensors": "x", "bert/tokenizer.json": "{}"}),
    Mistake("run --device tpu9",
        "device 'tpu9' cannot be used: torch knows no device of that name\n"
        "  There is: DEVICES. Give one of them, or auto."),
]

OUTPUT = [
    Mistake("run --out file", "file is a file; --out must name a folder", {"file": "precious"}),
    Mistake("run --out file/below",
        "file is a file; --out must name a folder", {"file": "precious"}),
    Mistake("run --out /proc/selfmoe",
        "cannot write to /proc/selfmoe: No such file or directory; choose another --out"),
    Mistake("run --out runs/demo",
        "runs/demo is being written by HOLDER; wait for it or choose another --out",
        scene="another process writes"),
    Mistake("gc runs/demo --yes",
        "runs/demo is being written by HOLDER; wait for it or choose another --out",
        scene="another process writes"),
    Mistake("run --out new",
        "cannot write new/config.yaml: File too large\n"
        "  What was finished before is kept: mend this and run the same command again.",
        scene="the disk is full", writes=True),
]

RUNS = [
    Mistake("generate absent Hello", "absent does not exist; give the folder of a run"),
    Mistake("status absent", "absent does not exist; give the folder of a run"),
    Mistake("gc absent", "absent does not exist; give the folder of a run"),
    Mistake("status run.yaml", "run.yaml is a file; give the folder of a run", {"run.yaml": ""}),
    Mistake("status folder",
        "folder is no finished run: it has no manifest.json\n"
        "  Give the folder of a run, or make one: selfmoe run --out folder",
        {"folder/x": ""}),
    Mistake("gc folder --yes",
        "folder is no finished run: it has no manifest.json\n"
        "  Give the folder of a run, or make one: selfmoe run --out folder",
        {"folder/x": ""}),
    Mistake("report folder",
        "folder is no finished run: it has no manifest.json\n"
        "  Give the folder of a run, or make one: selfmoe run --out folder",
        {"folder/x": ""}),
    Mistake("generate run Hello",
        "run/manifest.json is damaged: Expecting property name enclosed in double "
        "quotes: line 1 column 2 (char 1)\n"
        "  This makes it again: selfmoe run run/config.yaml",
        {"run/manifest.json": "{"}),
    Mistake("generate run Hello",
        "run/manifest.json is damaged: it lacks 'format'\n"
        "  This makes it again: selfmoe run run/config.yaml",
        {"run/manifest.json": "{}"}),
    Mistake("report run",
        "run/manifest.json is damaged: it is not what was written: systems: Input should be a "
        "valid dictionary\n"
        "  This makes it again: selfmoe run run/config.yaml",
        {"run/manifest.json": json.dumps({"format": 1, "base": {"name": "", "hash": ""},
                                          "systems": [], "cells": {"0": {}}, "config": {}})}),
    Mistake("generate run Hello",
        "run/manifest.json has format 99, this selfmoe reads 1; upgrade selfmoe, or "
        "choose another --out",
        {"run/manifest.json": '{"format": 99}'}),
    Mistake("generate runs/demo Hello",
        "runs/demo is no finished run; go on with: selfmoe run runs/demo/config.yaml",
        scene="an unfinished run"),
    Mistake("gc runs/demo",
        "runs/demo is no finished run; go on with: selfmoe run runs/demo/config.yaml",
        scene="an unfinished run"),
    Mistake("report runs/demo",
        "runs/demo is no finished run; go on with: selfmoe run runs/demo/config.yaml",
        scene="an unfinished run"),
    Mistake("generate runs/demo Hello --system mixe",
        "no system named 'mixe'; did you mean 'mixse'?\n"
        "  Available: base, expert-anything, mixse, ties.",
        scene="a finished run"),
    Mistake("generate runs/demo Hello --seed 5",
        "no root seed named '5'.\n"
        "  Available: 0.",
        scene="a finished run"),
    Mistake("generate runs/demo ' '",
        "the prompt is empty; give an instruction", scene="a finished run"),
    Mistake("generate runs/demo 'xxxxxxxxxxxxxxxxxxxx' --max-new-tokens 2048",
        "the prompt has 160 tokens and the answer may have 2048, but the base reads 2048\n"
        "  Shorten the prompt or lower --max-new-tokens.",
        scene="a finished run"),
    Mistake("generate runs/demo Hello --system ties --trace",
        "--trace needs a system that routes tokens, such as a router's", scene="a finished run"),
    Mistake("generate runs/demo Hello",
        "cell damaged: runs/demo/compositions/mixse@KEY/composition.json has 0 bytes instead of N\n"
        "  This makes it again: selfmoe run runs/demo/config.yaml",
        scene="damaged cells"),
    Mistake("generate runs/demo Hello",
        "the base 'BASE' is not the one this run was made with (hash KEY, not "
        "0123456789)\n"
        "  This makes the run again with it: selfmoe run runs/demo/config.yaml",
        scene="another base"),
]

PLUGINS = [
    Mistake("run",
        "no base is the default one; name one, or see: selfmoe list-plugins\n"
        "  Broken plugins: mine (SELFMOE_PLUGINS names it, but it is not installed).",
        variables={"SELFMOE_PLUGINS": "mine"}),
    Mistake("run --domains math",
        "no trainer is the default one; name one, or see: selfmoe list-plugins\n"
        "  Broken plugins: domain-maths (SELFMOE_PLUGINS names it, but it is not "
        "installed).",
        variables={"SELFMOE_PLUGINS": "domain-maths,base-seedling"}),
    Mistake("run x.yaml",
        one(f"domains: no domain named 'mine'. {available('domain')} Broken plugins: "
            "selfmoe_plugin.py (ModuleNotFoundError: No module named 'nowhere').", "x.yaml"),
        plugin("import nowhere")),
    Mistake("run x.yaml",
        "selfmoe_plugin.py in TMP is broken: does not state SELFMOE_API = 1\n"
        "  Mend it, or move it away from the run file.",
        plugin("", "math")),
    Mistake("run x.yaml",
        "selfmoe_plugin.py in TMP is broken: was written for plugin API 2, this selfmoe "
        "has 1; upgrade selfmoe\n"
        "  Mend it, or move it away from the run file.",
        plugin("SELFMOE_API = 2", "math")),
    Mistake("run x.yaml",
        "selfmoe_plugin.py in TMP is broken: registers nothing: no function is marked "
        "with selfmoe.hookimpl\n"
        "  Mend it, or move it away from the run file.",
        plugin(MARKED, "math")),
    Mistake("run x.yaml",
        "selfmoe_plugin.py in TMP is broken: merge 'ties' is already provided by selfmoe "
        "0.1.0\n"
        "  Mend it, or move it away from the run file.",
        plugin(TWICE, "math")),
    Mistake("run x.yaml",
        "selfmoe_plugin.py in TMP is broken: implements unknown hook 'register_router'; "
        "did you mean 'register_routers'?\n"
        "  Mend it, or move it away from the run file.",
        plugin(MARKED + "@hookimpl\ndef register_router(): ...\n", "math")),
]

ALL = [*USAGE, *SETTINGS, *YAML, *DATA, *BASES, *OUTPUT, *RUNS, *PLUGINS]
# fmt: on


# --- scenes: what is going on while the mistake is made -------------------------------------------


@contextlib.contextmanager
def locked(finished: Path, tmp_path: Path) -> Iterator[None]:
    with RunDirectory(finished).writing():
        yield


@contextlib.contextmanager
def full_disk(finished: Path, tmp_path: Path) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def unfinished(finished: Path, tmp_path: Path) -> Iterator[None]:
    (finished / "manifest.json").unlink()
    yield


@contextlib.contextmanager
def damaged(finished: Path, tmp_path: Path) -> Iterator[None]:
    for path in finished.glob("compositions/*/composition.json"):
        path.write_text("")
    yield


@contextlib.contextmanager
def other_base(finished: Path, tmp_path: Path) -> Iterator[None]:
    path = finished / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["base"]["hash"] = "0123456789"
    path.write_text(json.dumps(manifest))
    yield


@contextlib.contextmanager
def finished_run(finished: Path, tmp_path: Path) -> Iterator[None]:
    yield


SCENES: dict[str, Callable[[Path, Path], contextlib.AbstractContextManager[None]]] = {
    "a finished run": finished_run,
    "another process writes": locked,
    "the disk is full": full_disk,
    "an unfinished run": unfinished,
    "damaged cells": damaged,
    "another base": other_base,
}


def said(error: str, tmp_path: Path, base: Path) -> str:
    """Return what follows ``Error: ``, places and machines replaced by their names."""
    from huggingface_hub.constants import HF_HUB_CACHE

    (_, message) = re.split(r"^Error: ", error, flags=re.MULTILINE)
    message = message.replace(str(tmp_path), "TMP").replace(str(base), "BASE")
    message = message.replace(str(HF_HUB_CACHE), "CACHE")
    message = message.replace(f"process {os.getpid()} on {socket.gethostname()}", "HOLDER")
    message = re.sub(r"There is: .*?\. Give", "There is: DEVICES. Give", message)
    message = re.sub(r"(?<=[@ ])[0-9a-f]{10}(?=[/,])", "KEY", message)
    return re.sub(r"instead of \d+", "instead of N", message).rstrip("\n")


def snapshot(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.stat().st_mtime_ns for path in files if path.suffix != ".pyc"}


@pytest.mark.parametrize("mistake", ALL, ids=lambda mistake: mistake.line)
def test_a_mistake_gets_one_message(
    mistake: Mistake, cli, tmp_path, tiny_base_folder, monkeypatch, request
):
    for name, content in mistake.files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    for name, value in mistake.variables.items():
        monkeypatch.setenv(name, value)
        registry.cache_clear()
        request.addfinalizer(registry.cache_clear)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with contextlib.ExitStack() as stack:
        if mistake.scene:
            finished = request.getfixturevalue("finished")
            stack.enter_context(SCENES[mistake.scene](finished, tmp_path))
        before = snapshot(tmp_path)
        result = cli(*shlex.split(mistake.line.replace("BASE", str(tiny_base_folder))))
        written = snapshot(tmp_path) != before
    assert said(result.stderr, tmp_path, tiny_base_folder) == mistake.message
    assert result.exit_code == mistake.code
    assert "Traceback" not in result.output
    assert mistake.writes or not written


def test_there_are_forty_of_them():
    assert len(ALL) >= 40
    assert len({(mistake.line, str(mistake.files), mistake.scene) for mistake in ALL}) == len(ALL)


def test_a_run_says_which_plugins_it_does_without(cli, monkeypatch, request):
    needed = "base-seedling,domain-math,trainer-lora,router-topk"
    monkeypatch.setenv("SELFMOE_PLUGINS", f"{needed},router-top")
    registry.cache_clear()
    request.addfinalizer(registry.cache_clear)
    result = cli("run", "--dry-run")
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: plugin router-top is left out, it is broken: "
        "SELFMOE_PLUGINS names it, but it is not installed\n"
    )


# --- mistakes that show only while the model works -----------------------------------------------


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_damaged_base(cli, file, tiny_base_folder, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    for path in tiny_base_folder.iterdir():
        content = path.read_bytes()
        half = content[: len(content) // 2]
        (base / path.name).write_bytes(half if path.name == file else content)
    result = cli("run", "--base", "base", "--domains", "math", "--out", "run")
    assert result.exit_code == 1
    assert said(result.stderr, tmp_path, base).startswith("base 'TMP/base'")


def test_a_base_that_reads_too_little(cli, configure, tmp_path, tiny_base_folder):
    path = configure(brainstorm={"n": 4, "max_new_tokens": 2045})
    result = cli("run", str(path))
    assert result.exit_code == 1
    assert said(result.stderr, tmp_path, tiny_base_folder) == TOO_LITTLE


TOO_LITTLE = (
    "brainstorm anything: brainstorm kept 0 of 32 texts of domain 'anything': 32 prompt too long\n"
    "  The base does not continue the list of tasks, or the list does not fit its context. Change "
    "brainstorm.max_new_tokens, brainstorm.shots or brainstorm.max_tries, or take another base.\n"
    "  Not done because of that: 8 cells."
)


def test_fewer_than_planned_is_said_when_it_is_done(cli, configure):
    few = {"n": 60, "batch_size": 60, "max_new_tokens": 1, "shots": 1, "max_tries": 1}
    done = cli("run", str(configure(brainstorm=few)))
    (count,) = re.findall(r"brainstorm anything \(60 instructions, (\d+) came\)", done.stderr)
    assert 0 < int(count) < 60
    assert f"respond anything (up to 60 responses, {count} came) done" in done.stderr
    assert re.search(r"curate anything \(up to 60 examples, \d+ kept\) done", done.stderr)


def test_garbage_is_no_instruction(cli, tiny_base_folder):
    changes = ("seeds.n=4", "brainstorm.n=2", "brainstorm.max_new_tokens=4", "evaluate.limit=1")
    settings = [part for change in changes for part in ("--set", change)]
    result = cli("run", "--base", str(tiny_base_folder), "--domains", "math", *settings)
    assert result.exit_code == 1
    for part in ("brainstorm kept 0 of", "'math'", "unfinished", "another base"):
        assert part in result.stderr


def test_nothing_left_after_curation(cli, configure, tmp_path, tiny_base_folder):
    result = cli("run", str(configure(domains=["nothing"])))
    assert result.exit_code == 1
    assert said(result.stderr, tmp_path, tiny_base_folder).startswith(
        "curate nothing: curate kept 0 of 4 examples of domain 'nothing'"
    )
    before, _ = result.stderr.split("Error: ")
    assert "curate nothing failed: curate kept 0 of 4 examples" in before  # when it happens
    for part in ("not good enough", "curate.min_examples is 1", "Raise brainstorm.n"):
        assert part in result.stderr
    run = tmp_path / "runs" / "demo"
    assert list(run.glob("respond/nothing@*"))
    report = json.loads((run / "report" / "results.json").read_text())
    assert [s["name"] for s in report["systems"] if s["average"] is not None] == ["base"]


def test_the_lock_of_a_killed_process_is_none(tmp_path):
    (tmp_path / "run.lock").write_text("process 1 on elsewhere\n")
    with RunDirectory(tmp_path).writing():
        assert str(os.getpid()) in (tmp_path / "run.lock").read_text()
