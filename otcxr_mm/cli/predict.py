"""Writes findings or areas of images as a table: `otcxr predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .answer import add_arguments, answer, check_absent, check_output
from .config_file import import_datasets, set_environment
from .console import ArgumentParser, command

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".csv", ".parquet")


@command
def main(argv: list[str] | None = None) -> int:
    """Computes a row per image, and writes them with a record of what made them."""
    parser = ArgumentParser(
        description="Write a table with a row per image: probabilities of findings and the decisions at the thresholds "
        "that the run chose, or areas of structures. A killed command resumes when it is repeated. Research software, "
        "not a medical device."
    )
    parser.add_argument("run", help="work dir of a trained classifier or segmentation model, or one of its checkpoints")
    add_arguments(parser, SUFFIXES)
    overlays = "folder for a picture of each image: heat maps of findings (Grad-CAM), or contours"
    parser.add_argument("--overlays", metavar="DIR", help=overlays)
    studies = "also write FILE.studies_mean.csv, or _max: a row per folder of images, which is a study in CheXpert and "
    studies += "MIMIC-CXR, with the mean or maximum of its images' probabilities"
    parser.add_argument("--studies", choices=("mean", "max"), help=studies)
    args = parser.parse_args(argv)
    check_output(args, SUFFIXES)
    set_environment()
    import_datasets({})

    from ..apis.choice import inferencer_for
    from ..apis.classifier import CXRClassifierInferencer
    from ..apis.tables import prediction_columns, studies_file, write_studies, write_table

    if args.studies:
        check_absent(studies_file(args.out, args.studies), args.force)
    inferencer = inferencer_for(args.run, args.device, args.max_value)
    if args.studies and not isinstance(inferencer, CXRClassifierInferencer):
        raise SystemExit(f"--studies {args.studies}: {args.run} is not a classifier, whose probabilities it combines")

    def write(out: Path, paths: Sequence[str], values: "np.ndarray") -> None:
        if args.studies:
            write_studies(studies_file(out, args.studies), paths, values, inferencer.columns, args.studies)
        write_table(out, paths, prediction_columns(inferencer, values))

    return answer(args, inferencer, write, "predict")
