"""Sixty mistakes, each made with the command that a user would type.

Every one ends with a status other than 0 and at most six lines in all, which name the culprit and a way out.
"""

import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.datasets.dicoms import write_dicom
from tests.journeys.conftest import Otcxr

MOST_LINES = 6

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
NIH = """_base_ = ["otcxr_mm::otcxr_r50_nih.py"]
train_dataloader = dict(num_workers=0, persistent_workers=False)
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
NIH_HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"


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
    for name, text in (("pretrain", PRETRAIN), ("linear", LINEAR), ("nih", NIH)):
        (folder / f"{name}.py").write_text(text)
    nih = folder / "nih"
    (nih / "images").mkdir(parents=True)
    shutil.copy(folder / "images" / "0.png", nih / "images" / "00000001_000.png")
    (nih / "Data_Entry_2017_v2020.csv").write_text(NIH_HEADER + "00000001_000.png,Mass,0,1,50,F,PA\n")
    (nih / "train_val_list.txt").write_text("00000001_000.png\n")
    (nih / "test_list.txt").write_text("00000002_000.png\n")
    otcxr("train", "pretrain.py", cwd=folder, check=True)
    otcxr("train", "linear.py", cwd=folder, check=True)
    return folder


@dataclass(frozen=True)
class Mistake:
    """What is typed, what was done wrong before, and what the message must name."""

    name: str
    command: str
    culprit: str
    way: str
    make: Callable[[Path], object] = lambda folder: None
    env: dict[str, str] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)


def change(file: str, old: str, new: str) -> Callable[[Path], None]:
    """Replaces a text in a file."""

    def make(folder: Path) -> None:
        text = (folder / file).read_text()
        assert old in text, (file, old)
        (folder / file).write_text(text.replace(old, new))

    return make


def add(file: str, text: str) -> Callable[[Path], object]:
    """Adds lines to a file."""
    return lambda folder: (folder / file).write_text((folder / file).read_text() + text)


def write(file: str, content: bytes) -> Callable[[Path], object]:
    """Writes a file."""
    return lambda folder: (folder / file).write_bytes(content)


def every_image(content: Callable[[Path], object], name: str = "pool") -> Callable[[Path], None]:
    """Does something with each image of a folder."""

    def make(folder: Path) -> None:
        for path in sorted((folder / name).iterdir()):
            content(path)

    return make


def cut(file: str) -> Callable[[Path], object]:
    """Leaves half of a file."""
    return lambda folder: (folder / file).write_bytes(
        (folder / file).read_bytes()[: (folder / file).stat().st_size // 2]
    )


def bomb(path: Path) -> None:
    """A PNG of a few bytes whose header says 60,000 x 60,000 pixels."""
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + chunk
    )


def archive(path: Path) -> None:
    """A zip with the name of an image."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("image.png", "x")


def labels(text: str) -> Callable[[Path], None]:
    """Replaces the labels of every row."""

    def make(folder: Path) -> None:
        table = folder / "labels.csv"
        table.write_text(re.sub(r"\d,\d\n", f"{text}\n", table.read_text()))

    return make


def missing(file: str) -> Callable[[Path], None]:
    """Removes a file."""
    return lambda folder: (folder / file).unlink()


def as_utf16(folder: Path) -> None:
    """Saves the table as spreadsheets do under 'Unicode'."""
    (folder / "labels.csv").write_text((folder / "labels.csv").read_text(), encoding="utf-16")


def five_thousand(folder: Path) -> None:
    """16-bit images of which the config says that they have 12 bits."""
    every_image(lambda p: cv2.imwrite(str(p), np.full((40, 40), 5000, np.uint16)))(folder)
    change("pretrain.py", 'LoadCXR"', 'LoadCXR", max_value=4095')(folder)


def two_frames(path: Path) -> None:
    """A DICOM file with two frames in place of an image."""
    path.unlink()
    write_dicom(path.with_suffix(".dcm"), np.zeros((40, 40), np.uint8), NumberOfFrames=2)


def text_as_dicom(path: Path) -> None:
    """Text with the name of a DICOM file in place of an image."""
    path.rename(path.with_suffix(".dcm")).write_text("x" * 500)


TEST = "test linear.py work_dirs/linear/linear.pth"
PROBE = "train linear.py --work-dir new"
NEW = "train pretrain.py --work-dir new"
OPTION = f"{NEW} --cfg-options"

NAMES = [
    Mistake("key", NEW, "optim_wraper", "optim_wrapper", add("pretrain.py", "optim_wraper = dict(type='X')\n")),
    Mistake("helper", NEW, "max_epochs", r"train_cfg\.max_epochs", add("pretrain.py", "max_epochs = 7\n")),
    Mistake("seed", NEW, "seed", "randomness", add("pretrain.py", "seed = 4\n")),
    Mistake("type", NEW, "UnlabelledCXR", "UnlabeledCXR", change("pretrain.py", "UnlabeledCXR", "UnlabelledCXR")),
    Mistake("argument", NEW, "data_rot", "data_root", change("pretrain.py", "data_root=", "data_rot=")),
    Mistake("option-key", f"{OPTION} train_dataloder.batch_size=4", "train_dataloder", "did you mean train_dataloader"),
    Mistake("option-part", f"{OPTION} train_dataloader.batchsize=4", "batchsize", "batch_size"),
    Mistake("option-value", f"{OPTION} train_dataloader.batch_size=four", "batch_size=four", "integer"),
    Mistake("command", "trian pretrain.py", "trian", "train"),
    Mistake("config", "train pretrian.py", r"pretrian\.py", r"did you mean pretrain\.py"),
    Mistake("option", f"{NEW} --resmue", "--resmue", "did you mean --resume"),
    Mistake("syntax", NEW, r"pretrain\.py, line \d+", "never closed", add("pretrain.py", "x = (\n")),
    Mistake("depth", f"{OPTION} model.backbone.depth=19", "invalid depth 19", "ResNet"),
]
FOLDERS = [
    Mistake("no-folder", NEW, "imags", "data_root", env={"MY_IMAGES": "imags"}),
    Mistake("no-variable", NEW, "MY_DATA", "export", change("pretrain.py", "$MY_IMAGES:pool", "$MY_DATA:")),
    Mistake("file-for-folder", NEW, r"labels\.csv", "data_root", env={"MY_IMAGES": "labels.csv"}),
    Mistake("empty-folder", NEW, "empty", r"\.png", lambda f: (f / "empty").mkdir(), {"MY_IMAGES": "empty"}),
    Mistake("no-nih-table", "train nih.py", "images", "Data_Entry_2017", env={"OTCXR_NIH": "images"}),
    Mistake(
        "no-nih-list",
        "train nih.py",
        "train_val_list.txt",
        "data_root",
        missing("nih/train_val_list.txt"),
        {"OTCXR_NIH": "nih"},
    ),
    Mistake("prefix", PROBE, "imges/0.png", "img_prefix", change("linear.py", '"images"', '"imges"')),
    Mistake("base", NEW, r"otcxr_r18_cpuu\.py", "did you mean", change("pretrain.py", "r18_cpu.", "r18_cpuu.")),
]
TABLES = [
    Mistake("no-column", PROBE, "Masss", "columns are .*'Mass'", change("linear.py", '"Mass"', '"Masss"')),
    Mistake("row-twice", PROBE, r"labels\.csv.*0\.png", "keep one", add("labels.csv", "0.png,p0,train,1,0\n")),
    Mistake("semicolons", PROBE, r"labels\.csv.*';'", "comma", change("labels.csv", ",", ";")),
    Mistake("utf-16", PROBE, r"labels\.csv, row 1", "UTF-8", as_utf16),
    Mistake(
        "text-label", PROBE, "row 2.*'yes'", "positive", change("labels.csv", "0.png,p0,train,1", "0.png,p0,train,yes")
    ),
    Mistake("split-name", PROBE, "split 'train'", "training", change("labels.csv", ",train,", ",training,")),
    Mistake("two-splits", PROBE, "p1", "split by patient", change("labels.csv", "p3", "p1")),
    Mistake("no-image", PROBE, r"images/1\.png", "skip_missing", missing("images/1.png")),
    Mistake(
        "short-row", PROBE, r"labels\.csv, row 3: 2 fields", "5", change("labels.csv", "1.png,p0,train,0,1", "1.png,p0")
    ),
    Mistake("header-only", PROBE, r"labels\.csv", "no row", write("labels.csv", b"path,patient,split,Mass,Nodule\n")),
]
IMAGES = [
    Mistake("truncated", NEW, r"\d\.png", "copy it again", every_image(lambda p: p.write_bytes(p.read_bytes()[:200]))),
    Mistake("empty", NEW, r"\d\.png: the file is empty", "copy it again", every_image(lambda p: p.write_bytes(b""))),
    Mistake("12-bits", NEW, r"\d\.png.*5000", "max_value", five_thousand),
    Mistake("archive", NEW, r"\d\.png", "copy it again", every_image(archive)),
    Mistake("bomb", NEW, r"\d\.png: 3,600,000,000 pixels", "max_pixels", every_image(bomb)),
    Mistake("frames", NEW, r"\d\.dcm.*2 frames", "take it out", every_image(two_frames)),
    Mistake("text-dicom", NEW, r"\d\.dcm", "take it out", every_image(text_as_dicom)),
    Mistake("in-a-test", PROBE, r"\d\.png", "copy it again", every_image(lambda p: p.write_bytes(b"x"), "images")),
]
CLASSES = [
    Mistake(
        "num-classes", PROBE, "num_classes=3", "Mass, Nodule", change("linear.py", "num_classes=2", "num_classes=3")
    ),
    Mistake("class", PROBE, "Masse", "'Mass'", change("linear.py", "test_mode", "classes=['Masse'], test_mode")),
    Mistake("no-positive", PROBE, "no class has both", "Take others", labels("0,0")),
    Mistake("no-label", PROBE, "no class has both", "Take others", labels(",")),
    Mistake("width", PROBE, "in_channels=512", "128", change("linear.py", "in_channels=128", "in_channels=512")),
    Mistake("no-list", PROBE, "label_columns", "list", change("linear.py", '["Mass", "Nodule"]', '"Mass"')),
]
CHECKPOINTS = [
    Mistake("other-depth", f"{TEST} --cfg-options model.backbone.depth=34", "lacks", "training of this config"),
    Mistake("other-classes", f"{TEST} --cfg-options model.head.num_classes=3", r"head\.fc.*\(2, 128\)", "this config"),
    Mistake(
        "backbone", PROBE, "tensors", "depth", change("linear.py", "dict(base_channels", "dict(depth=34, base_channels")
    ),
    Mistake("cut", TEST, r"linear\.pth: truncated", "copy it again", cut("work_dirs/linear/linear.pth")),
    Mistake("no-backbone", PROBE, r"backbone\.pth", "pre-train first", missing("work_dirs/pretrain/backbone.pth")),
    Mistake("text", "test linear.py labels.csv", r"labels\.csv.*not a checkpoint", "another file"),
    Mistake(
        "text-backbone",
        PROBE,
        r"backbone\.pth.*not a checkpoint",
        "copy",
        write("work_dirs/pretrain/backbone.pth", b"hello"),
    ),
    Mistake("pretraining", "test linear.py work_dirs/pretrain/epoch_1.pth", "lacks", "training of this config"),
    Mistake(
        "other-batch",
        "train pretrain.py --resume --cfg-options train_dataloader.batch_size=2",
        "batch_size",
        "load_from",
    ),
]
WORK_DIRS = [
    Mistake("file", "train pretrain.py --work-dir labels.csv", r"labels\.csv", "--work-dir"),
    Mistake("read-only", "train pretrain.py --work-dir /proc/run", "/proc/run", "--work-dir"),
    Mistake("no-space", NEW, r"epoch_1\.pth", "make room", limits={"RLIMIT_FSIZE": 300_000}),
    Mistake("finished", "train pretrain.py", "work_dirs/pretrain", "--resume.*--work-dir.*--overwrite"),
]
DEVICES = [
    Mistake("no-torchrun", f"{NEW} --launcher pytorch", "--launcher pytorch", "torchrun"),
    Mistake("no-gpu", f"{NEW} --launcher slurm", "--launcher slurm", "GPU"),
    Mistake(
        "sync-bn",
        f"{NEW} --launcher pytorch --cfg-options model.backbone.norm_cfg.type=SyncBN",
        "SyncBN",
        "type=BN",
        env={"RANK": "0"},
    ),
    Mistake("workers", f"{OPTION} train_dataloader.num_workers=-1", "num_workers", "non-negative"),
]
MISTAKES = {
    f"{group}-{mistake.name}": mistake
    for group, mistakes in (
        ("name", NAMES),
        ("folder", FOLDERS),
        ("table", TABLES),
        ("image", IMAGES),
        ("class", CLASSES),
        ("checkpoint", CHECKPOINTS),
        ("work-dir", WORK_DIRS),
        ("device", DEVICES),
    )
    for mistake in mistakes
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_in_a_few_lines(mistake: Mistake, otcxr: Otcxr, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "user"
    shutil.copytree(finished, folder)
    mistake.make(folder)
    run = otcxr(*mistake.command.split(), cwd=folder, env=mistake.env, limits=mistake.limits)
    said = " ".join(run.lines)
    assert run.status not in (0, None), run.out
    assert len(run.lines) <= MOST_LINES, run.out
    assert re.search(mistake.culprit, said), run.out
    assert re.search(mistake.way, said), run.out
    assert "Traceback" not in said
