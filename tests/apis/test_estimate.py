"""The estimate of a training against the training."""

import json
import os
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from otcxr_mm.apis import estimate, launch, machine, measure
from otcxr_mm.apis.measure import Measured, Times
from otcxr_mm.doctor.files import validations
from otcxr_mm.doctor.finding import size_text
from tests.conftest import ROOT, write_image

TINY = str(ROOT / "tests" / "tiny.py")


@pytest.fixture
def images(tmp_path, monkeypatch):
    for i in range(22):
        write_image(tmp_path / "images" / f"{i:02d}.png", (48, 48))
    monkeypatch.setenv("TINY_DATA", str(tmp_path / "images"))
    monkeypatch.setattr(measure, "ITERATIONS", 6)
    # temporary folders go where the test looks for them
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path


def run(work_dir, name, *options, config=TINY):
    launch.train([str(config), "--work-dir", str(work_dir), "--cfg-options", f"experiment_name={name}", *options])


def figures(folder, name, *options, config=TINY, work_dir=None):
    """The figures of an estimate."""
    out, work_dir = folder / f"{name}.json", work_dir or folder / "work"
    argv = [str(config), "--work-dir", str(work_dir), "--estimate-out", str(out)]
    try:
        launch.train([*argv, "--cfg-options", f"experiment_name={folder.name}{name}", *options])
    except SystemExit as ended:
        if ended.code:
            raise
    return json.loads(out.read_text())


def test_it_counts_as_the_training_does_and_leaves_nothing(images, capsys):
    found = figures(images, "a")
    assert found["data"] == {
        "images": 22,
        "batch_size": 4,
        "processes": 1,
        "iterations_per_epoch": 6,
        "epochs": 4,
        "iterations": 24,
        "parameters": found["data"]["parameters"],
    }
    assert found["fits"]
    assert found["time"]["measured_iterations"] >= 5
    assert sorted(path.name for path in images.iterdir()) == ["a.json", "images", "temporary"]
    assert not list((images / "temporary").iterdir())
    printed = capsys.readouterr().out
    assert "24 iterations: 4 epochs of 6" in printed
    assert printed.rstrip().endswith("it fits")


def test_the_run_after_it_is_the_run_without_it_and_its_files_are_as_large_as_foretold(images):
    run(images / "without", images.name + "without")
    (images / "with").mkdir()
    (images / "with" / "mine.txt").write_text("x")
    found = figures(images, "e", work_dir=images / "with")
    assert os.listdir(images / "with") == ["mine.txt"]
    run(images / "with", images.name + "with")
    one, other = (
        torch.load(images / name / "iter_24.pth", weights_only=True, map_location="cpu") for name in ("without", "with")
    )
    assert all(torch.equal(tensor, other["state_dict"][name]) for name, tensor in one["state_dict"].items())
    state, again = (checkpoint["optimizer"]["state"] for checkpoint in (one, other))
    assert all(torch.equal(state[i]["exp_avg"], again[i]["exp_avg"]) for i in state)
    real = (images / "with" / "iter_24.pth").stat().st_size
    assert found["disk"]["checkpoint"] == pytest.approx(real, rel=0.03)
    # three checkpoints are kept, and five written: the fourth lies there before the first is deleted
    assert found["disk"]["files"]["checkpoints"] == 4 * found["disk"]["checkpoint"]
    backbone = (images / "with" / "backbone.pth").stat().st_size
    assert found["disk"]["files"]["backbone.pth"] == pytest.approx(backbone, rel=0.3)  # zip headers of a tiny network
    written = sum(path.stat().st_size for path in (images / "with").glob("*.pth"))
    assert written <= found["disk"]["needed"] <= 2 * written


class Clock:
    """Passes only where the test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_the_time_is_that_of_the_iterations_the_loader_and_the_validations(labelled, monkeypatch):
    """0.1 s an image in the loader, 1 s an iteration, 0.5 s a batch of validation, by a clock of our own."""
    from mmpretrain.models import ImageClassifier

    from otcxr_mm import CSVLabeledCXR

    clock = Clock()
    monkeypatch.setattr(measure, "now", clock)
    monkeypatch.setattr(estimate, "now", clock)

    def slow(cls, name, seconds):
        original = getattr(cls, name)

        def method(self, *args, **kwargs):
            clock.now += seconds
            return original(self, *args, **kwargs)

        monkeypatch.setattr(cls, name, method)

    slow(CSVLabeledCXR, "prepare_data", 0.1)
    slow(ImageClassifier, "train_step", 1.0)
    slow(ImageClassifier, "val_step", 0.5)
    options = ("train_cfg.max_iters=70", "train_cfg.val_interval=30")
    found = figures(labelled, "t", *options, config=labelled / "finetune.py")
    # 24 images in batches of 4 make 6 iterations; validated after iterations 30, 60 and 70, 12 images each
    assert found["data"]["iterations"] == 70
    assert found["data"]["epochs"] == 12
    assert found["time"]["validations"] == 3
    assert found["time"]["validation"] == pytest.approx(12 * 0.1 + 3 * 0.5)
    assert found["time"]["epoch"] == pytest.approx(6 * 1.4)
    assert found["time"]["training"] == pytest.approx(70 * 1.4 + 3 * 2.7)
    assert found["time"]["waiting"] == pytest.approx(0.4 / 1.4)
    assert not any("loader is what you wait for" in note for note in found["notes"])
    slow(CSVLabeledCXR, "prepare_data", 0.1)
    found = figures(labelled, "u", *options, config=labelled / "finetune.py")
    assert any("the loader is what you wait for (44% of the time): more workers" in note for note in found["notes"])


@pytest.fixture
def labelled(images):
    """A table of 24 + 12 images, and configs of a fine-tuning and of evaluations of frozen features."""
    rows = ["filename,patient,split,a,b"]
    for i in range(36):
        write_image(images / "labelled" / f"{i}.png", (32, 32))
        rows.append(f"{i}.png,p{i},{'train' if i < 24 else 'val'},{i % 2},{int(i % 3 == 0)}")
    (images / "t.csv").write_text("\n".join(rows) + "\n")
    for name in ("finetune", "linear", "knn"):
        cfg = Config.fromfile(ROOT / "configs" / "benchmarks" / name / f"otcxr_{name}_r18_kermany.py")
        cfg.model.backbone.update(base_channels=8, stem_channels=8)
        cfg.model.head.update(num_classes=2, in_channels=64)
        cfg.custom_hooks[0].checkpoint = "/nowhere/backbone.pth"
        for part in ("train", "val"):
            loader = cfg[f"{part}_dataloader"]
            loader.update(batch_size=4, num_workers=0)
            loader.dataset = dict(
                type="otcxr_mm.CSVLabeledCXR",
                data_root=str(images),
                ann_file="t.csv",
                img_prefix="labelled",
                label_columns=["a", "b"],
                split=part,
                pipeline=[dict(type="otcxr_mm.LoadCXR"), dict(type="otcxr_mm.PackCXR")],
            )
        cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
        cfg.dump(str(images / f"{name}.py"))
    return images


def test_frozen_features_are_counted_in_images_and_weights_may_come_later(labelled, capsys):
    found = figures(labelled, "l", config=labelled / "linear.py")
    assert (found["data"]["epochs"], found["data"]["iterations"]) == (1, 6)
    assert found["time"]["validations"] == 2
    assert "/nowhere/backbone.pth is not there yet: measured with random weights" in capsys.readouterr().out
    files = found["disk"]["files"]
    run(labelled / "real", labelled.name + "real", "custom_hooks.0.checkpoint=None", config=labelled / "linear.py")
    written = sum(path.stat().st_size for path in (labelled / "real" / "features").iterdir())
    assert files["features"] == 4 * (64 + 2) * 36
    assert files["features"] == pytest.approx(written, abs=2 * 2500)  # two zip files
    assert files["classifier"] == pytest.approx((labelled / "real" / "linear.pth").stat().st_size, rel=0.03)
    found = figures(labelled, "k", config=labelled / "knn.py")
    assert found["data"]["iterations"] == 6
    assert found["time"]["compute"]["median"] > 0
    run(labelled / "near", labelled.name + "near", "custom_hooks.0.checkpoint=None", config=labelled / "knn.py")
    real = (labelled / "near" / "knn.pth").stat().st_size
    assert found["disk"]["files"]["classifier"] == pytest.approx(real, rel=0.03)


def test_too_little_disk_or_memory_ends_with_1(images, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: usage(10**6, 0, 1000))
    with pytest.raises(SystemExit) as ended:
        figures(images, "d")
    assert ended.value.code == 1
    assert "DOES NOT FIT: disk: 3." in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.setenv("TINY_DATA", str(images / "images"))
    monkeypatch.setattr(machine, "host_available", lambda: -(10**12))
    with pytest.raises(SystemExit) as ended:
        figures(images, "m")
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "DOES NOT FIT: memory: " in printed
    assert "it fits" not in printed


@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_running_out_of_memory_is_a_verdict(images, monkeypatch, capsys, error):
    from otcxr_mm import OTCXR

    def full(self, *args, **kwargs):
        raise error

    monkeypatch.setattr(OTCXR, "train_step", full)
    name = "o" + type(error).__name__
    with pytest.raises(SystemExit) as ended:
        figures(images, name)
    assert ended.value.code == 1
    assert "out of memory with train_dataloader.batch_size=4: try train_dataloader.batch_size=2, or --amp" in (
        capsys.readouterr().out
    )
    assert not list((images / "temporary").iterdir())
    monkeypatch.setattr(OTCXR, "train_step", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(SystemExit, match="ZeroDivisionError"):  # any other error is the training's own
        figures(images, name + "z")


def test_running_out_of_memory_when_the_model_is_built_is_a_verdict(images, monkeypatch, capsys):
    from otcxr_mm import OTCXR

    def full(self, *args, **kwargs):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(OTCXR, "__init__", full)
    with pytest.raises(SystemExit) as ended:
        figures(images, "built")
    assert ended.value.code == 1
    assert "DOES NOT FIT: out of memory before the first batch" in capsys.readouterr().out
    assert not list((images / "temporary").iterdir())


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (("train_cfg.max_iters=-1",), SystemExit, "max_epochs or max_iters"),
        (("train_dataloader.batch_size=64", "train_dataloader.drop_last=True"), SystemExit, "make no iteration"),
    ],
)
def test_what_training_raises_before_it_begins_comes_out(images, options, error, said):
    with pytest.raises(error, match=said):
        figures(images, f"raised{len(options)}", *options)


def test_a_leak_comes_out(labelled):
    same = str(labelled / "finetune.py")
    with pytest.raises(SystemExit, match="leak between training and evaluation"):
        figures(labelled, "leak", "val_dataloader.dataset.split=train", config=same)


def test_what_cannot_be_written_is_said_before_anything_is_measured(images, monkeypatch):
    (images / "blocked").write_text("")
    monkeypatch.setattr(estimate, "build_runner", lambda cfg: pytest.fail("built"))
    with pytest.raises(SystemExit, match="blocked/x, where checkpoints go, cannot be written to: .*blocked is a file"):
        figures(images, "w", work_dir=images / "blocked" / "x")
    with pytest.raises(SystemExit, match="--estimate-out .*x.json cannot be written: .*blocked is a file"):
        launch.train([TINY, "--work-dir", str(images / "w"), "--estimate-out", str(images / "blocked" / "x.json")])
    with pytest.raises(SystemExit, match="it is a folder: name another file"):
        launch.train([TINY, "--work-dir", str(images / "w"), "--estimate-out", str(images / "images")])
    assert not (images / "w").exists()


def test_the_doctor_counts_files_as_the_estimate_does(images):
    from otcxr_mm.doctor import experiment, probe_config
    from otcxr_mm.doctor.child import Probe

    text = f"_base_ = [{TINY!r}]\ndefault_hooks = dict(checkpoint=dict(by_epoch=True, interval=1))\n"
    (images / "my.py").write_text(text)
    found = figures(images, "c", config=images / "my.py")
    state = {"config": str(images / "my.py")}
    steps = {
        name: {"ok": True, **step(name, state)}
        for name, step in vars(probe_config).items()
        if name in ("read", "build")
    }
    told, how = experiment.bytes_of_checkpoints(Probe({"config": steps["read"], "model": steps["build"]}))
    assert told == pytest.approx(found["disk"]["needed"], rel=0.2)  # headers weigh in so small a network
    assert found["disk"]["files"]["checkpoints"] == 4 * found["disk"]["checkpoint"]
    assert "checkpoints: 4 of " in how and "interrupted.pth" in how and "backbone.pth" in how


def test_it_is_of_a_whole_training(images):
    with pytest.raises(SystemExit, match="leave --resume out"):
        launch.train([TINY, "--estimate", "--resume"])


def test_two_processes_measure_together(images):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "tools/train.py", TINY]
    command += ["--launcher", "pytorch", "--work-dir", str(images / "work"), "--estimate-out", str(images / "e.json")]
    result = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads((images / "e.json").read_text())
    assert (found["data"]["processes"], found["data"]["iterations_per_epoch"]) == (2, 3)
    assert result.stdout.count("it fits") == 1
    assert not (images / "work").exists()


def test_waits_of_workers_are_averaged():
    """Two workers that are the bottleneck deliver two batches at once: every other wait is zero."""
    times = Times(first=[3.0], data=[0.0, 2.0] * 5, compute=[1.0] * 10)
    assert times.total(100) == pytest.approx(3 + 99 * 1.0 + 100)
    assert times.total(100, epochs=4) == pytest.approx(4 * 3 + 96 * 1.0 + 100)
    assert times.waiting == pytest.approx(0.5)
    assert Times().total(10) == 0


@pytest.mark.parametrize(
    ("units", "begin", "interval", "expected"), [(10, 1, 1, 10), (10, 1, 3, 4), (10, 5, 3, 3), (7, 1, 100, 1)]
)
def test_validations_are_counted_as_mmengine_does(units, begin, interval, expected):
    assert validations(units, begin, interval) == expected


@pytest.mark.parametrize(
    ("hook", "copies"),
    [
        (dict(interval=1, max_keep_ckpts=3), 4),
        (dict(interval=1, max_keep_ckpts=-1), 10),
        (dict(interval=4), 3),
        (dict(interval=4, save_last=False), 2),
        (dict(interval=-1, save_last=False), 0),
        (dict(interval=5, by_epoch=False, max_keep_ckpts=2), 3),
        (dict(interval=1, max_keep_ckpts=3, save_best="a"), 4),
        (dict(interval=1, max_keep_ckpts=3, save_best=["a", "b"]), 4),
    ],
)
def test_checkpoints_that_lie_there_at_most(hook, copies):
    cfg = Config(dict(default_hooks=dict(checkpoint=dict(type="CheckpointHook", **hook))))
    found = Measured(iterations=20, epochs=10, validations=2, checkpoint=100, weights=30)
    files = estimate._files(cfg, found, frozen=False)
    assert files.pop("checkpoints") == 100 * copies
    # the next best one is written before the last is deleted
    metrics = hook.get("save_best")
    assert files == ({"best": 60 if metrics == "a" else 90} if metrics else {})


def test_memory_is_what_the_doctor_calls_so(monkeypatch):
    assert 0 < machine.host_available() < 2**50
    monkeypatch.setattr(machine, "available_memory", lambda: 123)
    assert machine.host_available() == 123
    assert machine.resident() > 10**7
    assert dict(machine.fields(Path("/nowhere"))) == {}


def test_units():
    sizes = [size_text(n) for n in (12, 1.5 * 2**10, 39.6 * 2**20, 2 * 2**30, 3 * 2**40)]
    assert sizes == ["12 B", "1.5 KiB", "39.6 MiB", "2.0 GiB", "3.00 TiB"]
    assert [estimate._duration(s) for s in (5, 600, 36000, 864000)] == ["5.0 s", "10.0 min", "10.0 h", "10.0 days"]
