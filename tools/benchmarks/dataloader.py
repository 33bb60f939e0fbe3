"""Time of two 224-pixel views per image on one core: prepared images against MMPretrain's pipeline.

python tools/benchmarks/dataloader.py [--data FOLDER] [--out FILE]

FOLDER (default: OTCXR_DATA, else ../shared/data) holds nih/originals/*.png and, to time NIH's full table,
tables/Data_Entry_2017_v2020.csv.gz, train_val_list.txt and test_list.txt. The operations are those of MMPretrain's
Barlow Twins config without hue and saturation: random resized crop, flip, brightness and contrast, blur,
solarisation. Both pipelines run in turn, on the same images in the same order, through a data set, data samples and
MMEngine's default_collate, in one single-threaded worker of a data loader.
"""

import gzip
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import torch
from _report import arguments, finish, row
from mmengine.dataset import default_collate

warnings.filterwarnings("ignore", message="Fail to import")

SIZE, SHORTER, BATCH = 224, 256, 64
# so many copies that the prepared images do not fit into a core's cache
COPIES = 24


def theirs(blur: float, solarize: float) -> list[dict]:
    """A viewpoint of MMPretrain's config of Barlow Twins, for grey images."""
    jitter = dict(type="ColorJitter", brightness=0.4, contrast=0.4)
    return [
        dict(type="RandomResizedCrop", scale=SIZE, interpolation="bicubic", backend="pillow"),
        dict(type="RandomFlip", prob=0.5),
        dict(type="RandomApply", transforms=[jitter], prob=0.8),
        dict(type="GaussianBlur", magnitude_range=(0.1, 2.0), magnitude_std="inf", prob=blur),
        dict(type="Solarize", thr=128, prob=solarize),
    ]


MMPRETRAIN = [
    dict(type="LoadImageFromFile"),
    dict(type="MultiView", num_views=[1, 1], transforms=[theirs(1.0, 0.0), theirs(0.1, 0.2)]),
    dict(type="PackInputs"),
]
OURS = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.TwoViewCrop", size=SIZE, scale=(0.08, 1.0), min_overlap=0.0),
    dict(
        type="otcxr_mm.PhotometricCXR",
        brightness=0.4,
        contrast=0.4,
        gamma=0.0,
        blur=(0.1, 2.0),
        blur_prob=(1.0, 0.1),
        solarize=128,
        solarize_prob=(0.0, 0.2),
    ),
    dict(type="otcxr_mm.PackViews"),
]
DEFAULT = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.TwoViewCrop", size=SIZE),
    dict(type="otcxr_mm.PhotometricCXR"),
    dict(type="otcxr_mm.PackViews"),
]


def images(data: Path, folder: Path) -> None:
    """Lays out the originals, shrunk copies as JPEG and PNG, and prepared images."""
    from otcxr_mm.datasets import pack_images
    from otcxr_mm.datasets.packed import resize_shorter
    from otcxr_mm.datasets.transforms.loading import read_grey

    sources = sorted((data / "nih" / "originals").glob("*.png"))
    if not sources:
        raise SystemExit(f"{data}: there is no nih/originals/*.png; set --data FOLDER")
    kinds = "original", "jpeg", "png"
    for kind in kinds:
        (folder / kind).mkdir()
    for source in sources:
        small = resize_shorter(read_grey(str(source)), SHORTER)
        for copy in range(COPIES):
            name = f"{source.stem}_{copy:02d}"
            (folder / "original" / f"{name}.png").symlink_to(source.resolve())
            cv2.imwrite(str(folder / "jpeg" / f"{name}.jpg"), small)
            cv2.imwrite(str(folder / "png" / f"{name}.png"), small)
    names = sorted(p.name for p in (folder / "original").iterdir())
    pack_images(folder / "original", names, folder / "packed", SHORTER)


def nih_table(data: Path, folder: Path, rounds: int = 5) -> float:
    """Median seconds to load all 112,120 rows with the official lists."""
    from otcxr_mm.datasets import NIHChestXray14

    (folder / "nih" / "images").mkdir(parents=True)
    with gzip.open(data / "tables" / "Data_Entry_2017_v2020.csv.gz") as stream:
        (folder / "nih" / "Data_Entry_2017_v2020.csv").write_bytes(stream.read())
    for name in ("train_val_list.txt", "test_list.txt"):
        shutil.copy(data / "tables" / name, folder / "nih")
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        dataset = NIHChestXray14(str(folder / "nih"), split="train_val", check_files=False)
        seconds.append(time.perf_counter() - start)
        assert len(dataset) == 86_524
    return statistics.median(seconds)


class Worker(torch.utils.data.IterableDataset):
    """Times, inside a worker of a data loader, what it does with each data set.

    Yields:
        Seconds of a batch by data set, for each round. This is processor time, because other processes may share the
        core.
    """

    def __init__(self, datasets: dict[str, torch.utils.data.Dataset], rounds: int) -> None:
        self.datasets, self.rounds = datasets, rounds

    def __iter__(self) -> Iterator[dict[str, float]]:
        """Goes through all data sets in turn, round after round."""
        cv2.setNumThreads(0)
        for turn in range(self.rounds):
            seconds = {}
            for name, dataset in self.datasets.items():
                # the stride has no common factor with the number of images, so each batch holds other images
                picked = [(turn * BATCH + i) * 41 % len(dataset) for i in range(BATCH)]
                start = time.process_time()
                batch = default_collate([dataset[i] for i in picked])
                seconds[name] = time.process_time() - start
                assert [tuple(v.shape[-2:]) for v in batch["inputs"]] == [(SIZE, SIZE)] * 2
                del batch
            yield seconds


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    default = os.environ.get("OTCXR_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    from mmengine.registry import init_default_scope
    from mmpretrain.datasets import CustomDataset

    from otcxr_mm.datasets import UnlabeledCXR

    init_default_scope("mmpretrain")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images(args.data, folder)
        table = nih_table(args.data, folder)
        datasets = {
            f"MMPretrain, {kind}": CustomDataset(data_root=str(folder / kind), with_label=False, pipeline=MMPRETRAIN)
            for kind in ("jpeg", "png", "original")
        }
        for name, pipeline in (("ours", OURS), ("ours, defaults", DEFAULT)):
            dataset = UnlabeledCXR(str(folder / "original"), packed=str(folder / "packed"), pipeline=pipeline)
            dataset.set_epoch(seed=0, epoch=0)
            datasets[name] = dataset
        # the first round is not counted
        worker = Worker(datasets, args.rounds + 1)
        turns = list(torch.utils.data.DataLoader(worker, batch_size=None, num_workers=1))[1:]
    seconds = {name: [turn[name] / BATCH for turn in turns] for name in turns[0]}
    median = {name: statistics.median(values) for name, values in seconds.items()}

    def ratio(name: str, of: str = "ours") -> float:
        """Median over the rounds of the ratio within a round."""
        return statistics.median(a / b for a, b in zip(seconds[name], seconds[of], strict=True))

    rows = [
        row(f"time of MMPretrain from {SHORTER} px JPEG / ours", ratio("MMPretrain, jpeg"), at_least=15),
        row("time of MMPretrain from original-size PNG / ours", ratio("MMPretrain, original"), at_least=25),
        row(f"time of MMPretrain from {SHORTER} px PNG / ours", ratio("MMPretrain, png")),
        row("seconds from constructor to ready, NIH's full table", table, at_most=1.5),
        row("our configs' default pipeline / ours with MMPretrain's operations", ratio("ours, defaults")),
    ]
    rows += [row(f"ms per image, {name}", 1000 * value) for name, value in median.items()]
    finish(rows, args.out)


if __name__ == "__main__":
    main()
