"""Work dirs as MMEngine leaves them: scalars and pictures through its own back end, and a log in its format."""

import json

import numpy as np
from mmengine.visualization import LocalVisBackend

CONFIG = dict(model=dict(type="otcxr_mm.OTCXR"), train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=4))


def train_line(iteration, per_epoch=3, **values):
    """A line of training, as MMEngine's LoggerHook adds it."""
    values = {"lr": 1e-3, "loss": float(iteration), "time": 0.1, "data_time": 0.01, **values}
    return {**values, "epoch": (iteration - 1) // per_epoch + 1, "iter": iteration, "step": iteration}


def write_start(run, time, lines=(), *, manifest=None, log=(), per_epoch=3, pictures=()):
    """One start of a run.

    Args:
        run: Work dir.
        time: Name of the start's folder.
        lines: Of the scalars.
        manifest: Of RunManifestHook, which a plain run has not; the run's own, too.
        log: Levels and messages.
        per_epoch: Iterations per epoch.
        pictures: Names and steps.
    """
    folder = run / time
    folder.mkdir(parents=True)
    backend = LocalVisBackend(str(folder / "vis_data"))
    entries = [*log]
    for line in lines:
        backend.add_scalars(line, step=line["step"])
        if "iter" in line:
            place = (line["iter"] - 1) % per_epoch + 1
            entries.append(("INFO", f"Epoch(train) [{line['epoch']}][{place}/{per_epoch}]  loss: {line['loss']}"))
    for name, step in pictures:
        backend.add_image(name, np.full((40, 60, 3), step % 256, np.uint8), step)
    (folder / f"{time}.log").write_text(
        "".join(f"2026/11/26 06:36:22 - mmengine - {level} - {message}\n" for level, message in entries)
    )
    if manifest is not None:
        text = "".join(f"{key} = {value!r}\n" for key, value in CONFIG.items())
        record = {"config_text": text, "config": "tiny", **manifest}
        for place in (folder, run):
            (place / "manifest.json").write_text(json.dumps(record))
    return run
