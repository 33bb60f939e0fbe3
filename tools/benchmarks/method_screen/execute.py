"""One run: pre-training, evaluation of the frozen backbone, record."""

import importlib
import io
import json
import os
import platform
import re
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from otcxr_mm.datasets import UnlabeledCXR, pack_images
from otcxr_mm.datasets.tables import read_list
from otcxr_mm.utils.checkpoints import latest_checkpoint
from otcxr_mm.utils.files import write_whole
from otcxr_mm.version import __version__

from . import records
from .frozen import Frozen, evaluate
from .queues import QUEUES
from .run import Run
from .tasks import load_tasks


def device_name() -> str:
    """What the run is computed on."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    models = (
        re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if platform.system() == "Linux" else []
    )
    return f"{models[0] if models else platform.processor()}, {torch.get_num_threads()} thread(s)"


def pack(sizes: tuple[int, int]) -> None:
    """Packs the training images and those of the tasks, at the sizes of a run."""
    size, shorter = sizes
    packed = records.work_folder() / "packed"
    for name, table in (("kermany", "labels.csv"), ("nih", "patient_split.csv"), ("nih_followup", "patient_split.csv")):
        images = UnlabeledCXR(str(records.data_folder() / name), ann_file=table, img_prefix="images")
        images.full_init()
        pack_images(images.root, images.records.path.tolist(), packed / f"{name}_{shorter}", shorter)
    load_tasks(records.data_folder(), packed, size)
    for name in ("nih", "nih_followup"):
        split_without_official_test(records.data_folder() / name, records.work_folder() / "published" / f"{name}.csv")


def split_without_official_test(folder: Path, out: Path) -> None:
    """Writes the patient split of a part of NIH ChestX-ray14, without training patients of the official test list."""
    official = {name.split("_")[0] for name in read_list(folder / "test_list.txt").tolist()}
    lines = (folder / "patient_split.csv").read_text().splitlines()
    # a line begins with the image's name, whose first part is the patient
    kept = [line for line in lines if not line.endswith(",train") or line.split("_")[0] not in official]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, "\n".join([*kept, ""]).encode())


def losses_of(runner: Runner) -> dict[str, list[float]]:
    """First and last logged value of everything that the model returned."""
    result = {}
    for name, history in runner.message_hub.log_scalars.items():
        values = history.data[0]
        if name.startswith("train/") and name.split("/")[1].startswith(("loss", "ot_", "backbone_")) and len(values):
            n = max(1, min(33, len(values) // 4))
            result[name.split("/")[1]] = [float(f"{v[:n].mean():.4g}") for v in (values, values[::-1])]
    return result


def train(cfg: Config) -> dict:
    """Pre-trains, or resumes; leaves backbone.pth and, at the end, training.json in the work directory."""
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
        # of the last process only, if the run was resumed
        "train_seconds": round(time.time() - start),
        "device": device_name(),
    }
    write_whole(note, json.dumps(facts).encode())
    return facts


def execute(queue: str, name: str) -> None:
    """Does what is left of a run and records it."""
    if name not in QUEUES[queue]:
        raise SystemExit(f"{name}: no such run in the queue {queue}; there are {', '.join(QUEUES[queue])}")
    with records.locked(records.work_folder() / queue / f"{name}.lock", wait=False):
        run = QUEUES[queue][name]
        cfg = records.config_of(run)
        digest = records.config_hash(cfg)
        cfg.work_dir = str(records.run_folder(queue, name, digest))
        facts = _measure(run, cfg)
        record = {
            "queue": queue,
            "name": name,
            "config": run.config,
            "options": run.options,
            "config_hash": digest,
            "seed": run.seed,
            "epochs": run.epochs,
            **facts,
            "versions": {"otcxr_mm": __version__, "torch": str(torch.__version__)},
            "commit": records.code_commit(),
        }
        records.append(record)


def _measure(run: Run, cfg: Config) -> dict:
    """Trains and evaluates; leaves the predictions in arrays.npz of the work directory."""
    if torch.cuda.is_available():
        cfg.train_dataloader.update(num_workers=min(8, os.cpu_count() or 1), persistent_workers=True, pin_memory=True)
    else:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count())))
    tasks = load_tasks(records.data_folder(), records.work_folder() / "packed", run.sizes[0])
    facts = train(cfg) if run.epochs else {"images_seen": 0, "device": device_name()}
    frozen = _frozen(run, cfg)
    if run.config == "random":
        chosen = tasks["kermany"].split == "train"
        frozen.calibrate(tasks["kermany"].images[chosen], np.random.default_rng(run.seed))
    frozen.fuse()
    metrics, arrays = evaluate(frozen, tasks, run.test)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_whole(Path(cfg.work_dir) / "arrays.npz", buffer.getvalue())
    return {**facts, **metrics}


def _frozen(run: Run, cfg: Config) -> Frozen:
    """The trained backbone, or the untrained one; every method is measured on the last two stages."""
    init_default_scope("mmpretrain")
    importlib.import_module("method_screen.components")
    torch.manual_seed(run.seed)
    backbone = MODELS.build({**cfg.model.backbone.to_dict(), "out_indices": run.stages})
    if run.epochs:
        backbone.load_state_dict(torch.load(Path(cfg.work_dir) / "backbone.pth", weights_only=True))
    else:
        backbone.init_weights()
    return Frozen(backbone, MODELS.build(cfg.model.data_preprocessor), "cuda" if torch.cuda.is_available() else "cpu")
