"""Time, disk and cost of a pre-training on 1, 8 and 64 GPUs, from the speed of one, as a table in Markdown.

python tools/analysis/cost.py --rate IMAGES_PER_SECOND [--images N] [--epochs N] [--price DOLLARS_PER_GPU_HOUR] ...

The rate is that of one GPU which never waits, of images with two views each: `otcxr train CONFIG --estimate` measures
it, iterations per second times the batch. What several GPUs add is computed: the sums of gradients and of covariance
matrices, at the slowest link's speed, not overlapped.
"""

import argparse

GPUS = (1, 8, 64)


def arguments() -> argparse.Namespace:
    """Every assumption, by name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--rate", type=float, required=True, help="images per second that one GPU trains on")
    add("--images", type=int, default=700_000, help="NIH, CheXpert and MIMIC-CXR together")
    add("--epochs", type=int, default=100)
    add("--batch", type=int, default=64, help="images per GPU")
    add("--price", type=float, default=3.0, help="dollars per GPU and hour")
    add("--parameters", type=float, default=28.0e6, help="of otcxr_r50_nih, with the neck")
    add("--channels", type=int, default=512, help="of a token")
    add("--node", type=int, default=8, help="GPUs per machine")
    add("--link", type=float, default=300.0, help="GB/s that a GPU sends within a machine")
    add("--network", type=float, default=40.0, help="GB/s that a GPU sends between machines")
    add("--core", type=float, default=0.5, help="ms of a core per image, prepared")
    add("--packed", type=float, default=80.0, help="kB of a prepared image")
    return parser.parse_args()


def step_seconds(args: argparse.Namespace, gpus: int) -> float:
    """Seconds of an iteration: computing, and what the processes send each other."""
    speed = 1e9 * (args.link if gpus <= args.node else args.network)
    # two views have two matrices each, summed forward and backward
    numbers = args.parameters + 2 * 2 * 2 * args.channels**2
    # of 4 bytes; a ring sends them twice
    return args.batch / args.rate + (gpus - 1) / gpus * 2 * 4 * numbers / speed


def main() -> None:
    """Prints the table."""
    args = arguments()
    print("| GPUs | images per iteration | hours | efficiency | dollars | cores for the workers | read, MB/s |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for gpus in GPUS:
        step = step_seconds(args, gpus)
        hours = args.epochs * args.images / (gpus * args.batch) * step / 3600
        rate = gpus * args.batch / step
        print(
            f"| {gpus} | {gpus * args.batch:,} | {hours:,.1f} | {args.batch / args.rate / step:.0%} | "
            f"{hours * gpus * args.price:,.0f} | {rate * args.core / 1000:.1f} | {rate * args.packed / 1000:,.0f} |"
        )
    disk = args.images * args.packed / 1e6
    print(f"\nDisk: {disk:,.0f} GB of prepared images; {3 * 12 * args.parameters / 1e9:.1f} GB for three checkpoints.")


if __name__ == "__main__":
    main()
