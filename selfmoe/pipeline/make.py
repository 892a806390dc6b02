"""Plans with the tasks of all stages."""

from __future__ import annotations

from pathlib import Path

from selfmoe.config.model import RunConfig
from selfmoe.contracts.errors import DataError, PluginError
from selfmoe.models.base import find_base
from selfmoe.pipeline.plan import Plan
from selfmoe.pipeline.ranks import in_turn
from selfmoe.pipeline.run_plan import RunPlan
from selfmoe.pipeline.stages import STAGES
from selfmoe.registry.registry import LOCAL
from selfmoe.store.directory import RunDirectory


def check_surroundings(config: RunConfig) -> None:
    """Refuse a data folder that is none, and a plugin beside the run file that is broken.

    Raises:
        DataError: Says what is wrong with the folder.
        PluginError: Says what is wrong with the plugin.
    """
    if config.data_dir is not None and not config.data_dir.is_dir():
        what = "is a file" if config.data_dir.exists() else "does not exist"
        raise DataError(f"{config.data_dir} {what}; --data-dir must name a folder")
    for plugin in config.registry.plugins:
        if plugin.name == LOCAL and not plugin.ok:
            raise PluginError(
                f"{LOCAL} in {config.plugin_dir} is broken: {plugin.reason}\n"
                "  Mend it, or move it away from the run file."
            )


def make_plans(config: RunConfig) -> RunPlan:
    """Return what a run will do: one plan a root seed.

    Raises:
        SelfmoeError: If the base or the data a domain needs is missing.
    """
    with in_turn():  # what is fetched or converted is fetched or converted once
        return _make_plans(config)


def _make_plans(config: RunConfig) -> RunPlan:
    directory = RunDirectory(Path(str(config.out)))
    directory.check()
    check_surroundings(config)
    base = find_base(config)
    config = config.with_template(base.template.name)
    roots = config.root_seeds
    return RunPlan({str(root): plan_stages(Plan(config, directory, base, root)) for root in roots})


def plan_stages(plan: Plan) -> Plan:
    """Return the plan with the tasks of all stages added."""
    for stage in STAGES:
        stage.plan(plan)
    return plan
