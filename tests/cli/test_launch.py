import json
import logging
import os
import re

import pytest
import torch

from otcxr_mm.cli import train
from otcxr_mm.cli.config_file import parse_options
from otcxr_mm.cli.work_dir import refuse_to_overwrite, remove_run
from otcxr_mm.utils.checkpoints import latest_checkpoint
from tests.conftest import write_image


@pytest.fixture
def images(tmp_path):
    for i in range(8):
        write_image(tmp_path / "images" / f"{i}.png", (40, 40))
    return tmp_path / "images"


def test_help_imports_nothing_heavy(python):
    script = "import sys, runpy; sys.argv = ['train.py', '--help']\n"
    script += "try: runpy.run_path('tools/train.py', run_name='__main__')\n"
    script += "except SystemExit: pass\n"
    script += "heavy = {'torch', 'mmengine', 'mmcv', 'mmpretrain', 'numpy'} & set(sys.modules)\nassert not heavy, heavy"
    output = python("-c", script).stdout
    for option in ("--resume", "--amp", "--auto-scale-lr", "--cfg-options", "--launcher", "--work-dir"):
        assert option in output
    assert "test.py" in python("tools/test.py", "--help").stdout


def test_importing_the_package_imports_nothing_else(python):
    python("-c", "import sys, otcxr_mm; assert not {'torch', 'mmengine', 'numpy'} & set(sys.modules)")


def test_amp_trains_on_a_cpu_and_options_go_before_the_config(python, images, tmp_path):
    result = python(
        "tools/train.py",
        "tests/tiny.py",
        "--amp",
        "--work-dir",
        tmp_path / "work",
        "--cfg-options",
        "train_cfg.max_epochs=1",
        "train_dataloader.dataset.indices=6",
        "model.head.loss_ot.eps=0.3",
        env={**os.environ, "TINY_DATA": str(images)},
    )
    output = result.stdout + result.stderr
    assert "UnlabeledCXR [all]: 6 images" in output
    assert "otcxr_mm.BFloat16OptimWrapper" in (tmp_path / "work" / "tiny.py").read_text()
    assert (tmp_path / "work" / "backbone.pth").is_file()


def test_real_nih_folder_with_the_nih_config(python, real_data, tmp_path):
    """The command of the README on NIH's own files, with a network small enough for a test."""
    result = python(
        "tools/train.py",
        "configs/otcxr_r50_nih.py",
        "--work-dir",
        tmp_path / "work",
        "--cfg-options",
        f"train_dataloader.dataset.data_root={real_data / 'nih'}",
        "train_dataloader.dataset.indices=8",
        "train_dataloader.num_workers=0",
        "train_cfg.max_epochs=2",
        "model.backbone.depth=18",
        "model.neck.in_channels=(256,512)",
    )
    output = result.stdout + result.stderr
    assert "NIHChestXray14 [train_val]: 8 images of" in output
    assert "effective rank" in output
    assert torch.load(tmp_path / "work" / "backbone.pth", weights_only=True)["conv1.weight"].shape == (
        64,
        1,
        7,
        7,
    )


CLASSIFIER = """
default_scope = "mmpretrain"
data = dict(
    type="otcxr_mm.NIHChestXray14",
    data_root="{root}",
    split="all",
    pipeline=[dict(type="otcxr_mm.LoadCXR"), dict(type="Resize", scale=32), dict(type="PackInputs")],
)
model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(mean=[127.5], std=[64.0]),
    backbone=dict(type="ResNet", depth=18, base_channels=8, stem_channels=8, in_channels=1),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="MultiLabelLinearClsHead", num_classes=14, in_channels=64),
)
test_dataloader = dict(
    batch_size=2,
    num_workers=0,
    dataset=data,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
test_cfg = dict()
test_evaluator = dict(type="AveragePrecision")
"""


def test_testing_a_classifier(python, nih_folder, tmp_path):
    from mmengine.registry import DefaultScope, init_default_scope
    from mmpretrain.registry import MODELS

    if DefaultScope.get_current_instance() is None:
        init_default_scope("mmpretrain")
    config = tmp_path / "classifier.py"
    config.write_text(CLASSIFIER.format(root=nih_folder))
    from mmengine.config import Config

    model = MODELS.build(Config.fromfile(config).model)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "c.pth")
    python(
        "tools/test.py",
        config,
        tmp_path / "c.pth",
        "--work-dir",
        tmp_path / "w",
        "--out",
        tmp_path / "m.json",
    )
    assert "multi-label/mAP" in json.loads((tmp_path / "m.json").read_text())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["tools/train.py", "configs/nothing.py"], "configs/nothing.py: no such config"),
        (
            ["tools/train.py", "tests/tiny.py", "--resume", "gone.pth"],
            "--resume gone.pth: no such checkpoint",
        ),
        (["tools/train.py", "tests/tiny.py", "--launcher", "pytorch"], "for processes that torchrun started"),
        (["tools/train.py", "tests/tiny.py", "--launcher", "slurm"], "--launcher slurm needs a GPU"),
        (["tools/test.py", "tests/tiny.py", "gone.pth"], "gone.pth: no such checkpoint"),
        (
            ["tools/test.py", "tests/tiny.py", "README.md"],
            "has no test_dataloader: pre-training has nothing to test",
        ),
    ],
)
def test_wrong_commands_end_with_a_clear_line(python, images, command, message, monkeypatch):
    if torch.cuda.is_available() and "launcher" in message:
        pytest.skip("the launchers of MMEngine take over on a GPU")
    monkeypatch.setenv("TINY_DATA", str(images))
    monkeypatch.delenv("RANK", raising=False)
    result = python(*command, check=False)
    assert result.returncode != 0
    assert message in result.stderr


def test_options_keep_spaces_in_paths_and_types_elsewhere():
    options = ["a.root=/own data/x y", "a.n=3", "a.pair=(0.1, 1)", "a.name='one two'", "b=None"]
    assert parse_options(options, {"a", "b"}) == {
        "a.root": "/own data/x y",
        "a.n": 3,
        "a.pair": (0.1, 1),
        "a.name": "one two",
        "b": None,
    }
    assert parse_options([], set()) == {}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("train_dataloder.batch_size=4", "did you mean train_dataloader?"),
        ("optim_wraper.type=X", "did you mean optim_wrapper?"),
        ("train_cfg.max_epochs", "KEY=VALUE expected"),
    ],
)
def test_slips_in_options_are_noticed(option, message):
    with pytest.raises(SystemExit, match=re.escape(f"--cfg-options {option}: {message}")):
        parse_options([option], {"train_cfg"})


def test_new_keys_are_allowed():
    assert parse_options(["sync_bn=torch", "find_unused_parameters=True"], {"model"})["sync_bn"] == "torch"


def test_a_schedule_that_ends_elsewhere_is_said(caplog):
    from mmengine.config import Config

    cfg = Config(dict(train_cfg=dict(max_epochs=20), param_scheduler=[dict(end=5), dict(end=100)]))
    train._warn_of_schedule(cfg, logging.getLogger("schedule"))
    assert "ends at epoch 100: also set param_scheduler.1.end=20" in caplog.text
    caplog.clear()
    cfg.param_scheduler[1].end = 20
    train._warn_of_schedule(cfg, logging.getLogger("schedule"))
    assert not caplog.text
    cfg = Config(dict(train_cfg=dict(max_iters=50), param_scheduler=[dict(by_epoch=False, end=80)]))
    train._warn_of_schedule(cfg, logging.getLogger("schedule"))
    assert "max_iters is 50, but the learning-rate schedule ends at iteration 80: also set param_sch" in caplog.text


def test_auto_scale_needs_a_base(python, images, tmp_path):
    (tmp_path / "c.py").write_text("train_dataloader = dict(batch_size=1)")
    result = python("tools/train.py", tmp_path / "c.py", "--auto-scale-lr", check=False)
    assert "has no auto_scale_lr = dict(base_batch_size=...)" in result.stderr


def test_latest_checkpoint(tmp_path):
    assert latest_checkpoint(str(tmp_path / "nowhere")) is None
    assert latest_checkpoint(str(tmp_path)) is None
    for i, name in enumerate(["epoch_2.pth", "iter_9.pth", "backbone.pth", "epoch_3.pth.tmp.12"]):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (i, i))
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / "iter_9.pth")
    (tmp_path / "last_checkpoint").write_text("/moved/away/epoch_2.pth")
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / "epoch_2.pth")
    (tmp_path / "last_checkpoint").write_text("")  # killed while it was written
    assert latest_checkpoint(str(tmp_path)) == str(tmp_path / "iter_9.pth")


def test_an_earlier_run_is_not_overwritten(tmp_path):
    folder = tmp_path / "run"
    kept = ["mine.txt", "features/a.pth", "20260101_000000/a.log", "weights.pth"]
    ours = ["epoch_3.pth", "best_auroc_epoch_2.pth", "linear.pth", "backbone.pth", "backbone.json", "results.json"]
    folder.mkdir()
    refuse_to_overwrite(str(folder))
    for name in (*kept, *ours, "last_checkpoint"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    with pytest.raises(SystemExit, match=r"run already holds a run .*--resume.*--work-dir DIR.*--overwrite"):
        refuse_to_overwrite(str(folder))
    remove_run(str(folder))
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == sorted(kept)
    refuse_to_overwrite(str(folder))


def test_overwrite_and_resume_exclude_each_other():
    with pytest.raises(SystemExit, match="--overwrite starts over, --resume continues"):
        train.main(["tests/tiny.py", "--overwrite", "--resume"])
