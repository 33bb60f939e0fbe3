"""Exports trained weights for another library: `otcxr export`."""

from pathlib import Path

from .config_file import import_datasets, set_environment
from .console import ArgumentParser, command


@command
def main(argv: list[str] | None = None) -> None:
    """Writes what the name of the output asks for."""
    parser = ArgumentParser(
        description="Export trained weights for another library. The name of the output says in which form: weights of "
        "the backbone with a JSON (.pth, .safetensors), a graph of the whole classifier or of the backbone (.onnx, "
        ".pt2 of torch.export), or a folder for the Hugging Face Hub (a name without a suffix)."
    )
    parser.add_argument("source", help="work dir, or checkpoint")
    parser.add_argument(
        "--out",
        metavar="FILE|DIR",
        help=".pth, .safetensors, .onnx, .pt2, or a folder; default: backbone_FORMAT.pth beside the checkpoint",
    )
    parser.add_argument(
        "--format",
        choices=["mmpretrain", "torchvision", "timm"],
        help="library whose parameter names to use in a file of weights (default mmpretrain; mmseg and mmdet use the "
        "same)",
    )
    parser.add_argument(
        "--channels",
        type=int,
        choices=[1, 3],
        help="input channels of the first convolution in a file of weights; default: as trained",
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    args = parser.parse_args(argv)
    suffix = Path(args.out).suffix if args.out else ".pth"
    if suffix in ("", ".onnx", ".pt2") and (args.format or args.channels):
        parser.error("--format and --channels are for files of weights, .pth or .safetensors")
    set_environment()
    import_datasets({})
    if suffix in (".onnx", ".pt2"):
        from ..apis.graphs import export_graph

        print(f"{export_graph(args.source, args.out, args.force)}: written")
    elif not suffix:
        from ..backbones.hub import export_folder

        print(f"{export_folder(args.source, args.out, args.force)}: written")
    else:
        from ..backbones.convert import export_backbone

        path = export_backbone(args.source, args.out, args.format or "mmpretrain", args.channels, args.force)
        print(f"{path} and {path.with_suffix('.json').name}: written")
