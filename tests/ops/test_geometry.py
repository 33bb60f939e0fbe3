import pytest
import torch

from otcxr_mm.ops import geometric_prior, token_centres, visibility


def box(x, y, w, h, flip=False):
    """View-to-image matrix of a crop at (x, y), w wide and h high, in units of the image's sides."""
    return torch.tensor([[[-w if flip else w, 0, x + w if flip else x], [0, h, y]]], dtype=torch.float32)


def test_centres_of_a_crop():
    centres = token_centres(box(0.5, 0.0, 0.5, 1.0), (2, 2))
    expected = torch.tensor([[[0.625, 0.25], [0.875, 0.25], [0.625, 0.75], [0.875, 0.75]]])
    torch.testing.assert_close(centres, expected)


def test_visibility_is_the_common_area():
    left, right = box(0.0, 0.0, 0.5, 1.0), box(0.25, 0.0, 0.5, 1.0)
    torch.testing.assert_close(visibility(left, right, (1, 4))[0], torch.tensor([0.0, 0, 1, 1]))
    torch.testing.assert_close(visibility(right, left, (1, 4))[0], torch.tensor([1.0, 1, 0, 0]))
    torch.testing.assert_close(visibility(left, right, (1, 1))[0], torch.tensor([0.5]))
    # mirrored, the shared half is on the other side of the viewpoint
    torch.testing.assert_close(
        visibility(box(0.0, 0.0, 0.5, 1.0, True), right, (1, 4))[0], torch.tensor([1.0, 1, 0, 0])
    )


def test_rotated_viewpoint():
    quarter = torch.tensor([[[0.0, -1.0, 1.0], [1.0, 0.0, 0.0]]])  # the image turned by 90 degrees
    whole = box(0, 0, 1, 1)
    assert visibility(quarter, whole, (4, 4)).min() == 1
    prior = geometric_prior(quarter, whole, (4, 4))[0]
    assert sorted(prior.argmin(1).tolist()) == list(range(16))
    assert prior.min(1).values.max() < 1e-6


def test_prior_is_the_squared_distance_in_the_image():
    a, b = box(0, 0, 0.5, 0.5), box(0.5, 0, 0.5, 1.0)
    prior = geometric_prior(a, b, (1, 1))
    torch.testing.assert_close(prior, torch.tensor([[[0.5**2 + 0.25**2]]]))


def test_shape_is_checked():
    with pytest.raises(ValueError, match=r"\(B, 2, 3\), got \(2, 2, 2, 3\)"):
        visibility(torch.zeros(2, 2, 2, 3), torch.zeros(2, 2, 3), (2, 2))
