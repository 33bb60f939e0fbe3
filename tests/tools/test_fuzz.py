"""A fixed share of what `tools/robustness/fuzz.py` runs: damaged files are read, or refused by name."""

import json

import pytest

from tests.conftest import ROOT


def test_damaged_files_are_read_or_refused_by_name(python):
    pytest.importorskip("gdcm")
    result = python(ROOT / "tools" / "robustness" / "fuzz.py", "--cases", 300, check=False)
    assert result.returncode == 0, result.stdout[-3000:]
    assert sum(json.loads(result.stdout.splitlines()[-1])["cases"].values()) == 300
