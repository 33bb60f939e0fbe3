"""Mistakes, each made with the command that a user would type.

Every one ends with status 1 and a few lines, which name the culprit and a way out.
"""

import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.journeys.conftest import Otcxr

MOST_LINES = 4

PRETRAIN = """_base_ = ["otcxr_mm::otcxr_r18_cpu.py"]
model = dict(neck=dict(in_channels=(64, 128), embed_dims=64), backbone=dict(base_channels=16, stem_channels=16))
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type="otcxr_mm.UnlabeledCXR",
        data_root="{{$MY_IMAGES:pool}}",
        pipeline=[
            dict(type="otcxr_mm.LoadCXR"),
            dict(type="otcxr_mm.TwoViewCrop", size=32),
            dict(type="otcxr_mm.PackViews"),
        ],
    ),
)
train_cfg = dict(max_epochs=1)
param_scheduler = []
"""
LINEAR = """_base_ = [
    "otcxr_mm::_base_/models/classifier_r18.py",
    "otcxr_mm::_base_/datasets/labelled_96.py",
    "otcxr_mm::_base_/schedules/linear.py",
]
model = dict(backbone=dict(base_channels=16, stem_channels=16), head=dict(num_classes=2, in_channels=128))
images = dict(
    type="otcxr_mm.CSVLabeledCXR",
    data_root=".",
    ann_file="labels.csv",
    img_prefix="images",
    label_columns=["Mass", "Nodule"],
    pipeline=_base_.test_pipeline,
    test_mode=True,
)
train_dataloader = dict(dataset=dict(**images, split="train"))
val_dataloader = dict(dataset=dict(**images, split="val"))
test_dataloader = dict(dataset=dict(**images, split="test"))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/pretrain/backbone.pth"))
"""
ROWS = [
    ("p0", "train", 1, 0),
    ("p0", "train", 0, 1),
    ("p1", "train", 1, 1),
    ("p2", "train", 0, 0),
    ("p3", "val", 1, 0),
    ("p4", "val", 0, 1),
    ("p5", "test", 0, 1),
    ("p6", "test", 1, 0),
]


@pytest.fixture(scope="session")
def finished(otcxr: Otcxr, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: images, a table, configs, a finished pre-training and a finished linear evaluation."""
    folder = tmp_path_factory.mktemp("user")
    rng = np.random.default_rng(0)
    for i in range(len(ROWS)):
        for name in ("pool", "images"):
            (folder / name).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / name / f"{i}.png"), rng.integers(0, 256, (40, 40), dtype=np.uint8))
    lines = [f"{i}.png,{','.join(map(str, row))}\n" for i, row in enumerate(ROWS)]
    (folder / "labels.csv").write_text("path,patient,split,Mass,Nodule\n" + "".join(lines))
    (folder / "pretrain.py").write_text(PRETRAIN)
    (folder / "linear.py").write_text(LINEAR)
    healthy = otcxr("train", "pretrain.py", cwd=folder, check=True)
    (folder / "healthy.txt").write_text(healthy.out)
    otcxr("train", "linear.py", cwd=folder, check=True)
    return folder


@dataclass(frozen=True)
class Mistake:
    """What is typed, what was done wrong before, and what the message must name."""

    command: str
    culprit: str
    way: str
    make: Callable[[Path], object] = lambda folder: None
    env: dict[str, str] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)


def change(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Replaces a text in a file; at its end if `old` is empty."""

    def make(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text, (file, old)
        (folder / file).write_text(text.replace(old, new) if old else text + new)

    return make


def each(edit: Callable[[Path], object], name: str = "pool") -> Callable[[Path], None]:
    """Does something with each image of a folder."""
    return lambda folder: [edit(path) for path in sorted((folder / name).iterdir())]


def cut(path: Path) -> None:
    """Leaves half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def bomb(path: Path) -> None:
    """A PNG of a few bytes whose header says 60,000 x 60,000 pixels."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0), b"IDAT" + zlib.compress(b"\0" * 100))
    packed = (struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data)) for data in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))


def no_positive(folder: Path) -> None:
    """Makes every label 0."""
    table = folder / "labels.csv"
    table.write_text(re.sub(r"\d,\d\n", "0,0\n", table.read_text()))


TEST = "test linear.py work_dirs/linear/linear.pth"
PROBE = "train linear.py --work-dir new"
NEW = "train pretrain.py --work-dir new"
OPTION = f"{NEW} --cfg-options"
BACKBONE = "work_dirs/pretrain/backbone.pth"

MISTAKES = {
    "key": Mistake(NEW, "optim_wraper", "optim_wrapper", change("pretrain.py", "", "optim_wraper = dict(type='X')\n")),
    "argument": Mistake(NEW, "data_rot", "data_root", change("pretrain.py", "data_root=", "data_rot=")),
    "option": Mistake(f"{OPTION} train_dataloader.batchsize=4", "batchsize", "batch_size"),
    "value": Mistake(f"{OPTION} train_dataloader.batch_size=four", "batch_size=four", "integer"),
    "workers": Mistake(f"{OPTION} train_dataloader.num_workers=-1", "num_workers", "non-negative"),
    "depth": Mistake(f"{OPTION} model.backbone.depth=19", "invalid depth 19", "resnet"),
    "base": Mistake(NEW, "r18_cpuu.py", "did you mean", change("pretrain.py", "r18_cpu.", "r18_cpuu.")),
    # folders
    "no-folder": Mistake(NEW, "imags", "data_root", env={"MY_IMAGES": "imags"}),
    "no-variable": Mistake(NEW, "MY_DATA", "environment", change("pretrain.py", "$MY_IMAGES:pool", "$MY_DATA:")),
    "file-for-folder": Mistake(NEW, "labels.csv", "data_root", env={"MY_IMAGES": "labels.csv"}),
    "empty-folder": Mistake(NEW, "empty", r"\.png", lambda f: (f / "empty").mkdir(), {"MY_IMAGES": "empty"}),
    "prefix": Mistake(PROBE, "imges/0.png", "img_prefix", change("linear.py", '"images"', '"imges"')),
    # tables
    "no-column": Mistake(PROBE, "Masss", "columns are .*'Mass'", change("linear.py", '"Mass"', '"Masss"')),
    "row-twice": Mistake(PROBE, r"labels\.csv.*0\.png", "keep one", change("labels.csv", "", "0.png,p0,train,1,0\n")),
    "semicolons": Mistake(PROBE, r"labels\.csv.*';'", "comma", change("labels.csv", ",", ";")),
    "text-label": Mistake(PROBE, "row 2.*'yes'", "positive", change("labels.csv", "p0,train,1", "p0,train,yes")),
    "split-name": Mistake(PROBE, "split 'train'", "training", change("labels.csv", ",train,", ",training,")),
    "two-splits": Mistake(PROBE, "p1", "split by patient", change("labels.csv", "p3", "p1")),
    "no-image": Mistake(PROBE, "images/1.png", "skip_missing", lambda f: (f / "images/1.png").unlink()),
    # images
    "truncated": Mistake(NEW, r"\d\.png", "copy it again", each(cut)),
    "in-a-test": Mistake(PROBE, r"\d\.png", "copy it again", each(lambda path: path.write_bytes(b"x"), "images")),
    "bomb": Mistake(NEW, r"\d\.png: more than 100,000,000 pixels", "shrink it", each(bomb)),
    "text-dicom": Mistake(
        NEW, r"\d\.dcm", "take it out", each(lambda p: p.rename(p.with_suffix(".dcm")).write_text("x" * 500))
    ),
    # classes
    "num-classes": Mistake(PROBE, "num_classes=3", "Mass, Nodule", change("linear.py", "classes=2", "classes=3")),
    "no-positive": Mistake(PROBE, "no class has both", "other or more images", no_positive),
    "width": Mistake(PROBE, "in_channels=512", "128", change("linear.py", "in_channels=128", "in_channels=512")),
    "no-list": Mistake(PROBE, "label_columns", "list", change("linear.py", '["Mass", "Nodule"]', '"Mass"')),
    # checkpoints
    "other-depth": Mistake(f"{TEST} --cfg-options model.backbone.depth=34", "lacks", "this config wrote"),
    "other-head": Mistake(f"{TEST} --cfg-options model.head.num_classes=3", r"head\.fc.*\(2, 128\)", "this config"),
    "pretraining": Mistake("test linear.py work_dirs/pretrain/epoch_1.pth", "lacks", "this config wrote"),
    "cut": Mistake(TEST, "linear.pth: damaged", "copy it again", lambda f: cut(f / "work_dirs/linear/linear.pth")),
    "backbone": Mistake(PROBE, "tensors", "depth", change("linear.py", "dict(base_ch", "dict(depth=34, base_ch")),
    "no-backbone": Mistake(PROBE, "backbone.pth", "pre-train first", lambda f: (f / BACKBONE).unlink()),
    "text": Mistake(PROBE, "backbone.pth.*not a checkpoint", "copy", lambda f: (f / BACKBONE).write_text("hello")),
    "batch": Mistake(
        "train pretrain.py --resume --cfg-options train_dataloader.batch_size=2", "batch_size", "load_from"
    ),
    # work dirs
    "finished": Mistake("train pretrain.py", "work_dirs/pretrain", "--resume.*--work-dir.*--overwrite"),
    "no-space": Mistake(NEW, "epoch_1.pth", "make room", limits={"RLIMIT_FSIZE": 300_000}),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_takes_a_few_lines(mistake: Mistake, otcxr: Otcxr, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "user"
    shutil.copytree(finished, folder)
    mistake.make(folder)
    run = otcxr(*mistake.command.split(), cwd=folder, env=mistake.env, limits=mistake.limits)
    start = next((i for i, line in enumerate(run.lines) if ": error: " in line), 0)
    said = " ".join(run.lines[start:])
    assert run.status == 1, run.out
    assert len(run.lines) - start <= MOST_LINES, run.out
    assert re.search(mistake.culprit, said), run.out
    assert re.search(mistake.way, said), run.out
    assert "Traceback" not in run.out


def test_a_healthy_start_takes_two_lines_and_the_log_has_all(finished: Path) -> None:
    first, second, third, *_ = (finished / "healthy.txt").read_text().splitlines()
    assert "batches of 4 images x 1 process, learning rate 0.003; log: work_dirs/pretrain/" in first
    assert "UnlabeledCXR [all]: 8 images" in second
    assert "Epoch(train)" in third or "Epoch 1" in third
    (log,) = finished.glob("work_dirs/pretrain/*/*.log")
    assert all(part in log.read_text() for part in ("System environment:", "Config:\n", "Hooks will be executed"))


def test_the_traceback_is_in_the_log(otcxr: Otcxr, finished: Path, tmp_path: Path) -> None:
    argv = ("train", finished / "pretrain.py", "--work-dir", "new")
    *_, details = otcxr(*argv, cwd=tmp_path, env={"MY_IMAGES": "gone"}).lines
    log = tmp_path / details.removeprefix("details: ")
    assert "Traceback (most recent call last)" in log.read_text()


def test_a_finished_run_is_exported(otcxr: Otcxr, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "work_dirs" / "pretrain", tmp_path / "run")
    out = otcxr("export", "run", cwd=tmp_path, check=True).out
    assert "backbone_mmpretrain.pth and backbone_mmpretrain.json: written" in out
    first, second = (
        json.loads((tmp_path / "run" / f"backbone{name}.json").read_text()) for name in ("", "_mmpretrain")
    )
    assert second.pop("layout") == "mmpretrain"
    assert second == {key: first[key] for key in second}
