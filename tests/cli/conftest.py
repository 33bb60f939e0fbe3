"""The command `otcxr` within the process of the tests."""

import sys
from dataclasses import dataclass

import pytest

from otcxr_mm.cli import main
from tests.conftest import write_image


@dataclass
class Ended:
    """How a command ended, and what it printed, the line of an error last."""

    status: int
    text: str


@pytest.fixture
def otcxr(capsys, monkeypatch):
    """Runs `otcxr ...` in this process."""
    monkeypatch.delenv("RANK", raising=False)

    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["otcxr"])
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in argv])
        code, printed = end.value.code, capsys.readouterr()
        said = f"{code}\n" if isinstance(code, str) else ""
        return Ended(1 if said else int(code or 0), printed.out + printed.err + said)

    return run


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A folder that holds `images/`, the 22 images that tests/tiny.py trains on."""
    for i in range(22):
        write_image(tmp_path / "images" / f"{i:02d}.png", (48, 48))
    monkeypatch.setenv("TINY_DATA", str(tmp_path / "images"))
    return tmp_path
