import importlib
import re
import sys

import pytest


def test_tables_of_the_results_are_those_of_the_comparison(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools" / "benchmarks"))
    methods = importlib.import_module("methods")
    text = (root / "docs" / "results.md").read_text()
    lines = [line for line in methods.comparison_tables().splitlines() if line]
    for name in [n for n in sys.modules if n == "methods" or n.startswith("method_screen.queues")]:
        del sys.modules[name]
    missing = [line for line in lines if line not in text]
    assert not missing, (
        "docs/results.md is older than docs/results/comparisons.json: methods.py compare prints its tables"
    )


PAGES = ["README.md", "docs/downstream.md", "docs/results.md", "docs/results/log.md", "docs/method.md"]


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(root, page):
    path = root / page
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), f"{page} links to {target}"


def test_downstream_tables_are_those_of_the_last_series(root):
    made = (root / "docs" / "results" / "downstream" / "table.md").read_text()
    page = (root / "docs" / "results.md").read_text()
    missing = [line for line in made.splitlines() if line.startswith("|") and line not in page]
    assert not missing, "docs/results.md is older than docs/results/downstream/: take the tables of table.md over"
