"""An expert joins runs of two sizes, and what it costs is compared round by round."""

from __future__ import annotations

import json

import yaml
from click.testing import CliRunner

import arrivals

RUN = {
    "seeds": {"n": 6},
    "brainstorm": {"n": 4, "max_new_tokens": 8, "batch_size": 4},
    "respond": {"max_new_tokens": 8},
    "specialise": {"options": {"max_steps": 1, "batch_size": 2}},
    "compose": {"seq": {"router": "sequence", "options": {"fit": "centroid"}}},
    "domains": ["anything", "whatever", "some"],
    "define": {"some": {"domain": "anything"}},
}


def test_the_last_domain_joins_few_and_many(tmp_path, tiny_base_folder, plugin_code):
    (tmp_path / "selfmoe_plugin.py").write_text(plugin_code)
    file, target = tmp_path / "run.yaml", tmp_path / "found.json"
    file.write_text(yaml.safe_dump({**RUN, "base": str(tiny_base_folder)}))
    asked = [str(file), "--few", "1", "--rounds", "1", "--json", str(target)]
    done = CliRunner().invoke(arrivals.command, asked)
    assert done.exit_code == 0, done.output
    found = json.loads(target.read_text())
    assert (found["expert"], found["of"]) == ("some", [2, 3])
    for measure in arrivals.MEASURES:
        [[few, many]] = found[measure]["seconds"]
        assert min(few, many) > 0
        assert found[measure]["ratio"] == round(many / few, 3)


def test_settings_of_fewer_domains_define_no_others():
    told = arrivals.settings({**RUN, "base": "seedling"}, ["anything", "whatever"], "out")
    assert told["define"] == {}
    assert told["evaluate"]["benchmarks"] == ["anything/mini"]
