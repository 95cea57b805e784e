"""How the documentation becomes a site: Sphinx with MyST pages and the theme furo. ``make site`` builds it."""

from __future__ import annotations

import faust

project = "faust"
author = "the faust engineers"
release = version = faust.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["project/**"]
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"faust {release}"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2a5d84", "color-brand-content": "#2a5d84"},
    "dark_css_variables": {"color-brand-primary": "#8fc1e3", "color-brand-content": "#8fc1e3"},
}
copybutton_prompt_text = "$ "

# Docstrings are plain sentences with Google's sections; `name` in them is code.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Arguments", "Parameters")]
autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = False  # it cannot read the signature of Unpack[...]
autoclass_content = "class"
python_use_unqualified_type_names = True
suppress_warnings = ["ref.python", "myst.header"]
