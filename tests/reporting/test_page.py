"""``report/index.html`` as text: what it holds, for all kinds of runs, and when it is made."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from selfmoe.contracts.errors import RunError
from selfmoe.reporting.details import collect_details
from selfmoe.reporting.html.routing import routed_systems
from selfmoe.reporting.html.traces import BUDGET, traced_systems
from selfmoe.reporting.html.work import thinned
from selfmoe.reporting.numbers import balance, count, points
from selfmoe.reporting.report import write_report
from selfmoe.reporting.results import collect
from selfmoe.reporting.visible import short, visible
from selfmoe.store.cells import Cells


def page_of(root: Path) -> str:
    return write_report(root).read_text("utf-8")


class Tags(HTMLParser):
    """Checks that what is opened is closed, and keeps all attributes."""

    void = ("meta", "link", "input", "line", "circle", "rect", "polyline")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_everything_is_there(tmp_path, fake_run, words_of):
    page = page_of(fake_run(tmp_path))
    Tags(page)
    words = words_of(page)
    for part in (
        "Self-specialised experts on seedling",
        "specialised in math and coding",
        "60.0 ±20 (90)",  # a score with half its interval, and leniently
        "+30.0",
        "n = 20 items a benchmark",
        "mixse",
        "Answer tokens",
        "By decoder block",
        "item-0",
        "Double 21.",
        "3 Double 21. while parsing",
        "2.00 → 0.004 in 500 steps",
        "bubblewrap",
        "torch 2.13.0",
        "confidence: 0.95",
        "Results of 2026-01-01 12:00 UTC",
    ):
        assert part in words, part


def test_it_needs_nothing_from_elsewhere_and_runs_no_script(tmp_path, fake_run):
    page = page_of(fake_run(tmp_path))
    tags = Tags(page)
    assert not {"script", "iframe", "object", "embed", "img", "form"} & {t for t, _ in tags.seen}
    for tag, attributes in tags.seen:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("href", "src"):
            assert str(attributes.get(name) or "#").startswith(("#", "data:")), attributes
    assert "url(" not in page
    assert "@import" not in page
    (policy,) = [a["content"] for _, a in tags.seen if "http-equiv" in a]
    assert policy.startswith("default-src 'none'")


HOSTILE = "</style><script>document.title='x'</script>{{7*7}}\x1b[31m\u202eab\x00'\"><b onclick=x>"


def test_hostile_text_stays_text(tmp_path, fake_run):
    page = page_of(fake_run(tmp_path, domains=(HOSTILE, "b"), text=HOSTILE, base=HOSTILE))
    tags = Tags(page)
    assert "script" not in {tag for tag, _ in tags.seen}
    assert "{{7*7}}" in page
    assert "⟨U+001B⟩[31m⟨U+202E⟩ab⟨U+0000⟩" in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e]", page)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext äλ漢🙂", "plain\n\ttext äλ漢🙂"),
        ("\x1b[1m\x07", "⟨U+001B⟩[1m⟨U+0007⟩"),
        ("a\u202eb\u2066c\u200d\ufeff\u2028", "a⟨U+202E⟩b⟨U+2066⟩c⟨U+200D⟩⟨U+FEFF⟩⟨U+2028⟩"),
        ("\ud800\x7f\x9b", "⟨U+D800⟩⟨U+007F⟩⟨U+009B⟩"),
        (7, 7),
    ],
)
def test_what_is_invisible_is_shown(text, shown):
    assert visible(text) == shown


def test_long_names_lose_their_middle():
    assert short("expert-with-a-name-1", 20) == "expert-with-a-name-1"
    assert short("expert-with-a-long-name-1", 20) == "expert-wi…ong-name-1"


def test_what_failed_is_said(tmp_path, fake_run, words_of):
    missing = {"specialise/math": "loss is nan", "evaluate/mixse/math/mini": "not done"}
    words = words_of(page_of(fake_run(tmp_path, missing=missing)))
    assert "Not everything could be done" in words
    assert "specialise/math loss is nan" in words


def test_other_benchmarks_have_a_table_of_their_own(tmp_path, fake_run, words_of):
    root = fake_run(tmp_path, non_target="coding", lenient=None)
    words = words_of(page_of(root))
    assert "Other benchmarks have no part in average and gain." in words
    for system in collect(Cells(root)).systems:
        assert system.covers == [1, 1]


def test_what_was_not_run_is_said(tmp_path, fake_run, words_of):
    words = words_of(page_of(fake_run(tmp_path, sick="coding")))
    assert "not run: no sandbox" in words
    assert "over 1 of 2" in words


@pytest.mark.parametrize(
    "settings",
    [
        {"systems": {"base": "base"}},
        {"systems": {"base": "base", "ties": "merge"}, "lenient": None},
        {"seeds": (0, 1, 2)},
        {"domains": tuple(f"domain-with-a-rather-long-name-{n}" for n in range(9))},
        {"missing": {f"evaluate/{s}/math/mini": "x" for s in ("base", "mixse")}},
        {"sick": "math", "domains": ("math",)},
    ],
    ids=["base-only", "no-router", "seeds", "nine-domains", "base-failed", "nothing-scored"],
)
def test_any_run_has_a_page(tmp_path, fake_run, settings, words_of):
    root = fake_run(tmp_path, **settings)
    page = page_of(root)
    Tags(page)
    assert len(page) < 600_000
    if len(settings.get("seeds", ())) > 1:
        assert "interval over root seeds" in words_of(page)
        assert "Results of 2026-01-03" in words_of(page)


def test_averages_over_root_seeds_have_the_interval_of_the_seeds(tmp_path, fake_run):
    systems = collect(Cells(fake_run(tmp_path, seeds=(0, 1, 2)))).systems
    (mixse,) = [system for system in systems if system.name == "mixse"]
    assert mixse.average == pytest.approx(0.65)
    half = 4.302653 * 0.05 / 3**0.5  # Student's t with two degrees of freedom
    assert mixse.average_low == pytest.approx(0.65 - half, abs=1e-6)
    base = systems[0]
    assert base.average_low < base.average < base.average_high


def test_the_interval_of_an_average_is_narrower_than_those_it_is_made_of(tmp_path, fake_run):
    for system in collect(Cells(fake_run(tmp_path))).systems:
        for score in system.scores.values():
            assert score.low < system.average_low < system.average
            assert score.high > system.average_high > system.average


def test_it_is_made_when_something_changes(tmp_path, fake_run):
    path = write_report(fake_run(tmp_path))
    path.write_text(path.read_text("utf-8").replace("</body>", "<!-- kept --></body>"), "utf-8")
    assert "<!-- kept -->" in page_of(tmp_path)
    fake_run(tmp_path, lenient=0.8)
    assert "<!-- kept -->" not in page_of(tmp_path)
    path.write_bytes(b"\xff")
    assert "mixse" in page_of(tmp_path)


def test_a_command_makes_page_and_figures_again(tmp_path, fake_run, environment):
    run = fake_run(tmp_path / "run", domains=("$x$", "b"), text="$")
    (run / "report").mkdir()
    (run / "report" / "results.json").write_text("{")
    code = (
        "import sys; from selfmoe.cli.app import cli;"
        "cli(['report', sys.argv[1]], standalone_mode=False);"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'lm_eval', 'matplotlib.pyplot'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    command = [sys.executable, "-c", code, str(run)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 files" in done.stdout
    assert "mixse" in (run / "report" / "index.html").read_text("utf-8")
    stems = ("averages", "benchmarks", "data", "losses", "routing-mixse", "routing-mixse-blocks")
    for stem in stems:
        for suffix, start in ((".png", b"\x89PNG\r"), (".pdf", b"%PDF-")):
            path = run / "report" / "figures" / f"{stem}{suffix}"
            assert path.read_bytes()[:5] == start


def test_a_command_leaves_figures_out(tmp_path, fake_run, cli):
    done = cli("report", str(fake_run(tmp_path / "run")), "--no-figures")
    assert done.exit_code == 0, done.stderr
    assert [path.name for path in sorted((tmp_path / "run" / "report").iterdir())] == [
        "index.html",
        "results.json",
    ]


def test_a_folder_that_is_no_run_is_refused(tmp_path, cli):
    with pytest.raises(RunError, match=r"no manifest\.json"):
        write_report(tmp_path)
    refused = cli("report", str(tmp_path))
    assert refused.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_the_page_alone_loads_neither_torch_nor_matplotlib(tmp_path, fake_run, environment):
    code = (
        "import sys, pathlib; from selfmoe.reporting.report import write_report;"
        "write_report(pathlib.Path(sys.argv[1]));"
        "heavy = {'torch', 'matplotlib', 'selfmoe.pipeline.plan'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    command = [sys.executable, "-c", code, str(fake_run(tmp_path))]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_page_holds_no_more_tokens_than_it_should():
    row = {
        "id": "x", "score": 0.5, "cut": 0, "prompt": 2, "experts": ["a", "b"],
        "tokens": ["t"] * 1000, "weights": [[0.1, 0.6]] * 1000,
    }  # fmt: skip
    traces = {"mixse": {f"d{number}/mini": [row, row] for number in range(8)}}
    (system,) = traced_systems({"traces": traces})
    shown = [len(rows) for _, rows in system.benchmarks]
    assert sum(shown) == BUDGET // 1000
    assert min(shown) == 1  # every benchmark has its first sample before one has a second
    trace = system.benchmarks[0][1][0]
    assert (trace.right, trace.answer[0].title) == ("score 0.50", "b 0.60 · a 0.10")


def test_a_collapsed_router_is_named():
    def said(*rows: list[float]) -> str:
        blocks = {f"d{n}/mini": {"all": [row]} for n, row in enumerate(rows)}
        details = {"experts": {"mixse": ["a", "b"]}, "blocks": {"mixse": blocks}}
        (system,) = routed_systems(details)
        return system.warning

    assert said([0.01, 0.9], [0.0, 0.8]) == "The router has collapsed: b gets over 95 % everywhere."
    assert said([0.0, 0.9], [0.8, 0.0]) == ""


def test_numbers():
    assert points(0.4, 0.5) == "−10.0"
    assert points(None, 0.5) == "–"
    assert count(1234567) == "1\u202f234\u202f567"
    assert balance([0.25] * 4) == pytest.approx(1)
    assert balance([1.0, 0.0]) == 0
    assert thinned(list(range(1000)), 10) == [49.5 + 100 * n for n in range(10)]


def test_details_average_over_root_seeds(tmp_path, fake_run):
    details = collect_details(Cells(fake_run(tmp_path, seeds=(0, 1))))
    blocks = details["blocks"]["mixse"]["math/mini"]["response"]
    assert blocks == [pytest.approx([0.675, 0.225])] * 3
    assert [fit["seed"] for fit in details["fits"]] == ["0"] * 4 + ["1"] * 4
