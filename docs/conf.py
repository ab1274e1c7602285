"""How Sphinx makes the site: `make docs` writes it to build/docs."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))
from recipe_page import RecipeFields, RecipePresets

project = "edgetl"
author = "The edgetl developers"
copyright = "the edgetl developers, Apache-2.0"  # noqa: A001  Sphinx reads this name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
default_role = "literal"  # docstrings write names in single backticks
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_typehints_format = "short"
nitpicky = True
# Types of other libraries, and names of ours that are not public, have no pages here.
nitpick_ignore_regex = [("py:.*", r"(?!edgetl\.\w+$).*")]

html_theme = "furo"
html_title = "edgetl"
html_copy_source = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """Add what the pages of this project need."""
    app.add_directive("recipe-fields", RecipeFields)
    app.add_directive("recipe-presets", RecipePresets)
