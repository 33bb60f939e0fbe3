"""Heat maps: the closed form for a linear head, the library's where it is installed, and the picture."""

import cv2
import numpy as np
import pytest
import torch

import otcxr_mm
from otcxr_mm.apis.heatmaps import grad_cam
from otcxr_mm.apis.images import find_images
from tests.apis.weights import CLASSES, write_classifier
from tests.conftest import write_image


@pytest.fixture
def model(tmp_path):
    return write_classifier(tmp_path)[0]


@torch.no_grad()
def test_a_linear_head_gives_the_contributions_of_the_cells(model):
    images = torch.randn(2, 1, 128, 128)
    (maps,) = model.backbone(images)
    expected = torch.einsum("kc,bchw->bkhw", model.head.fc.weight, maps).relu() / maps[0, 0].numel()
    found = grad_cam(model, images, [0, 1, 2])
    assert found.shape == (2, 3, 4, 4)
    assert (found > 0).any() and not found.requires_grad
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(grad_cam(model, images, [2])[:, 0], expected[:, 2], rtol=1e-4, atol=1e-7)


def test_the_library_says_the_same(model):
    cam = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    images = torch.randn(2, 1, 128, 128)
    theirs = cam.GradCAM(model=model, target_layers=[model.backbone.layer4])
    found = theirs(input_tensor=images, targets=[ClassifierOutputTarget(1)] * 2)
    ours = grad_cam(model, images, [1])[:, 0].numpy()
    for one, other in zip(ours, found, strict=True):
        resized = cv2.resize((one - one.min()) / (one.max() - one.min()), (128, 128))
        np.testing.assert_allclose(other, resized, atol=1e-3)


def test_a_picture_has_a_panel_for_the_image_and_each_finding(model, tmp_path):
    write_image(tmp_path / "a.png", (60, 90))
    inferencer = otcxr_mm.CXRClassifierInferencer(tmp_path, device="cpu")
    (image,) = find_images(tmp_path / "a.png")
    pixels, maps = inferencer.heat_maps(image, CLASSES[:2])
    assert pixels.shape == (32, 32) and list(maps) == list(CLASSES[:2])
    inferencer(str(tmp_path / "a.png"), show_dir=tmp_path / "likeliest")
    inferencer.thresholds = dict.fromkeys(CLASSES, 0.0)
    inferencer(str(tmp_path / "a.png"), show_dir=tmp_path / "all")
    widths = [cv2.imread(str(tmp_path / name / "000000_a.png")).shape[1] for name in ("likeliest", "all")]
    assert widths == [2 * 384, 4 * 384]


def test_vectors_have_no_places(model):
    model.backbone.forward = lambda images: (images.mean((2, 3)).expand(-1, 64),)
    with pytest.raises(ValueError, match=r"heat maps need maps, but the backbone returns \(2, 64\)"):
        grad_cam(model, torch.randn(2, 1, 32, 32), [0])
