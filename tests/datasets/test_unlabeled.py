import pytest

import otcxr_mm
from tests.conftest import write_image


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.jpg", "sub/c.PNG", "sub/deep/d.jpeg"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("a.jpg\nsub/c.PNG\n")
    return tmp_path


def test_a_folder_is_enough(folder):
    data = otcxr_mm.UnlabeledCXR(folder)
    assert data.records.path.tolist() == ["a.jpg", "b.png", "sub/c.PNG", "sub/deep/d.jpeg"]
    assert repr(data) == "UnlabeledCXR [all]: 4 images of unknown patients"
    assert "gt_score" not in data.get_data_info(0)


def test_a_list(folder):
    assert otcxr_mm.UnlabeledCXR(folder, ann_file="notes.txt").records.path.tolist() == ["a.jpg", "sub/c.PNG"]


def test_a_csv_with_patients_and_splits(folder):
    (folder / "t.csv").write_text("filename,patient,split\nc.PNG,7,train\ndeep/d.jpeg,8,test\n")
    data = otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv", img_prefix="sub", split="train")
    assert data.records.path.tolist() == ["sub/c.PNG"]
    assert data.get_data_info(0)["patient_id"] == "7"


def test_a_csv_with_names_of_its_own(folder):
    (folder / "t.csv").write_text("file,person\nb.png,7\n")
    data = otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv", path_column="file", patient_column="person")
    assert data.get_data_info(0)["patient_id"] == "7"


@pytest.mark.parametrize(
    "header",
    [
        *(
            "Filename,PatientID,Split,ViewPosition",
            "file_name,patientid,SPLIT,view-position",
            "PATH,Patient,split,View",
        ),
        *("Image_Index,Patient No,split,view", "image id,PID,split,VIEW", "path,MRN,split,view"),
        *("path,Subject-ID,split,view", "path,patient_number,split,view"),
    ],
)
def test_columns_are_found_however_people_spell_them(folder, header):
    (folder / "t.csv").write_text(f"{header}\na.jpg,7,train,PA\nb.png,8,test,AP\n")
    records = otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv").records
    assert (records.patient.tolist(), records.view.tolist()) == (["7", "8"], ["PA", "AP"])
    assert otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv", split="test").records.path.tolist() == ["b.png"]
    assert otcxr_mm.UnlabeledCXR(folder, split_file="t.csv", split="test").records.path.tolist() == ["b.png"]
    (folder / "t.csv").write_text(f"{header}\na.jpg,7,train,PA\nb.png,7,test,AP\n")
    for kwargs in (dict(ann_file="t.csv"), dict(split_file="t.csv", split="train")):
        with pytest.raises(ValueError, match="t.csv: these patients appear in more than one split"):
            otcxr_mm.UnlabeledCXR(folder, **kwargs)


@pytest.mark.parametrize(
    "name", ["Patient Hash", "hospitalPatientKey", "person", "MRN_no", "subject code", "Patientennr"]
)
def test_a_column_that_may_name_patients_is_asked_about(folder, name):
    (folder / "t.csv").write_text(f"path,{name},split\na.jpg,7,train\nb.png,7,test\n")
    for kwargs in (dict(ann_file="t.csv"), dict(split_file="t.csv", split="train")):
        with pytest.raises(
            ValueError, match=f"t.csv: column '{name}' may name patients.*patient_column='' if there is none"
        ):
            otcxr_mm.UnlabeledCXR(folder, **kwargs)
        with pytest.raises(ValueError, match="these patients appear in more than one split"):
            otcxr_mm.UnlabeledCXR(folder, patient_column=name, **kwargs)
        assert set(otcxr_mm.UnlabeledCXR(folder, patient_column="", **kwargs).records.patient.tolist()) == {""}


@pytest.mark.parametrize(
    "name",
    ["Patient Age", "patient_name", "PatientBirth", "patientweight", "case id", "personal", "subjective", "study"],
)
def test_what_is_about_patients_is_not_asked_about(folder, name):
    (folder / "t.csv").write_text(f"path,{name}\na.jpg,7\nb.png,7\n")
    assert set(otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv").records.patient.tolist()) == {""}


def test_two_columns_of_patients_must_agree(folder):
    (folder / "t.csv").write_text("path,patient,mrn\na.jpg,1,A\nb.png,01,a\nsub/c.PNG,2,B\n")
    assert otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv").records.patient.tolist() == ["01", "01", "2"]
    (folder / "t.csv").write_text("path,patient,mrn\na.jpg,1,A\nb.png,2,A\n")
    with pytest.raises(
        ValueError, match=r"t.csv: columns 'patient' and 'mrn' name different patients: .*patient_column="
    ):
        otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv")
    data = otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv", patient_column="mrn")
    assert data.records.patient.tolist() == ["A", "A"]
    (folder / "t.csv").write_text("path,patient,mrn\na.jpg,,A\nb.png,,B\n")  # an empty one says nothing
    assert otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv").records.patient.tolist() == ["A", "B"]


def test_patient_in_two_splits(folder):
    (folder / "t.csv").write_text("filename,patient,split\na.jpg,7,train\nb.png,7,test\n")
    with pytest.raises(ValueError, match=r"t.csv: these patients appear in more than one split: 7 \(test, train\)"):
        otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv", split="train")


def test_patient_in_two_splits_of_a_split_file_over_a_plain_folder(folder):
    (folder / "s.csv").write_text("path,patient_id,split\na.jpg,7,train\nb.png,7,test\n")
    with pytest.raises(ValueError, match=r"s.csv: these patients appear in more than one split: 7 \(test, train\)"):
        otcxr_mm.UnlabeledCXR(folder, split_file="s.csv", split="train")


def test_a_leak_in_the_table_is_an_error_even_when_all_splits_are_used(folder):
    (folder / "t.csv").write_text("filename,patient,split\na.jpg,7,train\nb.png,7,test\n")
    with pytest.raises(ValueError, match="these patients appear in more than one split"):
        otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv")


def test_using_all_splits_together_is_said(folder, caplog):
    (folder / "t.csv").write_text("filename,patient,split\na.jpg,7,train\nb.png,8,test\n")
    from mmengine.logging import MMLogger

    logger = MMLogger.get_instance("splits")
    logger.addHandler(caplog.handler)
    assert len(otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv")) == 2
    assert "all splits are used together, {'test': 1, 'train': 1}; choose one with split=" in caplog.text
    with pytest.raises(ValueError, match="split_file='t.csv' also needs the split to use, such as split='train'"):
        otcxr_mm.UnlabeledCXR(folder, split_file="t.csv")


def test_patients_of_a_split_file_need_patients(folder):
    (folder / "s.csv").write_text("patient,split\n7,train\n")
    with pytest.raises(ValueError, match="splits by 'patient', but the data set has no patient ids"):
        otcxr_mm.UnlabeledCXR(folder, split_file="s.csv", split="train")


def test_split_file_by_path_and_by_name(folder):
    write_image(folder / "p0" / "view1.png")
    write_image(folder / "p1" / "view1.png")
    (folder / "s.csv").write_text("path,split\np0/view1.png,train\np1/view1.png,test\n")
    data = otcxr_mm.UnlabeledCXR(folder, split_file="s.csv", split="train")
    assert data.records.path.tolist() == ["p0/view1.png"]
    (folder / "s.csv").write_text("path,split\nview1.png,train\n")
    with pytest.raises(ValueError, match="view1.png is the file name of several images"):
        otcxr_mm.UnlabeledCXR(folder, split_file="s.csv", split="train")
    (folder / "s.csv").write_text("path,split\nd.jpeg,train\n")
    data = otcxr_mm.UnlabeledCXR(folder, split_file="s.csv", split="train")
    assert data.records.path.tolist() == ["sub/deep/d.jpeg"]


def test_hidden_files_and_links_in_a_circle_are_passed_over(folder):
    write_image(folder / "._a.png")
    write_image(folder / "__MACOSX" / "a.png")
    write_image(folder / ".cache" / "a.png")
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    assert len(otcxr_mm.UnlabeledCXR(folder)) == 4


def test_errors(folder, tmp_path_factory):
    with pytest.raises(ValueError, match="no images .* in this folder or below it"):
        otcxr_mm.UnlabeledCXR(tmp_path_factory.mktemp("empty"))
    (folder / "t.csv").write_text("name,patient\na.jpg,7\n")
    with pytest.raises(ValueError, match=r"t.csv: no column for the path, one of \['Image Index', 'path'"):
        otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv")
    with pytest.raises(ValueError, match=r"one of \['file'\]; the columns are \['name', 'patient'\]"):
        otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv", path_column="file")
    (folder / "t.csv").write_text("path,patient\na.jpg,7\n,8\n")
    with pytest.raises(ValueError, match="t.csv, row 3: no path"):
        otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv")
    (folder / "t.csv").write_text("path\n")
    with pytest.raises(ValueError, match="t.csv: a header, but no row"):
        otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv")
    (folder / "t.csv").write_text("")
    with pytest.raises(ValueError, match="t.csv: the file is empty"):
        otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv")
    (folder / "notes.txt").write_text("gone.png\n")
    with pytest.raises(FileNotFoundError, match="1 of 1 listed images are missing, first .*gone.png"):
        otcxr_mm.UnlabeledCXR(folder, ann_file="notes.txt")
    with pytest.raises(FileNotFoundError, match="1 of 1 listed images"):  # skipping all of them is no way out
        otcxr_mm.UnlabeledCXR(folder, ann_file="notes.txt", skip_missing=True)
    (folder / "notes.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match="notes.txt: the list is empty"):
        otcxr_mm.UnlabeledCXR(folder, ann_file="notes.txt")
    (folder / "t.csv").write_text("path\na.jpg\n")
    with pytest.raises(ValueError, match="no column for the split"):
        otcxr_mm.UnlabeledCXR(folder, ann_file="t.csv", split="train")
    with pytest.raises(ValueError, match="has no labels to balance by"):
        otcxr_mm.UnlabeledCXR(folder).get_cat_ids(0)


def test_real_folders(real_data):
    data = otcxr_mm.UnlabeledCXR(real_data / "kermany", ann_file="labels.csv", img_prefix="images", split="train")
    assert len(data) == 3699
    assert len(otcxr_mm.UnlabeledCXR(real_data / "nih", img_prefix="images")) == 1000


@pytest.mark.parametrize(
    ("body", "kwargs", "message"),
    [
        ("a.jpg,1,30\nb.png\n", {}, "row 5: 1 fields where"),
        ("a.jpg,1,30\n\n,0,30\n", {}, "row 6: no path"),
        ("a.jpg,1,30\nb.png,0,old\n", {"ages": (0, 99)}, "row 5: 'old' is not an age"),
        ("a.jpg,1,30\nb.png,2,30\n", {"label_columns": ["mass"]}, "row 5: '2' in column 'mass'"),
        ('a.jpg,1,30\n"b\n.png",0,30\nc.png,7,30\n', {"label_columns": ["mass"]}, "row 7: '7' in column 'mass'"),
    ],
)
def test_rows_are_numbered_as_in_the_file_with_its_empty_lines(folder, body, kwargs, message):
    (folder / "t.csv").write_text("path,mass,age\n\n\n" + body)
    kind = otcxr_mm.CSVLabeledCXR if "label_columns" in kwargs else otcxr_mm.UnlabeledCXR
    with pytest.raises(ValueError, match=f"t.csv, {message}"):
        kind(folder, ann_file="t.csv", **kwargs)
