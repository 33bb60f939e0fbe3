import numpy as np
import pytest

import otcxr_mm
from otcxr_mm.datasets.transforms.resize import resize

SHAPE = (90, 120)


def results(k=2):
    """An image that says where its pixels were: column + 2 * row, and masks that follow from it."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    img = (x + y / 2).astype(np.float32)
    masks = np.stack([(img > 40 + 30 * i) for i in range(k)]).astype(np.uint8)
    return {"img": img, "gt_masks": masks, "img_shape": SHAPE, "ori_shape": SHAPE}


def test_image_and_masks_are_cropped_and_flipped_alike():
    crop = otcxr_mm.MaskedCrop(48, scale=(0.3, 1.0), flip=0.5)
    flips = set()
    for _ in range(30):
        out = crop.transform(results())
        img, masks = out["img"], out["gt_masks"]
        assert img.shape == (48, 48) and masks.shape == (2, 48, 48) and masks.dtype == np.uint8
        assert set(np.unique(masks)) <= {0, 1}
        for i, mask in enumerate(masks):
            # a pixel of the crop is two or three of the image wide
            near = np.abs(img - (40 + 30 * i)) < 3
            np.testing.assert_array_equal(mask[~near], (img > 40 + 30 * i)[~near])
        assert (img[0, -1] < img[0, 0]) == out["flip"]
        assert out["flip_direction"] == ("horizontal" if out["flip"] else None)
        assert (out["img_shape"], out["ori_shape"]) == ((48, 48), SHAPE)
        assert img.flags.c_contiguous and masks.flags.c_contiguous
        flips.add(out["flip"])
    assert flips == {True, False}


def test_the_whole_image_without_a_flip_is_the_resized_one():
    given = results(1)
    out = otcxr_mm.MaskedCrop((30, 40), scale=(1, 1), ratio=(4 / 3, 4 / 3), flip=0).transform(dict(given))
    np.testing.assert_allclose(out["img"], resize(given["img"], 30, 40), atol=1e-4)
    # a pixel is inside if half of the nine that it covers are
    share = given["gt_masks"][0].reshape(30, 3, 40, 3).mean((1, 3))
    np.testing.assert_array_equal(out["gt_masks"][0], share >= 0.5)


def test_a_read_only_image_stays_as_it_is():
    given = results()
    given["img"].flags.writeable = given["gt_masks"].flags.writeable = False
    before = given["img"].copy()
    out = otcxr_mm.MaskedCrop(SHAPE, scale=(1, 1), ratio=(4 / 3, 4 / 3), flip=1).transform(dict(given))
    np.testing.assert_array_equal(out["img"], before[:, ::-1])
    np.testing.assert_array_equal(given["img"], before)


def test_masks_of_another_size_are_refused():
    given = results()
    given["gt_masks"] = given["gt_masks"][:, ::2, ::2]
    with pytest.raises(ValueError, match="put MaskedCrop right after LoadCXR"):
        otcxr_mm.MaskedCrop(8).transform(given)


def test_the_packed_sample():
    pytest.importorskip("mmseg.registry")
    import torch
    from mmseg.structures import SegDataSample

    given = results() | {"img_path": "secret/of/0001.png", "patient_id": "0001", "sample_idx": 3, "age": 50.0}
    given["img"] = given["img"].astype(np.uint8)
    packed = otcxr_mm.PackMasks().transform(given)
    sample = packed["data_samples"]
    assert type(sample) is SegDataSample
    assert packed["inputs"].shape == (1, *SHAPE) and packed["inputs"].dtype == torch.uint8
    np.testing.assert_array_equal(sample.gt_masks.data, given["gt_masks"])
    assert (sample.patient_id, sample.sample_idx, sample.age, sample.flip) == ("0001", 3, 50.0, False)
    assert sample.ori_shape == sample.pad_shape == SHAPE
    assert "img_path" not in sample
