"""A test uses the classes and the preprocessing that the checkpoint was trained with."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from sklearn.metrics import roc_auc_score

from otcxr_mm.engine.preprocessing import differences, preprocessing_of
from tests.conftest import ROOT

# neither the names nor the columns are in alphabetical order
MAPPING = {"Virus": "c_virus", "Fungus": "b_fungus", "Abscess": "z_abscess"}
STRIPES = 45 * np.sin(np.arange(48) * np.pi / 3)


@pytest.fixture
def cfg(tmp_path):
    """A linear evaluation of three findings: stripes across, stripes down, brightness."""
    rng = np.random.default_rng(0)
    rows = ["filename,patient,split,b_fungus,c_virus,z_abscess"]
    (tmp_path / "images").mkdir()
    for i in range(96):
        virus, fungus, abscess = rng.integers(0, 2, 3)
        img = 100 + virus * STRIPES[None] + fungus * STRIPES[:, None] + 50 * abscess + rng.normal(0, 2, (48, 48))
        cv2.imwrite(str(tmp_path / "images" / f"{i}.png"), img.clip(0, 255).astype(np.uint8))
        split = "train" if i < 48 else "val" if i < 64 else "test"
        rows.append(f"{i}.png,p{i},{split},{fungus},{virus},{abscess}")
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    base = Config.fromfile(ROOT / "configs" / "downstream" / "linear" / "linear_r18_kermany.py")
    base.model.backbone.update(base_channels=8, stem_channels=8)
    base.model.head.update(in_channels=64, num_classes=3)
    base.default_hooks.load_backbone.checkpoint = None
    base.train_cfg.calibrate, base.test_evaluator.draws = True, 0
    for split in ("train", "val", "test"):
        base[f"{split}_dataloader"].dataset = dict(
            type="otcxr_mm.CSVLabeledCXR",
            data_root=str(tmp_path),
            ann_file="t.csv",
            img_prefix="images",
            label_columns=dict(MAPPING),
            split=split,
            pipeline=[
                dict(type="otcxr_mm.LoadCXR"),
                dict(type="Resize", scale=(32, 32)),
                dict(type="otcxr_mm.PackCXR"),
            ],
            test_mode=True,
        )
    base.work_dir, base.experiment_name = str(tmp_path / "work"), tmp_path.name
    Path(base.work_dir).mkdir()
    file = Path(base.work_dir) / "lab.py"
    base.dump(str(file))
    return Config.fromfile(file)


def run(cfg, name, **changes):
    cfg = Config(cfg.to_dict(), filename=cfg.filename)
    cfg.merge_from_dict({"experiment_name": f"{cfg.experiment_name}_{name}", **changes})
    return Runner.from_cfg(cfg)


@pytest.fixture
def trained(cfg):
    run(cfg, "train").train()
    return f"{cfg.work_dir}/linear.pth"


def test_the_config_in_a_work_dir_scores_each_class_in_its_own_column(cfg, trained):
    left_by_the_run = Config.fromfile(f"{cfg.work_dir}/lab.py")
    assert list(left_by_the_run.test_dataloader.dataset.label_columns.items()) == list(MAPPING.items())
    metrics = run(left_by_the_run, "again", load_from=trained).test()
    assert {name: metrics[f"multilabel/auroc/{name}"] for name in MAPPING} == pytest.approx(dict.fromkeys(MAPPING, 1.0))


def test_predictions_join_with_the_table_they_came_from(cfg, trained):
    metrics = run(cfg, "again", load_from=trained).test()
    table = [line.split(",") for line in (Path(cfg.work_dir).parent / "t.csv").read_text().splitlines()]
    columns = {name: {f"images/{row[0]}": int(row[i]) for row in table[1:]} for i, name in enumerate(table[0]) if i > 2}
    with np.load(f"{cfg.work_dir}/predictions.npz") as found:
        assert list(found["classes"]) == list(MAPPING)
        for c, name in enumerate(found["classes"]):
            labels = [columns[MAPPING[name]][image] for image in found["image"]]
            expected = roc_auc_score(labels, found["scores"][:, c])
            assert metrics[f"multilabel/auroc/{name}"] == pytest.approx(expected, abs=1e-6)


def test_classes_in_another_order_are_not_tested(cfg, trained):
    turned = dict(reversed(MAPPING.items()))
    for loader in ("val_dataloader", "test_dataloader"):
        cfg[loader].dataset.label_columns = turned
    with pytest.raises(ValueError, match=r"\['Virus', 'Fungus', 'Abscess'\], but test_dataloader gives .*'Abscess'"):
        run(cfg, "turned", load_from=trained, val_dataloader=None, val_cfg=None, val_evaluator=None).test()
    with pytest.raises(ValueError, match="train_dataloader gives the classes .* but val_dataloader gives"):
        run(cfg, "train_turned").train()
    loose = {"load_from": trained, "default_hooks.consistency.strict": False}
    # the mix-up that is refused: a class in the column of another
    assert run(cfg, "loose", **loose).test()["multilabel/auroc/Virus"] < 0.7


def test_another_normalisation_is_not_tested(cfg, trained, capsys):
    with pytest.raises(ValueError, match=r"trained with mean=\[127.5\], but this test uses mean=\[100.0\]"):
        run(cfg, "mean", load_from=trained, **{"model.data_preprocessor.mean": [100.0]}).test()
    for split in ("val", "test"):
        cfg[f"{split}_dataloader"].dataset.pipeline[1].scale = (48, 48)
    run(cfg, "size", load_from=trained).test()
    assert "trained for images of 32 pixels and is tested at 48" in "".join(capsys.readouterr())


def test_a_checkpoint_of_another_network_is_not_tested(cfg, trained):
    with pytest.raises(ValueError, match="lacks .* of the model's weights"):
        run(cfg, "deeper", load_from=trained, **{"model.backbone.depth": 34}).test()


def test_a_backbone_is_fed_what_it_was_pre_trained_on(cfg, trained, tmp_path, capsys):
    from otcxr_mm import save_backbone

    runner = run(cfg, "pretrain")
    pretrained = tmp_path / "pretrained" / "backbone.pth"
    save_backbone(runner.model, pretrained, cfg, size=24, max_value=65535)
    cfg.default_hooks.load_backbone.checkpoint = str(pretrained)
    run(cfg, "same", work_dir=str(tmp_path / "same")).train()
    assert f"{pretrained} was pre-trained on images of 24 pixels; this run uses 32" in "".join(capsys.readouterr())
    other = {"model.data_preprocessor.std": [1.0]}
    with pytest.raises(ValueError, match=r"pre-trained with std=\[64.0\], but this run uses std=\[1.0\]"):
        run(cfg, "other", work_dir=str(tmp_path / "other"), **other).train()
    # without the record beside it: from the config in a checkpoint
    cfg.default_hooks.load_backbone.checkpoint = trained
    with pytest.raises(ValueError, match=r"linear.pth was pre-trained with std=\[64.0\]"):
        run(cfg, "checkpoint", work_dir=str(tmp_path / "checkpoint"), **other).train()
    cfg.default_hooks.load_backbone.check_preprocessing = False
    run(cfg, "on_purpose", work_dir=str(tmp_path / "on_purpose"), **other).train()


def test_preprocessing_is_read_from_the_shipped_configs():
    pretrain = preprocessing_of(Config.fromfile(ROOT / "configs" / "otcxr_r50_nih.py"))
    assert pretrain == {"mean": [127.5], "std": [64.0], "max_value": 65535, "size": 224}
    lungs = Config.fromfile(ROOT / "configs" / "downstream" / "segmentation" / "upernet_r18_lungs.py")
    assert [preprocessing_of(lungs, role)["size"] for role in ("train", "val", "test")] == [96, 96, 96]
    small = preprocessing_of(Config.fromfile(ROOT / "configs" / "otcxr_r18_cpu.py"))  # concatenated data sets
    assert differences(pretrain, small) == []
    assert differences(pretrain, {**small, "mean": [127.5] * 3, "std": None}) == []
    assert differences(pretrain, {**small, "mean": [123.7, 116.3, 103.5], "max_value": 4095}) == ["mean", "max_value"]
    assert json.dumps(pretrain)


def test_masks_are_named_in_the_checkpoint(tmp_path):
    pytest.importorskip("mmseg")
    rng = np.random.default_rng(0)
    for name in ("images", "r", "l"):
        (tmp_path / name).mkdir()
        for i in range(6):
            value = rng.integers(0, 255, (48, 48)) if name == "images" else np.full((48, 48), 255 * (i % 2))
            cv2.imwrite(str(tmp_path / name / f"{i}.png"), value.astype(np.uint8))
    cfg = Config.fromfile(ROOT / "configs" / "downstream" / "segmentation" / "upernet_r18_lungs.py")
    cfg.default_hooks.load_backbone.checkpoint = None
    cfg.model.decode_head.num_classes, cfg.train_cfg.max_iters = 2, 2
    cfg.default_hooks.checkpoint.interval, cfg.train_cfg.val_interval, cfg.param_scheduler = 2, 2, None
    for split in ("train", "val", "test"):
        spec = cfg[f"{split}_dataloader"].dataset
        spec.update(data_root=str(tmp_path), ann_file="")
        spec.mask_prefix = dict(right="r", left="l")  # update() would merge the two
        spec.update(split_by_hash=(("train", 0.4), ("val", 0.3), ("test", 0.3)))
        for step in spec.pipeline:
            step.update(flip=0.0) if step.type == "otcxr_mm.MaskedCrop" else None
    cfg.train_dataloader.batch_size, cfg.work_dir = 1, str(tmp_path / "work")
    cfg.experiment_name = tmp_path.name
    run(cfg, "train").train()
    checkpoint = {"load_from": str(tmp_path / "work" / "iter_2.pth")}
    run(cfg, "test", **checkpoint).test()
    cfg.test_dataloader.dataset.mask_prefix = dict(left="l", right="r")
    with pytest.raises(ValueError, match=r"\['right', 'left'\], but test_dataloader gives \['left', 'right'\]"):
        run(cfg, "turned", **checkpoint).test()
