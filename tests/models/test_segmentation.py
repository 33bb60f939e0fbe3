import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

import otcxr_mm
from tests.conftest import ROOT

CONFIG = ROOT / "configs" / "downstream" / "segmentation" / "upernet_r18_lungs.py"
FCN = dict(_delete_=True, type="otcxr_mm.FCNMaskHead", in_index=(1, 2, 3), input_transform="resize_concat", num_convs=1)
FCN |= dict(concat_input=False, norm_cfg=dict(type="GN", num_groups=8), loss_decode=dict(type="otcxr_mm.MaskLoss"))
HEADS = pytest.mark.parametrize("head", [{}, FCN], ids=["UPerMaskHead", "FCNMaskHead"])


@pytest.fixture
def _mmseg():
    pytest.importorskip("mmseg.registry")
    with DefaultScope.overwrite_default_scope("mmseg"):
        yield


def model_config(head=None, classes=2, **backbone):
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({"model.decode_head": {**(head or {})}})
    model = cfg.model
    model.decode_head.num_classes = classes
    model.backbone.update(base_channels=8, stem_channels=8, **backbone)
    widths = (8, 16, 32, 64)
    model.decode_head.update(in_channels=[widths[i] for i in model.decode_head.in_index], channels=16)
    return model


def batch(sizes=((40, 50), (64, 48)), classes=2, side=32):
    """Images of the network's size, and masks of the originals' sizes."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = []
    for size in sizes:
        sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=(side, side), pad_shape=(side, side)))
        sample.gt_masks = PixelData(data=(torch.rand(classes, *size) < 0.5).to(torch.uint8))
        samples.append(sample)
    return {"inputs": torch.randint(0, 256, (len(sizes), 1, side, side), dtype=torch.uint8), "data_samples": samples}


@pytest.mark.usefixtures("_mmseg")
@HEADS
def test_masks_that_overlap_at_the_size_of_the_original(head, caplog):
    model = MODELS.build(model_config(head)).eval()
    torch.nn.init.constant_(model.decode_head.conv_seg.bias, 1.0)  # everything is inside of both classes
    with caplog.at_level(logging.WARNING), torch.no_grad():
        data = batch()
        samples = model.test_step(data)
        logits = model(**model.data_preprocessor(data, False), mode="tensor")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    for sample, own, size in zip(samples, logits, ((40, 50), (64, 48)), strict=True):
        assert sample.pred_masks.data.shape == sample.gt_masks.data.shape == (2, *size)
        assert sample.pred_masks.data.dtype == torch.bool
        assert (sample.pred_masks.data.sum(0) == 2).any()
        net = torch.nn.functional.interpolate(own[None], (32, 32), mode="bilinear", align_corners=False)
        wanted = torch.nn.functional.interpolate(net, size, mode="bilinear", align_corners=False)[0].sigmoid()
        torch.testing.assert_close(sample.mask_scores.data, wanted)
        assert torch.equal(sample.pred_masks.data, sample.mask_scores.data > 0.5)


@pytest.mark.usefixtures("_mmseg")
@HEADS
def test_the_losses_are_those_of_the_masks(head):
    model = MODELS.build(model_config(head)).eval()
    data = batch(((32, 32),) * 3)
    losses = model(**model.data_preprocessor(data, True), mode="loss")
    assert set(losses) == {"decode.loss_bce", "decode.loss_dice"}  # no accuracy of one class a pixel
    logits = model(**model.data_preprocessor(data, False), mode="tensor")
    logits = torch.nn.functional.interpolate(logits, (32, 32), mode="bilinear", align_corners=False)
    wanted = otcxr_mm.MaskLoss()(logits, torch.stack([s.gt_masks.data for s in data["data_samples"]]))
    for key, value in wanted.items():
        torch.testing.assert_close(losses[f"decode.{key}"], value)


@pytest.mark.usefixtures("_mmseg")
def test_masks_that_do_not_fit_are_named():
    model = MODELS.build(model_config()).eval()
    for data in (batch(), batch(((32, 32),), classes=3)):
        with pytest.raises(ValueError, match="num_classes=2, and masks of the shapes"):
            model(**model.data_preprocessor(data, True), mode="loss")


@pytest.mark.usefixtures("_mmseg")
def test_one_image_is_a_batch():
    model = MODELS.build(model_config()).train()
    data = batch(((64, 64),), side=64)
    sum(model(**model.data_preprocessor(data, True), mode="loss").values()).backward()


@pytest.mark.usefixtures("_mmseg")
def test_a_group_norm_of_single_pooled_values_is_refused():
    config = model_config()
    config.decode_head.channels = config.decode_head.norm_cfg.num_groups
    with pytest.raises(ValueError, match="channels=8 must be a multiple of num_groups"):
        MODELS.build(config)


WITHOUT = """
import otcxr_mm, sys, torch
from mmengine.registry import DefaultScope, MODELS, TRANSFORMS
for name in dir(otcxr_mm):
    getattr(otcxr_mm, name)
assert "mmseg" not in sys.modules  # the package leaves it alone
sys.modules["mmseg"] = None
with DefaultScope.overwrite_default_scope("mmpretrain"):
    for registry, name in ((MODELS, "MaskSegmentor"), (MODELS, "UPerMaskHead"), (TRANSFORMS, "PackMasks")):
        try:
            registry.build(dict(type=f"otcxr_mm.{name}"))
        except ImportError as error:
            print("LINE", name, error)
"""


def test_without_mmsegmentation_one_line_says_what_to_install(python, tmp_path):
    (tmp_path / "script.py").write_text(WITHOUT)
    lines = [line for line in python(tmp_path / "script.py").stdout.splitlines() if line.startswith("LINE")]
    assert len(lines) == 3
    for line in lines:
        name = line.split()[1]
        assert f"otcxr_mm.{name} needs MMSegmentation (" in line and "onedl-mmsegmentation" in line
