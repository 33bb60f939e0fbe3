"""Small runs that the tests of this folder share: 80 images of 40 patients, three findings that can be learnt."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from otcxr_mm import CSVLabeledCXR
from tests.conftest import ROOT

PATIENT = "PATIENT-SECRET-77"
SPLITS = {"train": 48, "val": 16, "test": 16}
# neither the names nor the columns are in alphabetical order
COLUMNS = {"Virus": "c_virus", "Fungus": "b_fungus", "Abscess": "z_abscess"}
STRIPES = 45 * np.sin(np.arange(32) * np.pi / 3)


def write_data(folder):
    """Writes `images/` and `t.csv`: stripes across, stripes down, brightness; two images per patient."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = ["filename,patient,split,age,sex,b_fungus,c_virus,z_abscess"]
    for i, split in enumerate(np.repeat([*SPLITS], [*SPLITS.values()])):
        virus, fungus, abscess = rng.integers(0, 2, 3)
        image = 100 + virus * STRIPES[None] + fungus * STRIPES[:, None] + 50 * abscess + rng.normal(0, 2, (32, 32))
        cv2.imwrite(str(folder / "images" / f"{i}.png"), image.clip(0, 255).astype(np.uint8))
        known = fungus if i % 5 else -1
        rows.append(f"{i}.png,{PATIENT}{i // 2},{split},{20 + i},{'MF'[i // 2 % 2]},{known},{virus},{abscess}")
    (folder / "t.csv").write_text("\n".join(rows) + "\n")


def config(folder, kind="linear", name="run", **changes):
    """The config of a run on :func:`write_data`, whose work dir is `folder/work`.

    Args:
        folder: Where the data are, or will be.
        kind: 'linear' or 'finetune', the latter for 4 iterations.
        name: What tells the runs of a test apart for MMEngine.
        changes: Settings to merge, with dots in their names.
    """
    if not (folder / "t.csv").exists():
        write_data(folder)
    cfg = Config.fromfile(ROOT / "configs" / "downstream" / kind / f"{kind}_r18_kermany.py")
    cfg.model.backbone.update(base_channels=8, stem_channels=8)
    cfg.model.head.update(in_channels=64, num_classes=3)
    cfg.default_hooks.load_backbone.checkpoint = None
    for split in SPLITS:
        cfg[f"{split}_dataloader"].update(batch_size=16, num_workers=0, persistent_workers=False)
        cfg[f"{split}_dataloader"].dataset = dict(
            type="otcxr_mm.CSVLabeledCXR",
            data_root=str(folder),
            ann_file="t.csv",
            img_prefix="images",
            label_columns=dict(COLUMNS),
            split=split,
            pipeline=[
                dict(type="otcxr_mm.LoadCXR"),
                dict(type="Resize", scale=(32, 32)),
                dict(type="otcxr_mm.PackCXR"),
            ],
            test_mode=split != "train" or kind == "linear",
        )
    if kind == "linear":
        cfg.train_cfg.decays, cfg.default_hooks.load_backbone.calibrate = (1.0, 1e-2), True
    else:
        cfg.train_cfg.update(max_iters=4, val_interval=100)
        cfg.param_scheduler = [dict(type="ConstantLR", factor=1.0, by_epoch=False)]
        cfg.default_hooks.checkpoint.interval, cfg.default_hooks.logger.interval = 2, 1
    cfg.test_evaluator.draws = 0
    cfg.work_dir, cfg.experiment_name = str(folder / "work"), f"{folder.name}_{name}"
    cfg.merge_from_dict(changes)
    return cfg


def runner(folder, *args, caplog=None, **kwargs):
    """A runner of :func:`config`, whose log goes to `caplog` as well."""
    built = Runner.from_cfg(config(folder, *args, **kwargs))
    if caplog is not None:
        built.logger.addHandler(caplog.handler)
    return built


@pytest.fixture
def some_unknown(monkeypatch):
    """A third of all labels is unknown, and the first class is unknown for all training images; gives its name."""
    load = CSVLabeledCXR.load_records

    def load_records(self):
        records = load(self)
        records.labels[np.random.default_rng(0).random(records.labels.shape) < 0.3] = np.nan
        records.labels[records.split == "train", 0] = np.nan
        return records

    monkeypatch.setattr(CSVLabeledCXR, "load_records", load_records)
    return "Virus"
