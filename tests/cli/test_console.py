"""What a command shows on the terminal."""

import logging
import os
import subprocess
import sys
import warnings

import pytest
import torch
from mmengine.registry import MODELS
from torch.utils.data import DataLoader

import otcxr_mm.utils.patches  # noqa: F401
from otcxr_mm.cli import console
from otcxr_mm.cli.console import ArgumentParser, Terminal, command
from otcxr_mm.cli.messages import message_of
from tests.conftest import ROOT, write_image


def raised(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except Exception as error:
        return error
    pytest.fail("no exception")


class Broken(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, i):
        raise ValueError("row 3: 'yes'\nis no label")


def test_a_workers_error_is_that_of_the_data_set():
    error = raised(next, iter(DataLoader(Broken(), num_workers=1)))
    assert "Traceback" in str(error)
    assert message_of(error) == "ValueError: row 3: 'yes'\nis no label"


def test_mmengines_prefix_is_left_out():
    error = ValueError("class `OTHead` in otcxr_mm/models/heads/ot_head.py: marginals is one of a, b; got c")
    assert message_of(error) == "marginals is one of a, b; got c"


def test_the_package_is_quoted_without_the_type_of_its_exception():
    from otcxr_mm.datasets.tables import read_csv

    assert message_of(raised(read_csv, ROOT / "gone.csv")).startswith(f"{ROOT / 'gone.csv'}: no such table")


def test_a_type_that_is_not_registered():
    message = message_of(raised(MODELS.build, dict(type="otcxr_mm.OTHed")))
    assert message == "type='otcxr_mm.OTHed' of a model is unknown: did you mean 'otcxr_mm.OTHead'?"


def test_an_argument_that_does_not_exist():
    assert message_of(raised(MODELS.build, dict(type="otcxr_mm.TransportLoss", n_iter=3))) == (
        "TransportLoss has no argument 'n_iter': did you mean 'n_iters'?"
    )


def test_a_file_that_is_no_checkpoint(tmp_path):
    (tmp_path / "a.pth").write_text("hello")
    message = message_of(raised(torch.load, tmp_path / "a.pth", weights_only=True))
    assert message.startswith(f"{tmp_path / 'a.pth'}: truncated, damaged, or not a checkpoint at all")


def test_a_long_message_is_cut():
    assert message_of(ValueError("\n".join("abcdef"))).splitlines()[-1] == "... and 4 more lines"


def test_the_terminal_waits_for_the_first_iteration():
    shown = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())
    terminal = Terminal(handler)
    handler.addFilter(terminal)
    logger = logging.Logger("x")
    logger.addHandler(handler)
    logger.info("8 images")
    logger.info("Config:\nmodel = dict()")
    logger.warning("a row is odd")
    logger.error("Traceback", extra={"log_only": True})
    assert shown == ["a row is odd"]
    terminal.release()
    logger.info("Epoch(train) [1]")
    assert shown == ["a row is odd", "8 images", "Epoch(train) [1]"]


def test_warnings_of_other_libraries_are_not_shown(capsys, monkeypatch):
    monkeypatch.setattr(console, "_loggers", list)  # those of earlier tests

    @command
    def main(argv):
        warnings.simplefilter("always")
        warnings.warn("of a test", stacklevel=1)
        warnings.warn_explicit("of this package", UserWarning, str(ROOT / "otcxr_mm" / "x.py"), 1)

    main([])
    assert capsys.readouterr().err == "warning: of this package\n"


@pytest.mark.parametrize("rank", ["0", "1"])
def test_each_process_says_its_own(rank, monkeypatch):
    @command
    def main(argv):
        raise ValueError("first\nsecond")

    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(sys, "argv", ["otcxr train"])
    with pytest.raises(SystemExit) as end:
        main([])
    if rank == "0":
        assert (
            end.value.code
            == "otcxr train: error: ValueError: first\nsecond\ndetails: run the same command with --verbose"
        )
    else:
        assert end.value.code == "otcxr train: error in process 1: ValueError: first"
    with pytest.raises(ValueError, match="first"):
        main(["--verbose"])


def test_a_slip_in_an_option_is_one_line(capsys):
    parser = ArgumentParser(prog="otcxr train")
    parser.add_argument("--resume")
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["--resmue"])
    assert end.value.code == 2
    assert capsys.readouterr().err == ("otcxr train: error: unrecognized arguments: --resmue; did you mean --resume?\n")


def run(*arguments, cwd, **env):
    """In a process of its own, which imports everything itself."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    variables.pop("PYTHONWARNINGS", None)
    return subprocess.run(
        [sys.executable, "-m", "otcxr_mm", *map(str, arguments)],
        cwd=cwd,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_healthy_run_and_a_mistake_in_a_new_process(tmp_path):
    for i in range(8):
        write_image(tmp_path / "images" / f"{i}.png", (40, 40))
    arguments = ("train", ROOT / "tests" / "tiny.py", "--cfg-options", "train_cfg.max_epochs=1")
    healthy = run(*arguments, cwd=tmp_path, TINY_DATA="images")
    lines = healthy.stdout.splitlines()
    assert healthy.returncode == 0
    first = next(i for i, line in enumerate(lines) if "Epoch(train)" in line)
    assert first <= 4, healthy.stdout
    assert "batches of 4 images x 1 process, learning rate 0.001; log: work_dirs/tiny/" in lines[0]
    assert "UnlabeledCXR [all]: 8 images" in healthy.stdout
    (log,) = tmp_path.glob("work_dirs/tiny/*/*.log")
    text = log.read_text()
    assert all(part in text for part in ("System environment:", "Config:\n", "Hooks will be executed"))
    mistake = run(*arguments, "--work-dir", "new", cwd=tmp_path, TINY_DATA="gone")
    assert mistake.returncode == 1
    *_, message, details = mistake.stdout.splitlines()
    assert len(mistake.stdout.splitlines()) == 3
    assert message.startswith("otcxr train: error: data_root='gone' is not a folder")
    log = tmp_path / details.removeprefix("details: ")
    assert "Traceback (most recent call last)" in log.read_text()
