"""The estimate of a training against the training."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from otcxr_mm.cli import estimate
from otcxr_mm.utils.configs import find_config
from tests.conftest import ROOT

TINY = ROOT / "tests" / "tiny.py"
SLOW = """
import time
from mmpretrain.registry import TRANSFORMS

@TRANSFORMS.register_module(force=True)
def Slow(**kwargs):
    return lambda item: time.sleep(0.05) or item
"""


@pytest.fixture
def train(images, otcxr, monkeypatch):
    """Runs `otcxr train`, of six iterations for an estimate."""
    monkeypatch.setattr(estimate, "ITERATIONS", 6)
    names = (f"{images.name}{i}" for i in range(9))

    def run(config, *argv, options=()):
        return otcxr("train", config, *argv, "--cfg-options", f"experiment_name={next(names)}", *options)

    return run


def bytes_of(text):
    """The size of the checkpoint that an estimate prints."""
    number, unit = re.search(r"^checkpoint +([\d.]+) (\w+)", text, re.M).groups()
    return float(number) * 1024 ** ["B", "KiB", "MiB"].index(unit)


def test_it_measures_and_leaves_nothing(train, images):
    (images / "work").mkdir()
    (images / "work" / "mine.txt").write_text("x")
    ended = train(TINY, "--estimate", "--work-dir", images / "work")
    assert ended.status == 0
    assert "24 iterations, 6 per epoch" in ended.text and "(measured on 6 iterations)" in ended.text
    assert re.search(r"speed +[\d.]+ iterations/s, \d+% of the time waiting for data", ended.text)
    assert re.search(r"peak memory +\d+\.\d [MG]iB \(CPU\), \d+\.\d GiB left", ended.text)
    assert sorted(os.listdir(images)) == ["images", "work"]
    assert os.listdir(images / "work") == ["mine.txt"]
    assert train(TINY, "--work-dir", images / "work").status == 0
    # the file grows by what is logged
    assert bytes_of(ended.text) == pytest.approx((images / "work" / "iter_24.pth").stat().st_size, rel=0.05)


def test_waiting_and_validations_are_in_the_time(train, images, monkeypatch):
    (images / "slow_images.py").write_text(SLOW)
    rows = "".join(f"{i:02d}.png,{'train' if i < 16 else 'val'},{i % 2}\n" for i in range(22))
    (images / "t.csv").write_text("filename,split,a\n" + rows)
    cfg = Config.fromfile(find_config("finetune_r18_kermany"))
    cfg.model.backbone.update(base_channels=4, stem_channels=4)
    cfg.model.head.update(num_classes=1, in_channels=32)
    cfg.default_hooks.load_backbone.checkpoint, cfg.custom_imports = None, dict(imports=["slow_images"])
    pipeline = [dict(type="Slow"), dict(type="otcxr_mm.LoadCXR"), dict(type="otcxr_mm.PackCXR")]
    data = dict(type="otcxr_mm.CSVLabeledCXR", data_root=str(images), ann_file="t.csv", img_prefix="images")
    for part in ("train", "val"):
        dataset = dict(data, label_columns=["a"], split=part, pipeline=pipeline)
        cfg[f"{part}_dataloader"].update(batch_size=4, num_workers=0, persistent_workers=False)
        cfg[f"{part}_dataloader"].dataset = dataset
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    cfg.train_cfg.update(max_iters=70, val_interval=30)
    cfg.dump(str(images / "finetune.py"))
    monkeypatch.syspath_prepend(images)
    text = train(images / "finetune.py", "--estimate", "--work-dir", images / "x").text
    assert int(re.search(r"(\d+)% of the time waiting", text)[1]) > 20
    minutes, seconds = map(int, re.search(r"whole run +0:(\d+):(\d+), with 3 validations", text).groups())
    # 70 batches of 4 images, and after 32, 64 and 70 iterations 6 images; 0.05 s each
    assert 60 * minutes + seconds >= int(70 * 0.2 + 3 * 0.3)


def test_running_out_of_memory_is_an_error_and_leaves_nothing(train, images, monkeypatch):
    def fail(self, *args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("otcxr_mm.models.OTCXR.train_step", fail)
    ended = train(TINY, "--estimate", "--work-dir", images / "x")
    assert ended.status == 1 and "error: OutOfMemoryError: CUDA out of memory" in ended.text
    assert os.listdir(images) == ["images"]


def test_a_loop_without_iterations_has_nothing_to_measure(train, images, monkeypatch):
    monkeypatch.setattr(estimate, "build_runner", lambda *_, **__: SimpleNamespace(train_loop=0, train_dataloader=0))
    ended = train(TINY, "--estimate", "--work-dir", images / "x")
    assert ended.status == 1 and "--estimate measures training iterations, but int has none" in ended.text


def test_a_work_dir_that_cannot_be_written_to_is_an_error_before_anything_is_built(train, images, monkeypatch):
    (images / "blocked").touch()
    monkeypatch.setattr(estimate, "build_runner", lambda *_, **__: pytest.fail("built"))
    ended = train(TINY, "--estimate", "--work-dir", images / "blocked" / "x")
    assert re.search("blocked/x: the work dir cannot be written to .*: name another with --work-dir", ended.text)


def test_two_processes_measure_together(images):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "tools/train.py", str(TINY)]
    command += ["--launcher", "pytorch", "--work-dir", str(images / "w"), "--estimate"]
    result = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("iterations, 3 per epoch") == 1
    assert not (images / "w").exists()
