"""What a command shows on the terminal."""

import logging
import re
import sys
import warnings

import pytest
import torch
from mmengine.registry import MODELS
from torch.utils.data import DataLoader

import otcxr_mm.utils.patches  # noqa: F401
from otcxr_mm.cli import console
from otcxr_mm.cli.console import command, is_shown
from otcxr_mm.cli.messages import message_of
from otcxr_mm.datasets.tables import read_csv
from tests.conftest import ROOT


def message(function, *args, **kwargs):
    """What is said about the exception that a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        function(*args, **kwargs)
    return message_of(caught.value)


class Broken(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, i):
        raise ValueError("row 3: 'yes'\nis no label")


def test_a_workers_error_is_that_of_the_data_set():
    assert message(next, iter(DataLoader(Broken(), num_workers=1))) == "ValueError: row 3: 'yes'\nis no label"


def test_mmengines_prefix_is_left_out():
    error = ValueError("class `OTHead` in otcxr_mm/models/heads/ot_head.py: marginals is one of a, b; got c")
    assert message_of(error) == "marginals is one of a, b; got c"


def test_the_package_is_quoted_without_the_type_of_its_exception():
    assert message(read_csv, ROOT / "gone.csv").startswith(f"{ROOT / 'gone.csv'}: no such table")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (dict(type="otcxr_mm.OTHed"), "type='otcxr_mm.OTHed' of a model is unknown: did you mean 'otcxr_mm.OTHead'?"),
        (dict(type="TransportLoss"), "type='TransportLoss' of a model is unknown: did you mean 'otcxr_mm.Transp.*'?"),
        (dict(type="Xyzzy"), "type='Xyzzy' of a model is unknown: name the module that registers it in custom_imports"),
        (dict(type="otcxr_mm.TransportLoss", n_iter=3), "TransportLoss has no argument 'n_iter': did you mean 'n_ite"),
        (dict(type="otcxr_mm.TransportLoss", xyzzy=3), "TransportLoss has no argument 'xyzzy': it takes "),
    ],
)
def test_a_misspelt_name_in_a_config(config, said):
    assert re.match(said.replace("?", r"\?"), message(MODELS.build, config))


def test_a_long_message_is_cut():
    assert message_of(ValueError("\n".join("abcdef"))).splitlines()[-1] == "... and 4 more lines"


@pytest.mark.parametrize(
    ("text", "extra", "shown"),
    [("8 images", {}, True), ("Config:\nmodel = dict()", {}, False), ("Traceback", {"log_only": True}, False)],
)
def test_dumps_are_for_the_log_file(text, extra, shown):
    record = logging.makeLogRecord({"msg": text, **extra})
    assert is_shown(record) == shown


@pytest.fixture
def failing(monkeypatch):
    """A command that warns and then fails."""
    monkeypatch.setattr(console, "_loggers", list)  # those of earlier tests
    monkeypatch.setattr(sys, "argv", ["otcxr train"])

    @command
    def main(argv):
        warnings.warn_explicit("of another library", UserWarning, "x.py", 1, module="torch.x")
        warnings.warn_explicit("of this package", UserWarning, "x.py", 1, module="otcxr_mm.x")
        raise ValueError("first\nsecond")

    return main


@pytest.mark.parametrize(
    ("rank", "said"),
    [
        ("0", "otcxr train: error: ValueError: first\nsecond\ndetails: run the same command with --verbose"),
        ("1", "otcxr train: error in process 1: ValueError: first"),
    ],
)
def test_each_process_says_its_own(failing, rank, said, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    with warnings.catch_warnings(record=True) as shown, pytest.raises(SystemExit) as end:
        warnings.simplefilter("always")
        failing([])
    assert end.value.code == said
    assert [str(warning.message) for warning in shown] == ["of this package"]


def test_verbose_shows_everything(failing):
    with warnings.catch_warnings(record=True) as shown, pytest.raises(ValueError, match="first"):
        warnings.simplefilter("always")
        failing(["--verbose"])
    assert len(shown) == 2
