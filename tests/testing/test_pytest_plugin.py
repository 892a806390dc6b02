"""The fixtures for authors of plugins, used as they would."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

LIGHT = """
import sys, pytest
class Look:
    def pytest_sessionfinish(self):
        loaded = {"torch", "transformers", "selfmoe.registry.registry", "selfmoe.testing.models"}
        print("HEAVY", sorted(loaded & set(sys.modules)))
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1]], plugins=[Look()]))
"""


def test_the_fixtures_give_what_they_say(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from selfmoe.mixture.adapters import factors_of
        from selfmoe.mixture.runtime import attach
        from selfmoe.testing import ToyRouter

        def test_base(tiny_base, tiny_experts, toy_examples):
            assert tiny_base.tokenizer("a").input_ids
            assert set(tiny_experts) == {example.domain for example in toy_examples}
            for expert in tiny_experts.values():
                assert factors_of(expert)

        def test_installed_plugins_are_not_there(registry_of):
            found = registry_of(ToyRouter)
            assert found.names("router") == ["toy"]
            assert len(found.entries()) == len(found.plugins) == 1

        def test_whoever_is_broken_is_named(registry_of):
            import pytest
            from selfmoe.contracts.errors import PluginError
            with pytest.raises(PluginError, match="already provided"):
                registry_of(ToyRouter, type("Other", (ToyRouter,), {}))

        def test_installed_plugins_can_be_there(registry_of):
            from selfmoe.registry.registry import registry
            found = registry_of(ToyRouter, installed=True)
            assert found.names("router") == sorted([*registry().names("router"), "toy"])
            assert "toy" not in registry().names("router")

        class Mine(ToyRouter):
            "Takes part."
            name = "mine"

        def test_run(toy_run):
            run = toy_run(Mine, evaluate={"limit": 1})
            systems = {system.name: system for system in run.results.systems}
            assert {"base", "expert-toy", "router-mine", "merge-toy"} <= set(systems)
            assert run.config.evaluate.limit == 1
            assert toy_run(Mine, evaluate={"limit": 1}).built == 0
            assert run.config.registry.names("router") == ["mine", "toy"]

        def test_the_runs_registry_is_back():
            from selfmoe.config.model import RunConfig
            assert "topk" in RunConfig().registry.names("router")
        """
    )
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=6)


def test_every_fixture_is_in_pytests_list(pytester: pytest.Pytester) -> None:
    listed = pytester.runpytest_subprocess("--fixtures", "-q").stdout.str()
    for name in ("tiny_base", "tiny_experts", "toy_examples", "toy_base", "registry_of", "toy_run"):
        assert f"\n{name}" in listed


@pytest.mark.parametrize("arguments", [[], ["-p", "no:selfmoe"]], ids=["with", "without"])
def test_contracts_work_with_and_without_the_plugin(
    pytester: pytest.Pytester, arguments: list[str]
) -> None:
    pytester.makepyfile(
        """
        import pytest
        from selfmoe.testing import DomainContract, ToyDomain

        class TestToy(DomainContract):
            @pytest.fixture
            def domain(self):
                return ToyDomain()

        def test_fixture(request):
            request.getfixturevalue("tiny_base")
        """
    )
    done = pytester.runpytest_subprocess("-q", *arguments)
    counts = done.parseoutcomes()
    assert counts.get("failed", 0) == len(arguments) // 2
    assert counts["passed"] > 20


def test_pytest_starts_without_the_heavy_modules(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile("def test_nothing(): pass")
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(file)], capture_output=True, text=True, timeout=60
    )
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr


def test_a_contract_shows_what_it_compared(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from selfmoe.testing import DomainContract, ToyDomain

        class Dumb(ToyDomain):
            "Says nothing."
            description = ""

        class TestDumb(DomainContract):
            @pytest.fixture
            def domain(self):
                return Dumb()
        """
    )
    done = pytester.runpytest_subprocess("-q", "-k", "names_its_field")
    done.stdout.fnmatch_lines(["E *assert ''*"])
