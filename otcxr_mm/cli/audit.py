"""Looks for leaks between the data sets of a config: `otcxr audit`, `tools/audit.py`.

The exit status is 1 only for a leak: training shares patients or images with validation or test, or pre-training does
with test. What pre-training shares with validation is a note. The status is 2 if the audit failed: a wrong command
line, a missing file, invalid data, or any other error.
"""

import argparse
import sys
import traceback

from .config_file import add_config_arguments, load_config


def main(argv: list[str] | None = None) -> int:
    """Prints the audit; the exit status says whether there is a leak."""
    parser = argparse.ArgumentParser(description="Compare the patients and images of a config's data sets")
    add_config_arguments(parser)
    parser.add_argument("--pretrain", metavar="CONFIG", help="config of the run that pre-trained the backbone")
    parser.add_argument(
        "--pixels",
        nargs="?",
        const="decoded",
        default=False,
        choices=["decoded", "bytes"],
        help="also compare the images' content: decoded pixels (default), or bytes of files of equal size",
    )
    parser.add_argument("--origins", metavar="FILE.csv", help="columns image, original: the NIH original of each image")
    parser.add_argument("--show-ids", action="store_true", help="print patient ids and paths, up to 10 each")
    args = parser.parse_args(argv)
    try:
        return _audit(parser, args)
    except (FileNotFoundError, ValueError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
    except Exception:
        traceback.print_exc()  # Python's own exit status, 1, would mean a leak
    return 2


def _audit(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    configs = {"": load_config(args)}
    if args.pretrain:
        configs["pretrain/"] = load_config(
            argparse.Namespace(**{**vars(args), "config": args.pretrain, "cfg_options": []})
        )

    from ..datasets.audit import audit
    from ..datasets.inspection import build_datasets

    datasets = {name: data for prefix, cfg in configs.items() for name, data in build_datasets(cfg, prefix).items()}
    if not datasets:
        parser.error(f"{args.config} has no train_dataloader, val_dataloader or test_dataloader")
    found = audit(datasets, args.pixels, args.origins)
    print(found.text(args.show_ids))
    return 1 if found.leaks else 0
