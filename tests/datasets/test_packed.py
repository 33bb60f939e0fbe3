import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from otcxr_mm import LoadCXR, PackedImages, UnlabeledCXR, pack_images
from otcxr_mm.datasets.packed import resize_shorter
from otcxr_mm.datasets.transforms.loading import read_grey
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
    with pytest.raises(ValueError, match="paths differ"):
        pack_images(folder, PATHS[::-1], folder / "packed", 30)


def test_damage_is_noticed(folder):
    pack_images(folder, PATHS, folder / "packed", 30)
    PackedImages(folder / "packed").verify()
    pixels, index = folder / "packed" / "pixels.bin", folder / "packed" / "index.npy"
    before = pixels.read_bytes()
    pixels.write_bytes(before[:-1] + b"\xff")
    with pytest.raises(ValueError, match=r"is damaged at c\.png: remove the folder"):
        PackedImages(folder / "packed").verify()
    pixels.write_bytes(before + b"x")
    with pytest.raises(ValueError, match=f"damaged, pixels of {len(before) + 1} bytes, not {len(before)}"):
        PackedImages(folder / "packed")
    pixels.write_bytes(before)
    np.save(index, np.load(index)[:2])
    with pytest.raises(ValueError, match="an index of 2 images, not 3"):
        PackedImages(folder / "packed")
    record = folder / "packed" / "packed.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "version": 9}))
    with pytest.raises(ValueError, match="version 9, expected 3"):
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
    with pytest.raises(FileNotFoundError) as error:
        UnlabeledCXR(str(folder), ann_file="list.txt", packed=str(folder / "packed"))
    assert str(error.value).endswith(
        f"1 of 3 listed images are not among the packed images in {folder / 'packed'}, first c.png. Run "
        "otcxr prepare for this split"
    )
    assert len(UnlabeledCXR(str(folder), ann_file="list.txt", packed=str(folder / "packed"), skip_missing=True)) == 2


# 16 bits ------------------------------------------------------------------------------------------


def test_16_bits_come_back_as_they_are_read(tmp_path):
    img = np.random.default_rng(0).integers(0, 65536, (33, 50), dtype=np.uint16)
    img[0, :2] = 0, 65535
    cv2.imwrite(str(tmp_path / "a.png"), img)
    cv2.imwrite(str(tmp_path / "b.png"), (img >> 8).astype(np.uint8))
    pack_images(tmp_path, ["a.png", "b.png"], tmp_path / "packed", 64, depth=16)
    images = PackedImages(tmp_path / "packed")
    assert images.depth == 16 and images[0].dtype == np.float32
    np.testing.assert_allclose(images[0], read_grey(str(tmp_path / "a.png")), rtol=1e-6)
    np.testing.assert_array_equal(np.rint(images[0] * 257).astype(np.uint16), img)
    np.testing.assert_allclose(images[1], img >> 8, rtol=1e-6)
    images.verify()
    with pytest.raises(ValueError, match=r"\(depth differ\)"):
        pack_images(tmp_path, ["a.png", "b.png"], tmp_path / "packed", 64)
    with pytest.raises(ValueError, match="depth must be one of"):
        pack_images(tmp_path, ["a.png"], tmp_path / "other", 64, depth=12)


def test_other_settings_are_refused(folder):
    pack_images(folder, PATHS, folder / "packed", 30, settings={"max_value": 4095})
    with pytest.raises(ValueError, match="settings differ"):
        pack_images(folder, PATHS, folder / "packed", 30)


# interrupted --------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_where_it_was(tmp_path, python):
    """Its result is that of a run that nothing happened to."""
    for i in range(40):
        write_image(tmp_path / f"{i:02d}.png", (20, 20 + i))
    script = """
import os, signal, sys
from pathlib import Path
from otcxr_mm import pack_images
from otcxr_mm.datasets.transforms.loading import read_grey
root = Path(sys.argv[1])
reads = []
def read(path):
    reads.append(path)
    if len(reads) == 25:
        os.kill(os.getpid(), signal.SIGKILL)
    return read_grey(path)
pack_images(root, [p.name for p in sorted(root.glob('*.png'))], root / 'packed', 18, read)
"""
    assert python("-c", script, tmp_path, check=False).returncode == -9
    with pytest.raises(FileNotFoundError, match="pack them again"):
        PackedImages(tmp_path / "packed")
    paths, reads = [f"{i:02d}.png" for i in range(40)], []
    pack_images(tmp_path, paths, tmp_path / "packed", 18, lambda path: reads.append(path) or read_grey(path))
    assert 16 <= len(reads) < 30
    pack_images(tmp_path, paths, tmp_path / "whole", 18)
    PackedImages(tmp_path / "packed").verify()
    for name in ("pixels.bin", "index.npy", "packed.json"):
        assert (tmp_path / "packed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.fixture
def interrupted(folder):
    """Two images are packed, the third one is broken."""
    good = (folder / "c.png").read_bytes()
    (folder / "c.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 3 images cannot be read:\n    .*c\.png: the file is empty"):
        pack_images(folder, PATHS, folder / "packed", 30)
    with pytest.raises(FileNotFoundError, match="pack them again"):
        PackedImages(folder / "packed")
    (folder / "c.png").write_bytes(good)
    return folder


def packed_again(folder):
    read = []
    pack_images(folder, PATHS, folder / "packed", 30, lambda path: read.append(path) or read_grey(path))
    images = PackedImages(folder / "packed")
    images.verify()
    return [os.path.relpath(path, folder) for path in read], [int(images[i].mean()) for i in range(3)]


def test_only_the_rest_is_read(interrupted):
    assert packed_again(interrupted) == (["c.png"], [10, 60, 110])


def test_what_changed_meanwhile_is_read_again(interrupted):
    write_image(interrupted / "sub/b.png", (60, 30), value=99)
    assert packed_again(interrupted) == (["sub/b.png", "c.png"], [10, 99, 110])


@pytest.mark.parametrize("harm", ["index", "pixels", "zeros"])
def test_what_did_not_reach_the_disk_is_read_again(interrupted, harm):
    index, pixels = interrupted / "packed" / "index.npy", interrupted / "packed" / "pixels.bin"
    row = 45  # bytes of a row, of which the file has three
    if harm == "index":
        index.write_bytes(index.read_bytes()[: -2 * row])
    elif harm == "pixels":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    else:
        pixels.write_bytes(pixels.read_bytes()[:-5] + bytes(5))
    assert packed_again(interrupted) == (["sub/b.png", "c.png"], [10, 60, 110])


def test_broken_images_are_left_out_if_asked_and_added_once_they_are_whole(folder):
    good = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(b"")
    (folder / "c.png").unlink()
    with pytest.raises(ValueError, match=r"2 of 3 .*\n    .*a\.png: the file is empty.*\n    .*c\.png: no such image"):
        pack_images(folder, PATHS, folder / "packed", 30)
    pack_images(folder, PATHS, folder / "packed", 30, skip_broken=True)
    images = PackedImages(folder / "packed")
    assert images.paths.tolist() == ["sub/b.png"]
    assert len(images.record["broken"]) == 2
    assert images.rows(PATHS).tolist() == [-1, 0, -1]
    assert (images[0] == 60).all()
    (folder / "a.png").write_bytes(good)
    write_image(folder / "c.png", (20, 20), value=110)
    assert packed_again(folder) == (["a.png", "c.png"], [10, 60, 110])
    for path in PATHS[:2]:
        (folder / path).write_bytes(b"")
    with pytest.raises(ValueError, match="2 of 2 images cannot be read"):
        pack_images(folder, PATHS[:2], folder / "none", 30, skip_broken=True)


def test_another_packing_does_not_go_on_from_it(interrupted):
    with pytest.raises(ValueError, match=r"holds other packed images \(size differ\)"):
        pack_images(interrupted, PATHS, interrupted / "packed", 31)


def test_two_at_a_time_make_one(tmp_path):
    for i in range(30):
        write_image(tmp_path / f"{i:02d}.png")
    paths, reads = [f"{i:02d}.png" for i in range(30)], []
    with ThreadPoolExecutor(3) as pool:
        for future in [
            pool.submit(
                pack_images, tmp_path, paths, tmp_path / "packed", 30, lambda p: reads.append(p) or read_grey(p)
            )
            for _ in range(3)
        ]:
            future.result()
    assert len(reads) == 30
    PackedImages(tmp_path / "packed").verify()


# what is read -------------------------------------------------------------------------------------


def test_changed_sources_are_told(folder):
    pack_images(folder, PATHS, folder / "packed", 30)
    images = PackedImages(folder / "packed")
    assert images.changed(folder) == []
    os.utime(folder / "a.png", ns=(0, 0))
    (folder / "sub/b.png").write_bytes(b"1234567")
    (folder / "c.png").unlink()
    lines = images.changed(folder)
    assert lines[0] == "a.png: written to since"
    assert lines[1:] == ["sub/b.png: written to since", "c.png: gone"]


def test_no_pixel_is_pickled_and_processes_share_the_file(tmp_path):
    img = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    paths = [f"{i}.png" for i in range(8)]
    for path in paths:
        cv2.imwrite(str(tmp_path / path), img)
    pack_images(tmp_path, paths, tmp_path / "packed", 512)
    images = PackedImages(tmp_path / "packed")
    assert (images[3] == img).all()
    images.rows(paths)
    pickled = pickle.dumps(images)
    assert len(pickled) < 5000 < images.record["bytes"] == 8 * 512 * 512
    assert (pickle.loads(pickled)[3] == img).all()
    if os.path.exists("/proc/self/maps"):
        maps = Path("/proc/self/maps").read_text().splitlines()
        lines = [line for line in maps if line.endswith(str(tmp_path / "packed" / "pixels.bin"))]
        # s: shared, so that all workers read the same memory
        assert lines and all(line.split()[1] == "r--s" for line in lines)
