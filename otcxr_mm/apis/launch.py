"""From a command line to a config and a runner: shared by the scripts of tools/."""

import argparse
import glob
import os
import warnings
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.runner import Runner

_NOISE = ("paramwise_options", '"FileClient" will be deprecated', '"HardDiskBackend" is the alias')


def _parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="config file")
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        metavar="KEY=VALUE",
        help="settings that go before the config's, as train_dataloader.batch_size=32 or scale=(0.1,1)",
    )


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """What :func:`load_config` needs, for a command that runs nothing: a config and `--cfg-options`."""
    parser.add_argument("config", help="config file")
    _add_options(parser)
    parser.set_defaults(work_dir=None, launcher="none", local_rank=0)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--work-dir", help="folder for logs and checkpoints; default work_dirs/CONFIG")
    parser.add_argument("--amp", action="store_true", help="mixed precision: float16 on a GPU, bfloat16 on a CPU")
    _add_options(parser)
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="how the processes were started; pytorch is torchrun, on GPUs or on CPUs",
    )
    # torch.distributed.launch passes it; torchrun sets the variable
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def load_config(args: argparse.Namespace) -> "Config":
    """Reads the config and merges what the command line says."""
    # threads that wait do not spin: on a machine that is shared, spinning made training on a CPU up to ten times slower
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from mmengine.config import Config

    # mmcv-lite lacks compiled operators, none of which is used
    warnings.filterwarnings("ignore", message="Fail to import")
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    # checkpoints are loaded without running code in them
    os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    args.config = _find(args.config)
    import otcxr_mm.registry  # noqa: F401  knows bases that are named otcxr_mm::X.py

    try:
        cfg = Config.fromfile(args.config)
    except (FileNotFoundError, SyntaxError, UnicodeDecodeError) as error:
        raise SystemExit(f"{args.config}: this config cannot be read: {error}") from None
    options = parse_options(args.cfg_options or [], set(cfg))
    _refuse_helpers(cfg, options)
    cfg.merge_from_dict(options)
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = os.path.join("work_dirs", os.path.splitext(os.path.basename(args.config))[0])
    return cfg


def _find(config: str) -> str:
    """A config file; failing that, the config of this package of that name."""
    if os.path.isfile(config):
        return config
    from .configs import find_config

    try:
        found = find_config(config)
    except FileNotFoundError as error:
        raise SystemExit(f"{config}: no such config. {error}") from None
    print(f"{config}: the config of this name in otcxr_mm, {found}")
    return str(found)


def _refuse_helpers(cfg: "Config", options: dict) -> None:
    """Names what the bases were made with, such as `max_epochs`, and what has it now."""
    for key in options:
        if "." not in key and isinstance(cfg.get(key), (int, float)):
            used = [f"{name}.{key}" for name, part in cfg.items() if isinstance(part, dict) and key in part]
            if used:
                raise SystemExit(
                    f"--cfg-options {key}=...: the config has been read, and nothing looks at {key} any more: set "
                    f"{' and '.join(used)}"
                )


def parse_options(options: list[str], keys: set[str]) -> dict:
    """`KEY=VALUE ...` as MMEngine reads them, but for spaces, which MMEngine takes out of paths.

    Args:
        options: What stands behind `--cfg-options`.
        keys: Keys of the config, to notice a slip in the first part of a key.

    Returns:
        Keys with dots to values.
    """
    from inspect import signature

    from mmengine.config import DictAction
    from mmengine.runner import Runner

    known = keys | set(signature(Runner.__init__).parameters)
    literal, rest = {}, []
    for option in options:
        key, equals, value = option.partition("=")
        first = key.split(".")[0]
        near = get_close_matches(first, known, n=1, cutoff=0.8)
        if not equals or (first not in known and near):
            raise SystemExit(
                f"--cfg-options {option}: " + (f"did you mean {near[0]}?" if equals else "KEY=VALUE expected")
            )
        if " " in value.strip() and value.strip()[0] not in "[({":
            literal[key] = value.strip().strip("'\"")
        else:
            rest.append(option)
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    parsed = parser.parse_args(["--cfg-options", *rest] if rest else []).cfg_options
    return {**parsed, **literal}


def start_processes(cfg: "Config") -> None:
    """Joins the process group over gloo where there is no GPU; MMEngine's own launchers need one."""
    import torch

    if cfg.launcher == "none" or torch.cuda.is_available():
        return
    if cfg.launcher != "pytorch":
        raise SystemExit(f"--launcher {cfg.launcher} needs a GPU in every process; on CPUs use torchrun and pytorch")
    if "RANK" not in os.environ:
        raise SystemExit(
            "--launcher pytorch is for processes that torchrun started: "
            "torchrun --standalone --nproc_per_node=2 -m otcxr_mm train CONFIG --launcher pytorch"
        )
    if "SyncBN" in str(cfg._cfg_dict):
        raise SystemExit("SyncBN works on GPUs only: leave model.backbone.norm_cfg.type=BN on CPUs")
    torch.distributed.init_process_group("gloo")
    wrapper = {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        **(cfg.get("model_wrapper_cfg") or {}),
    }
    wrapper.setdefault("find_unused_parameters", cfg.get("find_unused_parameters", False))
    cfg.model_wrapper_cfg = {**wrapper, "device_ids": None}


def leave_processes() -> None:
    """Leaves the process group, which torch may otherwise abort a process for that has done its work and ends."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def build_runner(cfg: "Config") -> "Runner":
    """The runner that the config asks for."""
    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    return RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)


def _use_amp(cfg: "Config") -> None:
    import torch

    if torch.cuda.is_available():
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    else:
        cfg.optim_wrapper.type = "otcxr_mm.BFloat16OptimWrapper"


def _warn_of_schedule(cfg: "Config", logger: "MMLogger") -> None:
    """Says if the learning rate is scheduled for another number of epochs, or iterations, than are trained."""
    schedulers = cfg.get("param_scheduler") or []
    for by_epoch, key, unit in ((True, "max_epochs", "epoch"), (False, "max_iters", "iteration")):
        own = [s for s in schedulers if isinstance(s, dict) and s.get("by_epoch", True) == by_epoch]
        ends = [s.get("end") for s in own if s.get("end")]
        length = (cfg.get("train_cfg") or {}).get(key)
        if ends and length and max(ends) != length:
            logger.warning(
                f"train_cfg.{key} is {length}, but the schedule of the learning rate ends at {unit} {max(ends)}: set "
                f"param_scheduler.{len(schedulers) - 1}.end={length} too"
            )


def latest_checkpoint(work_dir: str) -> str | None:
    """The checkpoint that MMEngine noted last; failing that, the youngest one in the folder."""
    note = os.path.join(work_dir, "last_checkpoint")
    if os.path.isfile(note):
        with open(note) as stream:
            path = stream.read().strip()
        # the work dir may have been moved or copied since
        for candidate in (os.path.join(work_dir, os.path.basename(path)), path):
            if os.path.isfile(candidate):
                return candidate
    if not os.path.isdir(work_dir):
        return None
    found = [
        os.path.join(work_dir, f) for f in os.listdir(work_dir) if f.startswith(("epoch_", "iter_", "interrupted"))
    ]
    return max((f for f in found if f.endswith(".pth")), key=os.path.getmtime, default=None)


def best_checkpoint(work_dir: str) -> str | None:
    """What a run is tested with: its classifier on frozen features, the best on validation images, or the last one."""
    for pattern in ("linear.pth", "knn.pth", "best_*.pth"):
        found = glob.glob(os.path.join(glob.escape(work_dir), pattern))
        if found:
            return max(found, key=os.path.getmtime)
    return latest_checkpoint(work_dir)


def _config_of(work_dir: str) -> str:
    """The config that a run left in its work dir, with its --cfg-options."""
    found = glob.glob(os.path.join(glob.escape(work_dir), "*.py"))
    if len(found) != 1:
        raise SystemExit(f"{work_dir}: {len(found)} configs (*.py) in this folder, one is expected: name the config")
    return found[0]


def train(argv: list[str] | None = None) -> None:
    """The command `otcxr train`, `tools/train.py`.

    Args:
        argv: Arguments; default those of the process.
    """
    parser = _parser("Train a model")
    _add_common(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="PATH",
        help="go on from a checkpoint, or without PATH from the last one in the work dir if there is one",
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate by batch size / auto_scale_lr.base_batch_size",
    )
    parser.add_argument(
        "--estimate",
        action="store_true",
        help="train for a few iterations only, and say how long the training takes and whether memory and disk suffice",
    )
    parser.add_argument("--estimate-out", metavar="FILE.json", help="the same, with the figures in a file")
    args = parser.parse_args(argv)
    if (args.estimate or args.estimate_out) and args.resume:
        raise SystemExit("--estimate is of a whole training: leave --resume out")
    cfg = load_config(args)
    if cfg.get("train_dataloader") is None:
        raise SystemExit(f"{args.config} has no train_dataloader: it is a base of other configs, or one to test with")
    if args.amp:
        _use_amp(cfg)
    if args.auto_scale_lr:
        if not (cfg.get("auto_scale_lr") or {}).get("base_batch_size"):
            raise SystemExit(f"--auto-scale-lr: {args.config} has no auto_scale_lr = dict(base_batch_size=...)")
        cfg.auto_scale_lr.enable = True
    if args.resume:
        path = latest_checkpoint(cfg.work_dir) if args.resume == "auto" else args.resume
        if path is None:
            print(f"--resume: no checkpoint in {cfg.work_dir} yet, training starts from the beginning")
        elif not os.path.isfile(path):
            raise SystemExit(f"--resume {path}: no such checkpoint")
        else:
            cfg.resume, cfg.load_from = True, path
    if not cfg.train_dataloader.get("num_workers"):
        cfg.train_dataloader.persistent_workers = False  # torch refuses it without workers
    start_processes(cfg)
    if args.estimate or args.estimate_out:
        from .estimate import estimate

        fits = estimate(cfg, args.estimate_out)
        leave_processes()
        raise SystemExit(not fits)
    runner = build_runner(cfg)
    batch = cfg.train_dataloader.batch_size
    lr = cfg.optim_wrapper.optimizer.get("lr")
    runner.logger.info(
        f"Batch of {batch} images x {runner.world_size} processes = {batch * runner.world_size}; learning rate {lr} in "
        f"the config{', scaled to the batch' if args.auto_scale_lr else ''}; checkpoints in {runner.work_dir}"
    )
    _warn_of_schedule(cfg, runner.logger)
    # a line a parameter, and deprecations of MMEngine in MMEngine
    runner.logger.addFilter(lambda record: not record.getMessage().startswith(_NOISE))
    try:
        runner.train()
    except RuntimeError:
        asked = [getattr(hook, "asked_to_end", None) for hook in runner.hooks]
        if runner.rank and any(asked):  # the main process has saved and left, as this one was asked to do, too
            raise SystemExit(128 + next(filter(None, asked))) from None
        raise
    leave_processes()


def test(argv: list[str] | None = None) -> None:
    """The command `otcxr test`, `tools/test.py`.

    Args:
        argv: Arguments; default those of the process.
    """
    parser = _parser("Test a checkpoint")
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="checkpoint file; default, for a config or the work dir of a run in place of it: the run's best one, else "
        "its last one",
    )
    _add_common(parser)
    parser.add_argument("--out", metavar="FILE.json", help="file for the metrics")
    args = parser.parse_args(argv)
    if os.path.isdir(args.config):
        args.work_dir = args.work_dir or args.config
        args.config = _config_of(args.config)
    if args.checkpoint is not None and not os.path.isfile(args.checkpoint):
        raise SystemExit(f"{args.checkpoint}: no such checkpoint")
    cfg = load_config(args)
    if args.checkpoint is None:
        args.checkpoint = best_checkpoint(cfg.work_dir)
        if args.checkpoint is None:
            raise SystemExit(f"{cfg.work_dir}: no checkpoint there: run otcxr train first, or name one")
        print(f"testing {args.checkpoint}")
    if cfg.get("test_dataloader") is None:
        raise SystemExit(
            f"{args.config} has no test_dataloader: pre-training has nothing to test. "
            "Test the config of a classifier or of a segmentation"
        )
    if args.amp:
        cfg.test_cfg.fp16 = True
    cfg.load_from, cfg.resume = args.checkpoint, False
    start_processes(cfg)
    runner = build_runner(cfg)
    from ..engine.hooks import ConsistencyHook

    if not any(isinstance(hook, ConsistencyHook) for hook in runner.hooks):
        runner.register_hook(ConsistencyHook())
    metrics = runner.test()
    if args.out and runner.rank == 0:
        import json

        with open(args.out, "w") as stream:
            json.dump(metrics, stream, indent=2)
    leave_processes()
