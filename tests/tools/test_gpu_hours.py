"""The table of the page on launching is what its command prints."""

import re

from tests.conftest import ROOT


def test_the_table_of_costs_is_that_of_the_command(python):
    page = (ROOT / "docs" / "launch.md").read_text()
    command = re.search(r"^python (tools/analysis/cost\.py .*)$", page, re.M)[1]
    assert python(*command.split()).stdout.strip() in page


def test_one_gpu_has_no_one_to_wait_for_and_all_together_take_as_many_hours(python):
    printed = python(
        "tools/analysis/cost.py", "--rate", 1000, "--images", 36_000, "--epochs", 100, "--link", 1e9
    ).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()[2:5]]
    assert rows[0][:5] == ["1", "64", "1.0", "100%", "3"]
    assert rows[1][1:5] == ["512", "0.1", "100%", "3"]
    assert int(rows[2][3].rstrip("%")) < 100
