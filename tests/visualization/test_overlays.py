import numpy as np
import pytest

from otcxr_mm.visualization.overlays import Overlay, choose, overlay_sheet


def test_worst_median_and_best_of_the_images_with_a_structure():
    dice = np.array([1.0, 0.3, 0.9, 0.5, 1.0, 0.7, 0.1, 0.8, 0.6, 0.2])[:, None]
    pixels = np.full((10, 1), 5)
    pixels[[0, 4]] = 0  # empty and predicted as such
    chosen = choose(dice, pixels, 2)
    assert {name: dice[rows, 0].tolist() for name, rows in chosen.items()} == {
        "worst": [0.1, 0.2],
        "median": [0.5, 0.6],
        "best": [0.8, 0.9],
    }


@pytest.mark.parametrize("n", range(1, 9))
@pytest.mark.parametrize("area", [0, 1])  # without any structure, all images count
def test_few_images_appear_once(n, area):
    chosen = choose(np.random.random((n, 2)), np.full((n, 2), area), 4)
    rows = np.concatenate(list(chosen.values())).tolist()
    assert len(set(rows)) == len(rows)
    assert len(chosen["worst"])


def test_the_sheet_draws_both_contours_and_says_dice():
    true, predicted = np.zeros((2, 2, 60, 80), bool)
    true[0, 10:40, 20:50] = predicted[0, 12:40, 20:50] = True
    true[1, :20, :20] = True  # at the border, and missed
    overlay = Overlay(np.random.randint(0, 255, (60, 80), np.uint8), true, predicted, np.array([0.966, 0.0]))
    figure = overlay_sheet({"worst": [overlay], "median": [], "best": [overlay, overlay]}, ("heart", "mass"), "Title")
    axes = [axis for axis in figure.axes if axis.images]
    assert len(axes) == 3
    for axis in axes:
        assert axis.get_xlabel() == "Dice heart 0.966\nDice mass 0.000"
        assert len(axis.collections) == 3  # two true contours, one predicted
        assert len({tuple(c.get_edgecolor()[0]) for c in axis.collections}) == 2
