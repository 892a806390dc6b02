"""Which benchmarks are asked, which are kept clear of, and why not the others."""

from pathlib import Path

import pytest

from selfmoe.contracts.benchmark import Benchmark
from selfmoe.contracts.domain import Domain
from selfmoe.contracts.errors import DataError, MissingDataError, UnknownNameError
from selfmoe.contracts.records import Instruction, Source
from selfmoe.evaluation.benchmarks import choose, guarded, guarded_splits, refuse_unknown
from selfmoe.kits.domains.datafiles import locate
from selfmoe.kits.domains.upstream import UpstreamBenchmark


class Listed(UpstreamBenchmark):
    """Items of a text file, one a line; its role and splits are arguments."""

    def __init__(self, source, name, role="target", splits=("test", "dev")):
        super().__init__(source)
        self.name, self.role, self.splits = name, role, splits

    def paths(self, split):
        return [locate(self.data_dir, self.name, f"{split}.txt")]

    def read(self, split):
        if self.source.data_dir is None:
            return [{"id": "hub"}]
        return [{"id": line} for path in self.paths(split) for line in path.read_text().split()]

    def ask(self, doc):
        return Instruction(doc["id"])

    def score(self, doc, completion):
        return {"score": float(completion.strip() == "yes")}

    def gold(self, doc):
        return "yes"

    def wrong(self, doc):
        return "no"


class Trivia(Domain):
    """A domain with a target, two others, and one without dev items."""

    name = "trivia"
    tracks = ("benchmark",)

    def seeds(self, source, n, rng):
        return []

    def benchmarks(self, source) -> list[Benchmark]:
        return [
            Listed(source, "main"),
            Listed(source, "here", "non-target"),
            Listed(source, "absent", "non-target"),
            Listed(source, "final", "non-target", ("test",)),
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("main", "here", "final"):
        (tmp_path / name).mkdir()
        for split in ("test", "dev") if name != "final" else ("test",):
            (tmp_path / name / f"{split}.txt").write_text(f"{name}-{split}")
    return tmp_path


def names(benchmarks):
    return [benchmark.name for benchmark in benchmarks]


def test_all_whose_files_are_there_are_asked(folder):
    choice = choose(Trivia(), Source("benchmark", folder), None)
    assert names(choice.asked) == ["main", "here", "final"]
    assert list(choice.left_out) == ["trivia/absent"]
    assert "no absent data in" in choice.left_out["trivia/absent"]


def test_a_target_without_files_is_an_error(folder):
    (folder / "main" / "test.txt").unlink()
    with pytest.raises(MissingDataError, match="no main data in"):
        choose(Trivia(), Source("benchmark", folder), None)


def test_named_ones_are_asked_and_no_others(folder):
    choice = choose(Trivia(), Source("benchmark", folder), ["trivia/here"])
    assert names(choice.asked) == ["here"]
    assert not choice.left_out


def test_a_named_one_without_files_is_an_error(folder):
    with pytest.raises(MissingDataError, match="no absent data in"):
        choose(Trivia(), Source("benchmark", folder), ["trivia/absent"])


def test_from_the_hub_only_targets_and_named_ones(folder):
    choice = choose(Trivia(), Source("benchmark"), None)
    assert names(choice.asked) == ["main"]
    assert "name it in evaluate.benchmarks" in choice.left_out["trivia/here"]
    assert names(choose(Trivia(), Source("benchmark"), ["trivia/here"]).asked) == ["here"]


def test_one_without_dev_items_is_left_out_or_refused(folder):
    source = Source("benchmark", folder, "dev")
    choice = choose(Trivia(), source, None)
    assert choice.left_out["trivia/final"] == "it has no dev items"
    with pytest.raises(DataError, match=r"no items of split 'dev'\n  Available: test"):
        choose(Trivia(), source, ["trivia/final"])


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'trivia/main'"):
        refuse_unknown([Trivia()], Source("benchmark"), ["trivia/mian"])


@pytest.mark.parametrize("split", ["test", "dev"])
@pytest.mark.parametrize("named", [None, ["trivia/main"]])
def test_training_data_is_kept_clear_of_both_splits_of_all(folder, split, named):
    found = guarded(Trivia(), Source("benchmark", folder, split), named)
    items = {doc["id"] for benchmark in found for doc in benchmark.items}
    assert items == {"main-test", "main-dev", "here-test", "here-dev", "final-test"}


@pytest.mark.parametrize(
    ("named", "clear_of"),
    [
        (None, {("main", "test"), ("main", "dev")}),
        (
            ["trivia/here", "trivia/final"],
            {(name, split) for name in ("main", "here") for split in ("test", "dev")}
            | {("final", "test")},
        ),
    ],
)
def test_from_the_hub_it_is_kept_clear_of_targets_and_named_ones(named, clear_of):
    found = list(guarded_splits(Trivia(), Source("benchmark"), named))
    assert {(benchmark.name, split) for split, benchmark in found} == clear_of
    assert {benchmark.source.split for split, benchmark in found if split == "dev"} == {"dev"}
    assert names(guarded(Trivia(), Source("benchmark"), named)) == [b.name for _, b in found]


@pytest.mark.parametrize("split", ["test", "dev"])
def test_a_target_left_out_may_be_missing_and_is_noted(folder, split):
    source, named = Source("benchmark", folder, split), ["trivia/here"]
    assert not choose(Trivia(), source, named).left_out
    (folder / "main" / f"{split}.txt").unlink()
    choice = choose(Trivia(), source, named)
    assert names(choice.asked) == ["here"]
    assert list(choice.left_out) == ["trivia/main"]
    note = "not named, and training data is not kept clear of it: no main data in"
    assert choice.left_out["trivia/main"].startswith(note)
    items = {doc["id"] for benchmark in guarded(Trivia(), source, named) for doc in benchmark.items}
    other = "dev" if split == "test" else "test"
    assert items == {f"main-{other}", "here-test", "here-dev", "final-test"}


@pytest.mark.parametrize("named", [None, ["trivia/main"]])
def test_a_target_that_is_asked_may_not_be_missing(folder, named):
    (folder / "main" / "test.txt").unlink()
    with pytest.raises(MissingDataError, match="no main data in"):
        list(guarded(Trivia(), Source("benchmark", folder), named))


def test_files_of_the_other_split_may_be_missing(folder):
    (folder / "main" / "dev.txt").unlink()
    found = guarded(Trivia(), Source("benchmark", folder), None, targets=True)
    assert [doc["id"] for benchmark in found for doc in benchmark.items] == ["main-test"]


def test_nothing_is_read_before_items_are_looked_at(folder):
    (folder / "main" / "test.txt").write_bytes(b"\xff")
    (benchmark,) = choose(Trivia(), Source("benchmark", folder), ["trivia/main"]).asked
    with pytest.raises(UnicodeDecodeError):
        _ = benchmark.items
