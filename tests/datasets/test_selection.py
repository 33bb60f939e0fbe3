"""Filters, splits by hash, and draws of a fraction."""

import numpy as np
import pytest

import otcxr_mm
from otcxr_mm.datasets.patients import check_patient_disjoint, normal_ids
from otcxr_mm.datasets.splits import draw_fraction, hash_share, split_by_hash, split_from_file
from tests.conftest import write_image

THIRDS = (("train", 0.7), ("val", 0.1), ("test", 0.2))


def people(n_patients, images=3):
    patient = np.repeat([f"p{i}" for i in range(n_patients)], images)
    path = np.array([f"images/{p}_{i % images}.png" for i, p in enumerate(patient.tolist())])
    return path, patient


# filters ------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    rows = ["path,patient,age,sex,view", "a.png,1,30,M,PA", "b.png,2,40Y,F,AP", "c.png,3,,F,", "d.png,4,050Y,,PA"]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    for name in "abcd":
        write_image(tmp_path / f"{name}.png")
    return tmp_path


def left(folder, **kwargs):
    return otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv", **kwargs).records.path.tolist()


@pytest.mark.parametrize(
    ("kwargs", "kept", "said"),
    [
        (dict(ages=(30, 40)), ["a.png", "b.png"], "ages=[30, 40] drops 2 of 4 images (1 of unknown age)"),
        (dict(sexes=["F"]), ["b.png", "c.png"], "sexes=['F'] drops 2 of 4 images (1 of unknown sex)"),
        (dict(views=["PA"], ages=(31, 100)), ["d.png"], "ages=[31, 100] drops 1 of 2 images (0 of unknown age)"),
    ],
)
def test_filters_drop_what_does_not_fit_or_is_unknown_and_say_so(table, log, kwargs, kept, said):
    assert left(table, **kwargs) == kept
    assert said in log.text


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(ages=(90, 99)), r"no image with ages=\[90, 99\]; there are \[30.0, 40.0, 50.0\]"),
        (dict(sexes=["W"]), r"no image with sexes=\['W'\]; there are \['F', 'M'\]"),
    ],
)
def test_filters_that_leave_nothing(table, kwargs, message):
    with pytest.raises(ValueError, match=message):
        left(table, **kwargs)


def test_what_is_not_an_age_is_unknown_and_counted(table, log):
    (table / "t.csv").write_text("path,age\na.png,30\nb.png,adult\n")
    np.testing.assert_array_equal(otcxr_mm.UnlabeledCXR(table, ann_file="t.csv").records.age, [30, np.nan])
    assert "t.csv: 1 fields are not ages and are taken as unknown" in log.text
    assert left(table, ages=(0, 99)) == ["a.png"]
    with pytest.raises(ValueError, match="no image with sexes=.*none known"):
        left(table, sexes=["M"])


# splits by hash -----------------------------------------------------------------------------------


def test_split_by_hash_keeps_patients_together_and_shares_about_right():
    path, patient = people(2000)
    split = split_by_hash(path, patient, THIRDS)
    check_patient_disjoint(patient, split, "")
    assert [abs((split == name).mean() - share) < 0.03 for name, share in THIRDS] == [True] * 3
    # who else is there, and in which order, does not matter
    some = np.random.default_rng(0).permutation(len(path))[:500]
    np.testing.assert_array_equal(split_by_hash(path[some], patient[some], THIRDS), split[some])


def test_split_by_hash_within_a_published_split(nih_folder, real_data):
    parts = dict(split_by_hash=[["train", 0.8], ["val", 0.2]], within="train_val", check_files=False)
    table = real_data / "nih"
    official = set(otcxr_mm.NIHChestXray14(table, split="train_val", check_files=False).records.path.tolist())
    found = [set(otcxr_mm.NIHChestXray14(table, split=s, **parts).records.path.tolist()) for s in ("train", "val")]
    assert not found[0] & found[1]
    assert found[0] | found[1] == official
    assert 0.1 < len(found[1]) / len(official) < 0.3
    with pytest.raises(ValueError, match="split 'nowhere' is empty; the splits are {'test': 1, 'train_val': 3}"):
        otcxr_mm.NIHChestXray14(nih_folder, split="train", **{**parts, "within": "nowhere"})


def test_without_patients_images_are_split_with_a_warning(tmp_path, log):
    for i in range(40):
        write_image(tmp_path / f"{i}.png", (4, 4))
    train = otcxr_mm.UnlabeledCXR(tmp_path, split="train", split_by_hash=THIRDS)
    assert "40 of 40 images have no patient id and are drawn image by image" in log.text
    for i in range(40):  # converted to another format, and in another folder, an image stays where it was
        (tmp_path / f"{i}.png").unlink()
        write_image(tmp_path / "sub" / f"{i}.jpg", (4, 4))
    moved = otcxr_mm.UnlabeledCXR(tmp_path, split="train", split_by_hash=THIRDS)
    assert {p[:-4] for p in train.records.path.tolist()} == {p[4:-4] for p in moved.records.path.tolist()}


def test_a_patients_split_does_not_change_when_images_without_a_patient_join():
    patient = np.array([str(i) for i in range(200)])
    path = np.array([f"{i}.png" for i in range(200)])
    before = split_by_hash(path, patient, THIRDS)
    joined = split_by_hash(np.append(path, ["x.png", "sub/x.png", "y.png"]), np.append(patient, ["", "", ""]), THIRDS)
    np.testing.assert_array_equal(joined[:200], before)
    assert joined[202] == split_by_hash(np.array(["y.png"]), np.array([""]), THIRDS)[0]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        *(
            (dict(split="train", split_by_hash=shares), "split_by_hash=.*pairs of a split and its share")
            for shares in ((("train", 0.7), ("val", 0.1)), (("a", 0.5), ("a", 0.5)), ())
        ),
        (dict(split="train", split_by_hash=THIRDS, split_file="s.csv"), "split_file and split_by_hash both define"),
        (dict(split_by_hash=THIRDS), "need the split to use"),
        (dict(within="train_val"), "within='train_val' needs split_by_hash"),
        *((dict(fraction=f), "fraction must be above 0 and at most 1") for f in (0, 1.5, -1)),
    ],
)
def test_arguments_that_are_wrong(tmp_path, kwargs, message):
    with pytest.raises(ValueError, match=message):
        otcxr_mm.UnlabeledCXR(tmp_path, **kwargs)


# fractions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [0, 1])
def test_fractions_are_nested_whole_patients(draw):
    path, patient = people(1000)
    drawn = {f: draw_fraction(path, patient, f, draw) for f in (0.01, 0.05, 0.1, 0.5, 1.0)}
    assert [len(set(patient[mask].tolist())) for mask in drawn.values()] == [10, 50, 100, 500, 1000]
    assert all(mask.sum() == 3 * len(set(patient[mask].tolist())) for mask in drawn.values())
    masks = list(drawn.values())
    assert all((small <= large).all() for small, large in zip(masks, masks[1:], strict=False))


def test_draws_differ_and_are_those_of_today():
    path, patient = people(1000)
    first, second = (draw_fraction(path, patient, 0.05, draw) for draw in (0, 1))
    assert (first & second).sum() < 0.3 * first.sum()
    # published results depend on it: a change of the hash would change everybody's selections
    assert sorted(set(patient[draw_fraction(path, patient, 0.003)].tolist())) == ["p443", "p652", "p862"]
    expected = ["train", "train", "test", "train", "train", "test", "test", "test", "train", "val"]
    assert split_by_hash(path, patient, THIRDS)[:30:3].tolist() == expected


def test_fraction_of_a_data_set(nih_folder):
    data = otcxr_mm.NIHChestXray14(nih_folder, split="all", fraction=0.3, draw=2)
    assert len(set(data.records.patient.tolist())) == 1
    assert "(fraction 0.3, draw 2)" in repr(data)


# patients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("P1", "p1", True),
        ("1", "01", True),
        ("1", "1.0", True),
        ("M\u00fcller", "Mu\u0308ller", True),
        ("P1", "\uff301", True),  # full-width P
        (" P  1 ", "p 1", True),
        ("P1", "P01", False),
        ("1", "10", False),
        ("0", "", False),
    ],
)
def test_one_patient_as_people_write_the_id(tmp_path, one, other, same):
    patient, path = np.array([one, other, "another"]), np.array(["a.png", "b.png", "c.png"])
    first, second = normal_ids(patient)[:2]
    assert (first == second) == same
    if same:
        with pytest.raises(ValueError, match="these patients appear in more than one split"):
            check_patient_disjoint(patient, np.array(["train", "test", "test"]), "t.csv")
        (tmp_path / "s.csv").write_text(f"patient,split\n{one},train\nanother,test\n")
        assert split_from_file(path, patient, tmp_path / "s.csv").tolist() == ["train", "train", "test"]


def test_a_patient_written_in_several_ways_is_drawn_as_one_by_the_id_as_written():
    path, plain = people(300, images=2)
    upper = np.char.upper(plain)
    mixed = np.where(np.arange(600) % 2, upper, plain)  # p7, P7
    split = split_by_hash(path, mixed, THIRDS)
    assert (split[::2] == split[1::2]).all()
    # the hash is that of the first spelling, as written
    expected = np.searchsorted([0.7, 0.8], hash_share(upper.tolist(), "split"), side="right")
    np.testing.assert_array_equal(split, np.array(["train", "val", "test"])[expected])
    drawn = draw_fraction(path, mixed, 0.1)
    assert (drawn[::2] == drawn[1::2]).all()
    assert drawn.sum() == 60
