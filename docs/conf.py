"""How Sphinx builds this documentation: `make docs`. Nothing is fetched, no script is needed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from selfmoe import __version__

project = "selfmoe"
author = "The selfmoe developers"
copyright = "the selfmoe developers, Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "_generate.site"]
exclude_patterns = ["_build", "sample-data", "examples"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_ivar = True
html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"selfmoe {version}"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
