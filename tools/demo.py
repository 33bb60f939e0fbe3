"""Runs the whole method on synthetic radiographs: python tools/demo.py [--seed N] [--out DIR], or make demo SEED=N.

Draws images, pre-trains OTCXR and VICReg, evaluates their frozen backbones and an untrained one, trains the same
network on labels, and writes DIR/metrics.json and DIR/report.html. If interrupted, the same command resumes where it
stopped. Finished steps are kept in DIR/seedN; remove that folder to start over.
"""

import argparse
import json
import math
import os
import time
import traceback
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demo_steps import Steps
    from mmengine.config import Config
    from mmengine.runner import Runner

ROOT = Path(__file__).resolve().parent.parent
INTRO = (
    "A ResNet-18 of half the usual width was pre-trained without labels on drawn radiographs of 96 pixels, with OTCXR "
    "and with VICReg. Then a linear map of the frozen backbone's pooled features was fitted to the labels of training "
    "patients (linear_...). Supervised: the whole network was trained on those labels from the start, as a ceiling.",
    "This shows that the installation works and what the method does. It says nothing about real radiographs; for "
    "those, see docs/results.md. VICReg uses OTCXR's learning rate and schedule; docs/results.md compares methods "
    "with a learning rate for each. After so short a training, rounding alone can move an AUROC by a few hundredths.",
    "lung_dice: a ridge regression from each dense token of the frozen backbone to the lung mask in its cell, at 48 "
    "pixels. The average training mask, which ignores the image, has {average_mask:.3f}.",
)
METHODS = {"random_init": "untrained", "otcxr": "OTCXR", "vicreg": "VICReg", "supervised": "supervised"}
PRETRAIN = {"otcxr": "otcxr_r18_synthetic.py", "vicreg": "vicreg_r18_synthetic.py"}
LINEAR = "linear_r18_synthetic.py"
# the steps, and about how many seconds each takes on two idle cores without matrix instructions: half its CPU time
SECONDS = {
    "images": 25,
    "pretrain_otcxr": 65,
    "pretrain_vicreg": 55,
    "linear_random_init": 7,
    "linear_otcxr": 5,
    "linear_vicreg": 5,
    "supervised": 42,
    "report": 20,
}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of images, weights and draws; default 0")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/demo"), help="default work_dirs/demo")
    parser.add_argument("--patients", type=int, default=900, help="synthetic patients; default 900")
    parser.add_argument("--epochs", type=int, help="epochs of each training; default as in the configs")
    args = parser.parse_args()
    if args.seed < 0:
        parser.error(f"--seed {args.seed}: must be 0 or more")
    # read when torch is imported: threads that wait without spinning are several times faster beside other programs
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["OTCXR_SYNTHETIC"] = str((args.out / "images").absolute())
    os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    warnings.simplefilter("ignore")
    from demo_steps import Steps

    from otcxr_mm.reports.page import require_charts

    try:
        require_charts()
    except ImportError as error:
        parser.exit(1, f"{error}\n")
    steps = Steps(args.out / f"seed{args.seed}", SECONDS)
    steps.work.mkdir(parents=True, exist_ok=True)
    log = steps.work / "log.txt"
    with open(log, "a", buffering=1) as stream, redirect_stdout(stream), redirect_stderr(stream):
        try:
            Demo(steps, args.out, args.seed, args.patients, args.epochs).run()
        except (KeyboardInterrupt, SystemExit) as reason:
            steps.say("\nInterrupted. Run the same command again to resume.")
            raise SystemExit(getattr(reason, "code", None) or 130) from None
        except Exception as error:
            traceback.print_exc()
            steps.say(f"\n{type(error).__name__}: {error}\nMore in {log}")
            raise SystemExit(1) from None


class Demo:
    """What the demo does.

    Args:
        steps: Runs and keeps the steps.
        out: Folder for results.
        seed: Seed of images, weights and draws.
        patients: Number of synthetic patients.
        epochs: Epochs of each training; None: as in the configs.
    """

    def __init__(self, steps: "Steps", out: Path, seed: int, patients: int, epochs: int | None) -> None:
        self.steps, self.out, self.seed, self.patients, self.epochs = steps, out, seed, patients, epochs

    def run(self) -> None:
        """Runs all steps."""
        begin, steps = time.time(), self.steps
        minutes = round(sum(SECONDS.values()) / 60)
        steps.say(f"Synthetic radiographs, seed {self.seed}: about {minutes} minutes on two CPU cores")
        steps.say(f"Logs: {steps.work / 'log.txt'}")
        counts = steps.run("images", "draw radiographs", self.config(LINEAR), draw)
        steps.say(f"      {counts['train']} for training, {counts['val']} for validation, {counts['test']} for testing")
        for name, file in PRETRAIN.items():
            steps.run(f"pretrain_{name}", f"pre-train {METHODS[name]} without labels", self.config(file), train)
        results = {name: self.probe(name) for name in ("random_init", *PRETRAIN)}
        cfg = self.config("supervised_r18_synthetic.py")
        results["supervised"] = steps.run("supervised", "train the same network on labels", cfg, train_and_test)
        metrics = self.report(results, begin)
        self.summary(metrics)

    def probe(self, name: str) -> dict:
        """Fits and tests a linear probe on the frozen backbone of a method."""
        cfg = self.config(LINEAR)
        if name in PRETRAIN:
            cfg.default_hooks.load_backbone.checkpoint = str(self.steps.work / f"pretrain_{name}" / "backbone.pth")
        else:
            cfg.default_hooks.load_backbone.update(checkpoint=None, calibrate=True)
        title = f"linear probe: {METHODS[name]}"
        return self.steps.run(f"linear_{name}", title, cfg, train_and_test, after=f"pretrain_{name}")

    def report(self, results: dict[str, dict], begin: float) -> dict:
        """Segments lungs from dense features, and writes report.html and metrics.json; returns the metrics."""
        from demo_dense import evaluate_dense, run_folder
        from demo_pictures import CAPTIONS, record

        from otcxr_mm.reports.page import build_report
        from otcxr_mm.utils.files import write_whole

        self.steps.announce("lungs from frozen features, pictures, report ...")
        start, seconds = time.time(), self.steps.seconds
        dense = evaluate_dense(self.steps.work, self.config(LINEAR), METHODS)
        for name, probe in dense.probes.items():
            results[name]["lung_dice"] = round(float(probe.dice.mean()), 4)
        results["average_mask"] = {"lung_dice": round(float(probe.blind.mean()), 4)}
        metrics = {"seed": self.seed, **results, "seconds": seconds}
        record(self.steps.work, dense, self.config(PRETRAIN["otcxr"]))
        runs = [*map(run_folder, METHODS), *(f"pretrain_{name}" for name in PRETRAIN)]
        intro = [text.format(average_mask=metrics["average_mask"]["lung_dice"]) for text in INTRO]
        title = f"OTCXR on synthetic radiographs, seed {self.seed}"
        page = build_report([self.steps.work / run for run in runs], title, intro, CAPTIONS)
        seconds["report"], seconds["total"] = round(time.time() - start, 1), round(time.time() - begin, 1)
        write_whole(self.out / "report.html", page.encode())
        write_whole(self.out / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
        return metrics

    def summary(self, metrics: dict) -> None:
        """Prints the results."""
        say = self.steps.say
        say("\nMacro AUROC on test patients, frozen backbone and linear probe (supervised: trained on labels)")
        for name, title in METHODS.items():
            entry = metrics[name]
            say(f"  {title:<12}{entry['macro_auroc']:.3f}   lung Dice {entry['lung_dice']:.3f}")
        say(f"  (lung Dice of the average mask, which ignores the image: {metrics['average_mask']['lung_dice']:.3f})")
        say(f"\n{self.out / 'report.html'}   {self.out / 'metrics.json'}   {metrics['seconds']['total']:.0f} s")

    def config(self, name: str) -> "Config":
        """A config of configs/demo with this demo's seed and sizes."""
        from mmengine.config import Config

        cfg = Config.fromfile(ROOT / "configs" / "demo" / name)
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            if loader in cfg:
                cfg[loader].dataset.seed, cfg[loader].dataset.patients = self.seed, self.patients
        cfg.randomness = dict(seed=self.seed)
        if "max_epochs" in cfg:
            cfg.custom_hooks = [*cfg.get("custom_hooks", []), dict(type="otcxr_mm.ProgressBarHook")]
        if self.epochs and "max_epochs" in cfg:
            cfg.train_cfg.max_epochs = self.epochs
            cfg.param_scheduler[-1].end = max(self.epochs, cfg.param_scheduler[-1].begin + 1)
            if "val_interval" in cfg.train_cfg:
                cfg.train_cfg.val_interval = self.epochs
        return cfg


def draw(cfg: "Config") -> dict[str, int]:
    """Draws the images; returns their number by split."""
    from otcxr_mm import SyntheticCXR

    dataset = {k: v for k, v in cfg.train_dataloader.dataset.items() if k in ("data_root", "patients", "seed")}
    return {split: len(SyntheticCXR(**dataset, split=split)) for split in ("train", "val", "test")}


def train(cfg: "Config") -> dict:
    """Trains, resuming from the last checkpoint if there is one."""
    _trained(cfg)
    return {}


def train_and_test(cfg: "Config") -> dict:
    """Trains, and tests on the test patients."""
    prefix, metrics = "multilabel/auroc", _trained(cfg).test()
    per_class = {k.removeprefix(f"{prefix}/"): v for k, v in metrics.items() if k.startswith(f"{prefix}/")}
    return {
        "macro_auroc": round(metrics[prefix], 4),
        # null: a class without positives or without negatives
        "per_class": {name: round(v, 4) if math.isfinite(v) else None for name, v in per_class.items()},
    }


def _trained(cfg: "Config") -> "Runner":
    from mmengine.runner import Runner

    from otcxr_mm.utils.checkpoints import latest_checkpoint

    checkpoint = latest_checkpoint(cfg.work_dir)
    if checkpoint is not None:
        cfg.resume, cfg.load_from = True, checkpoint
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


if __name__ == "__main__":
    main()
