import cv2
import numpy as np
import pytest

import otcxr_mm
from otcxr_mm.datasets.pairs import projection
from tests.conftest import write_image
from tests.journeys.planted import write_csv

STEPS = [dict(type="otcxr_mm.LoadCXR"), dict(type="otcxr_mm.TwoViewCrop", size=32), dict(type="otcxr_mm.PackViews")]
HEADER = "path,patient,view,visit,split"


def folder_of(tmp_path, rows, header=HEADER):
    """Image i is uniformly 10 (i + 1), so that a view shows which image it is from."""
    for i, row in enumerate(rows):
        write_image(tmp_path / row[0], value=10 * (i + 1))
    write_csv(tmp_path / "t.csv", header, rows)
    return tmp_path


def data_of(folder, **kwargs):
    return otcxr_mm.UnlabeledCXR(
        str(folder), "t.csv", **{"split": "train", "pairs": dict(share=1.0), "pipeline": STEPS, **kwargs}
    )


ROWS = [
    ("a0.png", "a", "PA", 0, "train"),
    ("a1.png", "a", "AP", 1, "train"),
    ("a2.png", "a", "PA", 5, "train"),
    ("a3.png", "a", "LATERAL", 1, "train"),
    ("b0.png", "b", "PA", 0, "train"),
    ("b1.png", "b", "PA", "", "train"),
    ("c0.png", "", "PA", 0, "train"),
    ("c1.png", "", "PA", 0, "train"),
    ("d0.png", "d", "PA", 0, "test"),
    ("d1.png", "d", "PA", 1, "test"),
]


def shown(data, idx):
    """The images that both views of a sample are from."""
    return [round(float(view.float().mean()) / 10) - 1 for view in data[idx]["inputs"]]


@pytest.mark.parametrize(
    ("gap", "partners"),
    [
        (None, [{1, 2}, {0, 2}, {0, 1}, set(), {5}, {4}, set(), set()]),
        (1, [{1}, {0}, set(), set(), set(), set(), set(), set()]),
    ],
)
def test_partners_are_of_the_patient_the_projection_the_split_and_near_in_time(tmp_path, gap, partners):
    data = data_of(folder_of(tmp_path, ROWS), pairs=dict(share=1.0, max_gap=gap))
    data.full_init()
    assert [set(data.pairs.partners(row).tolist()) for row in range(len(data))] == partners
    assert data.pairs.count == sum(map(bool, partners))
    assert f"{data.pairs.count} of them with a partner" in str(data)
    for row, allowed in enumerate(partners):
        found = [shown(data, row) for _ in range(20)]
        assert {first for first, _ in found} == {row}
        assert {second for _, second in found} == (allowed or {row})
        assert all(data[row]["data_samples"].paired == bool(allowed) for _ in range(2))


def test_each_view_has_the_frame_of_its_own_image(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)))
    cv2.imwrite(str(tmp_path / "1.png"), np.tile(np.arange(128, dtype=np.uint8)[:, None] * 2, (1, 96)))
    write_csv(tmp_path / "t.csv", "path,patient", [("0.png", 1), ("1.png", 1)])
    sample = data_of(tmp_path, split="all")[0]
    across, down = sample["data_samples"].view_to_image
    # grey rises from 0 to 255 across the first image, and down the second
    first, second = (view[0].float().numpy() for view in sample["inputs"])
    centre = np.array([0.5, 0.5, 1])
    assert first.mean() == pytest.approx(256 * (across @ centre)[0], abs=6)
    assert second.mean() == pytest.approx(256 * (down @ centre)[1], abs=6)


def test_genuine_follow_ups(real_data):
    def data(split, **pairs):
        return otcxr_mm.NIHChestXray14(
            str(real_data / "nih_followup"), split=split, split_file="patient_split.csv", pairs=pairs, pipeline=STEPS
        )

    train = data("train", share=0.3, max_gap=1)
    train.full_init()
    records = train.records
    # every patient with two images has consecutive visits in this set; counted another way
    of_patient = dict(zip(*np.unique(records.patient, return_counts=True), strict=True))
    several = sum(n for n in of_patient.values() if n > 1)
    assert sum(n > 1 for n in of_patient.values()) == 950
    assert 0.9 * several < train.pairs.count <= several
    lines = (real_data / "nih_followup" / "Data_Entry_2017_v2020.csv").read_text().splitlines()[1:]
    visit = {f"images/{line.split(',')[0]}": int(line.split(",")[2]) for line in lines}
    for row in range(0, len(train), 97):
        for partner in train.pairs.partners(row):
            assert records.patient[partner] == records.patient[row]
            assert abs(visit[records.path[partner]] - visit[records.path[row]]) == 1
    rows = [row for row in range(len(train)) if len(train.pairs.partners(row))][:400]
    train.set_epoch(0, 0)
    drawn = [bool(train[row]["data_samples"].paired) for row in rows]
    assert 0.2 < np.mean(drawn) < 0.4
    # the same draws whenever and in whatever order, others in another epoch
    assert [bool(train[row]["data_samples"].paired) for row in reversed(rows)] == drawn[::-1]
    train.set_epoch(0, 1)
    assert [bool(train[row]["data_samples"].paired) for row in rows] != drawn


def test_a_broken_partner_is_counted_under_its_own_name(tmp_path, log):
    folder = folder_of(tmp_path, [(f"{i}.png", "p", "PA", i, "train") for i in range(2)])
    (folder / "1.png").write_bytes(b"no image")
    data = data_of(folder, max_broken=1.0)
    # the image itself takes the partner's place
    assert shown(data, 0) == [0, 0]
    assert not data[0]["data_samples"].paired
    assert list(data.broken.reasons) == [1]
    assert "1.png" in data.broken.reasons[1]


@pytest.mark.parametrize(
    ("rows", "pairs", "said"),
    [
        (ROWS, dict(share=0), "pairs.share must be above 0"),
        (ROWS, dict(share=0.5, max_gap=-1), "pairs.max_gap must be at least 0"),
        ([("a.png", "", "", 0, "train"), ("b.png", "", "", 1, "train")], dict(share=0.5), "no patient is known"),
        ([("a.png", 1, "", 0, "train"), ("b.png", 2, "", 1, "train")], dict(share=0.5), "no patient has two images"),
        ([("a.png", 1, "", "", "train"), ("b.png", 1, "", "", "train")], dict(share=0.5, max_gap=1), "set it to None"),
        (
            [("a.png", 1, "", 0, "train"), ("b.png", 1, "", 9, "train")],
            dict(share=0.5, max_gap=1),
            "within max_gap=1 visits",
        ),
    ],
)
def test_pairs_that_cannot_be_are_refused(tmp_path, rows, pairs, said):
    with pytest.raises(ValueError, match=said):
        data_of(folder_of(tmp_path, rows), pairs=pairs).full_init()


@pytest.mark.parametrize(
    ("view", "kind"),
    [
        ("PA", "frontal"),
        ("ap", "frontal"),
        ("AP SUPINE", "frontal"),
        ("AP_horizontal", "frontal"),
        ("LATERAL", "lateral"),
        ("LL", "lateral"),
        ("L LATERAL", "lateral"),
        ("", ""),
        ("LPO", "LPO"),
        ("PAN", "PAN"),
    ],
)
def test_projections(view, kind):
    assert projection(view) == kind
