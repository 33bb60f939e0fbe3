"""Time and memory to open CheXpert and MIMIC-CXR from their tables alone, at full size.

python tools/benchmarks/open_tables.py [--out FILE]

The tables are made: the publishers' columns and numbers of rows, with random ids, labels and dates.
"""

import gzip
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from _report import arguments, finish, row

FINDINGS = ("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema")
FINDINGS += ("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other")
FINDINGS += ("Fracture", "Support Devices")
MARKS = np.array(["", "1.0", "0.0", "-1.0"])
SHARES = (0.62, 0.2, 0.1, 0.08)


def studies(rng: np.random.Generator, images: int, count: int, patients: int) -> tuple[np.ndarray, np.ndarray]:
    """Study of each image, and patient of each study, in the order of a table; each occurs."""
    study = np.sort(np.append(np.arange(count), rng.integers(count, size=images - count)))
    return study, np.sort(np.append(np.arange(patients), rng.integers(patients, size=count - patients)))


def marks(rng: np.random.Generator, n: int) -> Iterator[str]:
    """The fields of 14 labels of each row, joined."""
    return map(",".join, rng.choice(MARKS, (n, 14), p=SHARES).tolist())


def chexpert(folder: Path) -> None:
    """train.csv: 223,414 images of 187,641 studies of 64,540 patients (Irvin et al. 2019)."""
    rng = np.random.default_rng(0)
    study, patient = studies(rng, 223_414, 187_641, 64_540)
    of_patient = np.arange(len(patient)) - np.searchsorted(patient, patient) + 1
    view = np.arange(len(study)) - np.searchsorted(study, study) + 1
    side, ages = rng.choice(["frontal", "lateral"], len(study), p=(0.85, 0.15)), rng.integers(18, 91, len(study))
    with open(folder / "train.csv", "w") as stream:
        stream.write(",".join(("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)) + "\n")
        rows = zip(study.tolist(), view.tolist(), side.tolist(), ages.tolist(), marks(rng, len(study)), strict=True)
        for s, v, name, age, labels in rows:
            path = f"CheXpert-v1.0-small/train/patient{patient[s] + 1:05d}/study{of_patient[s]}/view{v}_{name}.jpg"
            about = "Male,{},Frontal,AP" if name == "frontal" else "Female,{},Lateral,"
            stream.write(f"{path},{about.format(age)},{labels}\n")


def mimic(folder: Path) -> None:
    """Three tables, gzipped: 377,110 images of 227,835 studies of 65,379 patients (Johnson et al. 2019)."""
    rng = np.random.default_rng(0)
    study, patient = studies(rng, 377_110, 227_835, 65_379)
    ids = [f"{a:08x}-{b:08x}-{c:08x}-{d:08x}-{e:08x}" for a, b, c, d, e in rng.integers(2**32, size=(len(study), 5))]
    people, exams = (10_000_032 + patient[study] * 150).tolist(), (50_000_014 + study * 40).tolist()
    views = rng.choice(["AP", "PA", "LATERAL", "LL", ""], len(study), p=(0.39, 0.25, 0.21, 0.1, 0.05)).tolist()
    dates, times = rng.integers(21_100_101, 22_081_231, len(patient)), rng.uniform(0, 235_959, len(patient))
    split = np.where(patient[study] % 200, "train", np.where(patient[study] % 400, "validate", "test")).tolist()
    metadata = (
        f"{i},{p},{e},CHEST (PA AND LAT),{v},3056,2544,{dates[s]},{times[s]:.3f},CHEST (PA AND LAT),,Erect"
        for i, p, e, v, s in zip(ids, people, exams, views, study.tolist(), strict=True)
    )
    titles = "PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
    titles += (
        "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning"
    )
    tables = {"metadata": (f"dicom_id,subject_id,study_id,{titles}", metadata)}
    splits = (f"{i},{e},{p},{name}" for i, e, p, name in zip(ids, exams, people, split, strict=True))
    tables["split"] = ("dicom_id,study_id,subject_id,split", splits)
    labels = (
        f"{10_000_032 + p * 150},{50_000_014 + s * 40},{fields}"
        for s, (p, fields) in enumerate(zip(patient.tolist(), marks(rng, len(patient)), strict=True))
    )
    tables["chexpert"] = (",".join(("subject_id", "study_id", *sorted(FINDINGS))), labels)
    for name, (header, rows) in tables.items():
        with gzip.open(folder / f"mimic-cxr-2.0.0-{name}.csv.gz", "wt", compresslevel=6) as stream:
            stream.write("\n".join((header, *rows)) + "\n")


SETS: dict[str, tuple[Callable[[Path], None], int]] = {"CheXpert": (chexpert, 223_414), "MIMICCXR": (mimic, 368_960)}


def open_set(name: str, folder: str) -> None:
    """Opens a data set in a process of its own; prints images, seconds, CPU seconds, and memory beyond the imports."""
    import otcxr_mm

    cls = getattr(otcxr_mm, name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    data = cls(folder, check_files=False)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(len(data), seconds, cpu, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def measure(name: str, folder: Path, rounds: int) -> tuple[float, float, float]:
    """Median seconds, median CPU seconds and greatest memory (MiB) of several processes."""
    found = []
    for _ in range(rounds):
        command = [sys.executable, __file__, "--open", name, str(folder)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found.append(list(map(float, text.splitlines()[-1].split())))
    images, seconds, cpu, memory = np.array(found).T
    assert images.min() > 0.9 * SETS[name][1], images
    return float(np.median(seconds)), float(np.median(cpu)), float(memory.max())


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--open", nargs=2, metavar=("SET", "FOLDER"), help="what a process that is measured does")
    args = parser.parse_args()
    if args.open:
        open_set(*args.open)
        return
    rows = []
    for name, (make, _) in SETS.items():
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            seconds, cpu, memory = measure(name, Path(folder), args.rounds)
        rows += [
            row(f"open {name} from its tables, seconds", seconds, at_most=3),
            row(f"open {name} from its tables, seconds of one CPU", cpu),
            row(f"open {name} from its tables, MiB beyond the imports", memory, at_most=300),
        ]
    finish(rows, args.out)


if __name__ == "__main__":
    main()
