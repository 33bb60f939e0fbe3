"""Damaged, contradictory and malicious input: a named error or a counted skip, never a hang or a wrong label.

Each mechanism is a function that damages a small sound folder and returns what has to be named; it is tried with
several seeds, which choose where and how. What it may lead to is said with it:

- error: ValueError or FileNotFoundError that names the file, before training;
- skip: the image is counted as broken, its path named, and another one takes its place; in test mode an error;
- fine: nothing happens, and nothing may have happened to the labels.
"""

import os
import signal
import struct
import zlib
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

import otcxr_mm
from tests.datasets.dicoms import write_dicom

SEEDS = range(4)
LOAD = [dict(type="otcxr_mm.LoadCXR")]
N = 6

# sound folders ------------------------------------------------------------------------------------


def images(folder, names, size=(24, 30)):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        img = np.random.default_rng(i).integers(0, 256, size, dtype=np.uint8)
        if name.endswith(".dcm"):
            write_dicom(folder / name, img)
        else:
            cv2.imwrite(str(folder / name), img)


def table(folder, name, *rows):
    (folder / name).write_text("".join(f"{row}\n" for row in rows))


def make_csv(folder):
    names = [f"{i}.{'jpg' if i % 2 else 'png'}" for i in range(N)]
    images(folder / "img", names)
    rows = [f"{name},p{i // 2},{'train' if i < 4 else 'test'},{i % 2},{(i + 1) % 2}" for i, name in enumerate(names)]
    table(folder, "t.csv", "path,patient,split,Mass,Edema", *rows)


def make_nih(folder):
    names = [f"0000000{i}_000.png" for i in range(N)]
    images(folder / "images", names)
    findings = ["Mass|Edema", "No Finding", "Hernia", "Mass", "No Finding", "Edema"]
    rows = [f"{name},{f},0,{i},05{i},F,PA" for i, (name, f) in enumerate(zip(names, findings, strict=True))]
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    table(folder, "Data_Entry_2017_v2020.csv", header, *rows)
    table(folder, "train_val_list.txt", *names[:4])
    table(folder, "test_list.txt", *names[4:])


def make_vinbig(folder):
    images(folder / "train", [f"{i}.dcm" for i in range(N)])
    rows = []
    for i in range(N):
        for reader in ("R1", "R2", "R3"):
            found = "Cardiomegaly,3" if i % 2 else "No finding,14"
            rows.append(f"{i},{found},{reader},{'1,1,9,9' if i % 2 else ',,,'}")
    table(folder, "train.csv", "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max", *rows)


def make_rsna(folder):
    images(folder / "stage_2_train_images", [f"{i}.dcm" for i in range(N)])
    rows = [f"{i},{'1.0,2.0,3.0,4.0,1' if i % 2 else ',,,,0'}" for i in range(N)]
    table(folder, "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", *rows)
    rows = [f"{i},{'Lung Opacity' if i % 2 else 'Normal'}" for i in range(N)]
    table(folder, "stage_2_detailed_class_info.csv", "patientId,class", *rows)


def make_siim(folder):
    images(folder / "dicom-images-train", [f"1.2.{i}.png" for i in range(N)], (32, 32))
    table(
        folder, "train-rle.csv", "ImageId, EncodedPixels", *(f"1.2.{i},{'5 90' if i % 2 else '-1'}" for i in range(N))
    )


def make_masks(folder):
    images(folder / "images", [f"{i}.png" for i in range(N)])
    (folder / "masks").mkdir()
    for i in range(N):
        cv2.imwrite(str(folder / "masks" / f"{i}.png"), np.full((24, 30), 255, np.uint8))


def make_npz(folder):
    rng, arrays = np.random.default_rng(0), {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (N, 8, 8), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(N, dtype=np.uint8)[:, None] % 2
    np.savez_compressed(folder / "pneumoniamnist.npz", **arrays)


KINDS = {
    "csv": (
        make_csv,
        lambda root, **kw: otcxr_mm.CSVLabeledCXR(root, "t.csv", ("Mass", "Edema"), img_prefix="img", **kw),
    ),
    "nih": (make_nih, lambda root, **kw: otcxr_mm.NIHChestXray14(root, classes=("Mass", "Edema", "Hernia"), **kw)),
    "vinbig": (make_vinbig, lambda root, **kw: otcxr_mm.VinBigCXR(root, classes=("Cardiomegaly", "Edema"), **kw)),
    "rsna": (make_rsna, otcxr_mm.RSNAPneumonia),
    "siim": (make_siim, otcxr_mm.SIIMPneumothorax),
    "masks": (make_masks, otcxr_mm.CXRSegmentation),
    "npz": (make_npz, lambda root, **kw: otcxr_mm.MedMNISTCXR(root, "pneumoniamnist.npz", **kw)),
}
MECHANISMS = []


def mechanism(kind, *leads_to):
    def register(function):
        MECHANISMS.append((function.__name__, kind, leads_to, function))
        return function

    return register


# what is done to files ----------------------------------------------------------------------------


def pick(rng, folder, pattern):
    files = sorted(folder.glob(pattern))
    return files[rng.integers(len(files))]


@mechanism("csv", "skip")
def truncated_image(rng, folder):
    file = pick(rng, folder, "img/*")
    raw = file.read_bytes()
    file.write_bytes(raw[: int(rng.integers(1, int(0.9 * len(raw))))])
    return file.name


@mechanism("csv", "skip")
def zero_byte_image(rng, folder):
    file = pick(rng, folder, "img/*")
    file.write_bytes(b"")
    return file.name


@mechanism("csv", "skip")
def image_that_is_text(rng, folder):
    file = pick(rng, folder, "img/*")
    file.write_text("<html>404 not found</html>" * int(rng.integers(1, 100)))
    return file.name


@mechanism("csv", "skip")
def image_of_random_bytes(rng, folder):
    file = pick(rng, folder, "img/*")
    file.write_bytes(rng.bytes(int(rng.integers(1, 5000))))
    return file.name


@mechanism("csv", "skip")
def random_bytes_behind_the_magic_number_of_an_image(rng, folder):
    file = pick(rng, folder, "img/*")
    magic = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"BM", b"II*\0"][rng.integers(4)]
    file.write_bytes(magic + rng.bytes(int(rng.integers(1, 3000))))
    return file.name


@mechanism("csv", "skip")
def random_bytes_behind_the_magic_number_of_dicom(rng, folder):
    file = pick(rng, folder, "img/*")
    file.write_bytes(bytes(128) + b"DICM" + rng.bytes(int(rng.integers(1, 3000))))
    return file.name


@mechanism("csv", "skip")
def huge_dimensions_in_the_header_of_a_png(rng, folder):
    file = pick(rng, folder, "img/*.png")
    raw = bytearray(file.read_bytes())
    raw[16:24] = struct.pack(">II", *rng.integers(20_000, 2**31 - 1, 2).tolist())
    raw[29:33] = struct.pack(">I", zlib.crc32(raw[12:29]))
    file.write_bytes(raw)
    return file.name


@mechanism("csv", "skip")
def huge_dimensions_in_the_header_of_a_jpeg(rng, folder):
    file = pick(rng, folder, "img/*.jpg")
    raw = bytearray(file.read_bytes())
    at = raw.index(b"\xff\xc0")
    raw[at + 5 : at + 9] = struct.pack(">HH", *rng.integers(20_000, 65_500, 2).tolist())
    file.write_bytes(raw)
    return file.name


@mechanism("csv", "skip")
def pixels_of_a_type_that_is_not_read(rng, folder):
    file = pick(rng, folder, "img/*")
    cv2.imwrite(str(folder / "x.tiff"), rng.random((8, 8), dtype=np.float32))
    os.replace(folder / "x.tiff", file)
    return file.name


@mechanism("csv", "error")
def renamed_image(rng, folder):
    file = pick(rng, folder, "img/*")
    file.rename(file.with_name(f"renamed_{file.name}"))
    return file.name


@mechanism("csv", "error")
def link_that_leads_nowhere(rng, folder):
    file = pick(rng, folder, "img/*")
    file.unlink()
    file.symlink_to(folder / "nowhere.png")
    return file.name


@mechanism("csv", "error")
def link_to_itself(rng, folder):
    file = pick(rng, folder, "img/*")
    file.unlink()
    file.symlink_to(file)
    return file.name


@mechanism("csv", "fine")
def link_to_the_image(rng, folder):
    file = pick(rng, folder, "img/*")
    file.rename(folder / "elsewhere")
    file.symlink_to(folder / "elsewhere")
    return file.name


@mechanism("csv", "error")
def folder_in_place_of_an_image(rng, folder):
    file = pick(rng, folder, "img/*")
    file.unlink()
    file.mkdir()
    return file.name


@mechanism("csv", "error")
def pipe_in_place_of_an_image(rng, folder):  # reading it would wait for ever
    file = pick(rng, folder, "img/*")
    file.unlink()
    os.mkfifo(file)
    return file.name


@mechanism("rsna", "skip", "error")  # a folder is in no listing of files
def pipe_or_folder_or_dead_link_that_a_listing_shows(rng, folder):
    file = pick(rng, folder, "stage_2_train_images/*.dcm")
    file.unlink()
    make = [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nowhere"), lambda path: path.symlink_to(path)]
    make[rng.integers(4)](file)
    return file.name


@mechanism("csv", "fine")
def dicom_under_the_name_of_a_png(rng, folder):
    file = pick(rng, folder, "img/*")
    write_dicom(file, rng.integers(0, 256, (24, 30), dtype=np.uint8))
    return file.name


# DICOM --------------------------------------------------------------------------------------------


def rewrite(rng, folder, **tags):
    file = pick(rng, folder, "stage_2_train_images/*.dcm")
    write_dicom(file, rng.integers(0, 256, (24, 30), dtype=np.uint8), **tags)
    return file.name


@mechanism("rsna", "skip")
def dicom_without_pixel_data(rng, folder):
    return rewrite(rng, folder, PixelData=None)


@mechanism("rsna", "skip")
def dicom_of_several_frames(rng, folder):
    return rewrite(rng, folder, NumberOfFrames=int(rng.integers(2, 1000)))


@mechanism("rsna", "skip")
def dicom_in_colour(rng, folder):
    return rewrite(rng, folder, SamplesPerPixel=3, PhotometricInterpretation=["RGB", "YBR_FULL"][rng.integers(2)])


@mechanism("rsna", "skip")
def dicom_of_huge_dimensions(rng, folder):
    return rewrite(rng, folder, Rows=int(rng.integers(20_000, 65_535)), Columns=65_535)


@mechanism("rsna", "skip")
def dicom_with_less_pixels_than_it_says(rng, folder):
    return rewrite(rng, folder, Rows=int(rng.integers(25, 300)))


@mechanism("rsna", "skip")
def dicom_without_a_tag_it_needs(rng, folder):
    tag = ["Rows", "Columns", "BitsStored", "BitsAllocated", "PhotometricInterpretation", "SamplesPerPixel"]
    return rewrite(rng, folder, **{tag[rng.integers(6)]: None})


@mechanism("rsna", "skip")
def truncated_dicom(rng, folder):
    file = pick(rng, folder, "stage_2_train_images/*.dcm")
    raw = file.read_bytes()
    file.write_bytes(raw[: int(rng.integers(1, len(raw) - 2))])
    return file.name


# any table ----------------------------------------------------------------------------------------


def edit(rng, folder, name, change):
    """Changes one line below the header."""
    lines = (folder / name).read_text().splitlines()
    row = int(rng.integers(1, len(lines)))
    lines[row] = change(lines[row])
    (folder / name).write_text("\n".join(lines) + "\n")
    return f"{name}, row {row + 1}"


def again(rng, folder, name, change=lambda line: line):
    """Repeats a line, changed, at the end."""
    lines = (folder / name).read_text().splitlines()
    lines.append(change(lines[rng.integers(1, len(lines))]))
    (folder / name).write_text("\n".join(lines) + "\n")
    return lines[-1].split(",")[0]


def field(column, value):
    """A change of one field of a line."""

    def change(line):
        fields = line.split(",")
        fields[column] = value
        return ",".join(fields)

    return change


def insert(rng, line, column):
    """A random character in a field."""
    fields = line.split(",")
    at = rng.integers(len(fields[column]) + 1)
    fields[column] = fields[column][:at] + "#%&x7~"[rng.integers(6)] + fields[column][at:]
    return ",".join(fields)


@mechanism("csv", "error")
def row_that_ends_early(rng, folder):
    return edit(rng, folder, "t.csv", lambda line: ",".join(line.split(",")[: rng.integers(1, 5)]))


@mechanism("csv", "error")
def comma_too_many(rng, folder):
    def change(line):  # the labels after it would be read from the wrong columns, each of them a possible one
        fields = line.split(",")
        return ",".join([*fields[:3], str(rng.integers(2)), *fields[3:]])

    return edit(rng, folder, "t.csv", change)


@mechanism("csv", "error")
def row_twice(rng, folder):
    return again(rng, folder, "t.csv")


@mechanism("csv", "error")
def row_twice_with_another_label(rng, folder):
    return again(rng, folder, "t.csv", lambda line: line[:-1] + ("1" if line[-1] == "0" else "0"))


@mechanism("csv", "error")
def label_that_is_none(rng, folder):
    wrong = ["yes", "2", "0.5", "1;0", "-2", "inf", "1e400", "True"][rng.integers(8)]
    return edit(rng, folder, "t.csv", field(int(rng.integers(3, 5)), wrong))


@mechanism("csv", "fine")
def label_that_is_nan(rng, folder):
    edit(rng, folder, "t.csv", field(int(rng.integers(3, 5)), ["", "NaN", "nan", "-1", "-1.0", " "][rng.integers(6)]))
    return "unknown"


@mechanism("csv", "error")
def fuzzed_label(rng, folder):
    return edit(rng, folder, "t.csv", lambda line: insert(rng, line, int(rng.integers(3, 5))))


@mechanism("csv", "error")
def fuzzed_path(rng, folder):
    edit(rng, folder, "t.csv", lambda line: insert(rng, line, 0))
    return "img"


@mechanism("csv", "error")
def empty_path(rng, folder):
    return edit(rng, folder, "t.csv", field(0, ""))


@mechanism("csv", "error")
def path_that_is_very_long_or_has_strange_signs(rng, folder):
    edit(rng, folder, "t.csv", field(0, ["x" * 5000, "..", "/", "a\x01b", "*", "~"][rng.integers(6)]))
    return "t.csv"


@mechanism("csv", "error")
def table_in_another_encoding(rng, folder):
    text = (folder / "t.csv").read_text().replace("p1", "Müller")
    encoding = ["latin-1", "utf-16", "utf-32", "utf-16-le"][rng.integers(4)]
    (folder / "t.csv").write_bytes(text.encode(encoding))
    return "t.csv"


@mechanism("csv", "error")
def zero_bytes_in_the_table(rng, folder):
    raw = bytearray((folder / "t.csv").read_bytes())
    at = int(rng.integers(len(raw)))
    raw[at:at] = bytes(int(rng.integers(1, 50)))
    (folder / "t.csv").write_bytes(raw)
    return "t.csv"


@mechanism("csv", "error")
def quote_that_is_not_closed(rng, folder):
    edit(rng, folder, "t.csv", field(int(rng.integers(0, 5)), '"1'))
    return "t.csv"


@mechanism("csv", "error")
def table_without_rows(rng, folder):
    lines = (folder / "t.csv").read_text().splitlines()
    (folder / "t.csv").write_text(["", lines[0], lines[0] + "\n", "\n\n\n"][rng.integers(4)])
    return "t.csv"


@mechanism("csv", "error")
def column_that_is_not_there(rng, folder):
    text = (folder / "t.csv").read_text()
    name = ["path", "Mass", "Edema"][rng.integers(3)]
    (folder / "t.csv").write_text(text.replace(name, f"{name}2", 1))
    return "t.csv"


@mechanism("csv", "error")
def column_that_is_there_twice(rng, folder):
    text = (folder / "t.csv").read_text()
    (folder / "t.csv").write_text(text.replace("Edema", "Mass", 1))
    return "t.csv"


@mechanism("csv", "error")
def another_delimiter(rng, folder):
    text = (folder / "t.csv").read_text()
    (folder / "t.csv").write_text(text.replace(",", [";", "\t", "|", " "][rng.integers(4)]))
    return "t.csv"


@mechanism("csv", "error")
def folder_in_place_of_the_table(rng, folder):
    (folder / "t.csv").unlink()
    (folder / "t.csv").mkdir()
    return "t.csv"


@mechanism("csv", "error")
def archive_in_place_of_the_table(rng, folder):
    (folder / "t.csv").write_bytes(zlib.compress((folder / "t.csv").read_bytes() * int(rng.integers(1, 50))))
    return "t.csv"


@mechanism("csv", "error", "fine")
def truncated_table(rng, folder):
    raw = (folder / "t.csv").read_bytes()
    (folder / "t.csv").write_bytes(raw[: int(rng.integers(40, len(raw)))])
    return "unknown"


@mechanism("csv", "fine")
def table_written_by_other_programs(rng, folder):
    lines = (folder / "t.csv").read_text().splitlines()
    lines[1:] = rng.permutation(lines[1:]).tolist()
    ends = ["\r\n", "\n\n", " \n", ",,\n"]  # Windows; blank lines; spaces; empty columns at the end
    end = ends[rng.integers(4)]
    text = "".join(line + end for line in lines)
    (folder / "t.csv").write_bytes(text.encode("utf-8-sig"))
    return "t.csv"


@mechanism("csv", "error")
def patient_in_two_splits(rng, folder):
    lines = (folder / "t.csv").read_text().splitlines()
    row = int(rng.integers(1, 5))
    lines[row] = lines[row].replace("train", "test")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return "t.csv"


# tables of publishers -----------------------------------------------------------------------------


@mechanism("nih", "error")
def fuzzed_finding(rng, folder):
    return edit(rng, folder, "Data_Entry_2017_v2020.csv", lambda line: insert(rng, line, 1))


@mechanism("nih", "error")
def age_or_sex_that_is_none(rng, folder):
    change = [field(4, "old"), field(4, "-5"), field(4, "06OY"), field(5, "X7")][rng.integers(4)]
    return edit(rng, folder, "Data_Entry_2017_v2020.csv", change)


@mechanism("nih", "error")
def image_in_both_lists(rng, folder):
    name = (folder / "train_val_list.txt").read_text().splitlines()[rng.integers(4)]
    with (folder / "test_list.txt").open("a") as stream:
        stream.write(f"{name}\n")
    return name


@mechanism("nih", "error")
def list_that_names_nothing(rng, folder):
    text = ["", "# nothing\n", "a.png\nb.png\n", "00000001_000\n"][rng.integers(4)]
    (folder / "train_val_list.txt").write_text(text)
    return str(folder)


@mechanism("nih", "error")
def patient_in_both_lists(rng, folder):
    lines = (folder / "Data_Entry_2017_v2020.csv").read_text().splitlines()
    fields = lines[6].split(",")
    fields[3] = f"{rng.integers(4):08d}"  # padded here, not there
    lines[6] = ",".join(fields)
    (folder / "Data_Entry_2017_v2020.csv").write_text("\n".join(lines) + "\n")
    return "NIHChestXray14"


@mechanism("vinbig", "error")
def finding_and_number_that_disagree(rng, folder):
    return edit(rng, folder, "train.csv", field(2, str([0, 1, 2, 4, 13, "", "x", "3.5"][rng.integers(8)])))


@mechanism("vinbig", "error")
def unknown_finding(rng, folder):
    return edit(rng, folder, "train.csv", lambda line: insert(rng, line, 1))


@mechanism("vinbig", "error")
def reader_who_finds_something_and_nothing(rng, folder):
    def other(line):
        found = field(1, "Cardiomegaly" if "No" in line else "No finding")(line)
        return field(2, "3" if "No" in line else "14")(found)

    again(rng, folder, "train.csv", other)
    return "train.csv, row"


@mechanism("rsna", "error")
def fuzzed_target(rng, folder):
    return edit(rng, folder, "stage_2_train_labels.csv", lambda line: insert(rng, line, 5))


@mechanism("rsna", "error")
def box_that_does_not_fit_the_target(rng, folder):
    def change(line):
        column = int(rng.integers(1, 5))
        return field(column, "7.0" if line.endswith("0") else ["", "nan", "x"][rng.integers(3)])(line)

    return edit(rng, folder, "stage_2_train_labels.csv", change)


@mechanism("rsna", "error")
def target_that_changes_between_rows(rng, folder):
    def other(line):
        name = line.split(",")[0]
        return f"{name},1,2,3,4,1" if line.endswith("0") else f"{name},,,,,0"

    again(rng, folder, "stage_2_train_labels.csv", other)
    return "stage_2_train_labels.csv, row 8"


@mechanism("rsna", "error")
def tables_that_contradict_each_other(rng, folder):
    def other(line):
        return field(1, "Normal" if "Opacity" in line else "Lung Opacity")(line)

    return edit(rng, folder, "stage_2_detailed_class_info.csv", other)


@mechanism("siim", "error")
def damaged_run_lengths(rng, folder):
    wrong = ["5", "5 90 3", "5 -90", "-2", "5 0", "5 x", "1048576 1", "9" * 30 + " 1", "5.5 1", ""]
    return edit(rng, folder, "train-rle.csv", field(1, wrong[rng.integers(len(wrong))]))


@mechanism("siim", "error")
def outline_and_none_in_one_image(rng, folder):
    again(rng, folder, "train-rle.csv", lambda line: field(1, "5 90" if line.endswith("-1") else "-1")(line))
    return "train-rle.csv, row"


# masks and npz ------------------------------------------------------------------------------------


@mechanism("masks", "error")
def mask_that_is_not_there(rng, folder):
    file = pick(rng, folder, "masks/*")
    file.unlink()
    return file.stem


@mechanism("masks", "skip")
def mask_that_cannot_be_read(rng, folder):
    file = pick(rng, folder, "masks/*")
    file.write_bytes(file.read_bytes()[: int(rng.integers(0, 40))])
    return file.name


@mechanism("masks", "skip")
def mask_of_many_values(rng, folder):
    file = pick(rng, folder, "masks/*")
    cv2.imwrite(str(file), rng.integers(0, 256, (24, 30), dtype=np.uint8))
    return file.name


@mechanism("masks", "skip")
def mask_of_another_area(rng, folder):
    file = pick(rng, folder, "masks/*")
    cv2.imwrite(str(file), np.full([(30, 24), (24, 24), (100, 30), (24, 60)][rng.integers(4)], 255, np.uint8))
    return file.name


@mechanism("npz", "error")
def truncated_npz(rng, folder):
    file = folder / "pneumoniamnist.npz"
    raw = file.read_bytes()
    file.write_bytes(raw[: int(rng.integers(0, len(raw) - 30))])
    return file.name


@mechanism("npz", "error")
def npz_of_other_arrays(rng, folder):
    arrays = dict(train_images=np.zeros((N, 8, 8), np.uint8), train_labels=np.zeros((N, 1), np.uint8))
    wrong = [
        dict(train_images=np.zeros((N, 8, 8), np.float32)),
        dict(train_images=np.zeros((N, 8, 8, 3), np.uint8)),
        dict(train_labels=np.zeros((N + 1, 1), np.uint8)),
        dict(train_labels=np.full((N, 1), np.nan)),
    ]
    np.savez(folder / "pneumoniamnist.npz", **{**arrays, **wrong[rng.integers(4)]})
    return "pneumoniamnist.npz"


# the test -----------------------------------------------------------------------------------------


@contextmanager
def no_hang(seconds=20):
    def stop(*_):
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def labels_of(data):
    labels = data.records.labels
    return {} if labels is None else dict(zip(data.records.path.tolist(), labels.tolist(), strict=True))


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Labels of the sound folders."""
    known = {}
    for kind, (make, build) in KINDS.items():
        folder = tmp_path_factory.mktemp(kind)
        make(folder)
        data = build(folder, pipeline=LOAD)
        assert [data[i]["img"].ndim for i in range(len(data))] == [2] * len(data)
        assert len(data) == (4 if kind == "nih" else N)
        assert not len(data.broken)
        known[kind] = labels_of(data)
    return known


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "kind", "leads_to", "damage"), MECHANISMS, ids=[m[0] for m in MECHANISMS])
@pytest.mark.filterwarnings("ignore")
def test_hostile(tmp_path, truth, name, kind, leads_to, damage, seed):
    make, build = KINDS[kind]
    make(tmp_path)
    named = damage(np.random.default_rng([seed, zlib.crc32(name.encode())]), tmp_path)
    with no_hang():
        message = ""
        try:
            data = build(tmp_path, pipeline=LOAD, max_broken=0.5)
        except (ValueError, FileNotFoundError) as caught:
            message = str(caught)
        if message:
            assert "error" in leads_to, f"not to be refused: {message}"
            assert str(tmp_path) in message, f"names no file: {message}"
            assert named == "unknown" or named in message, f"does not name {named}: {message}"
            return
        items = [data[i] for i in range(len(data))]
    happened = "skip" if len(data.broken) else "fine"
    assert happened in leads_to, f"{happened}: {labels_of(data)}"
    for path, labels in labels_of(data).items():
        for label, true in zip(labels, truth[kind][path], strict=True):
            assert np.isnan(label) if np.isnan(true) else label == true or (named == "unknown" and np.isnan(label))
    if happened == "skip":
        (broken, reason), *others = data.broken.reasons.items()
        assert not others
        assert named in reason
        assert all(item["sample_idx"] != broken for item in items)
        data.test_mode = True
        with pytest.raises(ValueError, match="img|images|masks") as error, no_hang():
            data[broken]
        assert named in str(error.value)


def test_there_are_enough_of_them():
    names = [name for name, *_ in MECHANISMS]
    assert len(set(names)) == len(names) >= 25
    assert len(names) * len(SEEDS) >= 200
