"""Which reading of the method works, beside its peers: a resumable queue of pre-training runs on real radiographs.

    python tools/benchmarks/methods.py run QUEUE       # trains and evaluates what is not there yet
    python tools/benchmarks/methods.py table QUEUE     # what was measured, as Markdown
    python tools/benchmarks/methods.py pictures QUEUE NAME ...   # plans and features of finished runs, to look at
    python tools/benchmarks/methods.py compare         # the confirmed methods: intervals by bootstrap over patients
    python tools/benchmarks/methods.py --out FILE      # what `compare` found, against its targets

The radiographs are those of the folder OTCXR_DATA (default ../shared/data); working files go to work_dirs/methods. Each
finished run is a small JSON in docs/results/runs/QUEUE/. A run whose JSON is there with the same config is not run
again, a run that was killed goes on from its last checkpoint.
"""

import argparse
import fcntl
import hashlib
import importlib
import io
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results" / "runs"
COMPARISONS = ROOT / "docs" / "results" / "comparisons.json"
ANCHORS = ("barlowtwins", "byol", "simclr", "vicreg", "vicregl", "densecl")
WORK = Path(os.environ.get("OTCXR_SCREEN", ROOT / "work_dirs" / "methods")).absolute()
DATA = Path(os.environ.get("OTCXR_DATA", ROOT.parent / "shared" / "data")).absolute()
sys.path.insert(0, str(ROOT / "tools" / "benchmarks"))

from method_screen.queues import LARGE, LARGE_BACKBONE, QUEUES, Run  # noqa: E402

# side of a viewpoint, shorter side of the packed images
SMALL, BIG = (96, 160), (224, 320)
LARGE_RUNS = False  # set by --large


def sizes() -> tuple[int, int]:
    """Side of a viewpoint, and shorter side of the packed images, in pixels."""
    return BIG if LARGE_RUNS else SMALL


def config_of(run: Run) -> "Config":  # noqa: F821
    """The whole config of a run; with --large that of a ResNet-50 at 224 pixels."""
    from mmengine.config import Config

    os.environ.update(OTCXR_DATA=str(DATA), OTCXR_SCREEN=str(WORK))
    cfg = Config.fromfile(ROOT / "tools" / "benchmarks" / "method_screen" / "configs" / f"{run.config}.py")
    if LARGE_RUNS:
        cfg.merge_from_dict({**LARGE_BACKBONE, **LARGE[run.config]})
        for dataset in cfg.train_dataloader.dataset.datasets:
            dataset.packed = dataset.packed.replace(f"_{SMALL[1]}", f"_{sizes()[1]}")
    cfg.merge_from_dict(dict(run.options))
    if LARGE_RUNS:
        if "model.neck.in_channels" in run.options:  # a stage of the thin ResNet-18 has 1 / 8 of its channels
            cfg.model.neck.in_channels = [8 * channels for channels in run.options["model.neck.in_channels"]]
        for dataset in cfg.train_dataloader.dataset.datasets:
            dataset.pipeline[1].size = sizes()[0]
    cfg.train_cfg.max_epochs = cfg.max_epochs = run.epochs
    cfg.param_scheduler[-1].end = max(run.epochs, 2)
    cfg.randomness = dict(seed=run.seed)
    return cfg


def config_hash(cfg: "Config") -> str:  # noqa: F821
    """Of everything but where files lie on this machine."""
    text = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    for folder in (DATA, WORK):
        text = text.replace(str(folder), "")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def result_file(queue: str, name: str) -> Path:
    """Where the JSON of a run is."""
    return RESULTS / (f"{queue}_large" if LARGE_RUNS else queue) / f"{name}.json"


def finished(queue: str, name: str) -> bool:
    """Whether the run was made with this config."""
    return record_of(queue, name) is not None


def record_of(queue: str, name: str) -> dict | None:
    """The JSON of a run; None if there is none, or it is that of another config."""
    path = result_file(queue, name)
    if not path.exists():
        return None
    run = QUEUES[queue][name]
    record = json.loads(path.read_text())
    same = record["config_hash"] == config_hash(config_of(run)) and (not run.test or "test" in record)
    return record if same else None


def device_name() -> str:
    """What the runs run on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    models = (
        re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if platform.system() == "Linux" else []
    )
    return f"{models[0] if models else platform.processor()}, {torch.get_num_threads()} thread(s)"


def pack() -> None:
    """Packs the images to train on."""
    from method_screen.frozen import load_tasks

    from otcxr_mm.datasets import UnlabeledCXR, pack_images

    for name, table in (("kermany", "labels.csv"), ("nih", "patient_split.csv")):
        images = UnlabeledCXR(str(DATA / name), ann_file=table, img_prefix="images")
        images.full_init()
        pack_images(images.root, images.records.path.tolist(), WORK / "packed" / f"{name}_{sizes()[1]}", sizes()[1])
    load_tasks(DATA, WORK / "packed", sizes()[0])


def losses_of(runner: "Runner") -> dict[str, list[float]]:  # noqa: F821
    """First and last logged value of everything the model returned."""
    result = {}
    for name, history in runner.message_hub.log_scalars.items():
        values = history.data[0]
        if name.startswith("train/") and name.split("/")[1].startswith(("loss", "ot_", "backbone_")) and len(values):
            n = max(1, min(33, len(values) // 4))
            result[name.split("/")[1]] = [float(f"{v[:n].mean():.4g}") for v in (values, values[::-1])]
    return result


def train(run: Run, cfg: "Config") -> dict:  # noqa: F821
    """Pre-trains, or goes on with it; WORK_DIR/backbone.pth and, when all is done, training.json."""
    from mmengine.runner import Runner

    from otcxr_mm.utils.checkpoints import latest_checkpoint
    from otcxr_mm.utils.files import write_whole

    note = Path(cfg.work_dir) / "training.json"
    if note.exists():
        return json.loads(note.read_text())
    start = time.time()
    checkpoint = latest_checkpoint(cfg.work_dir)
    if checkpoint:
        cfg.resume, cfg.load_from = True, checkpoint
    runner = Runner.from_cfg(cfg)
    runner.train()
    facts = {
        "images_seen": runner.iter * cfg.train_dataloader.batch_size,
        "losses": losses_of(runner),
        # of this process alone, if the run was killed and went on
        "train_seconds": round(time.time() - start),
        "device": device_name(),
    }
    write_whole(note, json.dumps(facts).encode())
    return facts


@contextmanager
def alone(path: Path) -> "Iterator[None]":  # noqa: F821
    """Within it no other process works on the same run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit(f"{path}: another process works on this run") from None
        yield


def execute(queue: str, name: str) -> None:
    """One run: pre-training unless that is done, evaluation, JSON."""
    if name not in QUEUES[queue]:
        raise SystemExit(f"{name}: no such run in the queue {queue}; there are {', '.join(QUEUES[queue])}")
    with alone(WORK / queue / f"{name}.lock"):
        _execute(queue, name)


def _execute(queue: str, name: str) -> None:
    import numpy as np
    import torch
    from method_screen.frozen import Frozen, evaluate, load_tasks
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import MODELS

    from otcxr_mm.utils.files import write_whole
    from otcxr_mm.version import __version__

    run = QUEUES[queue][name]
    cfg = config_of(run)
    digest = config_hash(cfg)
    cfg.work_dir = str(WORK / queue / f"{name}-{digest}")
    cuda = torch.cuda.is_available()
    if cuda:
        cfg.train_dataloader.update(num_workers=os.cpu_count(), persistent_workers=True, pin_memory=True)
    else:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    tasks = load_tasks(DATA, WORK / "packed", sizes()[0])
    facts = train(run, cfg) if run.epochs else {"images_seen": 0, "device": device_name()}
    init_default_scope("mmpretrain")
    importlib.import_module("method_screen.components")
    torch.manual_seed(run.seed)
    # all are measured on the last two stages
    backbone = MODELS.build({**cfg.model.backbone.to_dict(), "out_indices": (2, 3)})
    if run.epochs:
        backbone.load_state_dict(torch.load(Path(cfg.work_dir) / "backbone.pth", weights_only=True))
    else:
        backbone.init_weights()
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    frozen = Frozen(backbone, preprocessor, "cuda" if cuda else "cpu")
    if not run.epochs:
        chosen = tasks["kermany"].split == "train"
        frozen.calibrate(tasks["kermany"].images[chosen], np.random.default_rng(run.seed))
    metrics, arrays = evaluate(frozen, tasks, run.test)
    Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_whole(Path(cfg.work_dir) / "arrays.npz", buffer.getvalue())
    record = {
        "queue": queue,
        "name": name,
        "config": run.config,
        "options": run.options,
        "config_hash": digest,
        "seed": run.seed,
        "epochs": run.epochs,
        **facts,
        **metrics,
        "versions": {"otcxr_mm": __version__, "torch": str(torch.__version__)},
    }
    write_whole(result_file(queue, name), (json.dumps(_rounded(record), indent=1) + "\n").encode())


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return value


def run_queue(queue: str, only: str, jobs: int, again: bool) -> int:
    """Runs what is missing, `jobs` at a time; with `again` evaluates anew what is there. Gives how many failed."""
    import torch

    todo = [n for n in QUEUES[queue] if re.search(only, n) and finished(queue, n) == again]
    if not any(re.search(only, n) for n in QUEUES[queue]):
        raise SystemExit(f"--only {only}: no run of the queue {queue} matches; there are {', '.join(QUEUES[queue])}")
    print(f"{queue}: {len(todo)} of {len(QUEUES[queue])} runs to do", flush=True)
    if todo:
        pack()
    if torch.cuda.is_available():
        jobs = 1
    threads = os.environ.get("OMP_NUM_THREADS", max(1, (os.cpu_count() or 1) // jobs))
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the runs below must not outlive this process
    running: dict[subprocess.Popen, tuple[str, float]] = {}
    failed = 0
    try:
        while todo or running:
            while todo and len(running) < jobs:
                name = todo.pop(0)
                log = WORK / queue / f"{name}.log"
                log.parent.mkdir(parents=True, exist_ok=True)
                with open(log, "w") as stream:
                    process = subprocess.Popen(
                        [sys.executable, __file__, "one", queue, name, *["--large"] * LARGE_RUNS],
                        env=env,
                        stdout=stream,
                        stderr=stream,
                        cwd=ROOT,
                    )
                running[process] = (name, time.time())
            time.sleep(0.5)
            for process in [p for p in running if p.poll() is not None]:
                name, start = running.pop(process)
                failed += process.returncode != 0
                if process.returncode:
                    print(f"{name}: failed, see {WORK / queue / name}.log", flush=True)
                    continue
                val = json.loads(result_file(queue, name).read_text())["val"]
                shown = " ".join(f"{k} {val[k]:.3f}" for k in COLUMNS if k in val)
                print(f"{name}: {time.time() - start:.0f} s; {shown}", flush=True)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return failed


COLUMNS = (
    "kermany_linear",
    "kermany_knn",
    "nih_linear",
    "nih_knn",
    "nih_cv",
    "lung_r2",
    "lung_dice",
    "correspondence",
    "kermany_rank",
)


def table(queue: str, split: str) -> str:
    """The runs of a queue as Markdown."""
    lines = ["| run | epochs | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 2) + "|"]
    for name in QUEUES[queue]:
        record = record_of(queue, name)
        if record:
            values = record.get(split)
            if values:
                cells = ["" if c not in values else f"{values[c]:{'.1f' if 'rank' in c else '.3f'}}" for c in COLUMNS]
                lines.append(f"| {name} | {record['epochs']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def compare() -> None:
    """Intervals of every confirmed method and of its difference from OTCXR, to docs/results/comparisons.json."""
    import numpy as np
    from method_screen.compare import BASELINES, METRICS, bootstrap, interval

    from otcxr_mm.utils.files import write_whole

    groups: dict[str, list[dict]] = {}
    values: dict[str, dict[str, list[float]]] = {}
    for name in QUEUES["confirm"]:
        record = record_of("confirm", name)
        if record is None:
            raise SystemExit(f"{name} of the queue confirm is not finished: methods.py run confirm --only {name}")
        arrays = WORK / "confirm" / f"{name}-{record['config_hash']}" / "arrays.npz"
        if not arrays.exists():
            raise SystemExit(
                f"{arrays} is not here, and the comparison needs what was predicted: "
                f"methods.py run confirm --only {name} --evaluate-again, which trains again where the backbone is gone"
            )
        method = name.rsplit("_seed", 1)[0]
        with np.load(arrays) as stored:
            groups.setdefault(method, []).append(dict(stored))
        for metric, value in record["test"].items():
            values.setdefault(method, {}).setdefault(metric, []).append(value)
    draws = {
        method: {metric: bootstrap(metric, seeds, "test") for metric in (*METRICS, *BASELINES)}
        for method, seeds in groups.items()
    }
    everyone = [arrays for seeds in groups.values() for arrays in seeds]
    for key in everyone[0]:
        if key.endswith(("labels", "patients")) and any((a[key] != everyone[0][key]).any() for a in everyone):
            raise SystemExit(f"{key} differs between runs: they were evaluated on different data")
    for method, metrics in draws.items():
        for metric, drawn in metrics.items():
            if abs(drawn[0] - np.mean(values[method][metric])) > 1e-4:
                raise SystemExit(f"{method}: {metric} of the arrays is not that of the records; evaluate it again")
    result = {
        "methods": {
            method: {metric: {**interval(drawn), "seeds": values[method][metric]} for metric, drawn in metrics.items()}
            for method, metrics in draws.items()
        },
        "otcxr_minus": {
            method: {metric: interval(draws["otcxr"][metric] - drawn) for metric, drawn in metrics.items()}
            for method, metrics in draws.items()
            if method != "otcxr"
        },
    }
    write_whole(COMPARISONS, (json.dumps(_rounded(result), indent=1) + "\n").encode())
    draw_comparison(COMPARISONS.with_suffix(".png"))
    print(comparison_tables())


def comparison_tables() -> str:
    """docs/results/comparisons.json as two Markdown tables."""
    from method_screen.compare import METRICS

    found = json.loads(COMPARISONS.read_text())

    def cell(x: dict, sign: str = "") -> str:
        return f"{x['value']:{sign}.3f} [{x['low']:{sign}.3f}, {x['high']:{sign}.3f}]"

    header = "| " + " | ".join(["method", *METRICS]) + " |\n" + "| --- " * (len(METRICS) + 1) + "|"
    lines = [header]
    for method, metrics in found["methods"].items():
        lines.append("| " + " | ".join([method, *(cell(metrics[m]) for m in METRICS)]) + " |")
    lines += ["", header.replace("method", "otcxr minus")]
    for method, metrics in found["otcxr_minus"].items():
        lines.append("| " + " | ".join([method, *(cell(metrics[m], "+") for m in METRICS)]) + " |")
    return "\n".join(lines)


def draw_comparison(path: Path) -> None:
    """docs/results/comparisons.json as a picture: a panel a metric, a line a method."""
    from matplotlib import pyplot as plt
    from method_screen.compare import METRICS

    methods = json.loads(COMPARISONS.read_text())["methods"]
    names = list(methods)[::-1]
    columns = (len(METRICS) + 1) // 2
    figure, axes = plt.subplots(2, columns, figsize=(3.1 * columns, 0.5 * len(names) + 1.6), sharey=True)
    for axis, metric in zip(axes.flat, METRICS, strict=False):
        for y, name in enumerate(names):
            x = methods[name][metric]
            colour = "tab:red" if name == "otcxr" else "tab:orange" if name.startswith("otcxr") else "tab:blue"
            axis.plot([x["low"], x["high"]], [y, y], color=colour, linewidth=1.5)
            axis.plot(x["value"], y, "o", color=colour, markersize=5)
            axis.plot(x["seeds"], [y] * len(x["seeds"]), "|", color="black", markersize=8)
        axis.set_title(metric.replace("_", " "), fontsize=10)
        axis.grid(axis="x", alpha=0.3)
        axis.locator_params(axis="x", nbins=5)
        if metric == "correspondence":
            axis.axvline(methods["otcxr"]["correspondence_index"]["value"], color="grey", linestyle="--", linewidth=1)
            axis.text(methods["otcxr"]["correspondence_index"]["value"], 5.5, " same index", fontsize=7, color="grey")
    for axis in axes.flat[len(METRICS) :]:
        axis.set_axis_off()
        axis.text(0, 0.5, "point: mean of the seeds\nline: 95 % interval over patients\nticks: seeds", fontsize=9)
    axes[0, 0].set_yticks(range(len(names)), names)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_pictures(queue: str, names: list[str]) -> None:
    """Features of validation images as colours, and the plans of OTCXR; they show radiographs, so to work_dirs."""
    import numpy as np
    import torch
    from method_screen import pictures
    from method_screen.frozen import Frozen, load_tasks
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import MODELS

    init_default_scope("mmpretrain")
    importlib.import_module("method_screen.components")
    folder = WORK / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    tasks = load_tasks(DATA, WORK / "packed", sizes()[0])
    images = np.concatenate([tasks[n].images[tasks[n].split == "val"][7:127:30] for n in ("kermany", "nih")])
    models = {}
    for name in names:
        if name not in QUEUES[queue] or not QUEUES[queue][name].epochs:
            raise SystemExit(f"{name}: no trained run of the queue {queue}")
        cfg = config_of(QUEUES[queue][name])
        work_dir = WORK / queue / f"{name}-{config_hash(cfg)}"
        model = MODELS.build(cfg.model)
        state = torch.load(work_dir / f"epoch_{cfg.max_epochs}.pth", weights_only=True, map_location="cpu")[
            "state_dict"
        ]
        model.load_state_dict(state)
        backbone = MODELS.build({**cfg.model.backbone.to_dict(), "out_indices": (2, 3)})
        backbone.load_state_dict(model.backbone.state_dict())
        models[name] = Frozen(backbone, model.data_preprocessor, "cpu")
        if hasattr(getattr(model, "head", None), "transport"):
            distance = pictures.plans(model, images, 3, folder / f"plans_{name}.png")
            print(f"{name}: mean distance between partners {np.mean(distance):.3f} of the image's side")
    pictures.features(models, images, folder / "features.png")
    print(f"written to {folder}")


def rows() -> list[dict]:
    """The targets of the confirmed comparison."""
    from _report import row

    if not COMPARISONS.exists():
        raise SystemExit(f"{COMPARISONS} is not there: methods.py run confirm, then methods.py compare")
    found = json.loads(COMPARISONS.read_text())
    minus, methods = found["otcxr_minus"], found["methods"]
    anchors = [m for m in ANCHORS if m in methods]

    def best(metric: str) -> str:
        return max(anchors, key=lambda m: methods[m][metric]["value"])

    result = [
        row(
            "kermany macro AUROC above random init, lower end of the 95 % interval",
            minus["random"]["kermany_linear"]["low"],
            at_least=0.0,
        ),
        row(
            "correspondence above its largest baseline",
            methods["otcxr"]["correspondence"]["value"]
            - max(
                methods["otcxr"]["correspondence_index"]["value"],
                methods["otcxr"]["correspondence_chance"]["value"],
                methods["random"]["correspondence"]["value"],
            ),
            at_least=0.1,
        ),
    ]
    for metric in ("lung_r2", "lung_dice", "correspondence"):
        other = best(metric)
        result.append(
            row(f"{metric} above the best anchor, {other}: lower end", minus[other][metric]["low"], at_least=0.0)
        )
    for metric in ("kermany_linear", "kermany_knn", "nih_linear", "nih_knn"):
        other = best(metric)
        result.append(
            row(
                f"{metric} not below the best anchor, {other}, beyond the interval: upper end",
                minus[other][metric]["high"],
                at_least=0.0,
            )
        )
    return result


def main() -> None:
    """The command."""
    global LARGE_RUNS
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="FILE", help="write the rows as JSON")
    commands = parser.add_subparsers(dest="command")
    run = commands.add_parser("run", help="train and evaluate what is not there yet")
    run.add_argument("queue", choices=QUEUES)
    run.add_argument("--only", default="", metavar="REGEX", help="runs whose name matches")
    run.add_argument("--evaluate-again", action="store_true", help="evaluate anew what is finished")
    run.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time on a CPU")
    one = commands.add_parser("one", help="one run, in this process")
    one.add_argument("queue", choices=QUEUES)
    one.add_argument("name")
    show = commands.add_parser("table", help="what was measured")
    show.add_argument("queue", choices=QUEUES)
    for command in (run, one, show):
        command.add_argument("--large", action="store_true", help="ResNet-50 at 224 pixels, for a GPU")
    show.add_argument("--split", default="val", choices=("val", "test"))
    draw = commands.add_parser("pictures", help="plans and features of finished runs, to look at")
    draw.add_argument("queue", choices=QUEUES)
    draw.add_argument("names", nargs="+")
    commands.add_parser("compare", help="intervals of the confirmed methods")
    args = parser.parse_args()
    if getattr(args, "large", False):
        LARGE_RUNS = True
    if args.command == "run":
        raise SystemExit(run_queue(args.queue, args.only, args.jobs, args.evaluate_again))
    if args.command == "one":
        execute(args.queue, args.name)
    elif args.command == "table":
        print(table(args.queue, args.split))
    elif args.command == "compare":
        compare()
    elif args.command == "pictures":
        draw_pictures(args.queue, args.names)
    elif args.out:
        from _report import finish

        finish(rows(), args.out)
    else:
        parser.error("name a command, or --out FILE")


if __name__ == "__main__":
    main()
