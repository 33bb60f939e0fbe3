"""The estimate of a training against the training."""

import json
import os
import subprocess
import sys

import pytest
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from otcxr_mm.cli import estimate, train
from tests.conftest import ROOT, write_image

TINY = str(ROOT / "tests" / "tiny.py")
SLOW = """
import time
from mmpretrain.registry import TRANSFORMS

@TRANSFORMS.register_module(force=True)
def Slow(**kwargs):
    return lambda item: time.sleep(0.05) or item
"""


@pytest.fixture
def images(tmp_path, monkeypatch):
    for i in range(22):
        write_image(tmp_path / "images" / f"{i:02d}.png", (48, 48))
    monkeypatch.setenv("TINY_DATA", str(tmp_path / "images"))
    monkeypatch.setattr(estimate, "ITERATIONS", 6)
    return tmp_path


def run(work_dir, *options, estimated=True, config=TINY):
    """Figures of an estimate, or those of a training; by the exit status whether it fits."""
    name = f"experiment_name={work_dir.parent.name}{work_dir.name}{estimated}"
    argv = [str(config), "--work-dir", str(work_dir), "--cfg-options", name, *options]
    if not estimated:
        return train.main(argv)
    out = work_dir.parent / "out.json"
    with pytest.raises(SystemExit) as ended:
        train.main([*argv[:1], "--estimate-out", str(out), *argv[1:]])
    figures = json.loads(out.read_text()) if out.exists() else {}
    return {**figures, "status": int(ended.value.code)}


def test_it_measures_iterations_leaves_nothing_and_its_checkpoint_is_the_training_s(images, capsys):
    (images / "work").mkdir()
    (images / "work" / "mine.txt").write_text("x")
    found = run(images / "work")
    assert (found["status"], found["problems"]) == (0, [])
    assert (found["iterations"], found["iterations_per_epoch"], found["iterations_measured"]) == (24, 6, 6)
    assert found["seconds"] == pytest.approx(24 / found["iterations_per_second"])
    assert 0 <= found["waiting"] < 1
    assert sorted(path.name for path in images.iterdir()) == ["images", "out.json", "work"]
    assert os.listdir(images / "work") == ["mine.txt"]
    printed = capsys.readouterr().out
    assert "24 iterations, 6 per epoch" in printed
    assert printed.endswith("it fits\n")
    run(images / "work", estimated=False)
    # the file grows by what is logged, here in 15 iterations
    assert found["checkpoint"] == pytest.approx((images / "work" / "iter_24.pth").stat().st_size, rel=0.05)
    written = sum(path.stat().st_size for path in (images / "work").glob("*.pth"))
    assert written <= found["disk"]["needed"] == found["checkpoints"] * found["checkpoint"]


def test_waiting_and_validations_are_in_the_time(images, monkeypatch):
    (images / "slow_images.py").write_text(SLOW)
    rows = "".join(f"{i:02d}.png,{'train' if i < 16 else 'val'},{i % 2}\n" for i in range(22))
    (images / "t.csv").write_text("filename,split,a\n" + rows)
    cfg = Config.fromfile(ROOT / "configs/downstream/finetune/finetune_r18_kermany.py")
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
    found = run(images / "work", config=images / "finetune.py")
    # validated after 32 and 64 iterations, which are whole epochs, and at the end; 6 images with 0.05 s each
    assert (found["iterations"], found["validations"]) == (70, 3)
    assert found["waiting"] * 1 / found["iterations_per_second"] >= 0.2
    assert found["seconds"] >= 70 / found["iterations_per_second"] + 3 * 0.3


def test_too_little_disk_or_memory_ends_with_1(images, monkeypatch, capsys):
    monkeypatch.setattr(estimate.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    assert run(images / "disk")["status"] == 1
    assert "DOES NOT FIT: disk: " in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setenv("TINY_DATA", str(images / "images"))
    monkeypatch.setattr(estimate, "available_memory", lambda: -(10**12))
    assert run(images / "memory")["status"] == 1
    printed = capsys.readouterr().out
    assert "DOES NOT FIT: memory: " in printed and "it fits" not in printed


@pytest.mark.parametrize(
    ("method", "said"),
    [("__init__", "CUDA out of memory"), ("train_step", "DefaultCPUAllocator: can't allocate memory")],
)
def test_running_out_of_memory_is_a_verdict_any_other_error_is_raised(images, monkeypatch, capsys, method, said):
    from otcxr_mm import OTCXR

    def fail(self, *args, **kwargs):
        raise RuntimeError(said)

    monkeypatch.setattr(OTCXR, method, fail)
    assert run(images / "full")["status"] == 1
    assert "DOES NOT FIT: out of memory with train_dataloader.batch_size=4: use a smaller" in capsys.readouterr().out
    monkeypatch.setattr(OTCXR, method, lambda *args, **kwargs: 1 / 0)
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        train.main([TINY, "--estimate", "--work-dir", str(images / "x"), "--cfg-options", f"experiment_name={images}"])
    assert [path.name for path in images.iterdir()] == ["images"]


def test_what_it_cannot_do_is_an_error_before_anything_is_measured(images, monkeypatch):
    (images / "blocked").touch()
    few = ["train_dataloader.dataset.patients=20", "val_dataloader.dataset.patients=20"]
    monkeypatch.setenv("OTCXR_SYNTHETIC", str(images / "drawn"))
    with pytest.raises(SystemExit, match="--estimate measures training iterations, but LinearEvalLoop has none"):
        train.main(["linear_r18_synthetic", "--estimate", "--work-dir", str(images / "y"), "--cfg-options", *few])
    monkeypatch.setattr(estimate, "build_runner", lambda *_, **__: pytest.fail("built"))
    with pytest.raises(SystemExit, match="blocked/x cannot be written to .*: choose another --work-dir"):
        train.main([TINY, "--estimate", "--work-dir", str(images / "blocked" / "x")])
    with pytest.raises(SystemExit, match="blocked cannot be written to .*: choose another --estimate-out"):
        train.main([TINY, "--work-dir", str(images / "w"), "--estimate-out", str(images / "blocked" / "x.json")])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (dict(interval=1, max_keep_ckpts=3), 4),
        (dict(interval=1), 12),
        (dict(interval=4, by_epoch=False, max_keep_ckpts=2, save_best=["a", "b"]), 5),
        (dict(interval=-1), 2),
    ],
)
def test_checkpoints_on_disk_at_most(settings, expected):
    runner = type("Runner", (), {"max_epochs": 10, "max_iters": 20})
    assert estimate._checkpoints(CheckpointHook(rule="greater", **settings), runner) == expected


def test_two_processes_measure_together(images):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "tools/train.py", TINY]
    command += ["--launcher", "pytorch", "--work-dir", str(images / "w"), "--estimate-out", str(images / "e.json")]
    result = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-3000:]
    assert json.loads((images / "e.json").read_text())["iterations_per_epoch"] == 3
    assert result.stdout.count("it fits") == 1
    assert not (images / "w").exists()
