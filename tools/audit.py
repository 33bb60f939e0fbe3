"""Looks for leaks: python tools/audit.py CONFIG [--pretrain CONFIG2] [--pixels] [--show-ids].

Exit status 1 if training shares patients or images with validation or test, 2 for a wrong command line.
"""

import argparse
import sys

from otcxr_mm.apis.launch import add_config_arguments, load_config


def main(argv: list[str] | None = None) -> int:
    """Prints the audit, and says with the status whether there is a leak."""
    parser = argparse.ArgumentParser(description="Compare the patients and images of a config's data sets")
    add_config_arguments(parser)
    parser.add_argument("--pretrain", metavar="CONFIG", help="config of the run whose backbone this one starts from")
    parser.add_argument(
        "--pixels",
        nargs="?",
        const="decoded",
        default=False,
        choices=["decoded", "bytes"],
        help="read the images too: their decoded pixels, or only the bytes of files that are equally long",
    )
    parser.add_argument("--origins", metavar="FILE.csv", help="columns image, original: which NIH image an image is")
    parser.add_argument("--show-ids", action="store_true", help="print patient ids and paths, up to 10 each")
    args = parser.parse_args(argv)
    configs = {"": load_config(args)}
    if args.pretrain:
        configs["pretrain/"] = load_config(
            argparse.Namespace(**{**vars(args), "config": args.pretrain, "cfg_options": []})
        )

    from otcxr_mm.datasets.audit import audit, build_datasets

    datasets = {name: data for prefix, cfg in configs.items() for name, data in build_datasets(cfg, prefix).items()}
    if not datasets:
        parser.error(f"{args.config} has no train_dataloader, val_dataloader or test_dataloader")
    found = audit(datasets, args.pixels, args.origins)
    print(found.text(args.show_ids))
    return 1 if found.leaks else 0


if __name__ == "__main__":
    sys.exit(main())
