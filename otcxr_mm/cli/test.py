"""Tests a run or a checkpoint: `otcxr test`, `tools/test.py`."""

import json
import os

from ..utils.checkpoints import best_checkpoint
from ..utils.files import write_whole
from .config_file import add_run_arguments, load_config
from .console import ArgumentParser, command
from .work_dir import claim, config_of


@command
def main(argv: list[str] | None = None) -> None:
    """Tests a checkpoint."""
    parser = ArgumentParser(description="Test a checkpoint. CONFIG may also be the work dir of a run.")
    add_run_arguments(parser)
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="checkpoint file; default: the best one in the work dir, or else the last one",
    )
    parser.add_argument("--out", metavar="FILE.json", help="file to write the metrics to")
    args = parser.parse_args(argv)
    of_run = args.config if os.path.isdir(args.config) else None
    if of_run:
        args.work_dir = args.work_dir or of_run
        args.config = config_of(of_run)
    if args.checkpoint is not None and not os.path.isfile(args.checkpoint):
        raise SystemExit(f"{args.checkpoint}: no such checkpoint")
    cfg = load_config(args, check=not of_run)
    folder = of_run or cfg.work_dir
    checkpoint = args.checkpoint or best_checkpoint(folder)
    if checkpoint is None:
        raise SystemExit(f"{folder} has no checkpoint: run otcxr train first, or name one")
    if cfg.get("test_dataloader") is None:
        raise SystemExit(
            f"{args.config} has no test_dataloader: pre-training has nothing to test. "
            "Test the config of a classifier or a segmentation model"
        )
    claim(cfg.work_dir, cfg.launcher)
    if args.amp:
        cfg.test_cfg.fp16 = True
    cfg.load_from, cfg.resume = checkpoint, False

    from ..engine import ConsistencyHook
    from .runner import build_runner, leave_processes, start_processes

    start_processes(cfg)
    runner = build_runner(cfg, args.verbose)
    runner.logger.info(f"testing {checkpoint} with {args.config}; log: {os.path.relpath(runner.logger.log_file)}")
    if not any(isinstance(hook, ConsistencyHook) for hook in runner.hooks):
        runner.register_hook(ConsistencyHook())
    metrics = runner.test()
    if args.out and runner.rank == 0:
        from ..engine.hooks.results import plain

        write_whole(args.out, json.dumps(plain(metrics), indent=2, allow_nan=False).encode())
    leave_processes()
