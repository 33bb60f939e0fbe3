"""What stands for images: files, folders, patterns, lists, packed images and arrays; and what is wrong with others."""

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose

from otcxr_mm import LoadCXR, pack_images
from otcxr_mm.apis.images import batches, find_images, grey_of
from tests.conftest import write_image
from tests.datasets.dicoms import write_dicom


def names(inputs):
    return [image.name for image in find_images(inputs)]


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.jpg", "sub/c.png"):
        write_image(tmp_path / name)
    (tmp_path / "notes.csv").write_text("a,b\n")
    return tmp_path


def test_images_keep_the_names_and_the_order_that_the_user_gave(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert names("sub/c.png") == ["sub/c.png"]
    assert names(".") == ["./a.jpg", "./b.png", "./sub/c.png"]
    assert names("*.png") == ["b.png"]
    assert names("**/*.png") == ["b.png", "sub/c.png"]
    assert names(["sub/c.png", "a.jpg", "b.png", "a.jpg"]) == ["sub/c.png", "a.jpg", "b.png", "a.jpg"]
    (folder / "list.txt").write_text("sub/c.png\n\nb.png\n")
    assert names("list.txt") == ["sub/c.png", "b.png"]
    with pytest.raises(FileNotFoundError, match="nothing/: no images here"):
        (folder / "nothing").mkdir()
        find_images("nothing/")
    with pytest.raises(TypeError, match="expected paths or arrays, got int"):
        find_images(3)


def test_a_pattern_that_is_a_file_is_that_file(folder):
    write_image(folder / "x[1].png")
    assert names(str(folder / "x[1].png")) == [str(folder / "x[1].png")]


def test_dicom_is_found_under_any_name(folder):
    for name in ("IM000001", "1.2.840.113619.2"):
        write_dicom(folder / "study" / name, np.zeros((4, 4), np.uint8))
    found = [name.removeprefix(f"{folder}/") for name in names(folder)]
    assert found == ["a.jpg", "b.png", "study/1.2.840.113619.2", "study/IM000001", "sub/c.png"]


def test_packed_images_are_those_of_their_files(folder):
    pack_images(folder, ["b.png", "sub/c.png"], folder / "packed", 20)
    images = find_images(folder / "packed")
    assert [image.name for image in images] == ["b.png", "sub/c.png"]
    files = find_images([folder / "b.png", folder / "sub" / "c.png"])
    steps = Compose([LoadCXR()])
    packed, read = (list(batches(one, steps, 2, 0))[0] for one in (images, files))
    assert [entry.tensor.shape for entry in packed] == [(1, 20, 24)] * 2  # 40 x 48, the shorter side to 20
    assert [entry.tensor.shape for entry in read] == [(1, 40, 48)] * 2


def test_arrays_are_read_as_their_files_would_be():
    grey = np.random.randint(0, 256, (5, 7), dtype=np.uint8)
    assert np.array_equal(grey_of(grey, "x"), grey)
    deep = grey.astype(np.uint16) * 257
    np.testing.assert_allclose(grey_of(deep, "x"), grey, atol=1e-4)
    np.testing.assert_allclose(grey_of(np.stack([grey] * 3, 2), "x"), grey, atol=1)
    assert np.array_equal(grey_of(grey.astype(float), "x"), grey)
    assert [image.pixels.shape for image in find_images([grey, torch.zeros(4, 4)])] == [(5, 7), (4, 4)]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((2, 5, 7)), r"shape \(2, 5, 7\); expected \(height, width\)"),
        (np.linspace(0, 1, 35).reshape(5, 7), "floats from 0 to 1; expected 0 for black to 255 for white"),
        (np.full((5, 7), np.nan), "floats from nan to nan"),
        (np.zeros((5, 7), np.int32), "array of int32"),
        (np.full((5, 7), 4000, np.uint16), "no pixel above 4000"),
    ],
)
def test_an_array_on_another_scale_is_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        grey_of(pixels, "x")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_cannot_be_read_is_a_reason_in_its_place(folder, workers):
    (folder / "empty.png").write_bytes(b"")
    images = find_images([folder / name for name in ("b.png", "empty.png", "gone.png", "a.jpg")])
    found = [entry for batch in batches(images, Compose([LoadCXR()]), 3, workers) for entry in batch]
    assert [entry.index for entry in found] == [0, 1, 2, 3]
    assert [entry.tensor is None for entry in found] == [False, True, True, False]
    assert "empty.png: the file is empty" in found[1].reason
    assert "gone.png: no such image file" in found[2].reason
