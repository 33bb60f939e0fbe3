"""Shows what a model is trained on: `otcxr views`, `tools/visualization/browse_views.py`."""

import os

from .config_file import add_config_arguments, import_datasets, load_config
from .console import ArgumentParser, command


@command
def main(argv: list[str] | None = None) -> None:
    """Writes a contact sheet of pairs of views."""
    parser = ArgumentParser(
        description="Draw pairs of crops of a config's training pipeline, and places that both show"
    )
    add_config_arguments(parser)
    parser.add_argument("--out", metavar="FILE.png", help="picture to write; default: WORK_DIR/views.png")
    parser.add_argument("-n", type=int, default=8, metavar="N", help="number of radiographs (8)")
    parser.add_argument("--seed", type=int, default=0, help="seed for choosing the radiographs and the crops (0)")
    parser.add_argument("--show-ids", action="store_true", help="write patient ids and paths below the pictures")
    args = parser.parse_args(argv)
    cfg = load_config(args)
    import_datasets(cfg)

    from ..datasets.inspection import build_datasets
    from ..visualization.views import contact_sheet, view_pairs

    built = build_datasets(cfg, roles=("train",))
    if not built:
        parser.error(f"{args.config} has no train_dataloader")
    out = args.out or os.path.join(cfg.work_dir, "views.png")
    os.makedirs(os.path.dirname(os.path.abspath(out)), exist_ok=True)
    contact_sheet(view_pairs(built["train"], args.n, args.seed, args.show_ids)).savefig(out, dpi=100)
    print(out)
