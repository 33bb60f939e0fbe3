"""Packed images at the size of the largest public sets together: packing, then memory and start of 16 workers.

python tools/benchmarks/scale.py [--images N] [--pack M] [--size PIXELS] [--workers W] [--folder FOLDER] [--out FILE]

Drawn radiographs stand under N names, as hard links. `otcxr prepare` packs the first M, is killed halfway (SIGKILL) and
started again. Then list and index are stretched to N images, and the file of pixels to their size, with holes after
the first M, and a new process reads two 224-pixel views as the shipped configs do. So all is measured at N images but
the speed of packing and of the disk. A temporary folder in FOLDER takes 1.2 M PIXELS^2 bytes. Linux only.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from _report import arguments, finish, row

BASE = Path(__file__).resolve().parents[2] / "configs" / "_base_" / "datasets" / "two_view_224.py"
DISTINCT = 300
CONFIG = """_base_ = {base!r}
dataset = dict(type="otcxr_mm.UnlabeledCXR", data_root={root!r}, pipeline=_base_.train_pipeline)
train_dataloader = dict(num_workers={workers}, dataset=dataset)
"""


def draw(folder: Path) -> None:
    """Draws upright radiographs of 320 x 384 pixels, with noise."""
    from otcxr_mm.datasets.synthetic.radiograph import generate

    (folder / "drawn").mkdir()
    drawn = [generate(0, patient, 0, 128)[0] for patient in range(10)]
    for i in range(DISTINCT):
        large = cv2.resize(drawn[i % 10], (320, 384), interpolation=cv2.INTER_CUBIC)
        noisy = np.random.default_rng(i).normal(large, 3).clip(0, 255)
        cv2.imwrite(str(folder / "drawn" / f"{i}.png"), noisy.astype(np.uint8))


def link(folder: Path, paths: list[str]) -> None:
    """Gives drawn images these names."""
    for i, path in enumerate(paths):
        (folder / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        os.link(folder / "drawn" / f"{i % DISTINCT}.png", folder / "images" / path)


def pack(config: Path, packed: Path, size: int) -> list[dict]:
    """Packs half of the images, kills the command, and lets it resume."""
    command = [sys.executable, "-m", "otcxr_mm", "prepare", str(config), str(packed), "--size", str(size)]
    marks: list[tuple[float, float]] = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and (not marks or marks[-1][1] < 0.5):
            time.sleep(0.2)
            if (packed / "packed.json").exists() and (share := np.load(packed / "index.npy")["done"].mean()):
                marks.append((time.perf_counter(), share))
        process.kill()
    before = np.load(packed / "index.npy")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    # pixels are appended: an image that is packed again is elsewhere
    again = int((before != np.load(packed / "index.npy"))[before["done"]].sum())
    (begun, few), (last, many) = marks[0], marks[-1]
    return [
        row("images per second while packing", (many - few) * len(before) / max(last - begun, 1e-9)),
        row("images packed before the kill that were packed again", again, at_most=0),
        row("otcxr prepare, peak MiB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    ]


def stretch(packed: Path, paths: list[str]) -> float:
    """Lets a folder of packed images hold more, whose pixels are holes of the same sizes; returns its GB."""
    record, rows = json.loads((packed / "packed.json").read_text()), np.load(packed / "index.npy")
    turn, rows = np.arange(len(paths)) // len(rows), np.resize(rows, len(paths))
    rows["bytes"] += turn[:, None] * record["bytes"]
    record.update(paths=paths, bytes=int(rows["bytes"].max()))
    np.save(packed / "index.npy", rows)
    os.truncate(packed / "pixels.bin", record["bytes"])
    (packed / "packed.json").write_text(json.dumps(record))
    return sum(file.stat().st_size for file in packed.iterdir()) / 1e9


def memory(process: int) -> dict[str, float]:
    """MiB of a process; in `Pss`, what n processes share counts 1/n."""
    fields = (line.split() for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:])
    return {name.rstrip(":"): int(kilobytes) / 1024 for name, kilobytes, _ in fields}


def read(config: str, packed: str) -> None:
    """In a process of its own: prints its rows as JSON."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    import otcxr_mm.datasets  # noqa: F401  # registers them

    init_default_scope("mmpretrain")
    cfg = Config.fromfile(config).train_dataloader
    cfg.dataset.packed = packed
    start = time.process_time()
    loader = Runner.build_dataloader(cfg, seed=0)
    loader.dataset.set_epoch(seed=0, epoch=0)
    cpu, opened, batches = time.process_time() - start, time.perf_counter(), iter(loader)
    next(batches)
    first = time.perf_counter()
    for _ in range(min(len(loader) - 1, 4 * loader.num_workers)):
        next(batches)
    workers = [memory(process.pid) for process in batches._workers]
    found = {"seconds of one CPU from the constructor to a loader": cpu}
    found["seconds from there to the first batch"] = first - opened
    found[f"{len(workers)} workers, MiB (PSS)"] = total = sum(one["Pss"] for one in workers)
    found["the same without mapped files, MiB"] = total - sum(one["Pss_File"] for one in workers)
    found["private to a worker at most, without them, MiB"] = max(one["Private_Dirty"] for one in workers)
    found["the process that started them, MiB (PSS)"] = memory(os.getpid())["Pss"]
    print(json.dumps([row(*pair) for pair in found.items()]))


def main() -> None:
    """Prints and writes the rows."""
    parser = arguments(__doc__)
    parser.add_argument("--images", type=int, default=700_000)
    parser.add_argument("--pack", type=int, default=2_000, help="number of images to pack")
    parser.add_argument("--size", type=int, default=256, help="shorter side of packed images")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="where to put the temporary folder")
    parser.add_argument("--read", nargs=2, metavar=("CONFIG", "PACKED"), help="what the process that reads does")
    args = parser.parse_args()
    if args.read:
        read(*args.read)
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary)
        config, packed = folder / "config.py", folder / "packed"
        config.write_text(CONFIG.format(base=str(BASE), workers=args.workers, root=str(folder / "images")))
        paths = [f"p{i // 1000:04d}/{i:07d}.png" for i in range(args.images)]
        draw(folder)
        link(folder, paths[: args.pack])
        rows = pack(config, packed, args.size)
        link(folder, paths[args.pack :])
        rows.append(row(f"GB of {args.images:,} packed images", stretch(packed, paths)))
        command = [sys.executable, __file__, "--read", str(config), str(packed)]
        rows += json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
    finish(rows, args.out)


if __name__ == "__main__":
    main()
