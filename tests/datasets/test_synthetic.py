import cv2
import numpy as np
import pytest

from otcxr_mm import SyntheticCXR
from otcxr_mm.datasets.synthetic.anatomy import Anatomy
from otcxr_mm.datasets.synthetic.canvas import Canvas
from otcxr_mm.datasets.synthetic.findings import CLASSES, draw
from otcxr_mm.datasets.synthetic.radiograph import expose, generate, image_findings


def data(tmp_path, **kwargs):
    return SyntheticCXR(str(tmp_path), **{"patients": 12, "size": 64, **kwargs})


def test_images_are_those_of_today():
    """The figures of the demo depend on it; rounding may differ between versions of OpenCV."""
    grey, lungs, heart = generate(0, 3, 1, 64)
    assert (grey.mean(), grey[20, 20], lungs.sum(), heart.sum()) == pytest.approx((142.9, 83, 995, 410), abs=2)


def test_lines_drawn_together_are_the_sum_of_lines_each_drawn_on_the_whole_canvas():
    rng = np.random.default_rng(0)
    # many reach over the edge, and some do not touch the canvas
    strokes = [(rng.uniform(-0.5, 1.5, (5, 2)), rng.uniform(0, 0.1), rng.uniform(-1, 1)) for _ in range(40)]
    strokes += [(points + 3, width, value) for points, width, value in strokes[:5]]
    expected = np.zeros((64, 64))
    for points, width, value in strokes:
        image = np.zeros((64, 64), np.float32)
        pixels = np.round(points * 64 * 16).astype(np.int32)
        cv2.polylines(image, [pixels], False, 1.0, max(1, round(width * 64)), cv2.LINE_AA, 4)
        expected += value * cv2.GaussianBlur(image, (0, 0), 0.02 * 64, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(Canvas(64).lines(strokes, 0.02), expected, atol=1e-5)


def test_an_image_depends_on_seed_patient_and_number_alone(tmp_path):
    first, again = generate(0, 3, 1, 64), generate(0, 3, 1, 64)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    others = [generate(*key, 64)[0] for key in ((1, 3, 1), (0, 4, 1), (0, 3, 0))]
    assert all((first[0] != other).mean() > 0.5 for other in others)
    full = data(tmp_path)
    row = full.records.path.tolist().index("00003_000.png")
    np.testing.assert_array_equal(full.get_data_info(row)["img"], generate(0, 3, 0, 64)[0])


def test_splits_are_of_patients_and_labels_are_what_is_drawn(tmp_path):
    parts = {split: data(tmp_path, split=split) for split in ("train", "val", "test")}
    patients = [set(part.records.patient.tolist()) for part in parts.values()]
    assert [len(p) for p in patients] == [9, 1, 2]
    assert len(set.union(*patients)) == 12
    whole = data(tmp_path)
    assert sum(map(len, parts.values())) == len(whole) > 12
    for path, labels in zip(whole.records.path, whole.records.labels, strict=True):
        patient, image = path[:-4].split("_")
        assert [CLASSES[c] for c in np.flatnonzero(labels)] == image_findings(0, int(patient), int(image))


def test_masks_lie_where_the_lungs_and_the_heart_are(tmp_path):
    part = data(tmp_path)
    for i in range(4):
        info = part.get_data_info(i)
        lungs, heart = info["gt_masks"].astype(bool)
        assert 0.12 < lungs.mean() < 0.45
        assert 0.02 < heart.mean() < 0.25
        assert not (lungs & heart).any()
        assert info["img"][lungs].mean() < info["img"][heart].mean()


@pytest.mark.parametrize("finding", CLASSES)
def test_every_finding_changes_the_image_where_the_chest_is(finding):
    changed = []
    for patient in range(4):
        anatomy = Anatomy(np.random.default_rng(patient))
        images = [
            expose(draw(anatomy, names, 128, np.random.default_rng(7)), 64, np.random.default_rng(9))[0].astype(float)
            for names in ([], [finding])
        ]
        changed.append(np.abs(images[1] - images[0]))
    assert np.mean([c.max() for c in changed]) > 12
    assert np.mean([c[:5].mean() for c in changed]) < 8  # the neck stays as it is
