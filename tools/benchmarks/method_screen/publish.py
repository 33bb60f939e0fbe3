"""Makes a trained run the weights of the model zoo: a folder that is installed with the package."""

import hashlib
import json
import shutil
import tempfile
import textwrap
from pathlib import Path

import numpy as np
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS

from otcxr_mm import export_folder
from otcxr_mm.datasets.audited import CONTAINED, NIH
from otcxr_mm.datasets.inspection import leaves
from otcxr_mm.datasets.listed import write_list
from otcxr_mm.utils.checkpoints import HUB_WEIGHTS, ZOO
from otcxr_mm.utils.files import write_whole

from . import records
from .compare import METRICS, bootstrap, interval, text_of
from .queues import QUEUES

QUEUE = "published"
COLLECTIONS = {"nih": NIH, "nih_followup": NIH, "kermany": CONTAINED["pneumoniamnist"]}
# names that other programs know, of the same computations
PLAIN = {
    "ScreenMobileNetV2": {"type": "MobileNetV2", "conv_cfg": {"type": "Conv2dAdaptivePadding"}},
    "ScreenResNet": {"type": "ResNet"},
}
# what a run is compared with: queue and name, and what the card calls it
BASELINES = {
    "otcxr_mobilenetv2_96": ("confirm", "imagenet_seed1", "ImageNet"),
    "otcxr_r18w32_96": (QUEUE, "untrained_r18w32", "untrained"),
}
STARTS = {
    "otcxr_mobilenetv2_96": (
        "It starts from Google's ImageNet weights of MobileNetV2 (google-coral, Apache-2.0), whose convolutions pad as "
        "TensorFlow does: `Conv2dAdaptivePadding`, as `config.json` says."
    ),
    "otcxr_r18w32_96": "It starts from random weights. Base width 32 instead of 64, one input channel.",
}


def publish(name: str) -> Path:
    """Writes weights, settings, card and list of training images of a run of the queue `published`; returns the folder.

    Raises:
        SystemExit: If the run, or what it is compared with, is not recorded, or its predictions are gone.
    """
    if name not in BASELINES:
        raise SystemExit(f"{name}: not one of the weights to publish; there are {', '.join(BASELINES)}")
    record, arrays = records.predictions(QUEUE, name)
    _, baseline = records.predictions(*BASELINES[name][:2])
    folder = records.run_folder(QUEUE, name, record["config_hash"])
    with tempfile.TemporaryDirectory() as temporary:
        renamed = Path(temporary)
        shutil.copy(folder / "backbone.pth", renamed)
        settings = json.loads((folder / "backbone.json").read_text())
        for backbone in (settings["backbone"], settings["config"]["model"]["backbone"]):
            backbone |= PLAIN[backbone["type"]]
            backbone.pop("init_cfg", None)
        (renamed / "backbone.json").write_text(json.dumps(settings))
        out = export_folder(renamed / "backbone.pth", ZOO / name, force=True)
    counts = _list_images(out, records.config_of(QUEUES[QUEUE][name]))
    write_whole(out / "README.md", card(name, record, counts, figures(arrays, baseline)).encode())
    return out


def _list_images(out: Path, cfg: dict) -> dict[str, tuple[int, int]]:
    """Writes the list of training images; returns images and patients of each folder."""
    init_default_scope("mmpretrain")
    images, counts = [], {}
    for dataset in leaves(DATASETS.build(cfg.train_dataloader.dataset)):
        dataset.full_init()
        name, found = dataset.root.name, dataset.records
        counts[name] = len(found), len(np.unique(found.patient))
        images += [(COLLECTIONS[name], *row) for row in zip(found.path.tolist(), found.patient.tolist(), strict=True)]
    write_list(out, images)
    return counts


def figures(ours: dict[str, np.ndarray], baseline: dict[str, np.ndarray]) -> list[tuple[str, str, str, str]]:
    """Metric, our value, the baseline's, and the difference, each with its interval."""
    rows = []
    for metric in METRICS:
        a, b = (bootstrap(metric, [arrays], "test") for arrays in (ours, baseline))
        rows.append((metric, text_of(interval(a)), text_of(interval(b)), text_of(interval(a - b), "+")))
    return rows


def card(name: str, record: dict, counts: dict[str, tuple[int, int]], rows: list[tuple[str, str, str, str]]) -> str:
    """The model card."""
    weights = ZOO / name / HUB_WEIGHTS
    settings = json.loads((ZOO / name / "config.json").read_text())["otcxr_mm"]
    digest, size = hashlib.sha256(weights.read_bytes()).hexdigest(), weights.stat().st_size / 1e6
    kind, side = settings["backbone"]["type"], settings["size"]
    about = f"A `{kind}` for chest radiographs of {side} pixels, pre-trained without labels by OTCXR. {STARTS[name]}"
    sets = "\n".join(f"| {folder} | {n} | {patients} |" for folder, (n, patients) in counts.items())
    measured = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"""---
library_name: otcxr_mm
license: apache-2.0
pipeline_tag: image-feature-extraction
tags: [radiology, chest-x-ray, self-supervised]
---
# {name}

{textwrap.fill(about, 120)}

```python
model = otcxr_mm.load_backbone("{name}")
features = model.embed(["a.png", "b.dcm"])
```

| | |
| --- | --- |
| size in pixels | {settings["size"]} |
| channels; mean, standard deviation (0 to 255) | {settings["channels"]}; {settings["mean"]}, {settings["std"]} |
| `{HUB_WEIGHTS}` | {size:.1f} MB, SHA-256 `{digest}` |
| training | {record["epochs"]} epochs, {record["images_seen"]} images seen, seed {record["seed"]} |
| code | commit `{record["commit"][:7]}` |
| to reproduce it | `python tools/benchmarks/methods.py run {QUEUE} --only {name}` |

## Data

| training images | images | patients |
| --- | --- | --- |
{sets}

nih and nih_followup are parts of NIH ChestX-ray14 (Wang et al. 2017; NIH Clinical Center). No patient of its official
test list is among them, so the weights can be measured on that list. kermany holds radiographs of children (Kermany et
al. 2018, CC BY 4.0), of which PneumoniaMNIST is made, too: do not measure the weights on that. `images.csv.gz` names
every image, and the leak audit of a run that starts from these weights reads it.

## Figures

Frozen features on test patients that no training has seen; 95 % intervals over patients. The measures are those of
`docs/results.md`.

| measure | {name} | {BASELINES[name][2]} | difference |
| --- | --- | --- | --- |
{measured}

## Licence and limits

Apache-2.0. A small network, trained on small images of three small sets, one of them of children: a starting point and
a baseline. Research software, not a medical device: its features are not a diagnosis.
"""
