import json

import cv2
import numpy as np
import pytest
from mmengine.dataset import ConcatDataset

import otcxr_mm
from otcxr_mm.cli.stats import main
from otcxr_mm.datasets.summary import describe, intensity, statistics
from otcxr_mm.visualization.stats import picture, report
from tests.conftest import write_image


def test_grey_values_are_over_pixels_with_each_image_weighing_the_same(tmp_path):
    write_image(tmp_path / "small.png", (10, 10), 10)
    img = write_image(tmp_path / "large.png", (40, 60))
    found = intensity(otcxr_mm.UnlabeledCXR(tmp_path))
    mean = (10 + img.mean()) / 2
    assert found["mean"] == pytest.approx(mean)
    assert found["std"] ** 2 == pytest.approx((10**2 + (img.astype(float) ** 2).mean()) / 2 - mean**2)
    assert sum(found["histogram"]) == pytest.approx(1)
    assert found["histogram"][10] == pytest.approx(0.5 + (img == 10).mean() / 2)
    assert intensity(otcxr_mm.UnlabeledCXR(tmp_path), max_images=1)["images"] == 1


def test_labels_and_pairs_of_labels(nih_folder):
    data = otcxr_mm.NIHChestXray14(nih_folder, split="all", classes=("Cardiomegaly", "Effusion", "Hernia"))
    data.records.labels[1, 2] = np.nan
    found = describe(data)
    assert found["labels"]["Effusion"] == {"positive": 1, "negative": 3, "unknown": 0}
    assert found["labels"]["Hernia"] == {"positive": 1, "negative": 2, "unknown": 1}
    assert found["cooccurrence"] == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert (found["images"], found["patients"], found["most_images"]) == (4, 3, 2)
    assert found["view"] == {"PA": 3, "AP": 1}
    text = report(statistics({"train": data}))
    assert "| 1 Cardiomegaly |        1 |        3 |       0 |   1 |   1 |   0 |" in text


def test_a_broken_file_is_counted_and_only_without_any_other_an_error(tmp_path):
    for i in range(3):
        write_image(tmp_path / f"{i}.png", (8, 8), 40)
    (tmp_path / "1.png").write_bytes(b"no image")
    grey = intensity(otcxr_mm.UnlabeledCXR(tmp_path))
    assert (grey["images"], grey["unread"], grey["mean"]) == (2, 1, 40)
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(ValueError, match="none of 3 images of .* can be read"):
        intensity(otcxr_mm.UnlabeledCXR(tmp_path))


def test_mean_and_std_of_training_join_its_sets_and_what_one_set_lacks_is_left_open(nih_folder, tmp_path):
    for i, value in enumerate((10, 10, 10, 50)):
        write_image(tmp_path / ("a" if i < 3 else "b") / f"{i}.png", (8, 8), value)
    parts = [otcxr_mm.UnlabeledCXR(tmp_path / name) for name in "ab"]
    found = statistics({"train": ConcatDataset(parts), "test": otcxr_mm.NIHChestXray14(nih_folder)})
    assert list(found["sets"]) == ["train[0]", "train[1]", "test"]
    assert found["mean"] == pytest.approx(20)
    assert found["std"] == pytest.approx(np.std([10, 10, 10, 50]))
    text = report(found)
    assert "`mean=[20.0], std=[17.3]`" in text
    assert "| age: median       | -            | -            | 50             |" in text
    assert [len(axis.lines) for axis in picture(found).axes] == [3, 1]
    with pytest.raises(ValueError, match=r"no data set of otcxr_mm among \['val'\]"):
        statistics({"val": [1]})


def test_the_command_on_real_radiographs(real_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OTCXR_NIH", str(real_data / "nih"))
    main(["linear_r50_nih.py", "--out", str(tmp_path), "--max-images", "20"])
    assert "## Data sets" in capsys.readouterr().out
    found = json.loads((tmp_path / "stats.json").read_text())["sets"]["test"]
    assert found["labels"]["Pneumonia"]["positive"] == 153
    assert found["sex"] == {"M": 86, "F": 67}
    assert found["age"]["known"] == 153
    assert cv2.imread(str(tmp_path / "stats.png")).std() > 10
    for name in ("stats.json", "stats.md"):
        text = (tmp_path / name).read_text()
        assert str(real_data) not in text
        assert "00002658" not in text
