"""Exports a backbone for another library: `otcxr export`."""

from .console import ArgumentParser, command


@command
def main(argv: list[str] | None = None) -> None:
    """Writes the weights and their description."""
    parser = ArgumentParser(description="Export the backbone of a run or a checkpoint for another library.")
    parser.add_argument("source", help="work dir, or checkpoint")
    parser.add_argument(
        "--out", metavar="FILE", help=".pth or .safetensors; default: backbone_FORMAT.pth beside the checkpoint"
    )
    parser.add_argument(
        "--format",
        choices=["mmpretrain", "torchvision", "timm"],
        default="mmpretrain",
        help="library whose parameter names to use (default mmpretrain; mmseg and mmdet use the same)",
    )
    parser.add_argument(
        "--channels", type=int, choices=[1, 3], help="input channels of the first convolution; default: as trained"
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    args = parser.parse_args(argv)

    from ..backbones.convert import export_backbone

    path = export_backbone(args.source, args.out, args.format, args.channels, args.force)
    print(f"{path} and {path.with_suffix('.json').name}: written")
