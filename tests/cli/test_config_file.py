"""Reading a config with the options of the command line, and keys that have no effect."""

import argparse
import re

import pytest
from mmengine.config import Config

from otcxr_mm.cli.config_file import load_config, parse_options
from otcxr_mm.cli.config_keys import check_file
from otcxr_mm.utils.configs import config_folder, find_config, list_configs
from tests.conftest import ROOT

CPU = '_base_ = ["otcxr_mm::otcxr_r18_cpu.py"]\n'
OWN = "train_dataloader = dict(batch_size=4)\ntrain_cfg = dict(max_epochs=2)\n"


def load(path, *options):
    """Reads a config as a command does."""
    return load_config(argparse.Namespace(config=str(path), cfg_options=options))


@pytest.fixture
def mine(tmp_path):
    """Writes a config of one's own."""
    return lambda text: (tmp_path / "mine.py").write_text(text, encoding="latin-1") and tmp_path / "mine.py"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CPU + "\noptim_wraper = dict(type='X')", "3: nothing reads 'optim_wraper': did you mean optim_wrapper?"),
        (CPU + "max_epochs = 7", "2: nothing reads max_epochs at the top level: set train_cfg.max_epochs .now 10"),
        (CPU + "batch_size: int = 32", "2: .*set train_dataloader.batch_size .now 64"),
        (CPU + "seed = 4", "2: .*set randomness.seed .now 0"),
        (CPU + "data_root = 'x'", "2: .*set train_dataloader.dataset.datasets.0.data_root"),
        (CPU + "train_pipeline = [dict(type='X')]", "2: .*no effect here, because the bases have already used it"),
        (CPU + "lr = {{_base_.optim_wrapper.optimizer.lr}}\nmax_epochs = 7", "3: .*train_cfg.max_epochs"),
        ("root = '{{$SOME_FOLDER:x}}'\ntrain_datalaoder = dict(x=root)", "2: .*did you mean train_dataloader"),
    ],
)
def test_a_key_without_effect_is_an_error(text, message, mine):
    path = mine(text)
    with pytest.raises(SystemExit, match=rf"mine\.py, line {message}"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        CPU + "max_epochs = 7\ntrain_cfg = dict(max_epochs=max_epochs)",
        CPU + "max_epochs = 7\ntrain_cfg = dict(max_epochs=7)",
        CPU + "size = 32\npipeline = [dict(scale=size)]\ntrain_dataloader = dict(dataset=dict(pipeline=pipeline))",
        CPU + "method = 'mine'\nprotocol = 'linear'\nsync_bn = 'torch'\nfind_unused_parameters = True",
        CPU + "note_to_self = 2\n_private = 3",
        OWN + "max_epochs = 7",  # a run's copy of its config has helpers that the command line has overridden
        "folder = str(1)\nloader = dict(batch_size=4)\ntrain_dataloader = dict(**loader, x=folder)",
        "from mmengine.config import read_base\nwith read_base():\n    from .other import *\nmax_epochs = 7",
    ],
)
def test_any_other_key_passes(text, mine, tmp_path):
    (tmp_path / "other.py").write_text("train_cfg = dict(max_epochs=3)")
    load(mine(text))


@pytest.mark.parametrize("name", [*(name for name, _ in list_configs()), ROOT / "tests" / "tiny.py"], ids=str)
def test_shipped_configs_and_their_flat_copies_pass(name, tmp_path):
    cfg = Config.fromfile(config_folder() / name)
    check_file(str(config_folder() / name), cfg)
    cfg.dump(tmp_path / "flat.py")
    check_file(str(tmp_path / "flat.py"), Config.fromfile(tmp_path / "flat.py"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("max_epochs=1", "max_epochs=...: .*set train_cfg.max_epochs"),
        ("seed=3", "seed=...: .*set randomness.seed"),
        ("train_pipeline=[]", "train_pipeline=...: .*no effect"),
        ("train_dataloder.batch_size=4", "train_dataloder.batch_size=4: did you mean train_dataloader?"),
        ("train_cfg.max_epochs", "train_cfg.max_epochs: KEY=VALUE expected"),
    ],
)
def test_an_option_without_effect_is_an_error(option, message):
    with pytest.raises(SystemExit, match=f"--cfg-options {message}"):
        load(find_config("otcxr_r18_cpu"), option)


def test_options_keep_spaces_in_paths_and_types_elsewhere():
    options = ["a.root=/own data/x y", "a.n=3", "a.pair=(0.1, 1)", "a.name='one two'", "b=None"]
    parsed = {"a.root": "/own data/x y", "a.n": 3, "a.pair": (0.1, 1), "a.name": "one two", "b": None}
    assert parse_options(options, {"a", "b"}) == parsed


def test_options_may_set_new_keys(mine):
    cfg = load(mine(OWN), "sync_bn=torch", "find_unused_parameters=True")
    assert (cfg.sync_bn, cfg.find_unused_parameters) == ("torch", True)


@pytest.mark.parametrize(("text", "reason"), [("a = (", "never closed"), ("a = '\xe9'", "utf-8")])
def test_a_config_that_cannot_be_read_is_named(text, reason, mine):
    with pytest.raises(SystemExit, match=rf"mine\.py: this config cannot be read: .*{reason}"):
        load(mine(text))


def test_a_misspelt_file_suggests_its_neighbour(mine):
    path = mine(OWN)
    with pytest.raises(SystemExit, match=re.escape(f"no such config: did you mean {path}?")):
        load(str(path).replace("mine", "mien"))


def test_the_work_dir_is_named_like_the_config(mine):
    assert load(mine(OWN)).work_dir == "work_dirs/mine"
    assert load(mine(OWN + "work_dir = 'here'")).work_dir == "here"
