import cv2
import numpy as np
import pytest

import otcxr_mm
from tests.conftest import write_image

CONFIG = """
pipeline = [dict(type="otcxr_mm.LoadCXR", max_value={white})]
data = dict(type="otcxr_mm.UnlabeledCXR", data_root="{folder}/{name}", pipeline=pipeline)
train_dataloader = dict(dataset={train})
"""
TWO_ROOTS = """dict(
    type="ConcatDataset",
    datasets=[
        dict(type="RepeatDataset", times=2, dataset=dict(
            **data, ann_file="table.csv", split="train", packed="not there yet")),
        dict(data, data_root="{folder}/b"),
    ],
))
test_dataloader = dict(dataset=dict(**data, ann_file="table.csv", split="test")"""


@pytest.fixture
def prepare(otcxr, tmp_path):
    """Runs `otcxr prepare` for the images below a folder; they lie in `out` then."""
    (tmp_path / "data").mkdir()

    def run(*arguments, train="data", white=None):
        text = CONFIG.format(white=white, folder=tmp_path, name="data", train=train.format(folder=tmp_path))
        (tmp_path / "mine.py").write_text(text)
        return otcxr("prepare", tmp_path / "mine.py", tmp_path / "out", *arguments)

    return run


def test_a_folder_is_prepared_once_and_read_in_place_of_the_files(tmp_path, prepare):
    out = tmp_path / "out"
    for i in range(3):
        write_image(tmp_path / "data" / f"{i}.png", (64, 80))
    ended = prepare("--size", 32)
    assert ended.status == 0
    assert "3 images, 8 bit" in ended.text and f'packed="{out}"\n' in ended.text
    dataset = otcxr_mm.UnlabeledCXR(tmp_path / "data", packed=out, pipeline=[otcxr_mm.LoadCXR()])
    assert [dataset[i]["img_shape"] for i in range(3)] == [(32, 40)] * 3

    before = (out / "pixels.bin").stat().st_mtime_ns
    ended = prepare("--size", 32)
    assert ended.status == 0 and "3 images" in ended.text
    assert (out / "pixels.bin").stat().st_mtime_ns == before

    write_image(tmp_path / "data" / "1.png", (64, 96))
    ended = prepare("--size", 32)
    assert ended.status == 1
    assert "1 images have changed since they were prepared:\n    1.png: " in ended.text
    assert "(size differ): name another folder, or remove it" in prepare("--size", 40).text


def test_two_numbers_are_height_and_width(tmp_path, prepare):
    write_image(tmp_path / "data" / "a.png", (64, 80))
    assert prepare("--size", 16, 24).status == 0
    assert otcxr_mm.PackedImages(tmp_path / "out")[0].shape == (16, 24)


def test_data_sets_are_found_within_wrappers(tmp_path, prepare):
    for name in "abc":
        cv2.imwrite(str(tmp_path / "data" / f"{name}.png"), np.full((30, 30), 4095, np.uint16))
    (tmp_path / "data" / "table.csv").write_text("path,split\na.png,train\nb.png,test\nc.png,unused\n")
    write_image(tmp_path / "b" / "d.png")
    assert prepare("--depth", 16, train=TWO_ROOTS, white=4095).status == 0
    images = otcxr_mm.PackedImages(tmp_path / "out" / "data")
    assert images.paths.tolist() == ["a.png", "b.png"]  # the splits that the config uses
    np.testing.assert_allclose(images[0], 255)  # with the config's white level
    assert images.record["settings"] == {"max_value": 4095}
    assert len(otcxr_mm.PackedImages(tmp_path / "out" / "b")) == 1


def test_another_data_set_is_refused(prepare):
    ended = prepare(train='dict(type="CIFAR10", data_root="x")')
    assert ended.status == 1 and "CIFAR10 is not a data set of otcxr_mm" in ended.text


def test_all_broken_images_are_listed_and_left_out_only_when_asked(tmp_path, prepare):
    data, out = tmp_path / "data", tmp_path / "out"
    for i in range(6):
        write_image(data / f"{i}.png", (40, 40))
    good = (data / "1.png").read_bytes()
    (data / "1.png").write_bytes(b"")
    (data / "4.png").write_bytes(b"no image")
    ended = prepare()
    assert ended.status == 1
    assert "2 of 6 images cannot be read" in ended.text and "--skip-broken" in ended.text
    assert f"{data}/1.png: the file is empty" in ended.text and f"{data}/4.png: truncated" in ended.text

    ended = prepare("--skip-broken")
    assert ended.status == 0 and "2 images cannot be read and are left out" in ended.text
    assert f'packed="{out}", skip_missing=True' in ended.text
    assert otcxr_mm.PackedImages(out).paths.tolist() == ["0.png", "2.png", "3.png", "5.png"]

    for name in ("1.png", "4.png"):
        (data / name).write_bytes(good)
    assert prepare().status == 0  # adds the two
    assert len(otcxr_mm.PackedImages(out)) == 6
