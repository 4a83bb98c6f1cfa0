"""Sphinx's settings: what the site under `docs/` is built with; the pages are beside this file.

pip install -e '.[docs]'
sphinx-build -W -b html docs FOLDER
"""

from importlib.metadata import version as installed_version

project = "tripletrec"
author = "the authors of tripletrec"
version = release = installed_version(project)
copyright = author  # noqa: A001, the name is Sphinx's

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
exclude_patterns = ["api/generated/README*"]

# One page for each public name, under api/generated/, which is made by the build and not kept.
autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "none"  # types are in the docstrings, in words
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False  # the templates list them
add_module_names = False
default_role = "py:obj"  # names in docstrings become links
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
templates_path = ["_templates"]
html_sidebars = {"**": ["pages"]}
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "navbar_center": [],  # all pages are in the column on the left
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
