"""Inferencers: the answers of a run, in the order of the inputs."""

import json

import numpy as np
import pytest
import torch

import otcxr_mm
from otcxr_mm.apis.segmentor import cardiothoracic_ratio, heart_and_lungs
from otcxr_mm.engine.provenance import file_record
from tests.apis.weights import CLASSES, build, write_backbone, write_classifier
from tests.conftest import ROOT, write_image


@pytest.fixture
def images(tmp_path):
    for i in range(5):
        write_image(tmp_path / "in" / f"{i}.png", (50 + i, 70))
    (tmp_path / "in" / "3.png").write_bytes(b"not an image")
    return tmp_path / "in"


def test_findings_are_named_and_a_broken_file_keeps_its_place(tmp_path, images):
    write_classifier(tmp_path)
    inferencer = otcxr_mm.CXRClassifierInferencer(tmp_path, device="cpu")
    found = inferencer(str(images), batch_size=2, workers=1)
    assert [result["path"] for result in found] == [str(images / f"{i}.png") for i in range(5)]
    assert ["error" in result for result in found] == [False, False, False, True, False]
    assert "3.png: truncated, damaged, or not a PNG" in found[3]["error"]
    assert list(found[0]["scores"]) == list(CLASSES)
    assert found[0]["positive"] == {}  # no test, no thresholds
    samples = inferencer(str(images), return_datasamples=True)
    assert samples[0].pred_score.tolist() == list(found[0]["scores"].values())


def test_thresholds_are_those_of_a_test_of_these_weights(tmp_path, images):
    write_classifier(tmp_path)
    rows = [{"name": name, "at_threshold": {"threshold": 0.0}} for name in CLASSES[:2]]
    rows.append({"name": CLASSES[2], "at_threshold": None})
    record = {"checkpoint": file_record(str(tmp_path / "linear.pth")), "details": {"classes": rows}}
    (tmp_path / "results.json").write_text(json.dumps(record))
    positive = otcxr_mm.CXRClassifierInferencer(tmp_path, device="cpu")(str(images / "0.png"))[0]["positive"]
    assert positive == {CLASSES[0]: True, CLASSES[1]: True}
    record["checkpoint"]["sha256"] = "of other weights"
    (tmp_path / "results.json").write_text(json.dumps(record))
    inferencer = otcxr_mm.CXRClassifierInferencer(tmp_path, device="cpu")
    assert inferencer(str(images / "0.png"))[0]["positive"] == {}


def test_neighbours_answer_as_a_linear_head_does(tmp_path, images):
    """The checkpoint of a KNNHead holds the training images' features."""
    from otcxr_mm.utils.configs import config_text

    _, cfg = write_classifier(tmp_path)
    cfg.model.head.type = "otcxr_mm.KNNHead"
    model = build(cfg)
    model.head.set_bank(torch.randn(20, 64), torch.randint(0, 2, (20, 3)).float())
    meta = {"cfg": config_text(cfg), "dataset_meta": {"classes": CLASSES}}
    (tmp_path / "knn").mkdir()
    torch.save({"meta": meta, "state_dict": model.state_dict()}, tmp_path / "knn" / "knn.pth")
    found = otcxr_mm.CXRClassifierInferencer(tmp_path / "knn", device="cpu")(str(images / "0.png"))
    features = otcxr_mm.load_backbone(tmp_path / "knn").embed(images / "0.png")
    torch.testing.assert_close(
        torch.tensor(list(found[0]["scores"].values())), model.head((features,))[0], rtol=0, atol=1e-5
    )


def test_features_of_a_folder_with_a_broken_file(tmp_path, images):
    write_backbone(tmp_path)
    found = otcxr_mm.CXRFeatureInferencer(tmp_path, device="cpu")(str(images), batch_size=2)
    assert [result.get("feature", np.empty(0)).shape for result in found] == [(64,)] * 3 + [(0,), (64,)]
    expected = otcxr_mm.load_backbone(tmp_path).embed(images / "4.png")[0].numpy()
    assert np.array_equal(found[4]["feature"], expected)


def test_another_kind_of_model_is_refused(tmp_path):
    write_backbone(tmp_path)
    with pytest.raises(ValueError, match=r"backbone\.pth: not the checkpoint of a run"):
        otcxr_mm.CXRClassifierInferencer(tmp_path / "backbone.pth")


def test_masks_have_the_size_of_the_original(tmp_path):
    pytest.importorskip("mmseg")
    from mmengine.config import Config

    from otcxr_mm.registry import MODELS
    from otcxr_mm.utils.configs import config_text

    cfg = Config.fromfile(ROOT / "configs" / "downstream" / "segmentation" / "upernet_r18_lungs.py")
    cfg.model.decode_head.num_classes = 3
    model = MODELS.build({**cfg.model, "_scope_": "mmseg"})
    classes = ["left_lung", "right_lung", "heart"]
    meta = {"cfg": config_text(cfg), "dataset_meta": {"mask_classes": classes}}
    torch.save({"meta": meta, "state_dict": model.state_dict()}, tmp_path / "best_mask_dice.pth")
    for i in range(3):
        write_image(tmp_path / "in" / f"{i}.png", (70 + i, 90))
    inferencer = otcxr_mm.CXRSegmentorInferencer(tmp_path, device="cpu")
    found = inferencer(str(tmp_path / "in"), show_dir=tmp_path / "drawn")
    for i, result in enumerate(found):
        assert {name: mask.shape for name, mask in result["masks"].items()} == dict.fromkeys(classes, (70 + i, 90))
        assert result["pixels"] == {name: int(mask.sum()) for name, mask in result["masks"].items()}
    assert [file.name for file in sorted((tmp_path / "drawn").iterdir())] == [f"00000{i}_{i}.png" for i in range(3)]
    assert inferencer.columns[-1] == "cardiothoracic_ratio"
    with pytest.raises(ValueError, match="is not a classifier"):
        otcxr_mm.CXRClassifierInferencer(tmp_path)
    with pytest.raises(ValueError, match="MaskSegmentor is not a classifier"):
        otcxr_mm.export_graph(tmp_path, tmp_path / "a.pt2")


def test_the_cardiothoracic_ratio_of_known_shapes():
    heart, lungs = np.zeros((2, 20, 40), bool)
    lungs[2:15, 4:14] = lungs[2:15, 24:36] = True
    heart[8:14, 12:26] = True
    assert cardiothoracic_ratio(heart, lungs) == 14 / 32
    assert np.isnan(cardiothoracic_ratio(np.zeros_like(heart), lungs))
    assert heart_and_lungs(["LeftLung", "RightLung", "Heart"]) == ("Heart", ["LeftLung", "RightLung"])
    assert heart_and_lungs(["lungs", "heart"]) == ("heart", ["lungs"])
    assert heart_and_lungs(["left_lung", "right_lung"]) == (None, [])
    assert heart_and_lungs(["heart", "clavicle"]) == (None, [])
