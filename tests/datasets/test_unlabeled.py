import pytest

import otcxr_mm
from tests.conftest import write_image

LEAK = "these patients appear in more than one split"


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.jpg", "sub/c.PNG", "sub/deep/d.jpeg"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("a.jpg\n# a comment\n\nsub/c.PNG\n")
    return tmp_path


def read(folder, table, **kwargs):
    """The data set of a csv with these lines."""
    (folder / "t.csv").write_text("\n".join(table))
    return otcxr_mm.UnlabeledCXR(folder, **{"ann_file": "t.csv", **kwargs})


def test_a_folder_is_enough(folder):
    data = otcxr_mm.UnlabeledCXR(folder)
    assert data.records.path.tolist() == ["a.jpg", "b.png", "sub/c.PNG", "sub/deep/d.jpeg"]
    assert repr(data) == "UnlabeledCXR [all]: 4 images of unknown patients"
    assert "gt_score" not in data.get_data_info(0)
    with pytest.raises(ValueError, match="has no labels to balance by"):
        data.get_cat_ids(0)


def test_hidden_files_and_links_in_a_circle_are_passed_over(folder):
    for name in ("._a.png", "__MACOSX/a.png", ".cache/a.png"):
        write_image(folder / name)
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    assert len(otcxr_mm.UnlabeledCXR(folder)) == 4


def test_a_csv_with_column_names_of_its_own(folder):
    data = read(folder, ["file,person", "b.png,7"], path_column="file", patient_column="person")
    assert data.get_data_info(0)["patient_id"] == "7"
    for kwargs in (dict(path_column="path"), dict(path_column="file", patient_column="patient")):
        with pytest.raises(ValueError, match=r"; the columns are \['file', 'person'\]"):
            read(folder, ["file,person", "b.png,7"], **kwargs)


@pytest.mark.parametrize(
    "header",
    [
        *("Filename,PatientID,Split,ViewPosition", "file_name,patientid,SPLIT,view-position"),
        *("Image_Index,Patient No,split,view", "image id,PID,split,VIEW", "path,Subject-ID,split,view"),
    ],
)
def test_columns_are_found_however_people_spell_them(folder, header):
    records = read(folder, [header, "a.jpg,7,train,PA", "b.png,8,test,AP"]).records
    assert (records.patient.tolist(), records.view.tolist()) == (["7", "8"], ["PA", "AP"])
    assert otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv", split="test").records.path.tolist() == ["b.png"]
    assert otcxr_mm.UnlabeledCXR(folder, split_file="t.csv", split="test").records.path.tolist() == ["b.png"]
    with pytest.raises(ValueError, match=rf"t.csv: {LEAK}: 7 \(test, train\)"):
        read(folder, [header, "a.jpg,7,train,PA", "b.png,7,test,AP"], split_file="t.csv", split="train")


@pytest.mark.parametrize("name", ["Patient Hash", "hospitalPatientKey", "MRN_no", "Patientennr"])
@pytest.mark.parametrize("kwargs", [{}, dict(ann_file="", split_file="t.csv", split="train")], ids=["table", "splits"])
def test_a_column_that_may_name_patients_is_asked_about(folder, name, kwargs):
    table = [f"path,{name},split", "a.jpg,7,train", "b.png,7,test"]
    with pytest.raises(ValueError, match=rf"t.csv: \['{name}'\] may name patients.*patient_column='' if there is"):
        read(folder, table, **kwargs)
    with pytest.raises(ValueError, match=LEAK):
        read(folder, table, patient_column=name, **kwargs)
    assert set(read(folder, table, patient_column="", **kwargs).records.patient.tolist()) == {""}


@pytest.mark.parametrize(
    "name",
    ["patient_name", "PatientBirth", "patientweight", "personal"],
)
def test_what_is_about_patients_is_not_asked_about(folder, name):
    data = read(folder, [f"path,{name}", "a.jpg,7", "b.png,7"])
    assert set(data.records.patient.tolist()) == {""}


def test_several_columns_of_patients_are_asked_about(folder):
    table = ["path,patient,mrn", "a.jpg,1,A", "b.png,2,A"]
    with pytest.raises(ValueError, match=r"t.csv: \['patient', 'mrn'\] may name patients.*patient_column"):
        read(folder, table)
    assert read(folder, table, patient_column="mrn").records.patient.tolist() == ["A", "A"]
    # an empty one says nothing
    assert read(folder, ["path,patient,mrn", "a.jpg,,A", "b.png,,B"]).records.patient.tolist() == ["A", "B"]


def test_using_all_splits_together_is_said(folder, log):
    assert len(read(folder, ["filename,patient,split", "a.jpg,7,train", "b.png,8,test"])) == 2
    assert "all splits are used together, {'test': 1, 'train': 1}; choose one with split=" in log.text


@pytest.mark.parametrize(
    ("table", "split", "message"),
    [
        (["path,split", "view1.png,train"], "train", "view1.png is the file name of several images"),
        (["patient,split", "7,train"], "train", "none of its 1 entries in 'patient' names an image"),
        (["path,split", "a.jpg,train"], "all", "need the split to use, such as split='train'"),
    ],
)
def test_split_files_that_are_wrong(folder, table, split, message):
    write_image(folder / "p0" / "view1.png")
    write_image(folder / "p1" / "view1.png")
    with pytest.raises(ValueError, match=message):
        read(folder, table, ann_file="", split_file="t.csv", split=split)


@pytest.mark.parametrize("name", ["sub/deep/d.jpeg", "d.jpeg"])
def test_a_split_file_by_path_or_by_name(folder, name):
    data = read(folder, ["path,split", f"{name},train"], ann_file="", split_file="t.csv", split="train")
    assert data.records.path.tolist() == ["sub/deep/d.jpeg"]


def test_an_empty_folder_and_a_table_without_splits(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no images .* in this folder or below it"):
        otcxr_mm.UnlabeledCXR(tmp_path, img_prefix="empty")
    with pytest.raises(ValueError, match="split 'train' is empty; the splits are none"):
        read(folder, ["path", "a.jpg"], split="train")
