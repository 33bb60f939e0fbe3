import importlib

import cv2
import numpy as np
import pytest

import otcxr_mm
from tests.conftest import write_image


@pytest.fixture
def prepare(root, monkeypatch, capsys):
    """Runs the tool in this process; returns status, output and the line of an error."""
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root / "tools" / "dataset_converters"))
    main = importlib.import_module("prepare_cxr").main

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        code = end.value.code
        return int(code) if isinstance(code, int) else 1, capsys.readouterr().out, str(code)

    return run


def test_a_folder_is_prepared_once_and_read_in_place_of_the_files(tmp_path, prepare):
    for i in range(3):
        write_image(tmp_path / "data" / f"{i}.png", (64, 80))
    out = tmp_path / "out"
    command = ["otcxr_mm.UnlabeledCXR", out, "--data-root", tmp_path / "data", "--size", 32]
    status, output, _ = prepare(*command)
    assert status == 0 and "3 images, 8 bit" in output and f'packed="{out}"' in output
    before = (out / "pixels.bin").stat().st_mtime_ns
    dataset = otcxr_mm.UnlabeledCXR(tmp_path / "data", packed=out, pipeline=[otcxr_mm.LoadCXR()])
    assert [dataset[i]["img_shape"] for i in range(3)] == [(32, 40)] * 3
    status, output, _ = prepare(*command)
    assert status == 0 and "3 images" in output
    assert (out / "pixels.bin").stat().st_mtime_ns == before

    write_image(tmp_path / "data" / "1.png", (64, 96))
    status, output, _ = prepare(*command)
    assert status == 1
    assert "1 images have changed since they were prepared:\n    1.png: " in output
    assert f"remove {out}" in output

    assert "(size differ): name another folder, or remove it" in prepare(*command[:-1], 40)[2]
    write_image(tmp_path / "data" / "3.png", (64, 96))
    assert "paths differ" in prepare(*command)[2]


def test_it_runs_as_a_script(python):
    assert "resumes where it stopped" in python("tools/dataset_converters/prepare_cxr.py", "--help").stdout


CONFIG = """
data = {data!r}
pipeline = [dict(type="otcxr_mm.LoadCXR", max_value=4095)]
train_dataloader = dict(
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(type="RepeatDataset", times=2, dataset=dict(
                type="otcxr_mm.UnlabeledCXR", data_root=data + "/a", ann_file="table.csv", split="train",
                packed="not there yet", pipeline=pipeline)),
            dict(type="otcxr_mm.UnlabeledCXR", data_root=data + "/b", pipeline=pipeline),
        ],
    ),
)
test_dataloader = dict(dataset=dict(
    type="otcxr_mm.UnlabeledCXR", data_root=data + "/a", ann_file="table.csv", split="test", pipeline=pipeline))
"""


def test_12_bits_are_prepared_only_if_max_value_says_so(tmp_path, prepare):
    (tmp_path / "data").mkdir()
    cv2.imwrite(str(tmp_path / "data" / "a.png"), np.full((30, 30), 4095, np.uint16))
    arguments = ("otcxr_mm.UnlabeledCXR", tmp_path / "out", "--data-root", tmp_path / "data")
    *_, message = prepare(*arguments)
    assert "a.png: 16 bits, but no pixel above 4095" in message
    assert "--max-value" in message
    assert prepare(*arguments, "--max-value", 4095)[0] == 0
    assert (otcxr_mm.PackedImages(tmp_path / "out")[0] == 255).all()


@pytest.fixture
def config(tmp_path):
    for name in "abc":
        img = np.full((30, 30), 4095, np.uint16)
        (tmp_path / "a").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "a" / f"{name}.png"), img)
    (tmp_path / "a" / "table.csv").write_text("path,split\na.png,train\nb.png,test\nc.png,unused\n")
    write_image(tmp_path / "b" / "d.png")
    file = tmp_path / "config.py"
    file.write_text(CONFIG.format(data=str(tmp_path)))
    return file


def test_a_config_s_data_sets_are_found_within_wrappers(config, prepare):
    out = config.parent / "out"
    assert prepare(config, out, "--depth", 16)[0] == 0
    images = otcxr_mm.PackedImages(out / "a")
    # both splits that the config uses, with its own white
    assert images.paths.tolist() == ["a.png", "b.png"]
    np.testing.assert_allclose(images[0], 255)
    assert images.record["settings"] == {"max_value": 4095}
    assert len(otcxr_mm.PackedImages(out / "b")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["otcxr_mm.UnlabeledCXR", "OUT"], "needs --data-root"),
        (["otcxr_mm.Nothing", "OUT", "--data-root", "."], "not a data set of otcxr_mm"),
        (["configs/nothing.py", "OUT"], "no such config"),
        (["configs/otcxr_r50_nih.py", "OUT", "--data-root", "."], "--data-root is for a type"),
        (["configs/otcxr_r50_nih.py", "OUT"], "is not a folder"),
        (["otcxr_mm.UnlabeledCXR", "OUT", "--data-root", "docs", "--size", "1", "2", "3"], "--size takes"),
    ],
)
def test_errors_are_a_line(arguments, message, prepare, tmp_path):
    status, _, error = prepare(*[tmp_path if a == "OUT" else a for a in arguments])
    assert status == 1
    assert message in error


def test_a_data_set_that_holds_its_images_is_refused(tmp_path, prepare):
    images, labels = np.zeros((2, 28, 28), np.uint8), np.zeros((2, 1), np.uint8)
    parts = {
        f"{split}_{key}": a for split in ("train", "val", "test") for key, a in (("images", images), ("labels", labels))
    }
    np.savez(tmp_path / "pneumoniamnist.npz", **parts)
    status, output, error = prepare(
        "otcxr_mm.MedMNISTCXR",
        tmp_path / "out",
        "--data-root",
        tmp_path,
        "--cfg-options",
        "ann_file=pneumoniamnist.npz",
    )
    assert status == 1
    assert "otcxr_mm.MedMNISTCXR needs no preparation" in output
    assert "error: otcxr_mm.MedMNISTCXR: no image files to prepare" in error
    assert not (tmp_path / "out").exists()


def test_all_broken_images_are_listed_and_left_out_only_when_asked(tmp_path, prepare):
    data, out = tmp_path / "data", tmp_path / "out"
    for i in range(6):
        write_image(data / f"{i}.png", (40, 40))
    good = (data / "1.png").read_bytes()
    (data / "1.png").write_bytes(b"")
    (data / "4.png").write_bytes(b"no image")
    command = ["otcxr_mm.UnlabeledCXR", out, "--data-root", data, "--size", 32, "--jobs", 1]
    status, output, error = prepare(*command)
    assert status == 1
    assert "2 of 6 images cannot be read" in output and "--skip-broken" in error
    assert f"{data}/1.png: the file is empty" in output and f"{data}/4.png: truncated" in output

    for _ in range(2):  # the second time nothing is left to do
        status, output, _ = prepare(*command, "--skip-broken")
        assert status == 0 and "2 images cannot be read and are left out" in output and "1.png: the file" in output
        assert f'packed="{out}", skip_missing=True' in output
    assert otcxr_mm.PackedImages(out).paths.tolist() == ["0.png", "2.png", "3.png", "5.png"]
    assert len(otcxr_mm.UnlabeledCXR(data, packed=out, skip_missing=True)) == 4

    for name in ("1.png", "4.png"):
        (data / name).write_bytes(good)
    assert prepare(*command)[0] == 0  # adds the two
    assert len(otcxr_mm.PackedImages(out)) == 6
