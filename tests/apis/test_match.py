import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

import otcxr_mm
from otcxr_mm.utils.configs import config_text
from otcxr_mm.visualization.match import match_png
from tests.apis.weights import build, write_classifier
from tests.conftest import ROOT, write_image
from tests.journeys.conftest import otcxr  # noqa: F401


@pytest.fixture
def folder(tmp_path):
    """The checkpoint of a pre-training with random weights, and two images: noise, and the same moved to the right."""
    cfg = Config.fromfile(ROOT / "tests" / "tiny.py")
    cfg.model.ema = None
    # a token shows hardly more than its own patch
    cfg.model.backbone.arch.num_layers = 1
    cfg.model.head.loss_ot.n_iters = 100
    meta = {"cfg": config_text(cfg)}
    torch.save({"meta": meta, "state_dict": build(cfg).state_dict()}, tmp_path / "epoch_4.pth")
    noise = write_image(tmp_path / "first.png", (32, 32))
    cv2.imwrite(str(tmp_path / "second.png"), np.roll(noise, 8, 1))
    return tmp_path


def test_regions_are_found_where_they_have_moved(folder):
    found = otcxr_mm.match_images(folder, folder / "first.png", folder / "second.png", prior=False)
    assert found.grid == (4, 4)
    np.testing.assert_allclose(found.plan.sum(), 1, atol=1e-5)
    row, column = np.divmod(np.arange(16), 4)
    moved = row * 4 + (column + 1) % 4
    assert (found.plan.argmax(1) == moved).mean() > 0.8
    # the place in the frame speaks against it
    near = otcxr_mm.match_images(folder, folder / "first.png", folder / "second.png")
    stays = np.arange(16)
    assert near.plan[stays, stays].sum() > found.plan[stays, stays].sum()


def test_the_picture_carries_the_colours(folder, otcxr):  # noqa: F811
    shift = np.roll(np.eye(16).reshape(4, 4, 4, 4), 1, 3).reshape(16, 16) / 16
    grey = np.full((64, 64), 128.0)
    picture = cv2.imdecode(np.frombuffer(match_png(grey, grey, shift, (4, 4)), np.uint8), cv2.IMREAD_COLOR).astype(int)
    left, right = picture[:, :384], picture[:, 384:]
    centre = 48 + 96 * np.arange(4)
    for row in centre:
        for column, source in zip(centre[1:], centre[:-1], strict=True):
            assert np.abs(right[row, column] - left[row, source]).max() < 12
    run = otcxr("match", folder, folder / "first.png", folder / "second.png", "--out", folder / "m.png", check=True)
    assert "not a diagnosis" in run.out
    assert cv2.imread(str(folder / "m.png")).shape == (384, 768, 3)


def test_what_has_no_transport_and_what_cannot_be_read_is_refused(folder):
    (folder / "second.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"second.png: truncated, damaged"):
        otcxr_mm.match_images(folder, folder / "first.png", folder / "second.png")
    write_classifier(folder / "other")
    with pytest.raises(ValueError, match="ImageClassifier has no transport: name a pre-training with OTCXR"):
        otcxr_mm.match_images(folder / "other" / "linear.pth", folder / "first.png", folder / "first.png")
