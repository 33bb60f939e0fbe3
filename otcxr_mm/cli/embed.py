"""Writes the features of images: `otcxr embed`."""

from .answer import add_arguments, answer, check_output
from .config_file import import_datasets, set_environment
from .console import ArgumentParser, command

SUFFIXES = (".npz", ".csv", ".parquet")


@command
def main(argv: list[str] | None = None) -> int:
    """Computes features, and writes them with a record of what made them."""
    parser = ArgumentParser(
        description="Write the features of images, averaged over space. A killed command resumes when it is repeated."
    )
    parser.add_argument("source", help="work dir, checkpoint, backbone.pth with its JSON, or a name of the model zoo")
    add_arguments(parser, SUFFIXES)
    parser.add_argument("--size", type=int, metavar="N", help="side in pixels, instead of that of the training")
    args = parser.parse_args(argv)
    check_output(args, SUFFIXES)
    set_environment()
    import_datasets({})

    from ..apis.features import CXRFeatureInferencer
    from ..apis.tables import write_embeddings

    inferencer = CXRFeatureInferencer(args.source, args.device, args.max_value, args.size)
    return answer(args, inferencer, write_embeddings, ("embed", args.size))
