"""Summarises a config's data sets: `otcxr stats`, `tools/visualization/dataset_stats.py`."""

import json
import os
from pathlib import Path

from .config_file import add_config_arguments, import_datasets, load_config
from .console import ArgumentParser, command


@command
def main(argv: list[str] | None = None) -> None:
    """Writes stats.md, stats.png and stats.json, and prints stats.md."""
    parser = ArgumentParser(description="Write what the data sets of a config hold to stats.md, .png and .json")
    add_config_arguments(parser)
    parser.add_argument("--out", metavar="DIR", help="folder for the three files; default: WORK_DIR/stats")
    help_images = "number of random images per data set to read for the grey values; 0 for all (500)"
    parser.add_argument("--max-images", type=int, default=500, metavar="N", help=help_images)
    args = parser.parse_args(argv)
    cfg = load_config(args)
    import_datasets(cfg)

    from ..datasets.inspection import build_datasets
    from ..datasets.summary import statistics
    from ..visualization.stats import picture, report

    found = statistics(build_datasets(cfg), args.max_images)
    out = Path(args.out or os.path.join(cfg.work_dir, "stats"))
    out.mkdir(parents=True, exist_ok=True)
    text = report(found)
    (out / "stats.md").write_text(text, encoding="utf-8")
    (out / "stats.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    picture(found).savefig(out / "stats.png", dpi=100)
    print(f"{text}\n{out}: stats.md, stats.png, stats.json")
