"""What `otcxr embed` and `otcxr predict` share: arguments, progress, resuming, and what is said at the end."""

import argparse
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..utils.machine import cannot_write, nearest_folder
from .console import ArgumentParser

if TYPE_CHECKING:
    import numpy as np
    from rich.progress import Progress

    from ..apis.images import Image
    from ..apis.inferencer import CXRInferencer
    from ..apis.rows import Rows

SHOWN = 20  # files that cannot be read, on the terminal


def add_arguments(parser: ArgumentParser, suffixes: Sequence[str]) -> None:
    """Adds the arguments, except the source of the weights."""
    add = parser.add_argument
    what = "image, folder, pattern in quotes, folder of packed images, or .txt with a path per line"
    add("images", nargs="+", metavar="IMAGES", help=what)
    add("--out", required=True, metavar="FILE", type=Path, help=f"{', '.join(suffixes)}; FILE.json goes beside it")
    add("--batch-size", type=int, default=32, metavar="N", help="images per batch (32)")
    add("--workers", type=int, default=None, metavar="N", help="processes that read images; default: cores minus one")
    add("--device", help="such as cuda:0 or cpu; default: the first GPU, or else the CPU")
    white = "white level of 16-bit files, such as 4095, instead of that of the training"
    add("--max-value", type=int, metavar="N", help=white)
    add("--strict", action="store_true", help="exit with status 1 if a file cannot be read")
    add("--force", action="store_true", help="overwrite existing files, and start anew after an interruption")


def check_output(args: argparse.Namespace, suffixes: Sequence[str]) -> None:
    """Ends the process if the output cannot be written, before anything is computed."""
    out = args.out = args.out.expanduser()
    if out.suffix not in suffixes:
        raise SystemExit(f"--out {out}: the name must end in {' or '.join(suffixes)}")
    for file in (out, out.with_suffix(".json")):
        check_absent(file, args.force)
    if reason := cannot_write(nearest_folder(out.parent)):
        raise SystemExit(f"--out {out}: cannot be written ({reason})")
    if out.suffix == ".parquet":
        _require_parquet(out)
    if args.batch_size < 1:
        raise SystemExit("--batch-size must be at least 1")


def check_absent(file: Path, force: bool) -> None:
    """Ends the process if a file exists that must not be overwritten."""
    if file.exists() and not force:
        raise SystemExit(f"{file} is there already: name another file, or overwrite it with --force")


def _require_parquet(out: Path) -> None:
    from importlib.util import find_spec

    if not any(map(find_spec, ("pyarrow", "fastparquet"))):
        raise SystemExit(f"--out {out}: writing .parquet needs pyarrow: pip install pyarrow, or write .npz or .csv")


def answer(
    args: argparse.Namespace,
    inferencer: "CXRInferencer",
    write: Callable[[Path, Sequence[str], "np.ndarray"], None],
    settings: object = None,
) -> int:
    """Computes the rows of all images, writes the table and its record, and says what could not be read.

    Args:
        args: Of the command line.
        inferencer: What computes the rows.
        write: Writes a table from its file, the paths and the rows of values.
        settings: What the rows depend on besides weights and images.

    Returns:
        Exit status: 1 with `--strict` if a file cannot be read.
    """
    from ..apis.images import find_images
    from ..apis.tables import weights_of, write_record

    images, weights = find_images(args.images), weights_of(inferencer)
    rows = _rows(args, images, weights["sha256"], settings)
    failed = _compute(args, inferencer, images, rows)
    if not rows.done.any():
        rows.remove()
        raise SystemExit(f"none of the {len(images)} images could be read: {failed[0][1]}")
    paths = [image.name for image, done in zip(images, rows.done, strict=True) if done]
    write(args.out, paths, rows.values[rows.done])
    write_record(args.out, inferencer, weights, len(images), failed)
    rows.remove()
    _report(args.out, len(paths), failed)
    return int(bool(args.strict and failed))


def _rows(args: argparse.Namespace, images: Sequence["Image"], weights: str, settings: object) -> "Rows":
    """The rows of an interrupted command with the same weights, images and settings, or new ones."""
    from ..apis.rows import Rows, key_of

    folder = args.out.with_name(f"{args.out.name}.partial")
    if args.force:
        shutil.rmtree(folder, ignore_errors=True)
    rows = Rows(folder, key_of(weights, images, (settings, args.max_value)), len(images))
    if rows.done.any():
        print(f"resumed: {rows.done.sum()} of {len(images)} images were done before")
    return rows


def _compute(
    args: argparse.Namespace, inferencer: "CXRInferencer", images: Sequence["Image"], rows: "Rows"
) -> list[tuple[str, str]]:
    """Computes the rows that are missing; returns path and reason of each image that cannot be read."""
    from ..apis.rows import compute
    from ..utils.threads import cores

    workers = cores() - 1 if args.workers is None else args.workers
    overlays = Path(args.overlays).expanduser() if getattr(args, "overlays", None) else None
    reasons: dict[int, str | None] = {}
    with _progress() as progress:
        task = progress.add_task("images", total=len(images), completed=int(rows.done.sum()))
        for found in compute(inferencer, images, rows, args.batch_size, workers, overlays):
            reasons |= found
            progress.advance(task, len(found))
    return [(images[place].name, reason) for place, reason in sorted(reasons.items()) if reason is not None]


def _progress() -> "Progress":
    """A progress bar with rate and time left, on standard error if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        """Images per second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:.1f} images/s")

    console = Console(stderr=True)
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), Rate())
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


def _report(out: Path, count: int, failed: Sequence[tuple[str, str]]) -> None:
    if failed:
        print(f"{len(failed)} files could not be read and are not in the table:")
        for _, reason in failed[:SHOWN]:
            print(f"  {reason}")
        if len(failed) > SHOWN:
            print(f"  and {len(failed) - SHOWN} more, in {out.with_suffix('.json')}")
    print(f"{out} and {out.with_suffix('.json').name}: {count} images")
