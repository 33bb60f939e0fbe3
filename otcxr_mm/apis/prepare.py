"""Prepare a data set: shrink its images into one memory-mapped file, which the data set reads with packed=OUT.

otcxr prepare CONFIG OUT [--size 256] [--depth 16]
otcxr prepare otcxr_mm.UnlabeledCXR OUT --data-root FOLDER

If stopped or killed, run the same command again: it resumes where it stopped. On a finished OUT it checks the files and
lists images that have changed since (status 1).

Images that cannot be read are all listed at the end (status 1); --skip-broken prepares the others.
"""

import argparse
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from .console import ArgumentParser, command

if TYPE_CHECKING:
    import numpy as np

    from ..datasets import BaseCXRDataset


def parser() -> ArgumentParser:
    """The command line."""
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="config file, or the type of a data set, such as otcxr_mm.NIHChestXray14")
    parser.add_argument(
        "out", type=Path, help="folder to write; for a config with several data roots, one folder per root below it"
    )
    parser.add_argument("--data-root", help="folder of the data set, if SOURCE is a type")
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        default=[256],
        metavar="PIXELS",
        help="shorter side (256), or height and width; a shorter side never enlarges an image",
    )
    parser.add_argument("--depth", type=int, choices=(8, 16), default=8, help="bits per pixel (8)")
    parser.add_argument("--max-value", type=int, help="white in 16-bit files; default that of the config's LoadCXR")
    parser.add_argument("--jobs", type=int, default=0, help="number of threads; default one per core")
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="list the images that cannot be read and prepare the others; reads all images twice",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        metavar="KEY=VALUE",
        help="settings of the config, or arguments of the data set, such as ann_file=table.csv",
    )
    parser.add_argument("--verbose", action="store_true", help="show all messages, and the traceback of an error")
    return parser


def _is_config(source: str) -> bool:
    """Whether it names a config, a file or one of this package; else it is a type of data set."""
    from .configs import find_config

    if source.endswith((".py", ".json", ".yaml", ".yml")):
        return True
    try:
        return bool(find_config(source))
    except FileNotFoundError:
        return False


def described(args: argparse.Namespace) -> list[dict]:
    """Dicts of the data sets that the command line names.

    Raises:
        SystemExit: If there is none.
    """
    from .config_file import load_config, parse_options

    if not _is_config(args.source):
        if args.data_root is None:
            raise SystemExit(f"{args.source}: a type of data set needs --data-root FOLDER")
        # all images, unless a split is asked for
        options = parse_options(args.cfg_options or [], {"split", "ann_file", "img_prefix"})
        return [{"type": args.source, "data_root": args.data_root, "split": "all", **options}]
    if args.data_root is not None:
        raise SystemExit("--data-root goes with a type of data set; for a config use --cfg-options")
    launch = {"config": args.source, "cfg_options": args.cfg_options, "verbose": args.verbose}
    cfg = load_config(argparse.Namespace(**launch, work_dir=None, local_rank=0, launcher="none"))
    from ..engine.trained import leaf_specs

    loaders = [value for key, value in cfg.items() if key.endswith("_dataloader") and value]
    found = [leaf for loader in loaders for leaf in leaf_specs(loader.dataset)]
    if not found:
        raise SystemExit(f"{args.source}: no data set in a train_, val_ or test_dataloader")
    return found


def white(dataset: dict, given: int | None) -> int | None:
    """The `max_value` of a data set's 16-bit files, as LoadCXR takes it."""
    own = [t.get("max_value") for t in dataset.get("pipeline", ()) if str(t.get("type", "")).endswith("LoadCXR")]
    return given or next(filter(None, own), None)


def build(dataset: dict) -> "BaseCXRDataset":
    """The data set without its pipeline.

    Raises:
        SystemExit: If it is none of this package.
    """
    from ..datasets import BaseCXRDataset
    from ..registry import DATASETS

    kind = DATASETS.get(dataset["type"])
    if kind is None or not issubclass(kind, BaseCXRDataset):
        raise SystemExit(f"{dataset['type']}: no data set of otcxr_mm; radiographs in a folder: otcxr_mm.UnlabeledCXR")
    kept = {key: value for key, value in dataset.items() if key not in ("type", "packed", "pipeline", "lazy_init")}
    return kind(**kept)


def in_memory(dataset: "BaseCXRDataset") -> bool:
    """Whether a data set gives its images itself, so that their paths only name them."""
    return not os.path.exists(dataset.root / dataset.records.path[0]) and "img" in dataset.get_data_info(0)


def folders(roots: list[str], out: Path) -> dict[str, Path]:
    """The folder to write for each data root."""
    if len(roots) == 1:
        return {roots[0]: out}
    names = [Path(root).name for root in roots]
    if len(set(names)) < len(names):
        raise SystemExit(f"data roots of the same name, {roots}: prepare them one by one, by type and --data-root")
    return {root: out / name for root, name in zip(roots, names, strict=True)}


def unreadable(root: str, paths: list[str], read: Callable[[str], "np.ndarray"], jobs: int) -> dict[str, str]:
    """What is wrong with the images that cannot be read, by their path; all are tried."""
    from ..datasets.transforms.errors import BrokenImageError

    def wrong(path: str) -> str | None:
        try:
            read(os.path.join(root, path))
        except BrokenImageError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        return {path: line for path, line in zip(paths, pool.map(wrong, paths), strict=True) if line is not None}


def pack(
    root: str,
    paths: list[str],
    folder: Path,
    size: int | tuple[int, int],
    max_value: int | None,
    args: argparse.Namespace,
) -> int:
    """Packs the images of a data root.

    Returns:
        How many cannot be read and were left out, as `--skip-broken` says.

    Raises:
        SystemExit: If some cannot be read, and it is not said to leave them out.
    """
    from ..datasets import pack_images
    from ..datasets.transforms.errors import BrokenImageError
    from ..datasets.transforms.loading import read_grey

    whole = set()  # need not be read again to find all that are broken

    def read(file: str) -> "np.ndarray":
        image = read_grey(file, max_value=max_value)
        whole.add(file)
        return image

    settings = {} if max_value in (None, 65535) else {"max_value": max_value}
    broken = unreadable(root, paths, read, args.jobs) if args.skip_broken else {}
    for line in broken.values():
        print(f"    {line}")
    if broken:
        print(f"{root}: {len(broken)} of {len(paths)} images cannot be read and are left out")
    kept = [path for path in paths if path not in broken]
    if not kept:
        raise SystemExit(f"{root}: no image can be read")
    try:
        pack_images(root, kept, folder, size, read, args.jobs, args.depth, settings)
    except BrokenImageError:
        rest = [path for path in kept if os.path.join(root, path) not in whole]
        broken = unreadable(root, rest, read, args.jobs)
        lines = [f"    {line}" for line in broken.values()]
        raise SystemExit(
            "\n".join(
                [
                    f"{root}: {len(broken)} of {len(paths)} images cannot be read, so {folder} is not complete:",
                    *lines,
                    "Mend them, and run this command again, which goes on where it was; or leave them out: remove "
                    f"{folder}, and run it with --skip-broken.",
                ]
            )
        ) from None
    return len(broken)


def prepare(args: argparse.Namespace) -> bool:
    """Prepares what the command line names.

    Returns:
        Whether no image has changed since it was prepared.
    """
    from ..datasets import PackedImages

    if len(args.size) > 2 or min(args.size) < 1:
        raise SystemExit(f"--size takes a shorter side, or height and width, in pixels; got {args.size}")
    size = args.size[0] if len(args.size) == 1 else tuple(args.size)
    # splits and labels may share a data root: their images are prepared together
    held: list[str] = []
    paths: dict[str, dict[str, None]] = {}
    whites: dict[str, set[int | None]] = {}
    for description in described(args):
        dataset = build(description)
        dataset.full_init()
        if dataset.packed is not None:
            print(f"{description['type']}: packs its images itself")
            continue
        if in_memory(dataset):
            print(f"{description['type']}: holds its images in memory: nothing to prepare, use it without packed=")
            held.append(description["type"])
            continue
        root = os.path.realpath(dataset.root)
        paths.setdefault(root, {}).update(dict.fromkeys(dataset.records.path.tolist()))
        whites.setdefault(root, set()).add(white(description, args.max_value))
    if held and not paths:
        raise SystemExit(f"{', '.join(dict.fromkeys(held))}: no image files to prepare")
    unchanged = True
    for root, folder in folders(list(paths), args.out).items() if paths else ():
        if len(whites[root]) > 1:
            raise SystemExit(f"{root}: read with different max_value, {sorted(whites[root], key=str)}: say --max-value")
        (max_value,) = whites[root]
        left_out = pack(root, list(paths[root]), folder, size, max_value, args)
        images = PackedImages(folder)
        images.verify()
        megabytes = images.record["bytes"] / 1e6
        print(f"{folder}: {len(images)} images, {args.depth} bit, {megabytes:.1f} MB, verified; read with")
        print(f'    packed="{folder}"' + (", skip_missing=True" if left_out else ""))
        changed = images.changed(root)
        if changed:
            unchanged = False
            print(f"{len(changed)} images have changed since they were prepared:", *changed[:20], sep="\n    ")
            if len(changed) > 20:
                print(f"    and {len(changed) - 20} more")
            print(f"To prepare them again, remove {folder} and run this command again.")
    return unchanged


@command
def main(arguments: list[str] | None = None) -> None:
    """Prepares the data set."""
    args = parser().parse_args(arguments)
    try:
        unchanged = prepare(args)
    except KeyboardInterrupt:
        print("Stopped: run the same command again to resume.")
        raise SystemExit(130) from None
    raise SystemExit(not unchanged)
