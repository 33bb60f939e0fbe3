import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from otcxr_mm import LoadCXR, PackedImages, UnlabeledCXR, pack_images
from otcxr_mm.datasets.transforms.loading import read_grey
from tests.conftest import write_image

PATHS = ["a.png", "sub/b.png", "c.png"]


@pytest.fixture
def folder(tmp_path):
    for i, (path, size) in enumerate(zip(PATHS, [(40, 48), (60, 30), (20, 20)], strict=True)):
        write_image(tmp_path / path, size, value=50 * i + 10)
    return tmp_path


def pack(folder, paths=PATHS, **kwargs):
    """Packs images; returns those that were read, and the mean of each packed one."""
    read = []
    pack_images(
        folder, paths, folder / "packed", 30, lambda path: read.append(path) or read_grey(path), jobs=1, **kwargs
    )
    images = PackedImages(folder / "packed")
    return [os.path.relpath(path, folder) for path in read], [int(images[i].mean()) for i in range(len(images))]


def test_images_come_back_at_their_size(folder):
    pack_images(folder, PATHS, folder / "packed", 30)
    images = PackedImages(folder / "packed")
    assert len(images) == 3
    assert [images[i].shape for i in range(3)] == [(30, 36), (60, 30), (20, 20)]  # never enlarged
    assert images.rows(["c.png", "nowhere.png", "a.png"]).tolist() == [2, -1, 0]
    assert not images[0].flags.writeable


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


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (dict(paths=PATHS[::-1]), "paths differ"),
        (dict(settings={"max_value": 4095}), "settings differ"),
    ],
)
def test_other_images_are_refused(folder, other, named):
    pack(folder)
    with pytest.raises(ValueError, match=rf"holds other packed images \({named}\): name another folder, or remove it"):
        pack_images(**{**dict(root=folder, paths=PATHS, folder=folder / "packed", size=30), **other})


def test_a_file_of_another_size_is_noticed(folder):
    pack(folder)
    with open(folder / "packed" / "pixels.bin", "ab") as pixels:
        pixels.write(b"x")
    with pytest.raises(FileNotFoundError, match="not complete or damaged"):
        PackedImages(folder / "packed")


def test_a_data_set_reads_them_in_place_of_the_files(folder):
    pipeline = [LoadCXR()]
    paths = UnlabeledCXR(str(folder), pipeline=pipeline).records.path.tolist()
    pack_images(folder, paths, folder / "packed", 4096)
    packed = UnlabeledCXR(str(folder), packed=str(folder / "packed"), pipeline=pipeline)
    for path in PATHS:
        (folder / path).unlink()
    assert len(packed) == 3
    assert packed[-1]["sample_idx"] == 2
    assert (packed.get_subset([2])[0]["img"] == packed[2]["img"]).all()
    (folder / "list.txt").write_text("d.png")
    with pytest.raises(FileNotFoundError, match="1 of 1 .* not among the packed images in .*, first d.png. Run otcxr"):
        UnlabeledCXR(str(folder), ann_file="list.txt", packed=str(folder / "packed"))


# interrupted --------------------------------------------------------------------------------------


def test_an_interrupted_run_resumes_where_it_stopped(tmp_path):
    """Its result is that of a run that nothing happened to."""
    paths = [f"{i:02d}.png" for i in range(40)]
    for i, path in enumerate(paths):
        write_image(tmp_path / path, (20, 20 + i))

    def interrupted(path):
        if path.endswith("24.png"):
            raise KeyboardInterrupt
        return read_grey(path)

    with pytest.raises(KeyboardInterrupt):
        pack_images(tmp_path, paths, tmp_path / "packed", 18, interrupted, jobs=1)
    with pytest.raises(FileNotFoundError, match="pack them again"):
        PackedImages(tmp_path / "packed")
    with open(tmp_path / "packed" / "pixels.bin", "ab") as pixels:
        pixels.write(b"the beginning of an image")
    reads = []
    pack_images(tmp_path, paths, tmp_path / "packed", 18, lambda path: reads.append(path) or read_grey(path))
    assert len(reads) == 24  # a chunk of 16 was on the disk
    pack_images(tmp_path, paths, tmp_path / "whole", 18)
    for name in ("pixels.bin", "index.npy", "packed.json"):
        assert (tmp_path / "packed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.fixture
def incomplete(folder):
    """Two images are packed, the third one was broken."""
    good = (folder / "c.png").read_bytes()
    (folder / "c.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 3 images cannot be read:\n    .*c\.png: the file is empty"):
        pack(folder)
    (folder / "c.png").write_bytes(good)
    return folder


def test_only_the_rest_and_what_changed_meanwhile_is_read(incomplete):
    write_image(incomplete / "sub/b.png", (60, 30), value=99)
    assert pack(incomplete) == (["sub/b.png", "c.png"], [10, 99, 110])


def test_broken_images_are_left_out_if_asked_and_added_once_they_are_whole(folder):
    good = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(b"")
    (folder / "c.png").unlink()
    assert pack(folder, skip_broken=True)[1] == [60]
    images = PackedImages(folder / "packed")
    assert images.paths.tolist() == ["sub/b.png"]
    assert len(images.record["broken"]) == 2
    assert images.rows(PATHS).tolist() == [-1, 0, -1]
    (folder / "a.png").write_bytes(good)
    write_image(folder / "c.png", (20, 20), value=110)
    assert pack(folder) == (["a.png", "c.png"], [10, 60, 110])


def test_two_at_a_time_make_one(tmp_path):
    paths, reads = [f"{i:02d}.png" for i in range(30)], []
    for path in paths:
        write_image(tmp_path / path)

    def read(path):
        reads.append(path)
        return read_grey(path)

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(pack_images, tmp_path, paths, tmp_path / "packed", 30, read) for _ in range(3)]:
            future.result()
    assert len(reads) == len(PackedImages(tmp_path / "packed")) == 30


# what is read -------------------------------------------------------------------------------------


def test_changed_sources_are_told(folder):
    pack(folder)
    assert pack(folder) == ([], [10, 60, 110])
    images = PackedImages(folder / "packed")
    assert images.changed(folder) == []
    os.utime(folder / "a.png", ns=(0, 0))
    (folder / "sub/b.png").write_bytes(b"1234567")
    (folder / "c.png").unlink()
    assert images.changed(folder) == ["a.png: written to since", "sub/b.png: written to since", "c.png: gone"]


def test_no_pixel_is_pickled_and_processes_share_the_file(folder):
    pack(folder)
    images = PackedImages(folder / "packed")
    assert images[0].sum() and images.__getstate__()["_pixels"] is None
    assert (pickle.loads(pickle.dumps(images))[0] == images[0]).all()
    if os.path.exists("/proc/self/maps"):
        maps = Path("/proc/self/maps").read_text().splitlines()
        lines = [line for line in maps if line.endswith(str(folder / "packed" / "pixels.bin"))]
        # s: shared, so that all workers read the same memory
        assert lines and all(line.split()[1] == "r--s" for line in lines)
