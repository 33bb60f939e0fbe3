"""A trained run asked about images: its findings equal those of its test, and odd files do not end it."""

import json
import os
import re
import shutil
import struct
import time
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from tests.conftest import ROOT
from tests.datasets.dicoms import write_dicom

pytestmark = pytest.mark.xdist_group("hospital")
SECRET = "SECRET^PATIENT"
INFERENCE = ROOT / "docs" / "inference.md"
PARQUET = any(map(find_spec, ("pyarrow", "fastparquet")))


def test_predictions_are_those_of_the_test(otcxr, hospital):
    folder = hospital.root.parent
    command = ("predict", "work_dirs/labels", "hospital/images", "--out", "found.csv", "--studies", "mean")
    otcxr(*command, cwd=folder, check=True)
    found = pd.read_csv(folder / "found.csv")
    assert found["path"].tolist() == sorted(found["path"]) and found["path"][0].startswith("hospital/images/")
    tested = np.load(folder / "work_dirs" / "labels" / "predictions.npz")
    rows = found.set_index("path").loc[[f"hospital/{image}" for image in tested["image"]]]
    classes = tested["classes"].tolist()
    np.testing.assert_allclose(rows[classes].to_numpy(), tested["scores"], rtol=0, atol=1e-5)
    record = json.loads((folder / "found.json").read_text())
    results = json.loads((folder / "work_dirs" / "labels" / "results.json").read_text())
    assert record["weights"]["sha256"] == results["checkpoint"]["sha256"]
    for row, name in zip(results["details"]["classes"], classes, strict=True):
        threshold = row["at_threshold"]["threshold"]
        assert record["thresholds"][name] == threshold
        called = (tested["scores"][:, classes.index(name)] >= threshold).tolist()
        assert (rows[f"{name}_positive"] == "yes").tolist() == called
    studies = pd.read_csv(folder / "found.studies_mean.csv").set_index("study")
    of_images = found.groupby(found["path"].map(os.path.dirname))[classes]
    np.testing.assert_allclose(studies.loc[:, classes], of_images.mean().loc[studies.index], atol=1e-6)
    assert studies["images"].sum() == len(found)
    refused = otcxr("predict", "work_dirs/labels", "hospital/images", "--out", "found.csv", cwd=folder)
    assert refused.status == 1 and "found.csv is there already" in refused.out
    refused = otcxr("predict", "work_dirs/mine", "hospital/images", "--out", "other.csv", cwd=folder)
    assert refused.status == 1 and "OTCXR is not a classifier" in refused.out


def test_exported_graphs_give_the_probabilities_of_the_test(otcxr, hospital):
    import otcxr_mm

    folder = hospital.root.parent
    tested = np.load(folder / "work_dirs" / "labels" / "predictions.npz")
    model = otcxr_mm.load_backbone(folder / "work_dirs" / "labels" / "linear.pth")
    images = model.preprocess([folder / "hospital" / image for image in tested["image"]])
    done = otcxr("export", "work_dirs/labels", "--out", "labels.pt2", cwd=folder, check=True)
    assert [line for line in done.lines if "OneDL" not in line] == ["labels.pt2: written"]
    program = torch.export.load(folder / "labels.pt2")
    np.testing.assert_allclose(program.module()(images).detach(), tested["scores"], rtol=0, atol=1e-5)
    with zipfile.ZipFile(folder / "labels.pt2") as archive:
        contents = [archive.read(name) for name in archive.namelist()]

    onnxruntime = pytest.importorskip("onnxruntime")
    done = otcxr("export", "work_dirs/labels", "--out", "labels.onnx", cwd=folder, check=True)
    assert [line for line in done.lines if "OneDL" not in line] == ["labels.onnx: written"]
    session = onnxruntime.InferenceSession(folder / "labels.onnx")
    (found,) = session.run(["probabilities"], {"images": images.numpy()})
    np.testing.assert_allclose(found, tested["scores"], rtol=0, atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    results = json.loads((folder / "work_dirs" / "labels" / "results.json").read_text())
    assert json.loads(metadata["classes"]) == tested["classes"].tolist()
    assert json.loads(metadata["weights_sha256"]) == results["checkpoint"]["sha256"]
    rows = results["details"]["classes"]
    assert json.loads(metadata["thresholds"]) == {row["name"]: row["at_threshold"]["threshold"] for row in rows}
    contents.append((folder / "labels.onnx").read_bytes())
    for secret in (str(ROOT), str(folder), "site-packages", tested["image"][0]):
        assert not [1 for content in contents if secret.encode() in content], secret


def test_the_pages_program_gives_the_probabilities_of_the_test(otcxr, hospital, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    folder = hospital.root.parent
    otcxr("export", "work_dirs/labels", "--out", tmp_path / "classifier.onnx", cwd=folder, check=True)
    tested = np.load(folder / "work_dirs" / "labels" / "predictions.npz")
    shutil.copy(folder / "hospital" / str(tested["image"][0]), tmp_path / "a.png")
    program = re.search(r"^```python\n# with_onnx\.py\n(.*?)^```", INFERENCE.read_text(), re.M | re.S)[1]
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(program, names)
    np.testing.assert_allclose(names["probabilities"], tested["scores"][:1], rtol=0, atol=1e-4)


def test_features_are_those_of_python_and_images_that_look_alike_are_found(otcxr, hospital):
    import otcxr_mm

    folder = hospital.root.parent
    args = ["--out", "z.npz", "--batch-size", 5, "--workers", 2]
    otcxr("embed", "work_dirs/mine", "hospital/images", *args, cwd=folder, check=True)
    found = np.load(folder / "z.npz")
    model = otcxr_mm.load_backbone(folder / "work_dirs" / "mine")
    expected = model.embed([folder / path for path in found["path"]]).numpy()
    assert model.source.endswith("backbone.pth")
    assert np.array_equal(found["embedding"], expected)
    (checkpoint,) = (folder / "work_dirs" / "mine").glob("epoch_2.pth")
    again = otcxr_mm.load_backbone(checkpoint).embed(str(folder / found["path"][0]))
    assert np.array_equal(again[0], expected[0])

    files = sorted((folder / "hospital" / "images").iterdir())
    copy = folder / "copy.png"
    shutil.copy(files[3], copy)
    query = f"hospital/images/{files[7].name}"
    otcxr("similar", "work_dirs/mine", "z.npz", copy, query, "--out", "s.png", "-k", 3, cwd=folder, check=True)
    table = pd.read_csv(folder / "s.csv")
    assert table["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    assert (table["path"][0], table["cosine"][0]) == (f"hospital/images/{files[3].name}", pytest.approx(1, abs=1e-5))
    assert query not in table["path"][3:].tolist()
    assert cv2.imread(str(folder / "s.png")).shape[1] > 500
    refused = otcxr("similar", "work_dirs/labels", "z.npz", copy, "--out", "t.png", cwd=folder)
    assert refused.status == 1 and "embedded with other weights" in refused.out


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size, and holds next to nothing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    return b"\x89PNG\r\n\x1a\n" + chunk


def odd_files(folder: Path, good: Path) -> set[str]:
    """Twenty kinds of files that are no radiographs, or broken ones; returns their names."""
    folder.mkdir()
    raw, jpeg = good.read_bytes(), cv2.imencode(".jpg", np.full((64, 64), 99, np.uint8))[1].tobytes()
    grey = np.random.randint(0, 255, (16, 16), dtype=np.uint8)
    contents = {
        "empty.png": b"",
        "truncated.png": raw[: len(raw) // 2],
        "truncated.jpg": jpeg[:-40],
        "text.png": b"hello",
        "page.jpg": b"<html><body>404</body></html>",
        "archive.png": b"PK\x03\x04" + bytes(200),
        "zeros.bmp": bytes(500),
        "script.tif": b"#!/bin/sh\ntouch run\n",
        "bomb.png": png_header(100_000, 100_000),
        "pickle.jpeg": b"\x80\x04cos\nsystem\n(S'touch run'\ntR.",
        "no_pixels.png": png_header(64, 64),
        "text.dcm": b"hello",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    cv2.imwrite(str(folder / "float.tiff"), np.full((16, 16), np.nan, np.float32))
    cv2.imwrite(str(folder / "twelve_bits.png"), np.full((16, 16), 4000, np.uint16))
    (folder / "dangling.png").symlink_to(folder / "gone.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    os.mkfifo(folder / "pipe.png")
    write_dicom(folder / "frames.dcm", grey, PatientName=SECRET, NumberOfFrames=2)
    write_dicom(folder / "colour.dcm", grey, PatientName=SECRET, PhotometricInterpretation="RGB")
    write_dicom(folder / "cut.dcm", grey, PatientName=SECRET, PatientID=SECRET)
    (folder / "cut.dcm").write_bytes((folder / "cut.dcm").read_bytes()[:-100])
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def mixed(hospital, tmp_path_factory):
    """Two hundred genuine radiographs, and twenty odd files among them."""
    pytest.importorskip("pydicom")
    folder = tmp_path_factory.mktemp("mixed")
    files = sorted((hospital.root / "images").iterdir())
    odd = odd_files(folder / "in", files[0])
    assert len(odd) == 20
    for number in range(200):
        shutil.copy(files[number % len(files)], folder / "in" / f"{number:03d}{files[0].suffix}")
    return folder, odd


def test_two_hundred_rows_and_twenty_reasons(otcxr, hospital, mixed):
    folder, odd = mixed
    run = hospital.root.parent / "work_dirs" / "labels"
    for strict in ([], ["--strict", "--force"]):
        done = otcxr("predict", run, folder / "in", "--out", "p.csv", "--workers", 2, *strict, cwd=folder)
        assert done.status == (1 if strict else 0), done.out
        assert len(pd.read_csv(folder / "p.csv")) == 200
        record = json.loads((folder / "p.json").read_text())
        assert {Path(entry["path"]).name for entry in record["failed"]} == odd
        assert all(Path(entry["path"]).name in entry["reason"] for entry in record["failed"])
        assert "20 files could not be read" in done.out
        assert not {"run", "p.csv.partial"} & {path.name for path in folder.iterdir()}
    for text in (done.out, (folder / "p.csv").read_text(), (folder / "p.json").read_text()):
        assert "SECRET" not in text


def test_a_killed_command_leaves_no_table_and_resumes(otcxr, hospital, mixed):
    folder, _ = mixed
    run = hospital.root.parent / "work_dirs" / "labels"
    (folder / "many.txt").write_text("".join(f"{folder}/in/{i % 200:03d}.png\n" for i in range(1200)))
    args = ["predict", run, "many.txt", "--workers", 0, "--batch-size", 8, "--out"]
    otcxr(*args, "whole.csv", cwd=folder, check=True)
    started = otcxr.start(*args, "k.csv", cwd=folder)
    while started.status is None and not (folder / "k.csv.partial" / "values.npy").exists():
        time.sleep(0.01)
    started.process.kill()
    started.wait()
    assert not (folder / "k.csv").exists() and not (folder / "k.json").exists()
    otcxr(*args, "k.csv", cwd=folder, check=True)
    assert (folder / "k.csv").read_bytes() == (folder / "whole.csv").read_bytes()
    assert not (folder / "k.csv.partial").exists()


def test_mistakes_end_before_anything_is_computed(otcxr, hospital, tmp_path):
    run = hospital.root.parent / "work_dirs" / "labels"
    images = hospital.root / "images"
    for args, message in {
        (run, images, "--out", "p.xlsx"): "the name must end in .csv or .parquet",
        (run, tmp_path, "--out", "p.csv"): "no images here",
        (run, images, "--out", "p.parquet"): "writing .parquet needs pyarrow" if not PARQUET else "NOT RUN",
        (run, tmp_path / "gone.png", "--out", "p.csv"): "none of the 1 images could be read: .*gone.png: no such image",
        (tmp_path, images, "--out", "p.csv"): "no weights here",
    }.items():
        if message == "NOT RUN":
            continue
        done = otcxr("predict", *args, cwd=tmp_path)
        assert done.status == 1 and pd.Series([done.out]).str.contains(message).all(), done.out
        assert not list(tmp_path.glob("p.*"))
