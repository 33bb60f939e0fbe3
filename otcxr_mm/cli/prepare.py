"""Shrinks the images of a data set into one memory-mapped file, which the data set reads with `packed=OUT`.

otcxr prepare CONFIG OUT [--size 256] [--depth 16]
otcxr prepare otcxr_mm.UnlabeledCXR OUT --data-root FOLDER

If interrupted, the same command resumes where it stopped. Run again, it lists the images whose source has changed since
(status 1). Images that cannot be read are listed at the end (status 1); --skip-broken leaves them out.
"""

import argparse
import os
from functools import partial
from pathlib import Path

from .console import ArgumentParser, command


def parser() -> ArgumentParser:
    """Builds the command line."""
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("source", help="config file, or type of a data set, such as otcxr_mm.NIHChestXray14")
    add("out", type=Path, help="folder to write; if a config has several data roots, the parent of one folder per root")
    add("--data-root", help="folder of the data set, if SOURCE is a type")
    size = "shorter side (default 256), or height and width; with a shorter side, images are never enlarged"
    add("--size", type=int, nargs="+", default=[256], metavar="PIXELS", help=size)
    add("--depth", type=int, choices=(8, 16), default=8, help="bits per pixel, default 8")
    add("--max-value", type=int, help="white level of 16-bit files; default: that of the config's LoadCXR")
    add("--jobs", type=int, default=0, help="number of threads; default: one per core")
    add("--skip-broken", action="store_true", help="leave out images that cannot be read")
    options = "settings of the config, or arguments of the data set, such as ann_file=table.csv"
    add("--cfg-options", nargs="+", metavar="KEY=VALUE", help=options)
    add("--verbose", action="store_true", help="show all messages, and the traceback of an error")
    return parser


def described(args: argparse.Namespace) -> list[dict]:
    """Configs of the data sets that the command line names.

    Raises:
        SystemExit: If there is none.
    """
    from ..utils.configs import find_config
    from .config_file import load_config, parse_options

    try:
        is_config = args.source.endswith((".py", ".json", ".yaml", ".yml")) or bool(find_config(args.source))
    except FileNotFoundError:
        is_config = False
    if not is_config:
        if args.data_root is None:
            raise SystemExit(f"{args.source}: a type of data set also needs --data-root FOLDER")
        # all images, unless a split is asked for
        options = parse_options(args.cfg_options or [], {"split", "ann_file", "img_prefix"})
        return [{"type": args.source, "data_root": args.data_root, "split": "all", **options}]
    if args.data_root is not None:
        raise SystemExit("--data-root is for a type of data set; with a config, use --cfg-options")
    launch = {"config": args.source, "cfg_options": args.cfg_options, "verbose": args.verbose}
    cfg = load_config(argparse.Namespace(**launch, work_dir=None, local_rank=0, launcher="none"))
    from ..utils.configs import leaf_specs

    loaders = [value for key, value in cfg.items() if key.endswith("_dataloader") and value]
    found = [leaf for loader in loaders for leaf in leaf_specs(loader.dataset)]
    if not found:
        raise SystemExit(f"{args.source}: train_dataloader, val_dataloader and test_dataloader have no data set")
    return found


def white(dataset: dict, given: int | None) -> int | None:
    """The white level (`max_value`) of a data set's 16-bit files, as for LoadCXR."""
    own = [t.get("max_value") for t in dataset.get("pipeline", ()) if str(t.get("type", "")).endswith("LoadCXR")]
    return given or next(filter(None, own), None)


def sources(args: argparse.Namespace) -> dict[str, tuple[list[str], int | None]]:
    """Paths of the images of each data root, over all splits, and the white level of its 16-bit files.

    Raises:
        SystemExit: If there are none, or a data set is not one of this package.
    """
    from ..datasets import BaseCXRDataset
    from ..registry import DATASETS

    paths: dict[str, dict[str, None]] = {}
    whites: dict[str, int | None] = {}
    for spec in described(args):
        kind = DATASETS.get(spec["type"])
        if kind is None or not issubclass(kind, BaseCXRDataset):
            raise SystemExit(
                f"{spec['type']} is not a data set of otcxr_mm; for radiographs in a folder, use otcxr_mm.UnlabeledCXR"
            )
        dataset = kind(**{k: v for k, v in spec.items() if k not in ("type", "packed", "pipeline", "lazy_init")})
        dataset.full_init()
        there = os.path.exists(dataset.root / dataset.records.path[0])
        if dataset.packed is not None or (not there and "img" in dataset.get_data_info(0)):
            print(f"{spec['type']} needs no preparation: use it without packed=")
            continue
        root, own = os.path.realpath(dataset.root), white(spec, args.max_value)
        paths.setdefault(root, {}).update(dict.fromkeys(dataset.records.path.tolist()))
        if whites.setdefault(root, own) != own:
            raise SystemExit(f"{root}: max_value is {whites[root]} in one place and {own} in another: set --max-value")
    if not paths:
        raise SystemExit(f"{args.source}: no image files to prepare")
    return {root: (list(paths[root]), whites[root]) for root in paths}


def prepare(args: argparse.Namespace) -> bool:
    """Prepares what the command line names.

    Returns:
        Whether no image has changed since it was prepared.
    """
    from ..datasets import PackedImages, pack_images
    from ..datasets.transforms.errors import BrokenImageError
    from ..datasets.transforms.loading import read_grey

    if len(args.size) > 2 or min(args.size) < 1:
        raise SystemExit(f"--size takes a shorter side, or height and width, in pixels; got {args.size}")
    size = args.size[0] if len(args.size) == 1 else tuple(args.size)
    unchanged, roots = True, sources(args)
    if len({Path(root).name for root in roots}) < len(roots):
        raise SystemExit(
            f"these data roots have the same folder name: {list(roots)}: prepare each by its type and --data-root"
        )
    for root, (paths, max_value) in roots.items():
        folder = args.out if len(roots) == 1 else args.out / Path(root).name
        settings = {} if max_value in (None, 65535) else {"max_value": max_value}
        read = partial(read_grey, max_value=max_value)
        try:
            pack_images(root, paths, folder, size, read, args.jobs, args.depth, settings, args.skip_broken)
        except BrokenImageError as error:
            print(error)  # all of them
            raise SystemExit(
                f"{folder} is incomplete: repair the images that cannot be read, or leave them out with --skip-broken"
            ) from None
        images = PackedImages(folder)
        broken, changed = images.record["broken"], images.changed(root)
        print(f"{folder}: {len(images)} images, {args.depth} bit, {images.record['bytes'] / 1e6:.1f} MB")
        if broken:
            print(f"{len(broken)} images cannot be read and are left out:", *broken, sep="\n    ")
        print(f'read with\n    packed="{folder}"' + (", skip_missing=True" if broken else ""))
        if changed:
            unchanged = False
            print(f"{len(changed)} images have changed since they were prepared:", *changed[:20], sep="\n    ")
            print(f"To prepare them again, remove {folder} and run this command again.")
    return unchanged


@command
def main(arguments: list[str] | None = None) -> None:
    """Prepares the data set."""
    args = parser().parse_args(arguments)
    try:
        unchanged = prepare(args)
    except KeyboardInterrupt:
        print("Interrupted: the same command resumes where it stopped.")
        raise SystemExit(130) from None
    raise SystemExit(not unchanged)
