import pytest
import torch
from mmpretrain.structures import DataSample

from otcxr_mm import CXRDataPreprocessor


@pytest.mark.parametrize(
    ("mean", "std", "channels", "expected"),
    [
        ([100], [50], 1, [0.2]),
        ([100], [50], 3, [0.2, 0.2, 0.2]),
        ([100, 110, 120], [50, 50, 100], 3, [0.2, 0.0, -0.1]),  # as ImageNet's weights want them
    ],
)
def test_one_channel_is_normalised_and_broadcast(mean, std, channels, expected):
    preprocessor, images = CXRDataPreprocessor(mean, std, channels), torch.full((2, 1, 4, 4), 110, dtype=torch.uint8)
    samples = [DataSample(metainfo={"img_path": "a.png"})]
    out = preprocessor({"data_samples": samples, "inputs": [images, images]})
    assert out["data_samples"] is samples
    assert [view.shape for view in out["inputs"]] == [(2, channels, 4, 4)] * 2
    torch.testing.assert_close(out["inputs"][1][0, :, 0, 0], torch.tensor(expected))
    assert torch.equal(preprocessor({"inputs": images})["inputs"], out["inputs"][0])


def test_labels_follow_the_images_to_the_device():
    preprocessor = CXRDataPreprocessor().to("meta")  # a device that every machine has
    samples = [DataSample(metainfo={"img_path": "a.png"}).set_gt_score(torch.tensor([1.0, torch.nan]))]
    out = preprocessor({"inputs": torch.zeros(1, 1, 4, 4, dtype=torch.uint8), "data_samples": samples})
    assert out["inputs"].device.type == out["data_samples"][0].gt_score.device.type == "meta"
    assert out["data_samples"][0].img_path == "a.png"


def test_errors():
    with pytest.raises(ValueError, match=r"1 value or one per channel \(1\)"):
        CXRDataPreprocessor(mean=[1, 2, 3], std=[1, 2, 3], channels=1)
    with pytest.raises(ValueError, match="batch_augments"):
        CXRDataPreprocessor(batch_augments=dict(augments="Mixup"))
