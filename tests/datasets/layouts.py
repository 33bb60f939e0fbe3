"""Small sound folders in the layouts of all data sets, with six images each, and the data sets that read them."""

import gzip
import zipfile

import numpy as np

import otcxr_mm
from tests.conftest import write_image
from tests.datasets.dicoms import write_dicom
from tests.journeys.planted import write_csv

N = 6
NIH_HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
VINBIG_HEADER = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"


def write_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def unpack(source, target):
    """A genuine table as its publisher ships it, out of its archive."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".zip":
        with zipfile.ZipFile(source) as archive:
            target.write_bytes(archive.read(archive.namelist()[0]))
    else:
        target.write_bytes(gzip.decompress(source.read_bytes()))


def images(folder, names, size=(24, 30)):
    for name in names:
        if name.endswith(".dcm"):
            write_dicom(folder / name, np.random.randint(0, 256, size, dtype=np.uint8))
        else:
            write_image(folder / name, size)


def own_csv(folder):
    names = [f"{i}.{'jpg' if i % 2 else 'png'}" for i in range(N)]
    images(folder / "img", names)
    rows = [
        (name, f"p{i // 2}", "train" if i < 4 else "test", 30 + i, i % 2, (i + 1) % 2) for i, name in enumerate(names)
    ]
    write_csv(folder / "t.csv", "path,patient,split,age,Mass,Edema", rows)


def nih(folder):
    names = [f"0000000{i}_000.png" for i in range(N)]
    images(folder / "images", names)
    findings = ["Mass|Edema", "No Finding", "Hernia", "Mass", "No Finding", "Edema"]
    rows = [
        (name, found, 0, i, f"05{i}", "F", "PA") for i, (name, found) in enumerate(zip(names, findings, strict=True))
    ]
    write_csv(folder / "Data_Entry_2017_v2020.csv", NIH_HEADER, rows)
    write_text(folder / "train_val_list.txt", "\n".join(names[:4]))
    write_text(folder / "test_list.txt", "\n".join(names[4:]))


def vinbig(folder):
    images(folder / "train", [f"{i}.dcm" for i in range(N)])
    mark = [("No finding", 14, "", "", "", ""), ("Cardiomegaly", 3, 1, 1, 9, 9)]
    rows = [(i, *mark[i % 2][:2], f"R{r}", *mark[i % 2][2:]) for i in range(N) for r in range(3)]
    write_csv(folder / "train.csv", VINBIG_HEADER, rows)


def vindr(folder):
    for split in ("train", "test"):
        images(folder / split, [f"{split}{i}.png" for i in range(N)])
        readers = [(f"R{r}",) for r in range(3)] if split == "train" else [()]
        rows = [(f"{split}{i}", *reader, i % 2, 0, 1 - i % 2) for i in range(N) for reader in readers]
        header = f"image_id,{'rad_id,' if split == 'train' else ''}Cardiomegaly,Pneumonia,No finding"
        write_csv(folder / "annotations" / f"image_labels_{split}.csv", header, rows)


def rsna(folder):
    images(folder / "stage_2_train_images", [f"{i}.dcm" for i in range(N)])
    rows = [(i, *((1.0, 2.0, 3.0, 4.0, 1) if i % 2 else ("", "", "", "", 0))) for i in range(N)]
    write_csv(folder / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", rows)
    rows = [(i, "Lung Opacity" if i % 2 else "Normal") for i in range(N)]
    write_csv(folder / "stage_2_detailed_class_info.csv", "patientId,class", rows)


def siim(folder):
    images(folder / "dicom-images-train", [f"1.2.{i}.png" for i in range(N)], (32, 32))
    rows = [(f"1.2.{i}", "5 90" if i % 2 else " -1") for i in range(N)]
    write_csv(folder / "train-rle.csv", "ImageId, EncodedPixels", rows)


def masks(folder):
    images(folder / "images", [f"{i}.png" for i in range(N)])
    for i in range(N):
        write_image(folder / "masks" / f"{i}.png", (24, 30), value=255)


def npz(folder, **changed):
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = np.random.randint(0, 256, (N, 8, 8), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.eye(N, 1, dtype=np.uint8)
    np.savez_compressed(folder / "pneumoniamnist.npz", **{**arrays, **changed})


FINDINGS = ("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema")
FINDINGS += ("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other")
FINDINGS += ("Fracture", "Support Devices")
# as published: CheXpert's train.csv, BRAX's master_spreadsheet_update.csv, MIMIC-CXR-JPG's and PadChest's tables
CHEXPERT_HEADER = ",".join(("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS))
BRAX_HEADER = ",".join(
    (
        *("", "DicomPath", "PngPath", "PatientID", "PatientSex", "PatientAge", "AccessionNumber", "StudyDate"),
        *(*FINDINGS, "ViewPosition", "Rows", "Columns", "Manufacturer"),
    )
)
MIMIC_METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
)
MIMIC_LABELS = ",".join(("subject_id", "study_id", *sorted(FINDINGS)))
PADCHEST_HEADER = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,PhotometricInterpretation_DICOM,"
    "PixelRepresentation_DICOM,PixelAspectRatio_DICOM,SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,"
    "WindowWidth_DICOM,Rows_DICOM,Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,ExposureInuAs_DICOM,ExposureTime,"
    "RelativeXRayExposure_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,LabelsLocalizationsBySentence,"
    "labelCUIS,LocalizationsCUIS"
)


def marks(order=FINDINGS, **found):
    """A row's labels, such as marks(Edema="1.0"); blank where not named, with _ for a space."""
    by_name = {name.replace("_", " "): mark for name, mark in found.items()}
    assert set(by_name) <= set(order)
    return [by_name.get(name, "") for name in order]


def chexpert(folder, small="-small"):
    rows = {"train": [], "valid": []}
    for i in range(N):
        split = "train" if i < 4 else "valid"
        side = "lateral" if i == 1 else "frontal"
        path = f"{split}/patient{i // 2 + 1:05d}/study{i % 2 + 1}/view1_{side}.jpg"
        images(folder, [path])
        found = [dict(Edema="1.0"), dict(Edema="-1.0"), dict(No_Finding="1.0"), dict(Edema="0.0")][i % 4]
        about = ("Female" if i % 2 else "Male", 60 + i, side.capitalize(), "" if i == 1 else "AP")
        rows[split].append((f"CheXpert-v1.0{small}/{path}", *about, *marks(**found)))
    for split, lines in rows.items():
        write_csv(folder / f"{split}.csv", CHEXPERT_HEADER, lines)


def brax(folder):
    rows = []
    for i in range(N):
        path = f"images/id_{i // 2}/Study_{i}/Series_{i}/image-{i}.png"
        images(folder, [path])
        rows.append(
            (
                i,
                path.replace("images", "Anonymized_DICOMs"),
                path,
                f"id_{i // 2}",
                "F",
                50 if i else "85 or more",
                i,
                20080101,
            )
        )
        rows[-1] += (*marks(Edema="1.0" if i % 2 else ""), "PA", 24, 30, "X")
    write_csv(folder / "master_spreadsheet_update.csv", BRAX_HEADER, rows)


def mimic_names(i):
    """dicom_id, subject_id and study_id of an image; images 0 and 1 are of one study."""
    return f"{i:08x}-bde0afdd-112c0b34-7bc16630-4e384014", 10000032 + i // 3, 50414267 + (i // 2 if i < 2 else i)


def mimic(folder, packed=False):
    metadata, splits, labels = [], [], {}
    for i in range(N):
        image, patient, study = mimic_names(i)
        images(folder / "files" / f"p{str(patient)[:2]}" / f"p{patient}" / f"s{study}", [f"{image}.jpg"])
        view = "LATERAL" if i == 1 else "PA"
        # the last study of a patient has the earliest date
        metadata.append((image, patient, study, "CHEST", view, 24, 30, 21800506 - i % 3 // 2, "213014.531", "", "", ""))
        splits.append((image, study, patient, "train" if i < 3 else "test"))
        labels[study] = (patient, study, *marks(sorted(FINDINGS), Edema=["1.0", "-1.0", "0.0", ""][i % 4]))
    write_csv(folder / "mimic-cxr-2.0.0-metadata.csv", MIMIC_METADATA, metadata)
    write_csv(folder / "mimic-cxr-2.0.0-split.csv", "dicom_id,study_id,subject_id,split", splits)
    write_csv(folder / "mimic-cxr-2.0.0-chexpert.csv", MIMIC_LABELS, list(labels.values())[:-1])
    for file in folder.glob("*.csv") if packed else ():
        (folder / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()


PADCHEST_LABELS = ("['pleural effusion', ' laminar atelectasis']", "['normal']", "['unchanged']")
PADCHEST_LABELS += ("['hydropneumothorax', 'scoliosis']", "['']", '["air bronchogram"]')


def padchest(folder):
    columns, rows = PADCHEST_HEADER.split(","), []
    for i, labels in enumerate(PADCHEST_LABELS):
        images(folder / str(i % 2), [f"{i}_00-{i}.png"])
        row = dict(ImageID=f"{i}_00-{i}.png", ImageDir=i % 2, StudyDate_DICOM=20140915 - i, StudyID=f"s{i}")
        row |= dict(PatientID=f"p{i // 2}", PatientBirth=1950.0 if i else "", PatientSex_DICOM="F", Projection="PA")
        row |= dict(MethodLabel="Physician" if i < 4 else "RNN_model", Report='"derrame, sin cambios"')
        row["Labels"] = '"' + labels.replace('"', '""') + '"'
        rows.append([row.get(name, "") for name in columns])
    write_csv(folder / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", PADCHEST_HEADER, rows)


# made, in the form of JSRT's lists: fields between tabs, or spaces, and lines that end with a carriage return alone
NODULES = "CLNDAT_EN.txt", "JPCLN{:03d}.IMG\t5\t15\t{}\t{}\t1634\t692\t{}\tl.upper lobe\tlung cancer\t\r"
NO_NODULES = "CNNDAT_EN.TXT", "JPCNN{:03d}.IMG   {}  {}   non-nodule\r"


def jsrt_lists(folder, nodules=154, malignant=100, others=93):
    """The lists alone, as many entries as JSRT's."""
    rows = [(i + 1, "?" if i == 1 else 50 + i % 9, ("male", "female")[i % 2]) for i in range(max(nodules, others))]
    kinds = ["malignant"] * malignant + ["benign"] * (nodules - malignant)
    listed = "".join(NODULES[1].format(*row, kind) for row, kind in zip(rows, kinds, strict=False))
    write_text(folder / "Clinical_Information" / NODULES[0], listed)
    listed = "".join(NO_NODULES[1].format(*row) for row in rows[:others])
    write_text(folder / "Clinical_Information" / NO_NODULES[0], listed)


def jsrt(folder):
    jsrt_lists(folder, 3, 2, 3)
    images(folder / "All247images", [f"JPC{kind}{i:03d}.png" for kind in ("LN", "NN") for i in (1, 2, 3)])


# made, in the forms that readings of NLM's sets have
READINGS = {
    "MCUCXR_0001_0": "Patient's Sex: F \nPatient's Age: 027Y\nnormal\n",
    "MCUCXR_0113_1": "Patient's Sex: M \nPatient's Age: 084Y\nRUL infiltrate, improved since 6M",
    "MCUCXR_0117_1": "Patient's Sex: M \nPatient's Age: 085Y\nstable; off Rx since 6M (same pt as MCUCXR_0113_1)",
    "CHNCXR_0001_0": "male 45yrs\nnormal",
    "CHNCXR_0330_1": "femal 16month\nright upper PTB",
    "CHNCXR_0331_1": "Female,\n2 years of cough",
}


def tuberculosis(folder):
    images(folder / "CXR_png", [f"{name}.png" for name in READINGS])
    for name, text in READINGS.items():
        write_text(folder / "ClinicalReadings" / f"{name}.txt", text)


CANDID_HEADER = "StudyInstanceUID,SOPInstanceUID,EncodedPixels,Report,filename"  # made, after the code that reads it


def candid(folder):
    rows = []
    for i in range(N):
        name = f"1.2.826.0.{i}"
        write_dicom(folder / "dataset" / name, np.random.randint(0, 256, (32, 32), dtype=np.uint8))
        rows.append((f"1.2.{i // 2}", name, "5 90" if i % 2 else "-1", '"No lines, no tubes."', f"P{i // 2}_{i}.dcm"))
    write_csv(folder / "Pneumothorax_reports.csv", CANDID_HEADER, rows)


LAYOUTS = {
    "csv": (
        own_csv,
        lambda root, **kw: otcxr_mm.CSVLabeledCXR(root, "t.csv", ("Mass", "Edema"), img_prefix="img", **kw),
    ),
    "nih": (nih, lambda root, **kw: otcxr_mm.NIHChestXray14(root, classes=("Mass", "Edema", "Hernia"), **kw)),
    "vinbig": (vinbig, lambda root, **kw: otcxr_mm.VinBigCXR(root, classes=("Cardiomegaly", "Edema"), **kw)),
    "vindr": (vindr, otcxr_mm.VinDrCXR),
    "rsna": (rsna, otcxr_mm.RSNAPneumonia),
    "siim": (siim, otcxr_mm.SIIMPneumothorax),
    "chexpert": (chexpert, otcxr_mm.CheXpert),
    "brax": (brax, otcxr_mm.BRAX),
    "mimic": (
        lambda folder: mimic(folder, packed=False),
        lambda root, **kw: otcxr_mm.MIMICCXR(root, split="all", **kw),
    ),
    "padchest": (padchest, otcxr_mm.PadChest),
    "candid": (candid, otcxr_mm.CandidPTX),
    "jsrt": (jsrt, lambda root, **kw: otcxr_mm.JSRT(root, skip_missing=True, **kw)),
    "tuberculosis": (tuberculosis, otcxr_mm.TuberculosisCXR),
    "masks": (masks, otcxr_mm.CXRSegmentation),
    "npz": (npz, lambda root, **kw: otcxr_mm.MedMNISTCXR(root, "pneumoniamnist.npz", **kw)),
}
