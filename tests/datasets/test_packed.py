import json
import pickle

import cv2
import numpy as np
import pytest

from otcxr_mm import LoadCXR, PackedImages, UnlabeledCXR, pack_images
from otcxr_mm.datasets.packed import resize_shorter
from tests.conftest import write_image

PATHS = ["a.png", "sub/b.png", "c.png"]


@pytest.fixture
def folder(tmp_path):
    for i, (path, size) in enumerate(zip(PATHS, [(40, 48), (60, 30), (20, 20)], strict=True)):
        write_image(tmp_path / path, size, value=50 * i + 10)
    return tmp_path


def test_images_come_back_at_their_size(folder):
    pack_images(folder, PATHS, folder / "packed", 30)
    images = PackedImages(folder / "packed")
    assert len(images) == 3
    assert [images[i].shape for i in range(3)] == [(30, 36), (60, 30), (20, 20)]  # never enlarged
    assert [int(images[i].mean()) for i in range(3)] == [10, 60, 110]
    assert images.rows(["c.png", "nowhere.png", "a.png"]).tolist() == [2, -1, 0]
    assert not images[0].flags.writeable


def test_pixels_are_those_of_the_file(tmp_path):
    img = np.random.default_rng(0).integers(0, 256, (37, 51), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), img)
    pack_images(tmp_path, ["a.png"], tmp_path / "packed", 64)
    np.testing.assert_array_equal(PackedImages(tmp_path / "packed")[0], img)


def test_a_fixed_size_and_16_bits(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((20, 30), 65535, np.uint16))
    pack_images(tmp_path, ["a.png"], tmp_path / "packed", (40, 10))
    image = PackedImages(tmp_path / "packed")[0]
    assert image.shape == (40, 10)
    assert (image == 255).all()
    assert resize_shorter(image, (40, 10)) is image


def test_packing_again_changes_nothing_and_other_images_are_refused(folder):
    pack_images(folder, PATHS, folder / "packed", 30)
    before = (folder / "packed" / "pixels.bin").stat().st_mtime_ns
    pack_images(folder, PATHS, folder / "packed", 30)
    assert (folder / "packed" / "pixels.bin").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="size differ"):
        pack_images(folder, PATHS, folder / "packed", 31)
    with pytest.raises(ValueError, match="paths_sha256 differ"):
        pack_images(folder, PATHS[::-1], folder / "packed", 30)


def test_an_interrupted_call_leaves_nothing_to_read(folder):
    (folder / "c.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"c\.png: the file is empty"):
        pack_images(folder, PATHS, folder / "packed", 30)
    with pytest.raises(FileNotFoundError, match="pack them again"):
        PackedImages(folder / "packed")


def test_damage_is_noticed(folder):
    pack_images(folder, PATHS, folder / "packed", 30)
    PackedImages(folder / "packed").verify()
    pixels = folder / "packed" / "pixels.bin"
    before = pixels.read_bytes()
    pixels.write_bytes(b"\xff" + before[1:])
    with pytest.raises(ValueError, match="is damaged: remove the folder"):
        PackedImages(folder / "packed").verify()
    pixels.write_bytes(before)
    record = folder / "packed" / "packed.json"
    text = record.read_text()
    record.write_text(json.dumps({**json.loads(text), "version": 9}))
    with pytest.raises(ValueError, match="version 9"):
        PackedImages(folder / "packed")
    record.write_text(text)
    with open(folder / "packed" / "pixels.bin", "ab") as stream:
        stream.write(b"x")
    with pytest.raises(ValueError, match="bytes"):
        PackedImages(folder / "packed")


def test_a_data_set_reads_them_in_place_of_the_files(folder):
    pipeline = [LoadCXR()]
    plain = UnlabeledCXR(str(folder), pipeline=pipeline)
    paths = plain.records.path.tolist()
    pack_images(folder, paths, folder / "packed", 4096)
    packed = UnlabeledCXR(str(folder), packed=str(folder / "packed"), pipeline=pipeline)
    for path in PATHS:
        (folder / path).unlink()
    assert len(packed) == 3
    copy = pickle.loads(pickle.dumps(packed))
    for i in range(3):
        assert copy[i]["img_shape"] == packed[i]["img"].shape
        assert packed[i]["img_path"] == str(folder / paths[i])
    assert (packed.get_subset([2])[0]["img"] == packed[2]["img"]).all()
    assert packed[-1]["sample_idx"] == 2


def test_an_image_that_was_not_packed_is_named(folder):
    pack_images(folder, PATHS[:2], folder / "packed", 30)
    (folder / "list.txt").write_text("\n".join(PATHS))
    with pytest.raises(FileNotFoundError, match=r"packed/c\.png"):
        UnlabeledCXR(str(folder), ann_file="list.txt", packed=str(folder / "packed"))
    assert len(UnlabeledCXR(str(folder), ann_file="list.txt", packed=str(folder / "packed"), skip_missing=True)) == 2
