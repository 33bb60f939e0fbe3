"""Keys of a config file that nothing reads."""

import argparse

import pytest
from mmengine.config import Config

import otcxr_mm.utils.patches  # noqa: F401  for bases of the package
from otcxr_mm.cli.config_file import load_config
from otcxr_mm.cli.config_keys import check_file
from otcxr_mm.utils.configs import config_folder, list_configs
from tests.conftest import ROOT

CPU = '_base_ = ["otcxr_mm::otcxr_r18_cpu.py"]\n'
OWN = "train_dataloader = dict(batch_size=4)\ntrain_cfg = dict(max_epochs=2)\n"


def load(path, *options):
    return load_config(
        argparse.Namespace(config=str(path), cfg_options=options, work_dir=None, launcher="none", local_rank=0)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CPU + "\noptim_wraper = dict(type='X')", "line 3: nothing reads 'optim_wraper': did you mean optim_wrapper?"),
        (
            CPU + "max_epochs = 7",
            "line 2: .*nothing reads max_epochs at the top level: set train_cfg.max_epochs .now 10",
        ),
        ("seed = 4\n" + OWN, "line 1: nothing reads seed: write randomness=dict.seed=4"),
        (CPU + "batch_size: int = 32", "line 2: .*set train_dataloader.batch_size .now 64"),
        (CPU + "data_root = 'x'", "line 2: .*set train_dataloader.dataset.datasets.0.data_root"),
        (CPU + "train_pipeline = [dict(type='X')]", "line 2: .*set train_dataloader.dataset.datasets.0.pipeline"),
        (CPU + "lr = {{_base_.optim_wrapper.optimizer.lr}}\nmax_epochs = 7", "line 3: .*train_cfg.max_epochs"),
        ("root = '{{$SOME_FOLDER:x}}'\ntrain_datalaoder = dict(x=root)", "line 2: .*did you mean train_dataloader"),
    ],
)
def test_a_key_that_nothing_reads_is_an_error(text, message, tmp_path):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(SystemExit, match=rf"mine\.py, {message}"):
        load(tmp_path / "mine.py")


@pytest.mark.parametrize(("name", "text"), [("mine.yaml", "modell:\n  type: X\n"), ("mine.json", '{"modell": {}}')])
def test_other_formats(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit, match=rf"{name}: nothing reads 'modell': did you mean model?"):
        load(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        CPU + "max_epochs = 7\ntrain_cfg = dict(max_epochs=max_epochs)",
        CPU + "max_epochs = 7\ntrain_cfg = dict(max_epochs=7)",
        CPU + "size = 32\npipeline = [dict(scale=size)]\ntrain_dataloader = dict(dataset=dict(pipeline=pipeline))",
        CPU + "method = 'mine'\nprotocol = 'linear'\nsync_bn = 'torch'\nfind_unused_parameters = True",
        "folder = str(1)\nloader = dict(batch_size=4)\ntrain_dataloader = dict(**loader, x=folder)",
        "from mmengine.config import read_base\nwith read_base():\n    from .other import *\nmax_epochs = 7",
    ],
)
def test_what_something_reads_passes(text, tmp_path, capsys):
    (tmp_path / "other.py").write_text("train_cfg = dict(max_epochs=3)")
    (tmp_path / "mine.py").write_text(text)
    load(tmp_path / "mine.py")
    assert not capsys.readouterr().err


def test_anything_else_is_a_warning(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(OWN + "note_to_self = 2\nmax_epoch = 2\n")
    load(tmp_path / "mine.py")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("mine.py, line 3: nothing reads 'note_to_self'")
    assert second.endswith("mine.py, line 4: nothing reads 'max_epoch': did you mean train_cfg.max_epochs?")


def test_a_copy_of_a_runs_config_has_helpers_that_were_overridden(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(OWN + "max_epochs = 7")
    load(tmp_path / "mine.py")
    assert (
        "line 3: nothing reads max_epochs at the top level: set train_cfg.max_epochs (now 2)" in capsys.readouterr().err
    )


def test_a_helper_on_the_command_line_names_what_is_used(tmp_path):
    (tmp_path / "mine.py").write_text(CPU)
    with pytest.raises(SystemExit, match="--cfg-options max_epochs=...: .*set train_cfg.max_epochs"):
        load(tmp_path / "mine.py", "max_epochs=1")
    with pytest.raises(SystemExit, match="--cfg-options seed=...: .*randomness=dict.seed=3"):
        load(tmp_path / "mine.py", "seed=3")


@pytest.mark.parametrize("name", [*(name for name, _ in list_configs()), ROOT / "tests" / "tiny.py"], ids=str)
def test_the_shipped_configs_pass_and_so_do_their_flat_copies(name, tmp_path):
    path = config_folder() / name
    cfg = Config.fromfile(path)
    assert check_file(str(path), cfg._cfg_dict) == []
    cfg.dump(str(tmp_path / "flat.py"))
    assert check_file(str(tmp_path / "flat.py"), cfg._cfg_dict) == []


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("benchmarks/*/configs/*.py")), ids=lambda path: path.name)
def test_the_configs_of_the_benchmarks_pass(path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools" / "benchmarks")
    # screen.py is a base
    assert all("'backbone'" in warning for warning in check_file(str(path), Config.fromfile(path)._cfg_dict))
