"""Graphs give what the package gives, on real radiographs. The journey of a whole run is in journeys/test_answer.py."""

import json

import numpy as np
import pytest
import torch
from mmpretrain.models import MultiLabelClsHead

import otcxr_mm
from otcxr_mm.apis import graphs
from tests.apis.weights import CLASSES, write_backbone, write_classifier

VIT = {
    "model.backbone": dict(
        _delete_=True,
        type="VisionTransformer",
        arch=dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=128),
        img_size=96,
        patch_size=16,
        in_channels=1,
        out_type="featmap",
    ),
}
STEPS = [dict(type="otcxr_mm.LoadCXR"), dict(type="Resize", scale=(96, 96)), dict(type="otcxr_mm.PackCXR")]
SIDE = {f"{part}_dataloader.dataset.pipeline": STEPS for part in ("train", "val", "test")}


@pytest.fixture(scope="module")
def radiographs(real_data):
    """Five real files, PNG and JPEG."""
    return sorted((real_data / "nih").rglob("*.png"))[:3] + sorted((real_data / "kermany").rglob("*.jp*g"))[:2]


def run_onnx(path, images):
    """Metadata and outputs of a file in ONNX Runtime."""
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    metadata = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    return metadata, dict(zip(names, session.run(None, {"images": images.numpy()}), strict=True))


@torch.no_grad()
def test_probabilities_are_those_of_the_inferencer(tmp_path, radiographs):
    write_classifier(tmp_path, **SIDE, **VIT)
    inferencer = otcxr_mm.CXRClassifierInferencer(tmp_path, device="cpu")
    expected = np.array([list(result["scores"].values()) for result in inferencer(radiographs)])
    assert expected.std(0).min() > 1e-4  # the images differ
    images = otcxr_mm.load_backbone(tmp_path / "linear.pth").preprocess(radiographs)

    extra = {"record.json": ""}
    program = torch.export.load(otcxr_mm.export_graph(tmp_path, tmp_path / "a.pt2"), extra_files=extra)
    record = json.loads(extra["record.json"])
    assert (record["output"], record["classes"], record["size"]) == ("probabilities", [*CLASSES], [96, 96])
    for n in (1, 5):
        np.testing.assert_allclose(program.module()(images[:n]), expected[:n], rtol=0, atol=1e-5)

    pytest.importorskip("onnxscript")
    path = otcxr_mm.export_graph(tmp_path, tmp_path / "a.onnx")
    for n in (1, 5):
        metadata, found = run_onnx(path, images[:n])
        np.testing.assert_allclose(found["probabilities"], expected[:n], rtol=0, atol=1e-4)
    assert {"output": "probabilities", **metadata} == record


@torch.no_grad()
def test_a_head_for_a_single_label_gives_a_softmax(tmp_path, radiographs):
    head = {"type": "LinearClsHead", "_delete_": True, "num_classes": 3, "in_channels": 64}
    write_classifier(tmp_path, **{"model.head": head})
    inferencer = otcxr_mm.CXRClassifierInferencer(tmp_path, device="cpu")
    expected = np.array([list(result["scores"].values()) for result in inferencer(radiographs)])
    images = otcxr_mm.load_backbone(tmp_path / "linear.pth").preprocess(radiographs)
    program = torch.export.load(otcxr_mm.export_graph(tmp_path, tmp_path / "a.pt2"))
    np.testing.assert_allclose(program.module()(images), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_features_are_those_of_the_backbone(tmp_path, radiographs):
    write_backbone(tmp_path)
    model = otcxr_mm.load_backbone(tmp_path)
    images, expected = model.preprocess(radiographs), model.embed(radiographs).numpy()
    scale = np.abs(expected).max()
    program = torch.export.load(otcxr_mm.export_graph(tmp_path, tmp_path / "a.pt2"))
    np.testing.assert_allclose(program.module()(images), expected, rtol=0, atol=1e-5 * scale)
    pytest.importorskip("onnxscript")
    metadata, found = run_onnx(otcxr_mm.export_graph(tmp_path / "backbone.pth", tmp_path / "a.onnx"), images)
    np.testing.assert_allclose(found["features"], expected, rtol=0, atol=1e-4 * scale)
    assert (metadata["size"], "classes" in metadata) == ([32, 32], False)


def test_what_is_not_exported_says_why(tmp_path, monkeypatch):
    write_classifier(tmp_path, **{"model.head.type": "otcxr_mm.KNNHead"})
    with pytest.raises(ValueError, match="KNNHead holds the features of all training images"):
        otcxr_mm.export_graph(tmp_path, tmp_path / "a.pt2")
    (tmp_path / "a.pt2").touch()
    with pytest.raises(FileExistsError, match=r"a\.pt2 is there already"):
        otcxr_mm.export_graph(tmp_path, tmp_path / "a.pt2")
    with pytest.raises(ValueError, match=r"must end in \.onnx or \.pt2"):
        otcxr_mm.export_graph(tmp_path, tmp_path / "a.pb")
    monkeypatch.setattr(graphs, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"a\.onnx: writing \.onnx needs onnx and onnxscript: pip install onnx"):
        otcxr_mm.export_graph(tmp_path, tmp_path / "a.onnx")
    assert {path.name for path in tmp_path.glob("a*")} == {"a.pt2"}


def test_a_head_with_scores_of_its_own_is_not_exported(tmp_path, monkeypatch):
    write_classifier(tmp_path)
    plain = MultiLabelClsHead._get_predictions
    monkeypatch.setattr(
        MultiLabelClsHead, "_get_predictions", lambda self, score, samples: plain(self, -score, samples)
    )
    with pytest.raises(ValueError, match="its probabilities are not a sigmoid or softmax"):
        otcxr_mm.export_graph(tmp_path, tmp_path / "a.pt2")
