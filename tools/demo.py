"""The whole job on built-in synthetic radiographs: python tools/demo.py [--seed N] [--out DIR], or make demo SEED=N.

Draws images, pre-trains OTCXR and VICReg, evaluates their frozen backbones and an untrained one, trains the same
network on labels, and writes DIR/metrics.json and DIR/report.html. Interrupted, it goes on where it was; finished steps
are kept in DIR/seedN, remove that folder to start over.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
if TYPE_CHECKING:
    from mmengine.config import Config

METHODS = {
    "random_init": "untrained",
    "otcxr": "OTCXR",
    "vicreg": "VICReg",
    "supervised": "supervised",
}
PRETRAIN = {"otcxr": "otcxr_r18_synthetic.py", "vicreg": "vicreg_r18_synthetic.py"}


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of images, weights and draws; default 0")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/demo"), help="default work_dirs/demo")
    parser.add_argument("--patients", type=int, default=900, help="synthetic patients; default 900")
    parser.add_argument("--epochs", type=int, help="epochs of each training; default as in the configs")
    args = parser.parse_args(argv)
    # threads that wait without spinning: beside other programs several times faster; read when torch is imported
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if args.seed < 0:
        parser.error(f"--seed {args.seed}: 0 or more")
    demo = Demo(args.out, args.seed, args.patients, args.epochs)
    demo.work.mkdir(parents=True, exist_ok=True)
    log = demo.work / "log.txt"
    with open(log, "a", buffering=1) as stream, redirect_stdout(stream), redirect_stderr(stream):
        try:
            demo.run()
        except (KeyboardInterrupt, SystemExit) as reason:
            demo.say("\nInterrupted. Run the same command again: it goes on from here.")
            raise SystemExit(getattr(reason, "code", None) or 130) from None
        except Exception as error:
            traceback.print_exc()
            demo.say(f"\n{type(error).__name__}: {error}\nMore in {log}")
            raise SystemExit(1) from None


class Demo:
    """The steps, each run once.

    Args:
        out: Folder for results.
        seed: Of images, weights and draws.
        patients: Synthetic patients.
        epochs: Of each training; None: as the configs say.
    """

    def __init__(self, out: Path, seed: int, patients: int, epochs: int | None) -> None:
        self.out, self.seed, self.patients, self.epochs = out, seed, patients, epochs
        self.work = out / f"seed{seed}"
        self.images = out / "images"
        self.terminal = sys.stdout
        self.seconds: dict[str, float] = {}
        self.keys: dict[str, str] = {}
        self.number, self.steps = 0, 8

    def say(self, text: str) -> None:
        """Prints; what else is printed goes to the log."""
        print(text, file=self.terminal, flush=True)

    def run(self) -> None:
        """All steps."""
        begin = time.time()
        os.environ["OTCXR_SYNTHETIC"] = str(self.images.absolute())
        os.environ.setdefault("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
        warnings.simplefilter("ignore")
        self.say(f"Synthetic radiographs, seed {self.seed}. Logs: {self.work / 'log.txt'}")
        counts = self.step(
            "images", "draw radiographs (about half a minute)", self.config("linear_r18_synthetic.py"), draw
        )
        self.say(f"      {counts['train']} for training, {counts['val']} for validation, {counts['test']} for testing")
        for name in ("otcxr", "vicreg"):
            self.step(
                f"pretrain_{name}", f"pre-train {METHODS[name]} without labels", self.config(PRETRAIN[name]), train
            )
        results = {}
        for name in ("random_init", "otcxr", "vicreg"):
            cfg = self.config("linear_r18_synthetic.py")
            if name == "random_init":
                cfg.default_hooks.load_backbone.checkpoint, cfg.train_cfg.calibrate = None, True
            else:
                cfg.default_hooks.load_backbone.checkpoint = str(self.work / f"pretrain_{name}" / "backbone.pth")
            results[name] = self.step(
                f"linear_{name}", f"linear probe: {METHODS[name]}", cfg, train_and_test, f"pretrain_{name}"
            )
        cfg = self.config("supervised_r18_synthetic.py")
        results["supervised"] = self.step("supervised", "train the same network on labels", cfg, train_and_test)
        self.number += 1
        self.say(f"[{self.number}/{self.steps}] lungs from frozen features, pictures, report ...")
        start = time.time()
        import demo_report

        dense = demo_report.evaluate_dense(self.work, self.config("linear_r18_synthetic.py"))
        for name, probe in dense.probes.items():
            results[name]["lung_dice"] = round(float(probe.dice.mean()), 4)
        results["average_mask"] = {"lung_dice": round(float(probe.blind.mean()), 4)}
        metrics = {"seed": self.seed, **results, "seconds": self.seconds}
        self.seconds["total"] = round(time.time() - begin, 1)
        page = demo_report.report(self.work, metrics, dense, self.config(PRETRAIN["otcxr"]), self.out / "pictures")
        self.seconds["report"] = round(time.time() - start, 1)
        self.seconds["total"] = round(time.time() - begin, 1)
        from otcxr_mm.utils.files import write_whole

        write_whole(self.out / "report.html", page.encode())
        write_whole(self.out / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
        self.summary(metrics)

    def summary(self, metrics: dict) -> None:
        """Prints what came out."""
        self.say("\nMacro AUROC on test patients, frozen backbone and linear probe (supervised: trained on labels)")
        for name, title in METHODS.items():
            entry = metrics[name]
            dice = f"   lung Dice {entry['lung_dice']:.3f}" if "lung_dice" in entry else ""
            self.say(f"  {title:<12}{entry['macro_auroc']:.3f}{dice}")
        self.say(
            f"  (lung Dice of the average mask, which looks at no image: {metrics['average_mask']['lung_dice']:.3f})"
        )
        self.say(f"\n{self.out / 'report.html'}   {self.out / 'metrics.json'}   {self.seconds['total']:.0f} s")

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

    def step(self, name: str, title: str, cfg: "Config", run: Callable, after: str = "") -> dict:
        """Runs a step unless it is done; what another version or setting left is removed first.

        Args:
            name: Of its folder.
            title: Of its line.
            cfg: Its config.
            run: Takes the config and gives the result.
            after: Name of the step whose result it builds on: done anew, that makes this one undone.
        """
        from otcxr_mm import __version__
        from otcxr_mm.utils.files import write_whole

        self.number += 1
        folder = self.work / name
        cfg.work_dir, cfg.experiment_name = str(folder), f"{name}_seed{self.seed}"
        key = hashlib.sha256(f"{__version__}\n{self.keys.get(after)}\n{cfg.pretty_text}".encode()).hexdigest()
        self.keys[name] = key
        mark, result = folder / "step.json", folder / "result.json"
        started = json.loads(mark.read_text())["key"] if mark.is_file() else None
        if folder.is_dir() and started != key:
            shutil.rmtree(folder)
        if result.is_file():
            record = json.loads(result.read_text())
            self.seconds[name] = record["seconds"]
            self.say(f"[{self.number}/{self.steps}] {title}: done before")
            return record["result"]
        write_whole(mark, json.dumps({"key": key}).encode())
        self.say(f"[{self.number}/{self.steps}] {title} ...")
        start = time.time()
        outcome = run(cfg)
        self.seconds[name] = round(time.time() - start, 1)
        record = {"result": outcome, "seconds": self.seconds[name]}
        write_whole(result, (json.dumps(record, indent=2) + "\n").encode())
        return outcome


def draw(cfg: "Config") -> dict:
    """Draws the images; returns their number by split."""
    from otcxr_mm import SyntheticCXR

    dataset = {k: v for k, v in cfg.train_dataloader.dataset.items() if k in ("data_root", "patients", "seed")}
    return {split: len(SyntheticCXR(**dataset, split=split)) for split in ("train", "val", "test")}


def train(cfg: "Config") -> dict:
    """Trains, from the last checkpoint if there is one."""
    _trained(cfg)
    return {}


def train_and_test(cfg: "Config") -> dict:
    """Trains, and reads the test patients."""
    metrics = _trained(cfg).test()
    name = "multilabel/auroc"
    return {
        "macro_auroc": round(metrics[name], 4),
        # null: a class without positives or without negatives
        "per_class": {
            k.removeprefix(f"{name}/"): round(v, 4) if math.isfinite(v) else None
            for k, v in metrics.items()
            if k.startswith(f"{name}/")
        },
    }


def _trained(cfg: "Config") -> object:
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
