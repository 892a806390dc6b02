"""What every component must hold, whatever its kind; the other contracts include these checks."""

from __future__ import annotations

from typing import TypeVar

import pytest
from pydantic import ValidationError

from selfmoe.config.yaml_text import read_yaml, settings_text
from selfmoe.contracts.component import Component, ComponentConfig
from selfmoe.contracts.fitting import FitConfig
from selfmoe.registry.options import validate
from selfmoe.registry.registry import NAME
from selfmoe.testing.light import assert_light

C = TypeVar("C", bound=Component)


def briefly(component: C) -> C:
    """Return the component, set to two steps if it is one that is fitted in steps."""
    if not isinstance(component.options, FitConfig):
        return component
    short = {"batch_size": 3, "micro_batch_size": None, "max_steps": 2}
    return type(component)(component.options.model_copy(update=short))


class ComponentContract:
    """Checks of what a component says of itself."""

    @pytest.fixture
    def component(self) -> Component:
        """Return the component to check."""
        raise NotImplementedError("override the fixture 'component'")

    def test_says_what_it_is(self, component: Component) -> None:
        """It has a name that can be part of a path and a first line that explains it."""
        assert NAME.fullmatch(component.name), f"{component.name!r} is no possible name"
        assert component.summary(), "the first line of the docstring says what the component is"

    def test_reference_is_an_address(self, component: Component) -> None:
        """If it names the paper it comes from, it does so by an address that can be followed."""
        url = component.reference_url
        assert not url or url.startswith(("https://", "http://")), url

    def test_entry_point_module_is_light(self, component: Component) -> None:
        """Its module can be imported without torch and the other heavy libraries."""
        assert_light(type(component).__module__)

    def test_unknown_option_is_rejected(self, component: Component) -> None:
        """An option it does not have is an error that names it."""
        with pytest.raises(ValidationError, match="no_such_option"):
            validate(component.Config, {"no_such_option": 1})

    def test_options_survive_yaml(self, component: Component) -> None:
        """Its options can be written to YAML and read back."""
        assert isinstance(component.options, ComponentConfig)
        written = settings_text(component.options.model_dump(mode="json"))
        assert validate(component.Config, read_yaml(written, "options")) == component.options

    def test_presets_hold_options(self, component: Component) -> None:
        """What it recommends for a preset are options that it has."""
        for options in component.presets.values():
            validate(component.Config, options)
