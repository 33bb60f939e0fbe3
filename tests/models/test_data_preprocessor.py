import pytest
import torch

import otcxr_mm


def test_one_channel_is_normalised_and_repeated():
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    (out,) = otcxr_mm.CXRDataPreprocessor(mean=[128], std=[64], channels=3)({"inputs": [images]})["inputs"]
    assert out.shape == (3, 3, 2, 2)
    torch.testing.assert_close(out[:, 0, 0, 0], torch.tensor([-2.0, 0.0, 127 / 64]))
    assert torch.equal(out[:, 0], out[:, 2])


def test_three_means_make_three_channels_as_imagenet_weights_want_them():
    preprocessor = otcxr_mm.CXRDataPreprocessor(mean=[100, 110, 120], std=[50, 50, 50], channels=3)
    out = preprocessor({"inputs": torch.full((2, 1, 4, 4), 110, dtype=torch.uint8)})["inputs"]
    torch.testing.assert_close(out[0, :, 0, 0], torch.tensor([0.2, 0.0, -0.2]))


def test_inputs_are_found_by_key_and_samples_untouched():
    samples = [object()]
    data = {"data_samples": samples, "inputs": [torch.zeros(1, 1, 2, 2)] * 2}
    out = otcxr_mm.CXRDataPreprocessor()(data)
    assert out["data_samples"] is samples
    assert len(out["inputs"]) == 2


def test_errors():
    with pytest.raises(ValueError, match=r"1 value or one a channel \(1\)"):
        otcxr_mm.CXRDataPreprocessor(mean=[1, 2, 3], std=[1, 2, 3], channels=1)
    with pytest.raises(ValueError, match="std > 0"):
        otcxr_mm.CXRDataPreprocessor(mean=[1], std=[0])
    with pytest.raises(ValueError, match=r"got \(2, 3, 4, 4\)"):
        otcxr_mm.CXRDataPreprocessor()({"inputs": torch.zeros(2, 3, 4, 4)})
