"""A test uses the classes and the preprocessing that the checkpoint was trained with."""

import json
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import BaseLoop, Runner
from sklearn.metrics import roc_auc_score

from otcxr_mm import save_backbone
from otcxr_mm.backbones.preprocessing import differences, preprocessing_of
from otcxr_mm.engine import ConsistencyHook
from tests.conftest import ROOT
from tests.engine.runs import COLUMNS, SPLITS, config, runner


@pytest.fixture
def trained(tmp_path):
    """The checkpoint of a linear evaluation, with a config beside it as `otcxr train` leaves one."""
    cfg = config(tmp_path)
    cfg.dump(str(tmp_path / "lab.py"))
    Runner.from_cfg(Config.fromfile(tmp_path / "lab.py")).train()
    return f"{tmp_path}/work/linear.pth"


def test_the_config_in_a_work_dir_scores_each_class_in_its_own_column(tmp_path, trained):
    left_by_the_run = Config.fromfile(f"{tmp_path}/work/lab.py")
    assert list(left_by_the_run.test_dataloader.dataset.label_columns.items()) == list(COLUMNS.items())
    left_by_the_run.update(load_from=trained, experiment_name=f"{tmp_path.name}_again")
    metrics = Runner.from_cfg(left_by_the_run).test()
    assert {name: metrics[f"multilabel/auroc/{name}"] for name in COLUMNS} == pytest.approx(dict.fromkeys(COLUMNS, 1.0))


def test_classes_in_another_order_are_not_tested(tmp_path, trained):
    def turned(name, **changes):
        cfg = config(tmp_path, name=name)
        for loader in ("val_dataloader", "test_dataloader"):
            cfg[loader].dataset.label_columns = dict(reversed(COLUMNS.items()))
        cfg.merge_from_dict(changes)
        return Runner.from_cfg(cfg)

    no_val = dict.fromkeys(("val_dataloader", "val_cfg", "val_evaluator"))
    with pytest.raises(ValueError, match=r"\['Virus', 'Fungus', 'Abscess'\], but test_dataloader gives .*'Abscess'"):
        turned("test", load_from=trained, **no_val).test()
    with pytest.raises(ValueError, match="train_dataloader gives the classes .* but val_dataloader gives"):
        turned("train").train()
    loose = turned("loose", load_from=trained, **{"default_hooks.consistency.strict": False})
    # the mix-up that is refused: a class in the column of another
    assert loose.test()["multilabel/auroc/Virus"] < 0.9


def test_another_normalisation_is_not_tested_and_another_size_is_a_warning(tmp_path, trained, caplog):
    with pytest.raises(ValueError, match=r"trained with mean=\[127.5\], but this run uses mean=\[100.0\]"):
        runner(tmp_path, name="mean", load_from=trained, **{"model.data_preprocessor.mean": [100.0]}).test()
    size = {f"{split}_dataloader.dataset.pipeline.1.scale": (48, 48) for split in ("val", "test")}
    runner(tmp_path, name="size", caplog=caplog, load_from=trained, **size).test()
    assert "the checkpoint was trained with size=32, but this run uses size=48" in caplog.text


def test_a_checkpoint_of_another_network_is_not_tested(tmp_path, trained):
    with pytest.raises(ValueError, match="lacks .* of the model's weights"):
        runner(tmp_path, name="deeper", load_from=trained, **{"model.backbone.depth": 34}).test()


def test_a_backbone_is_fed_what_it_was_pre_trained_on(tmp_path, trained, caplog):
    def train(name, checkpoint, **changes):
        changes["default_hooks.load_backbone.checkpoint"] = str(checkpoint)
        runner(tmp_path, name=name, caplog=caplog, work_dir=f"{tmp_path}/{name}", **changes).train()

    pretrained = tmp_path / "pretrained" / "backbone.pth"
    save_backbone(runner(tmp_path, name="pretrain").model, pretrained, config(tmp_path), size=24)
    train("same", pretrained)
    assert f"{pretrained} was trained with size=24, but this run uses size=32" in caplog.text
    other = {"model.data_preprocessor.std": [1.0]}
    with pytest.raises(ValueError, match=r"was trained with std=\[64.0\], size=24, but this run uses std=\[1.0\]"):
        train("other", pretrained, **other)
    with pytest.raises(ValueError, match=r"linear.pth was trained with std=\[64.0\]"):  # from the config in it
        train("checkpoint", trained, **other)
    train("on_purpose", trained, **other, **{"default_hooks.consistency.strict": False})


def test_weights_are_not_given_to_convolutions_of_another_kind(tmp_path):
    padded = {"model.backbone.conv_cfg": dict(type="Conv2dAdaptivePadding")}
    pretrained = tmp_path / "pretrained" / "backbone.pth"
    first = runner(tmp_path, name="pretrain", **padded)
    save_backbone(first.model, pretrained, first.cfg, size=32)

    def train(name, **changes):
        changes["default_hooks.load_backbone.checkpoint"] = str(pretrained)
        runner(tmp_path, name=name, work_dir=f"{tmp_path}/{name}", **changes).train()

    with pytest.raises(ValueError, match="'Conv2dAdaptivePadding'}, but this run uses conv_cfg=None"):
        train("plain")
    train("same", **padded)
    train("on_purpose", **{"default_hooks.consistency.strict": False})


def test_preprocessing_is_read_from_the_shipped_configs():
    pretrain = preprocessing_of(Config.fromfile(ROOT / "configs" / "otcxr_r50_nih.py"))
    assert pretrain == {"mean": [127.5], "std": [64.0], "max_value": 65535, "size": 224}
    assert json.dumps(pretrain)
    lungs = Config.fromfile(ROOT / "configs" / "downstream" / "segmentation" / "upernet_r18_lungs.py")
    assert [preprocessing_of(lungs, role)["size"] for role in ("train", "val", "test")] == [96, 96, 96]
    small = preprocessing_of(Config.fromfile(ROOT / "configs" / "otcxr_r18_cpu.py"))  # concatenated data sets
    assert {**small, "size": 224} == pretrain


def test_preprocessing_is_compared_as_far_as_it_is_known():
    before = {"mean": [127.5], "std": [64.0], "max_value": 65535, "size": 96}
    assert differences(before, before) == differences({}, before) == []
    assert differences(before, {**before, "mean": [127.5] * 3, "std": None}) == []
    other = {**before, "mean": [123.7, 116.3, 103.5], "max_value": 4095, "size": [96, 128]}
    assert differences(before, other) == ["mean", "max_value", "size"]


def two_sets(folder, kind, second, **changes):
    """A run on two sets, of which the first one labels Virus and Fungus, the second one the classes given.

    `Ghost` is a class that neither labels.
    """
    classes = ["Virus", "Fungus", "Abscess", *(["Ghost"] if changes.pop("ghost", False) else [])]
    cfg = config(folder, kind, **changes)
    cfg.model.head.num_classes = len(classes)
    for split in ("train", "val", "test"):
        whole = cfg[f"{split}_dataloader"].dataset
        half = int(SPLITS[split]) // 2
        parts = []
        for known, indices in ((("Virus", "Fungus"), range(half)), (second, range(half, 2 * half))):
            names = {name: name if name in known else None for name in classes}
            parts.append(dict(whole, classes=names, indices=list(indices)))
        cfg[f"{split}_dataloader"].dataset = dict(type="ConcatDataset", datasets=parts)
    return Runner.from_cfg(cfg)


@pytest.mark.parametrize("kind", ["linear", "finetune"])
def test_a_class_that_no_set_labels_is_refused_before_training(tmp_path, kind):
    run = two_sets(tmp_path, kind, ("Virus", "Fungus"), ghost=True)
    message = (
        r"no training image has a known label of \['Abscess', 'Ghost'\].*Leave them out of classes of every data set"
    )
    with pytest.raises(ValueError, match=message):
        run.train()
    assert (
        not run.iter and not list((tmp_path / "work").glob("*.pth")) and not (tmp_path / "work" / "features").exists()
    )


@pytest.mark.parametrize("kind", ["linear", "finetune"])
def test_a_class_that_one_of_two_sets_labels_is_learnt_and_evaluated_there_alone(tmp_path, kind):
    run = two_sets(tmp_path, kind, ("Abscess",))
    start = run.model.head.fc.weight.detach().clone()
    run.train()
    assert ((run.model.head.fc.weight - start).abs().max(1).values > 1e-4).all()
    metrics = run.test()
    arrays = run.test_evaluator.metrics[0].arrays
    known = np.isfinite(arrays["labels"])
    virus, abscess = known[:, 0], known[:, 2]
    assert virus.sum() == abscess.sum() == 8 and not (virus & abscess).any()
    for name, column, rows in (("Virus", 0, virus), ("Abscess", 2, abscess)):
        expected = roc_auc_score(arrays["labels"][rows, column], arrays["scores"][rows, column])
        assert metrics[f"multilabel/auroc/{name}"] == pytest.approx(expected)
    if kind == "linear":  # brightness is easy
        assert metrics["multilabel/auroc/Abscess"] == 1


def test_masks_in_another_order_are_not_tested():
    def loader(*masks):
        return SimpleNamespace(dataset=SimpleNamespace(mask_classes=masks, metainfo={}))

    hook, checkpoint = ConsistencyHook(), {"meta": {}, "state_dict": {}}
    hook.before_save_checkpoint(SimpleNamespace(train_dataloader=loader("right", "left")), checkpoint)
    test = SimpleNamespace(_train_loop=None, model=torch.nn.Identity())
    test._test_loop = Mock(spec=BaseLoop, dataloader=loader("right", "left"))
    hook.after_load_checkpoint(test, checkpoint)
    test._test_loop.dataloader = loader("left", "right")
    with pytest.raises(ValueError, match=r"\['right', 'left'\], but test_dataloader gives \['left', 'right'\]"):
        hook.after_load_checkpoint(test, checkpoint)
