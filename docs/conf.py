"""Sphinx: `make docs` builds docs/_build/html, without network."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from otcxr_mm import __version__  # noqa: E402

project = "otcxr_mm"
author = "the authors of otcxr_mm"
project_copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# results.md shows these tables
exclude_patterns = ["_build", "results/downstream/*.md"]
# a fence without a language is output, not Python
highlight_language = "none"

# headings have the same anchors as on GitHub
myst_heading_anchors = 4

# quotes in docstrings are Python's
smartquotes = False

html_theme = "furo"
html_title = f"otcxr_mm {release}"
html_static_path = ["_static"]
html_css_files = ["otcxr.css"]
html_copy_source = False
html_use_index = False
html_show_sphinx = False

autodoc_member_order = "bysource"
# types stand beside the arguments they are of, by their short names; the signature stays short
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 90
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# every name must resolve, but for those of other libraries, which have no pages here
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|torch|mmengine|mmpretrain|pandas|collections\.abc|os|pathlib)\..*|Figure|Axes|BrokenImageError"),
    ("py:.*", r"(.*\.)?(Table|Trained|Image|Unread)"),
]
