"""Looks for leaks between the data sets of a config: `otcxr audit`, `tools/audit.py`."""

import argparse
import sys
import traceback

from .config_file import add_config_arguments, import_datasets, load_config
from .console import ArgumentParser, command


def main(argv: list[str] | None = None) -> int:
    """Prints the audit.

    Returns:
        Exit status: 1 for a leak, which is what training shares with validation or test, or pre-training with test; 2
        if the audit failed; 0 otherwise.
    """
    try:
        return _audit(argv)
    except SystemExit as end:
        if not isinstance(end.code, str):
            raise
        print(end.code, file=sys.stderr)
    except Exception:  # with --verbose
        traceback.print_exc()
    return 2  # Python's own status for both, 1, would mean a leak


@command
def _audit(argv: list[str] | None) -> int:
    parser = ArgumentParser(description="Compare the patients and images of a config's data sets")
    add_config_arguments(parser)
    parser.add_argument("--pretrain", metavar="CONFIG", help="config of the run that pre-trained the backbone")
    parser.add_argument("--pixels", action="store_true", help="also read all images and compare their pixels")
    origins = "NIH's name of each image of RSNA or SIIM: RSNA's mapping (.json), or a csv with columns image, original"
    parser.add_argument("--origins", metavar="FILE", help=origins)
    parser.add_argument("--show-ids", action="store_true", help="print patient ids and paths, up to 10 each")
    args = parser.parse_args(argv)
    configs = {"": load_config(args)}
    import_datasets(configs[""])
    if args.pretrain:
        configs["pretrain/"] = load_config(argparse.Namespace(config=args.pretrain, cfg_options=[]))

    from ..datasets.audit import audit
    from ..datasets.inspection import build_datasets

    datasets = {name: data for prefix, cfg in configs.items() for name, data in build_datasets(cfg, prefix).items()}
    if not datasets:
        parser.error(f"{args.config} has no train_dataloader, val_dataloader or test_dataloader")
    found = audit(datasets, args.pixels, args.origins)
    print(found.text(args.show_ids))
    return 1 if found.leaks else 0
