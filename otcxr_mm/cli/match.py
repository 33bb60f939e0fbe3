"""Draws which region of one image corresponds to which of another: `otcxr match`."""

from pathlib import Path

from .config_file import import_datasets, set_environment
from .console import ArgumentParser, command


@command
def main(argv: list[str] | None = None) -> None:
    """Writes the picture."""
    parser = ArgumentParser(description="Draw which region of one image corresponds to which of another.")
    parser.add_argument("source", help="work dir of a pre-training with OTCXR, or one of its checkpoints")
    parser.add_argument("first", help="image")
    parser.add_argument("second", help="image, such as another one of the same patient")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.png", help="picture")
    parser.add_argument("--no-prior", action="store_true", help="match by features alone, without the frame")
    args = parser.parse_args(argv)
    if args.out.suffix != ".png":
        raise SystemExit(f"--out {args.out}: the name must end in .png")
    set_environment()
    import_datasets({})

    from ..apis.match import match_images
    from ..utils.files import write_whole
    from ..visualization.match import match_png

    found = match_images(args.source, args.first, args.second, prior=not args.no_prior)
    write_whole(args.out.expanduser(), match_png(*found.images, found.plan, found.grid))
    print(f"{args.out}: written; regions of one colour correspond to this network, which is not a diagnosis")
