"""Finds the images of an archive that look alike: `otcxr similar`."""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .config_file import import_datasets, set_environment
from .console import ArgumentParser, command

if TYPE_CHECKING:
    from torch import Tensor

    from ..apis.backbone import CXRBackbone
    from ..apis.search import Archive

ROWS = 12  # queries on the sheet
SIDE = 256  # of an image on the sheet, in pixels


@command
def main(argv: list[str] | None = None) -> None:
    """Writes a contact sheet, and a csv of the neighbours."""
    args = _parser().parse_args(argv)
    args.out = args.out.expanduser()
    if args.out.suffix != ".png":
        raise SystemExit(f"--out {args.out}: the name must end in .png; a .csv goes beside it")
    if args.k < 1:
        raise SystemExit("-k must be at least 1")
    set_environment()
    import_datasets({})

    from ..apis import load_backbone
    from ..apis.images import find_images
    from ..apis.search import Archive, nearest
    from ..engine.provenance import file_record
    from ..utils.files import write_whole

    archive, queries = Archive.read(args.archive.expanduser()), find_images(args.images)
    model = load_backbone(args.source)
    if archive.weights != file_record(model.source)["sha256"]:
        raise SystemExit(f"{args.archive}: embedded with other weights than {model.source}: embed it again with these")
    names = [query.name for query in queries]
    found = _neighbours(names, archive, *nearest(model.embed(args.images), archive.features, args.k + 1), args.k)
    write_whole(args.out.with_suffix(".csv"), _csv(names, found).encode(errors="surrogateescape"))
    write_whole(args.out, _sheet(model, names[:ROWS], found))
    more = f" (the first {ROWS} of {len(names)} queries)" if len(names) > ROWS else ""
    print(f"{args.out}{more} and {args.out.with_suffix('.csv').name}: written")


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(description="Find the images of an archive that look alike to a backbone, and draw them.")
    parser.add_argument("source", help="work dir, checkpoint, backbone.pth with its JSON, or a name of the model zoo")
    parser.add_argument("archive", type=Path, metavar="ARCHIVE.npz", help="what otcxr embed wrote with these weights")
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="queries: images, folders or patterns")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.png", help="sheet; FILE.csv goes beside it")
    parser.add_argument("-k", type=int, default=5, metavar="N", help="images per query (5)")
    return parser


def _neighbours(
    names: Sequence[str], archive: "Archive", rows: "Tensor", cosines: "Tensor", k: int
) -> list[list[tuple[str, float]]]:
    """Paths and cosines of the nearest images of each query, which is not its own neighbour."""
    near = [[archive.paths[row] for row in line] for line in rows.tolist()]
    pairs = (zip(*line, strict=True) for line in zip(near, cosines.tolist(), strict=True))
    return [[pair for pair in line if pair[0] != name][:k] for name, line in zip(names, pairs, strict=True)]


def _csv(names: Sequence[str], found: Sequence[Sequence[tuple[str, float]]]) -> str:
    import pandas as pd

    rows = [
        (query, rank, path, cosine)
        for query, neighbours in zip(names, found, strict=True)
        for rank, (path, cosine) in enumerate(neighbours, 1)
    ]
    frame = pd.DataFrame(rows, columns=["query", "rank", "path", "cosine"])
    return frame.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def _sheet(model: "CXRBackbone", names: Sequence[str], found: Sequence[Sequence[tuple[str, float]]]) -> bytes:
    from ..apis.images import UNREADABLE
    from ..datasets.packed import resize_shorter
    from ..visualization.similar import similar_sheet

    def cell(path: str, text: str) -> tuple:
        try:
            return resize_shorter(model.steps.transforms[0]({"img_path": path})["img"], SIDE), text
        except UNREADABLE:  # moved since, or packed
            return None, text

    rows = []
    for name, neighbours in zip(names, found, strict=False):
        cells = [cell(path, f"{Path(path).name[:28]}\n{cosine:.3f}") for path, cosine in neighbours]
        rows.append((cell(name, Path(name).name[:28]), cells))
    buffer = io.BytesIO()
    similar_sheet(rows).savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
