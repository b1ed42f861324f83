"""Configuration of the documentation site: `make docs` builds it with Sphinx and the theme Furo into site/.

The site works without a server and asks none for anything: fonts, search and styles are part of it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from echodepth import __version__

project = "echodepth"
author = "echodepth contributors"
copyright = author
release = __version__
smartquotes_action = "D"  # dashes alone: code in prose keeps its quotes
root_doc = "index"
exclude_patterns = ["results/*.json"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "scripts.docs_site"]

myst_enable_extensions = ["strikethrough"]
myst_heading_anchors = 4  # headings' anchors as on GitHub

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

napoleon_attr_annotations = False
napoleon_use_ivar = True
suppress_warnings = ["ref.python"]  # short names that several objects have, in annotations

html_theme = "furo"
html_title = f"echodepth {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_use_index = False
html_domain_indices = False
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
