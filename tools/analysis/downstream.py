"""Evaluates pre-trained backbones downstream, beside an untrained one: the runs of docs/results.md.

    python tools/analysis/downstream.py run --backbone OTCXR=FILE [FILE ...] --backbone VICRegL=FILE [FILE ...]
    python tools/analysis/table.py work_dirs/downstream --out docs/results/downstream

    python tools/analysis/downstream.py run --network mobilenetv2 --only finetune --out work_dirs/finetuned \
        --backbone OTCXR=FILE [FILE ...] --backbone ImageNet=FILE

Each run does what `tools/train.py CONFIG --cfg-options ...` and `tools/test.py WORK_DIR` do, in a process of its own,
and its log begins with the command. Finished runs are skipped, so an interrupted series resumes. A method with several
files uses them in turn, because pre-training differs between seeds as much as draws do.
"""

import argparse
import json
import os
import shlex
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs" / "downstream"
RANDOM = "random init"
TASKS = {
    "r18": {
        ("kermany", "linear"): "linear/linear_r18_kermany.py",
        ("kermany", "knn"): "linear/linear_r18_kermany.py",
        ("nih", "linear"): "linear/linear_r18_nih.py",
        ("nih", "knn"): "linear/linear_r18_nih.py",
        ("nih", "finetune"): "finetune/finetune_r18_nih.py",
        ("lungs", "frozen"): "segmentation/upernet_r18_lungs.py",
        ("lungs", "finetune"): "segmentation/upernet_r18_lungs.py",
        ("kermany", "finetune"): "finetune/finetune_r18_kermany.py",
    },
    "mobilenetv2": {
        ("nih_followup", "finetune"): "finetune/finetune_mobilenetv2_nih.py",
        ("kermany", "finetune"): "finetune/finetune_mobilenetv2_kermany.py",
    },
}
# the findings of nih_followup that its test patients can measure: at least 20 positives
FOLLOWUP = (
    "('Atelectasis','Cardiomegaly','Effusion','Infiltration','Mass','Nodule','Pneumonia','Pneumothorax',"
    "'Consolidation','Edema','Emphysema','Fibrosis','Pleural_Thickening')"
)
# share of the training patients, and how many draws of them (at 100 %: seeds)
FRACTIONS = ((1.0, 3), (0.1, 5), (0.01, 5))
RATES = {"r18": (3e-4, 1e-3, 3e-3), "mobilenetv2": (1e-4, 3e-4, 1e-3)}


@dataclass(frozen=True)
class Series:
    """What the runs of a series share: network, folder, further --cfg-options, and the files of each method."""

    network: str
    out: Path
    options: tuple[str, ...]
    methods: dict[str, list[str]]
    only: str

    @property
    def tasks(self) -> list[tuple[str, str]]:
        """Tasks and protocols."""
        return [(task, protocol) for task, protocol in TASKS[self.network] if self.only in f"{task}_{protocol}"]


@dataclass(frozen=True)
class Run:
    """One training and its test."""

    series: Series
    task: str
    protocol: str
    method: str
    backbone: str
    fraction: float
    draw: int
    rate: float | None = None
    tested: bool = True

    @property
    def work_dir(self) -> Path:
        """Where it writes."""
        name = f"{self.task}_{self.protocol}_{self.method.replace(' ', '_')}_{100 * self.fraction:g}_{self.draw}"
        return self.series.out / (name if self.tested else f"rates/{name}_{self.rate:g}")

    @property
    def done(self) -> bool:
        """Whether its result is there."""
        return (self.work_dir / ("results.json" if self.tested else "validated")).is_file()

    def options(self) -> list[str]:
        """Arguments of --cfg-options."""
        options = [
            f"method={self.method}",
            f"randomness.seed={self.draw}",
            f"train_dataloader.dataset.fraction={self.fraction}",
            f"train_dataloader.dataset.draw={self.draw}",
        ]
        options.append(f"default_hooks.load_backbone.checkpoint={self.backbone or None}")
        if self.protocol in ("linear", "knn"):
            options.append(f"train_cfg.cache={self.series.out / 'features'}")
        if self.protocol in ("linear", "knn", "frozen") and not self.backbone:  # its statistics come from no data
            options.append("default_hooks.load_backbone.calibrate=True")
        if self.protocol == "knn":
            options.append("model.head.type=otcxr_mm.KNNHead")
        if self.protocol == "frozen":
            options += ["protocol=frozen", "model.backbone.frozen_stages=4", "model.backbone.norm_eval=True"]
        if self.rate is not None:
            options.append(f"optim_wrapper.optimizer.lr={self.rate}")
        if self.task == "nih_followup":
            options += [
                f"{role}_dataloader.dataset.{key}"
                for role in ("train", "val", "test")
                for key in (f"data_root={os.environ.get('OTCXR_DATA', 'data')}/nih_followup", f"classes={FOLLOWUP}")
            ]
            options.append(f"model.head.num_classes={FOLLOWUP.count(',') + 1}")
        return [*options, *self.series.options]

    def execute(self) -> None:
        """Trains and tests, in this process."""
        from otcxr_mm.cli import test, train

        config = os.path.relpath(CONFIGS / TASKS[self.series.network][self.task, self.protocol])
        arguments = [config, "--work-dir", str(self.work_dir), "--resume", "--cfg-options", *self.options()]
        print("$ python tools/train.py", shlex.join(arguments), flush=True)
        train.main(arguments)
        if self.tested:
            print("$ python tools/test.py", self.work_dir, flush=True)
            test.main([str(self.work_dir)])
        else:
            (self.work_dir / "validated").touch()


def all_runs(series: Series, rates: dict) -> list[Run]:
    """All runs, cheap ones first.

    Args:
        series: What they share.
        rates: Learning rate by task, protocol and method, from :func:`chosen_rates`.
    """
    runs = []
    for task, protocol in series.tasks:
        most = max(draws for _, draws in FRACTIONS)
        # so that an interrupted series has as many draws of each method
        for draw, (fraction, draws) in product(range(most), FRACTIONS):
            for method, files in series.methods.items() if draw < draws else ():
                backbone = files[draw % len(files)] if files else ""
                rate = rates.get(f"{task} {protocol} {method}")
                runs.append(Run(series, task, protocol, method, backbone, fraction, draw, rate))
    return runs


def rate_runs(series: Series) -> list[Run]:
    """Runs that choose the learning rate of each method on validation patients, at 10 % of the labels."""
    return [
        Run(series, task, protocol, method, files[0] if files else "", 0.1, 0, rate, tested=False)
        for task, protocol in series.tasks
        if protocol in ("finetune", "frozen")
        for method, files in series.methods.items()
        for rate in RATES[series.network]
    ]


def best_validation(work_dir: Path) -> float:
    """The best value on validation patients that a run's log holds."""
    values = []
    for file in work_dir.glob("*/vis_data/scalars.json"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            values += [row[key] for key in ("multilabel/auroc", "mask/dice") if key in row]
    return max(values)


def chosen_rates(series: Series) -> dict[str, float]:
    """The learning rate with the best validation result, by task, protocol and method."""
    table: dict[str, dict[float, float]] = {}
    for run in rate_runs(series):
        if run.done:
            table.setdefault(f"{run.task} {run.protocol} {run.method}", {})[run.rate] = best_validation(run.work_dir)
    for name, values in table.items():
        print(name, {rate: round(value, 4) for rate, value in values.items()})
        if len(values) < (wanted := len(RATES[series.network])):
            raise SystemExit(f"{name}: {len(values)} of {wanted} learning rates are done: finish `rates` first")
    return {name: max(values, key=values.get) for name, values in table.items()}


def execute(runs: list[Run], jobs: int) -> int:
    """Executes runs, each in a forked process with one thread; returns how many failed."""
    import torch

    import otcxr_mm.engine
    import otcxr_mm.models  # noqa: F401  # imported once, before the forks

    torch.set_num_threads(1)
    waiting, running, failed, done = [run for run in runs if not run.done], {}, 0, 0
    print(f"{len(runs)} runs, {len(waiting)} to do")
    total, start = len(waiting), time.time()
    while waiting or running:
        while waiting and len(running) < jobs:
            run = waiting.pop(0)
            process = os.fork()
            if not process:
                _child(run)
            running[process] = run
        process, status = os.wait()
        run = running.pop(process)
        done += 1
        failed += status != 0
        state = "failed, see" if status else "done,"
        print(f"[{done}/{total}, {(time.time() - start) / 60:.1f} min] {state} {run.work_dir}", flush=True)
    return failed


def _child(run: Run) -> None:
    status = 1
    try:
        run.work_dir.mkdir(parents=True, exist_ok=True)
        log = os.open(run.work_dir / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        run.execute()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "command",
        choices=["rates", "run"],
        help="rates: choose learning rates on validation patients",
    )
    parser.add_argument("--backbone", nargs="+", action="append", default=[], metavar="NAME=FILE [FILE ...]")
    parser.add_argument("--network", choices=TASKS, default="r18")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/downstream"), help="folder of the runs")
    parser.add_argument("--options", nargs="+", default=[], metavar="KEY=VALUE", help="more --cfg-options of every run")
    parser.add_argument("--no-untrained", action="store_true", help="leave out the untrained network")
    parser.add_argument("--only", default="", help="part of a task and protocol, such as kermany or lungs_frozen")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time, one thread each")
    args = parser.parse_args()
    methods = {} if args.no_untrained else {RANDOM: []}
    for first, *rest in args.backbone:
        name, _, file = first.partition("=")
        methods[name] = [file, *rest]
        missing = [f for f in methods[name] if not os.path.isfile(f)]
        if missing:
            parser.error(f"--backbone {name}: no such file {missing[0]}")
    # one thread a run: set before torch is imported
    os.environ["OMP_NUM_THREADS"] = "1"
    series = Series(args.network, args.out, tuple(args.options), methods, args.only)
    if args.command == "rates":
        failed = execute(rate_runs(series), args.jobs)
        chosen_rates(series)
    else:
        failed = execute(all_runs(series, chosen_rates(series)), args.jobs)
    if failed:
        raise SystemExit(f"{failed} runs failed")


if __name__ == "__main__":
    main()
