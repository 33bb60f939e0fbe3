"""CheXpert, BRAX, MIMIC-CXR and PadChest: made folders in the publishers' layouts, policies, spaces, studies."""

import csv

import numpy as np
import pytest
from mmengine.dataset import ConcatDataset

import otcxr_mm
from otcxr_mm.datasets.collections.padchest import GROUPS
from otcxr_mm.datasets.columns import NUMBERS
from otcxr_mm.datasets.label_spaces import LABEL_SPACES
from otcxr_mm.datasets.records import visits_in_order
from otcxr_mm.datasets.tables import CHUNK, read_csv
from tests.datasets import layouts
from tests.datasets.layouts import CHEXPERT_HEADER
from tests.journeys.planted import write_csv

NAN = np.nan


def column(data, name):
    return data.records.labels[:, data.metainfo["classes"].index(name)].tolist()


# CheXpert and BRAX --------------------------------------------------------------------------------


@pytest.mark.parametrize("small", ["", "-small"])
def test_chexpert_as_downloaded(tmp_path, small):
    layouts.chexpert(tmp_path, small)
    data = otcxr_mm.CheXpert(tmp_path)
    records = data.records
    assert records.path[0] == "train/patient00001/study1/view1_frontal.jpg"
    assert records.patient.tolist() == ["patient00001", "patient00001", "patient00002", "patient00002"]
    assert records.study.tolist() == ["1", "2", "1", "2"]
    assert records.view.tolist() == ["AP", "LATERAL", "AP", "AP"]
    assert records.age.tolist() == [60, 61, 62, 63]
    assert records.sex.tolist() == ["M", "F", "M", "F"]
    # the numbers of studies do not follow time
    assert np.isnan(records.visit).all()
    np.testing.assert_array_equal(column(data, "Edema"), [1, NAN, 0, 0])
    assert data[0]["study_id"] == "1"
    assert len(otcxr_mm.CheXpert(tmp_path, split="valid")) == 2
    assert len(otcxr_mm.CheXpert(tmp_path, split="all")) == 6
    part = otcxr_mm.CheXpert(tmp_path, within="train", split_by_hash=(("a", 0.5), ("b", 0.5)), split="a")
    assert 0 < len(part) < 4
    assert len({data.image_id(path) for path in records.path}) == 4


def test_chexpert_in_its_four_archives(tmp_path):
    layouts.chexpert(tmp_path, "")
    first = tmp_path / "CheXpert-v1.0 batch 1 (validate & csv)"
    first.mkdir()
    for name in ("train.csv", "valid.csv", "valid"):
        (tmp_path / name).rename(first / name)
    for i in (1, 2):
        folder = tmp_path / f"CheXpert-v1.0 batch {i + 1} (train {i})"
        folder.mkdir()
        (tmp_path / "train" / f"patient0000{i}").rename(folder / f"patient0000{i}")
    (tmp_path / "train").rmdir()
    for split, n in (("train", 4), ("valid", 2)):
        data = otcxr_mm.CheXpert(tmp_path, split=split, pipeline=[dict(type="otcxr_mm.LoadCXR")])
        assert [data[i]["img"].shape for i in range(len(data))] == [(24, 30)] * n


def test_another_table_for_training_and_a_test_set_with_fewer_columns(tmp_path):
    layouts.chexpert(tmp_path)
    (tmp_path / "train.csv").rename(tmp_path / "train_visualCheXbert.csv")
    with pytest.raises(FileNotFoundError, match="train.csv: no such table"):
        otcxr_mm.CheXpert(tmp_path)
    assert len(otcxr_mm.CheXpert(tmp_path, "train_visualCheXbert.csv")) == 4
    layouts.images(tmp_path, ["test/patient9/study1/view1_frontal.jpg"])
    row = ("CheXpert-v1.0/test/patient9/study1/view1_frontal.jpg", "1", "0")
    write_csv(tmp_path / "test_labels.csv", "Path,Edema,Pneumonia", [row])
    data = otcxr_mm.CheXpert(tmp_path, split="test", classes=("Edema", "Pneumonia", "Fracture"))
    np.testing.assert_array_equal(data.records.labels, [[1, 0, NAN]])


def test_brax(tmp_path):
    layouts.brax(tmp_path)
    data = otcxr_mm.BRAX(tmp_path)
    assert data.records.patient.tolist() == ["id_0", "id_0", "id_1", "id_1", "id_2", "id_2"]
    assert data.records.view.tolist() == ["PA"] * 6
    assert column(data, "Edema") == [0, 1, 0, 1, 0, 1]
    assert data.records.study.tolist() == list("012345")
    assert data.records.age.tolist() == [85, *[50] * 5]
    with pytest.raises(FileNotFoundError, match="Anonymized_DICOMs"):
        otcxr_mm.BRAX(tmp_path, dicom=True).full_init()


# policies -----------------------------------------------------------------------------------------


@pytest.fixture
def five(tmp_path):
    """Five patients: positive, negative, uncertain, blank, uncertain in all findings."""
    rows = []
    for i, mark in enumerate(("1.0", "0.0", "-1.0", "", "-1")):
        path = f"train/patient0000{i}/study1/view1_frontal.jpg"
        layouts.images(tmp_path, [path])
        rows.append((f"CheXpert-v1.0/{path}", "Female", 50, "Frontal", "PA", *[mark] * 14))
    write_csv(tmp_path / "train.csv", CHEXPERT_HEADER, rows)
    return tmp_path


@pytest.mark.parametrize(
    ("kwargs", "edema", "cardiomegaly", "fracture"),
    [
        ({}, [1, 0, NAN, 0, NAN], [1, 0, NAN, 0, NAN], [1, 0, NAN, 0, NAN]),
        (dict(uncertain="U-Ones"), [1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 0, 1, 0, 1]),
        (dict(uncertain="U-Zeros"), [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0]),
        (dict(uncertain="U-Mixed"), [1, 0, 1, 0, 1], [1, 0, 0, 0, 0], [1, 0, NAN, 0, NAN]),
        (dict(blank="unknown"), [1, 0, NAN, NAN, NAN], [1, 0, NAN, NAN, NAN], [1, 0, NAN, NAN, NAN]),
        (dict(uncertain={"Edema": "one"}), [1, 0, 1, 0, 1], [1, 0, NAN, 0, NAN], [1, 0, NAN, 0, NAN]),
        (
            dict(uncertain={"default": "zero", "edema": "ignore"}),
            [1, 0, NAN, 0, NAN],
            [1, 0, 0, 0, 0],
            [1, 0, 0, 0, 0],
        ),
    ],
)
def test_policies_of_uncertain_labels(five, kwargs, edema, cardiomegaly, fracture):
    data = otcxr_mm.CheXpert(five, **kwargs)
    for name, expected in (("Edema", edema), ("Cardiomegaly", cardiomegaly), ("Fracture", fracture)):
        np.testing.assert_array_equal(column(data, name), expected)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(uncertain="U-One"), "uncertain='U-One' must be one of .*U-Mixed"),
        (dict(uncertain={"Oedema": "one"}), "uncertain names 'Oedema', which is neither 'default' nor among"),
        (dict(uncertain={"Edema": 1}), r"uncertain\['Edema'\] must be one of .*got 1"),
        (dict(blank=0), "blank must be one of .*got 0"),
    ],
)
def test_policies_that_do_not_exist(five, kwargs, message):
    with pytest.raises(ValueError, match=message):
        otcxr_mm.CheXpert(five, **kwargs)


def test_the_table_of_policies_says_what_each_makes_of_the_labels(five):
    lines = otcxr_mm.CheXpert(five).label_policies().splitlines()
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines}
    assert rows["finding"][4:] == ["U-Ones: 1 / 0", "U-Zeros: 1 / 0", "U-Ignore: 1 / 0", "U-Mixed: 1 / 0"]
    assert rows["Edema"] == ["1", "1", "2", "1", "3 / 2", "1 / 4", "1 / 2", "3 / 2"]
    assert rows["Cardiomegaly"][-1] == "1 / 4"
    # the table and the labels agree
    for policy, place in (("U-Ones", 4), ("U-Zeros", 5), ("U-Ignore", 6), ("U-Mixed", 7)):
        labels = column(otcxr_mm.CheXpert(five, uncertain=policy), "Edema")
        assert rows["Edema"][place] == f"{labels.count(1)} / {labels.count(0)}"


# MIMIC-CXR ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_mimic_joins_its_three_tables(tmp_path, packed):
    layouts.mimic(tmp_path, packed)
    data = otcxr_mm.MIMICCXR(tmp_path)
    records = data.records
    assert records.path[0] == ("files/p10/p10000032/s50414267/00000000-bde0afdd-112c0b34-7bc16630-4e384014.jpg")
    assert records.patient.tolist() == ["10000032"] * 3
    assert records.study.tolist() == ["50414267", "50414267", "50414269"]
    # by date, not by number
    assert records.visit.tolist() == [1, 1, 0]
    assert records.view.tolist() == ["PA", "LATERAL", "PA"]
    # both images of a study have its labels
    np.testing.assert_array_equal(column(data, "Edema"), [NAN, NAN, 0])
    everything = otcxr_mm.MIMICCXR(tmp_path, split="all")
    # the last study has no row of labels
    np.testing.assert_array_equal(everything.records.labels[-1], [NAN] * 14)
    assert everything.records.split.tolist() == ["train"] * 3 + ["test"] * 3
    with pytest.raises(ValueError, match=r"no image is in \['validate'\]"):
        otcxr_mm.MIMICCXR(tmp_path, split="validate").full_init()
    with pytest.raises(FileNotFoundError, match="negbio.csv.gz: no such table"):
        otcxr_mm.MIMICCXR(tmp_path, labeler="negbio").full_init()


def test_tables_in_another_order_are_joined_by_their_ids(tmp_path):
    layouts.mimic(tmp_path)
    truth = otcxr_mm.MIMICCXR(tmp_path, split="all").records
    for name in ("split", "chexpert"):
        file = tmp_path / f"mimic-cxr-2.0.0-{name}.csv"
        header, *rows = file.read_text().splitlines()
        file.write_text("\n".join([header, *reversed(rows)]))
    found = otcxr_mm.MIMICCXR(tmp_path, split="all").records
    np.testing.assert_array_equal(found.labels, truth.labels)
    assert found.split.tolist() == truth.split.tolist()


def test_visits_are_numbered_by_the_first_image_of_each_study():
    patient, study = np.array(list("aaaabb")), np.array(list("xyxzxy"))
    visit = visits_in_order(patient, study, np.array([5.0, 4, 1, NAN, 2, 2]))
    np.testing.assert_array_equal(visit, [0, 1, 0, NAN, 0, 1])


# PadChest -----------------------------------------------------------------------------------------


def test_padchest_groups_its_labels(tmp_path):
    layouts.padchest(tmp_path)
    data = otcxr_mm.PadChest(tmp_path)
    np.testing.assert_array_equal(column(data, "Effusion"), [1, 0, NAN, 1, NAN, 0])
    np.testing.assert_array_equal(column(data, "Atelectasis"), [1, 0, NAN, 0, NAN, 0])
    np.testing.assert_array_equal(column(data, "Pneumothorax"), [0, 0, NAN, 1, NAN, 0])
    np.testing.assert_array_equal(column(data, "Consolidation"), [0, 0, NAN, 0, NAN, 1])
    np.testing.assert_array_equal(data.records.age, np.float32([NAN, 64, 64, 64, 64, 64]))
    # the later studies have the earlier dates
    assert data.records.visit.tolist() == [1, 0, 1, 0, 1, 0]
    assert data.records.path[:2].tolist() == ["0/0_00-0.png", "1/1_00-1.png"]
    own = otcxr_mm.PadChest(tmp_path, classes={"Scoliosis": "scoliosis", "PE": "pleural effusion", "x": None})
    np.testing.assert_array_equal(own.records.labels[:2], [[0, 1, NAN], [0, 0, NAN]])
    assert len(otcxr_mm.PadChest(tmp_path, labelled_by="Physician")) == 4
    with pytest.raises(ValueError, match=r"no image with labelled_by='physician'; there are \['Physician', 'RNN"):
        otcxr_mm.PadChest(tmp_path, labelled_by="physician").full_init()
    with pytest.raises(ValueError, match="unknown class 'scoliosi': did you mean 'scoliosis'"):
        otcxr_mm.PadChest(tmp_path, classes=("scoliosi",)).full_init()


# children of the labels that PadChest's groups begin with, as in the first author's trees_code.txt
TREE = {
    "atelectasis": "total atelectasis, lobar atelectasis, segmental atelectasis, laminar atelectasis, "
    "round atelectasis, atelectasis basal",
    "pleural effusion": "loculated pleural effusion, loculated fissural effusion, hydropneumothorax, empyema, "
    "hemothorax",
    "infiltrates": "interstitial pattern, alveolar pattern",
    "interstitial pattern": "ground glass pattern, reticular interstitial pattern, miliary opacities, "
    "reticulonodular interstitial pattern",
    "alveolar pattern": "consolidation, air bronchogram",
    "consolidation": "air bronchogram",
    "mass": "mediastinal mass, breast mass, pleural mass, pulmonary mass, soft tissue mass",
    "nodule": "multiple nodules",
    "pneumonia": "atypical pneumonia",
    "pneumothorax": "hydropneumothorax",
    "pulmonary fibrosis": "post radiotherapy changes, asbestosis signs",
    "pleural thickening": "apical pleural thickening, calcified pleural thickening",
}


def below(label):
    """A label and all those below it."""
    return {label}.union(*(below(child) for child in TREE[label].split(", "))) if label in TREE else {label}


def test_groups_of_padchest_are_branches_of_its_tree():
    assert {name: set(labels) for name, labels in GROUPS.items()} == {
        name: below(labels[0]) for name, labels in GROUPS.items()
    }
    assert len(GROUPS) == 14


def test_padchest_in_one_folder(tmp_path):
    layouts.padchest(tmp_path)
    (tmp_path / "images-224").mkdir()
    for file in tmp_path.glob("[01]/*.png"):
        file.rename(tmp_path / "images-224" / file.name)
    for name in "01":
        (tmp_path / name).rmdir()
    assert len(otcxr_mm.PadChest(tmp_path, img_prefix="images-224")) == 6


# label spaces -------------------------------------------------------------------------------------

SETS = ("nih", "vinbig", "vindr", "rsna", "siim", "npz", "chexpert", "brax", "mimic", "padchest")


def all_sets(folder, classes, names=SETS):
    for name in names:
        root = folder / name
        root.mkdir(exist_ok=True)
        write, build = layouts.LAYOUTS[name]
        write(root)
        cls = {"nih": otcxr_mm.NIHChestXray14, "vinbig": otcxr_mm.VinBigCXR}.get(name, build)
        yield cls(root, classes=classes)


@pytest.mark.parametrize("space", LABEL_SPACES)
def test_five_sets_concatenate_in_one_space(tmp_path, space):
    both = ConcatDataset(list(all_sets(tmp_path, space, ("nih", "chexpert", "brax", "mimic", "padchest"))))
    assert both.metainfo["classes"] == LABEL_SPACES[space]
    assert {both.get_data_info(i)["gt_score"].shape for i in range(len(both))} == {(len(LABEL_SPACES[space]),)}


def test_each_set_finds_its_own_names(tmp_path):
    known = {}
    for data in all_sets(tmp_path, "nih14", ("nih", "chexpert", "vindr", "padchest")):
        wanted = data._columns >= 0
        known[type(data).__name__] = dict(zip(LABEL_SPACES["nih14"], wanted.tolist(), strict=True))
    assert all(known["NIHChestXray14"].values()) and all(known["PadChest"].values())
    assert [n for n, there in known["CheXpert"].items() if there] == [
        *("Atelectasis", "Cardiomegaly", "Effusion", "Pneumonia", "Pneumothorax", "Consolidation", "Edema")
    ]
    assert known["VinDrCXR"]["Fibrosis"] and known["VinDrCXR"]["Pleural_Thickening"]
    assert not known["VinDrCXR"]["Mass"]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("chexpert", "classes='chexpert' must be a list of names or one of"),
        ("chexpert5", "none of the findings of 'chexpert5' is among its classes"),
    ],
)
def test_spaces_that_do_not_fit(tmp_path, classes, message):
    with pytest.raises(ValueError, match=message):
        next(all_sets(tmp_path, classes, ("siim",)))


# pairs --------------------------------------------------------------------------------------------


def test_pairs_prefer_the_same_study(tmp_path):
    rows = [("a", 1, 1, 0), ("b", 1, 1, 0), ("c", 1, 2, 1), ("d", 2, 1, ""), ("e", 2, 1, ""), ("f", 2, "", 0)]
    layouts.images(tmp_path, [f"{row[0]}.png" for row in rows])
    write_csv(tmp_path / "t.csv", "path,patient,study,visit", [(f"{row[0]}.png", *row[1:]) for row in rows])

    def partners(**pairs):
        data = otcxr_mm.UnlabeledCXR(tmp_path, "t.csv", pairs=dict(share=1.0, **pairs))
        data.full_init()
        found = [set(data.pairs.partners(row).tolist()) for row in range(len(data))]
        assert data.pairs.count == sum(map(bool, found))
        return found

    assert partners() == [{1}, {0}, {0, 1}, {4}, {3}, {3, 4}]
    assert partners(max_gap=1) == [{1}, {0}, {0, 1}, {4}, {3}, set()]
    # the images of one study alone, whether or not its time is known
    assert partners(max_gap=0) == [{1}, {0}, set(), {4}, {3}, set()]


# tables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_are_named_by_their_line_after_fields_of_several_lines(tmp_path, end):
    lines = ["a,b", '1,"two', 'lines"', "", "1,x", "2,y", "3,z"]
    (tmp_path / "t.csv").write_bytes(end.join(lines).encode())
    with pytest.raises(ValueError, match="t.csv, row 6: '2' in column 'a'; expected one of"):
        read_csv(tmp_path / "t.csv", coded={"a": {"1": 0.0}})
    table = read_csv(tmp_path / "t.csv", coded={"a": NUMBERS})
    assert table.lines.tolist() == [2, 5, 6, 7]
    assert table["a"].tolist() == [1, 1, 2, 3]
    assert table["b"][0].split() == ["two", "lines"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "odd", ['q,"a, b",c', 'q,"a\n\nb",c', 'q,"a ""b""",c', "q,b,c,,", "", "q,  b\x0bb\u2028 ,c", ",,"]
)
def test_a_table_is_what_a_csv_reader_finds_in_it(tmp_path, odd, end):
    """Wherever what it must not simply split at the commas stands."""
    rows = [f"{i},{'x' * (i % 5)},{i % 3}" for i in range(2 * CHUNK + 5)]
    for place in (0, CHUNK - 1, CHUNK, len(rows)):
        text = end.join(["a,b,c", *rows[:place], odd, *rows[place:]])
        (tmp_path / "t.csv").write_bytes(text.encode())
        with open(tmp_path / "t.csv", newline="") as stream:
            reader = csv.reader(stream)
            truth = [([field.strip() for field in row[:3]], reader.line_num) for row in reader if row][1:]
        table = read_csv(tmp_path / "t.csv", only=("a", "c", "b"))
        assert [*zip(*map(np.ndarray.tolist, table.values()), strict=True)] == [tuple(row) for row, _ in truth]
        assert table.lines.tolist() == [line - row[1].count("\n") for row, line in truth]


def test_a_table_longer_than_a_chunk(tmp_path):
    rows = [f"{i},{'x' * (i % 7)}" for i in range(3 * CHUNK + 5)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b", *rows]))
    table = read_csv(tmp_path / "t.csv", coded={"a": NUMBERS})
    np.testing.assert_array_equal(table["a"], np.arange(len(rows)))
    np.testing.assert_array_equal(table.lines, np.arange(len(rows)) + 2)
    assert table["b"].tolist() == [row.split(",")[1] for row in rows]
    (tmp_path / "t.csv").write_text("\n".join(["a,b", *rows, "q,"]))
    with pytest.raises(ValueError, match=f"row {len(rows) + 2}: 'q' in column 'a'; expected a number"):
        read_csv(tmp_path / "t.csv", coded={"a": NUMBERS})
