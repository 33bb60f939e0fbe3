"""Shrinks the images of a config's data sets and packs them into one file, which they read with `packed=OUT`.

If interrupted, the same command resumes where it stopped. Run again, it lists the images whose source has changed since
(status 1). Images that cannot be read are listed at the end (status 1); --skip-broken leaves them out.
"""

import argparse
import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from .config_file import add_config_arguments, import_datasets, load_config
from .console import ArgumentParser, command


@command
def main(argv: list[str] | None = None) -> None:
    """Packs the images of each data root."""
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    add = parser.add_argument
    add("out", type=Path, help="folder to write; if a config has several data roots, the parent of one folder per root")
    size = "shorter side (default 256), or height and width; with a shorter side, images are never enlarged"
    add("--size", type=int, nargs="+", default=[256], metavar="PIXELS", help=size)
    add("--depth", type=int, choices=(8, 16), default=8, help="bits per pixel, default 8")
    add("--jobs", type=int, default=0, help="number of threads; default: one per core")
    add("--skip-broken", action="store_true", help="leave out images that cannot be read")
    args = parser.parse_args(argv)
    if len(args.size) > 2 or min(args.size) < 1:
        parser.error(f"--size takes a shorter side, or height and width, in pixels; got {args.size}")
    cfg = load_config(args)
    import_datasets(cfg)

    from ..utils.configs import leaf_specs

    loaders = [cfg.get(f"{part}_dataloader") for part in ("train", "val", "test")]
    roots = _images(spec for loader in loaders if loader for spec in leaf_specs(loader.dataset))
    if not roots:
        raise SystemExit(f"{args.config} has no train_dataloader, val_dataloader or test_dataloader")
    changed = False
    for root, (paths, max_value) in roots.items():
        out = args.out if len(roots) == 1 else args.out / Path(root).name
        changed |= _pack(root, list(paths), max_value, out, args)
    raise SystemExit(changed)


def _images(specs: Iterable[dict]) -> dict[str, tuple[dict[str, None], int | None]]:
    """Paths of the images of each data root, over all splits, and the white level of its 16-bit files."""
    from ..datasets import BaseCXRDataset
    from ..registry import DATASETS

    found: dict[str, tuple[dict[str, None], int | None]] = {}
    for spec in specs:
        kind = DATASETS.get(spec["type"])
        if kind is None or not issubclass(kind, BaseCXRDataset):
            raise SystemExit(
                f"{spec['type']} is not a data set of otcxr_mm; for radiographs in a folder, use otcxr_mm.UnlabeledCXR"
            )
        dataset = kind(**{k: v for k, v in spec.items() if k not in ("type", "packed", "pipeline", "lazy_init")})
        dataset.full_init()
        steps = [t.get("max_value") for t in spec.get("pipeline", ()) if str(t.get("type")).endswith("LoadCXR")]
        paths, _ = found.setdefault(os.path.realpath(dataset.root), ({}, next(filter(None, steps), None)))
        paths.update(dict.fromkeys(dataset.records.path.tolist()))
    return found


def _pack(root: str, paths: list[str], max_value: int | None, out: Path, args: argparse.Namespace) -> bool:
    """Packs the images of a data root; returns whether any has changed since an earlier call."""
    from ..datasets import PackedImages, pack_images
    from ..datasets.transforms.errors import BrokenImageError
    from ..datasets.transforms.loading import read_grey

    size = args.size[0] if len(args.size) == 1 else tuple(args.size)
    settings = {} if max_value in (None, 65535) else {"max_value": max_value}
    read = partial(read_grey, max_value=max_value)
    try:
        pack_images(root, paths, out, size, read, args.jobs, args.depth, settings, args.skip_broken)
    except BrokenImageError as error:
        raise SystemExit(str(error)) from None  # all of them
    images = PackedImages(out)
    broken, changed = images.record["broken"], images.changed(root)
    print(f"{out}: {len(images)} images, {args.depth} bit, {images.record['bytes'] / 1e6:.1f} MB")
    if broken:
        print(f"{len(broken)} images cannot be read and are left out:", *broken, sep="\n    ")
    print(f'read with\n    packed="{out}"' + (", skip_missing=True" if broken else ""))
    if changed:
        print(f"{len(changed)} images have changed since they were prepared:", *changed[:20], sep="\n    ")
        print(f"To prepare them again, remove {out} and run this command again.")
    return bool(changed)
