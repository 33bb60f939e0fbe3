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
    "otcxr_mm::_base_/models/classifier_r18_thin.py",
    "otcxr_mm::_base_/datasets/labelled_96.py",
    "otcxr_mm::_base_/linear_runtime.py",
]
model = dict(backbone=dict(base_channels=16, stem_channels=16), head=dict(num_classes=2, in_channels=128))
images = dict(
    type="otcxr_mm.CSVLabeledCXR",
    data_root=".",
    ann_file="labels.csv",
    img_prefix="images",
    label_columns=["Mass", "Nodule"],
    pipeline=_base_.pipeline,
    test_mode=True,
)
train_dataloader = dict(dataset=dict(**images, split="train"))
val_dataloader = dict(dataset=dict(**images, split="val"))
test_dataloader = dict(dataset=dict(**images, split="test"))
custom_hooks = [dict(type="otcxr_mm.LoadBackboneHook", checkpoint="work_dirs/pretrain/backbone.pth")]
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


def dicom(path: Path, **kwargs: object) -> None:
    """A DICOM file in place of an image."""
    path.unlink()
    write_dicom(path.with_suffix(".dcm"), **kwargs)


def table(*lines: str) -> Callable[[Path], object]:
    """A table of one's own."""
    return write("labels.csv", "\n".join(lines).encode() + b"\n")


TRAIN, PROBE = "train pretrain.py", "train linear.py --work-dir new"
NEW = "train pretrain.py --work-dir new"
MISTAKES = [
    # names, keys, values, options
    Mistake("key", NEW, "optim_wraper", "optim_wrapper", add("pretrain.py", "optim_wraper = dict(type='X')\n")),
    Mistake("helper", NEW, "max_epochs", r"train_cfg\.max_epochs", add("pretrain.py", "max_epochs = 7\n")),
    Mistake("seed", NEW, "seed", r"randomness", add("pretrain.py", "seed = 4\n")),
    Mistake("type", NEW, "UnlabelledCXR", "UnlabeledCXR", change("pretrain.py", "UnlabeledCXR", "UnlabelledCXR")),
    Mistake("argument", NEW, "data_rot", "data_root", change("pretrain.py", "data_root=", "data_rot=")),
    Mistake("option key", f"{NEW} --cfg-options train_dataloder.batch_size=4", "train_dataloder", "train_dataloader"),
    Mistake("option part", f"{NEW} --cfg-options train_dataloader.batchsize=4", "batchsize", "batch_size"),
    Mistake("text for a number", f"{NEW} --cfg-options train_dataloader.batch_size=four", "batch_size", "integer|number"),
    Mistake("command", "trian pretrain.py", "trian", "train"),
    Mistake("config", "train pretrian.py", "pretrian.py", r"pretrain\.py"),
    Mistake("option", f"{NEW} --resmue", "--resmue", "--resume"),
    Mistake("syntax", NEW, r"pretrain\.py, line \d+", "never closed", add("pretrain.py", "x = (\n")),
    Mistake("value of an architecture", f"{NEW} --cfg-options model.backbone.depth=19", "invalid depth 19", "ResNet"),
    # folders and variables
    Mistake("no such folder", NEW, "imags", "data_root", env={"MY_IMAGES": "imags"}),
    Mistake("no variable", NEW, "MY_DATA", "export", change("pretrain.py", "$MY_IMAGES:pool", "$MY_DATA:")),
    Mistake("a file for a folder", NEW, r"labels\.csv", "data_root", env={"MY_IMAGES": "labels.csv"}),
    Mistake("empty folder", NEW, "empty", r"\.png", lambda f: (f / "empty").mkdir(), {"MY_IMAGES": "empty"}),
    Mistake("no table of NIH", "train nih.py", "images", "Data_Entry_2017", env={"OTCXR_NIH": "images"}),
    Mistake(
        "no list of NIH", "train nih.py", "train_val_list.txt", "download|split_file",
        lambda f: (f / "nih" / "train_val_list.txt").unlink(), {"OTCXR_NIH": "nih"},
    ),
    Mistake("prefix", PROBE, "imges/0.png", "img_prefix|data_root", change("linear.py", '"images"', '"imges"')),
    Mistake("base", NEW, r"otcxr_r18_cpuu\.py", "_base_|list-cfg|did you mean", change("pretrain.py", "r18_cpu.", "r18_cpuu.")),
    # tables
    Mistake("no column", PROBE, "Masss", r"columns are .*'Mass'", change("linear.py", '"Mass"', '"Masss"')),
    Mistake("a row twice", PROBE, r"labels\.csv.*0\.png", "row", add("labels.csv", "0.png,p0,train,1,0\n")),
    Mistake(
        "semicolons", PROBE, r"labels\.csv", "comma|semicolon",
        lambda f: change("labels.csv", ",", ";")(f),
    ),
    Mistake(
        "UTF-16", PROBE, r"labels\.csv", "UTF-8",
        lambda f: (f / "labels.csv").write_bytes((f / "labels.csv").read_text().encode("utf-16")),
    ),
    Mistake("a label of text", PROBE, "row 2.*'yes'", "positive", change("labels.csv", "0.png,p0,train,1", "0.png,p0,train,yes")),
    Mistake("name of a split", PROBE, "split 'train'", "training", change("labels.csv", ",train,", ",training,")),
    Mistake("a patient in two splits", PROBE, "p1", "split by patient", change("labels.csv", "p3", "p1")),
    Mistake("an image is missing", PROBE, r"images/1\.png", "skip_missing|data_root", lambda f: (f / "images" / "1.png").unlink()),
    Mistake("a short row", PROBE, "row 3", "5", change("labels.csv", "1.png,p0,train,0,1", "1.png,p0")),
    Mistake("only a header", PROBE, r"labels\.csv", "no row", table("path,patient,split,Mass,Nodule")),
    # images
    Mistake("truncated", NEW, r"\.png", "copy it again|replace", every_image(lambda p: p.write_bytes(p.read_bytes()[:200]))),
    Mistake("empty", NEW, r"\.png", "copy it again|replace", every_image(lambda p: p.write_bytes(b""))),
    Mistake(
        "16 bits taken for 12", NEW, r"\.png.*5000", "max_value",
        lambda f: (
            every_image(lambda p: cv2.imwrite(str(p), np.full((40, 40), 5000, np.uint16)))(f),
            change("pretrain.py", 'LoadCXR"', 'LoadCXR", max_value=4095')(f),
        ),
    ),
    Mistake("an archive named as an image", NEW, r"\.png", "zip|copy it again|replace", every_image(archive)),
    Mistake("too many pixels", NEW, r"\.png.*3,600,000,000", "max_pixels", every_image(bomb)),
    Mistake(
        "DICOM with frames", NEW, r"\.dcm.*2 frames", "take it out",
        every_image(lambda p: dicom(p, pixels=np.zeros((40, 40), np.uint8), NumberOfFrames=2)),
    ),
    Mistake("text named as DICOM", NEW, r"\.dcm", "DICOM", every_image(lambda p: p.rename(p.with_suffix(".dcm")).write_text("x" * 500))),
    Mistake("a broken image in a test", PROBE, r"6\.png|4\.png|0\.png", "copy it again", every_image(lambda p: p.write_bytes(b"x"), "images")),
    # classes and heads
    Mistake("num_classes", PROBE, "num_classes", "2", change("linear.py", "num_classes=2", "num_classes=3")),
    Mistake("classes", PROBE, "Masse", "Mass'", change("linear.py", "test_mode", "classes=['Masse', 'Nodul'], test_mode")),
    Mistake("no positive", PROBE, "no class has both", "take others", lambda f: (f / "labels.csv").write_text(re.sub(r"\d,\d\n", "0,0\n", (f / "labels.csv").read_text()))),
    Mistake("no label known", PROBE, "no class has both", "take others", lambda f: (f / "labels.csv").write_text(re.sub(r"\d,\d\n", ",\n", (f / "labels.csv").read_text()))),
    Mistake("width of a head", PROBE, "in_channels", "128", change("linear.py", "in_channels=128", "in_channels=512")),
    Mistake("a name for a list", PROBE, "label_columns", "list", change("linear.py", '["Mass", "Nodule"]', '"Mass"')),
    # checkpoints
    Mistake("another network tested", "test linear.py work_dirs/linear/linear.pth --cfg-options model.backbone.depth=34", "lacks", "config"),
    Mistake("another width tested", "test linear.py work_dirs/linear/linear.pth --cfg-options model.backbone.base_channels=8 model.head.in_channels=64", "shape", "config"),
    Mistake("another backbone", PROBE, "tensors", "depth", change("linear.py", "dict(base_channels=16", "dict(depth=34, base_channels=16")),
    Mistake("truncated checkpoint", "test linear.py work_dirs/linear/linear.pth", r"linear\.pth", "truncated|damaged", cut("work_dirs/linear/linear.pth")),
    Mistake("no backbone", PROBE, r"backbone\.pth", "pre-train first", lambda f: (f / "work_dirs/pretrain/backbone.pth").unlink()),
    Mistake("text for a checkpoint", "test linear.py labels.csv", r"labels\.csv", "checkpoint"),
    Mistake("text for a backbone", PROBE, r"backbone\.pth", "truncated|damaged|checkpoint", write("work_dirs/pretrain/backbone.pth", b"hello")),
    Mistake("pre-training tested", "test linear.py work_dirs/pretrain/epoch_1.pth", "lacks", "config"),
    Mistake("resumed with another batch", "train pretrain.py --resume --cfg-options train_dataloader.batch_size=2 train_cfg.max_epochs=2", "batch_size", "load_from"),
    # work dirs
    Mistake("a file for a work dir", "train pretrain.py --work-dir labels.csv", r"labels\.csv", "--work-dir"),
    Mistake("a work dir nobody can write to", "train pretrain.py --work-dir /proc/run", "/proc/run", "--work-dir"),
    Mistake("no space", NEW, "epoch_1.pth", "space|size|large", limits={"RLIMIT_FSIZE": 300_000}),
    Mistake("a finished run", TRAIN, "work_dirs/pretrain", "--resume.*--work-dir.*--overwrite"),
    # devices
    Mistake("pytorch without torchrun", f"{NEW} --launcher pytorch", "--launcher pytorch", "torchrun"),
    Mistake("slurm without GPU", f"{NEW} --launcher slurm", "--launcher slurm", "GPU"),
    Mistake("SyncBN on CPUs", f"{NEW} --launcher pytorch --cfg-options model.backbone.norm_cfg.type=SyncBN", "SyncBN", "type=BN", env={"RANK": "0"}),
    Mistake("number of workers", f"{NEW} --cfg-options train_dataloader.num_workers=-1", "num_workers", "non-negative"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name.replace(" ", "-"))
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
