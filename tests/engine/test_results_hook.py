"""results.json, results.csv and predictions.npz: what was trained, what was tested, and the metrics."""

import json
import logging
from types import SimpleNamespace

import numpy as np
import pytest

from otcxr_mm import ResultsHook, save_backbone
from otcxr_mm.datasets.inspection import data_sha256
from otcxr_mm.engine.hooks import results as module
from otcxr_mm.engine.provenance import file_record
from otcxr_mm.reports import build_tables, load_runs, tasks
from tests.engine.runs import PATIENT, config, runner, write_data


def test_the_record_says_what_was_trained_and_what_was_tested(tmp_path):
    backbone = tmp_path / "some_method" / "backbone.pth"
    save_backbone(runner(tmp_path, name="pretrain").model, backbone, config(tmp_path))
    half = {"train_dataloader.dataset.fraction": 0.5, "train_dataloader.dataset.draw": 2, "randomness.seed": 11}
    run = runner(tmp_path, **{"default_hooks.load_backbone.checkpoint": str(backbone)}, **half)
    run.train()
    checkpoint, trained = f"{tmp_path}/work/linear.pth", run.train_dataloader.dataset
    run = runner(tmp_path, name="test", load_from=checkpoint)  # its config says otherwise
    metrics, tested = run.test(), run.test_dataloader.dataset
    text = (tmp_path / "work" / "results.json").read_text()
    record = json.loads(text)
    names = {"method": "some_method", "protocol": "linear", "config": "linear_r18_kermany", "task": "classification"}
    assert record.items() >= {**names, "version": 1, "seed": 11, "fraction": 0.5, "draw": 2}.items()
    assert record["train"] == {"images": len(trained), "patients": 12, "sha256": data_sha256(trained)}
    assert record["checkpoint"] == file_record(checkpoint)
    assert record["backbone"] == {**file_record(str(backbone)), "file": "some_method/backbone.pth"}
    expected = {"type": "CSVLabeledCXR", "split": "test", "images": 16, "patients": 8, "sha256": data_sha256(tested)}
    assert record["test"].items() >= {**expected, "classes": list(tested.metainfo["classes"])}.items()
    assert record["metrics"] == pytest.approx(metrics, nan_ok=True)
    assert str(tmp_path) not in text
    assert PATIENT not in text
    (table,) = build_tables(tasks(load_runs([tmp_path])), draws=20)
    assert table.cells[["protocol", "method"]].to_numpy().tolist() == [["linear", "some_method"]]


def test_a_test_of_studies_records_a_row_for_each(tmp_path):
    write_data(tmp_path)
    header, *rows = (tmp_path / "t.csv").read_text().splitlines()
    # the two images of a patient are of one study, but for every fourth patient
    studies = [i if i // 2 % 4 == 3 else "s" for i in range(len(rows))]
    lines = [f"{header},study", *(f"{row},{study}" for row, study in zip(rows, studies, strict=True))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    run = runner(tmp_path, **{"test_evaluator.studies": "max"})
    run.train()
    metrics = run.test()
    record = json.loads((tmp_path / "work" / "results.json").read_text())
    assert record["details"]["studies"]["pooled"] == "max"
    assert record["details"]["studies"]["studies"] == 10  # of 8 patients with 16 images
    assert record["metrics"]["multilabel/study_auroc"] == metrics["multilabel/study_auroc"]
    arrays = np.load(tmp_path / "work" / "predictions.npz")
    scores = [arrays["scores"][arrays["study"] == i].max(0) for i in range(10)]
    np.testing.assert_array_equal(arrays["study_scores"], scores)
    (table,) = build_tables(tasks(load_runs([tmp_path])), draws=20)
    assert len(table.cells) == 1


def test_a_checkpoint_without_a_record_is_trained_on_unknown_images(tmp_path, caplog):
    cfg = config(tmp_path, method="mine")
    logger = logging.getLogger("results")
    run = SimpleNamespace(_train_loop={}, _load_from=str(tmp_path / "a.pth"), cfg=cfg, logger=logger)
    record = ResultsHook()._training(run)
    unknown = {"train": {"images": None, "patients": None, "sha256": None}, "seed": None, "backbone": None}
    assert record.items() >= {**unknown, "method": "mine", "config": "linear_r18_kermany"}.items()
    assert "the checkpoint has no record of its training" in caplog.text


def test_a_row_per_class_with_two_columns_per_interval():
    rows = [dict(name="a", auroc=0.1, auroc_interval=None, roc=[1, 2], positives=3)]
    rows += [dict(name="b", auroc=0.1 + 0.2, auroc_interval=[0.2, 0.4], dice=dict(mean=1.5), positives=4)]
    lines = module._csv({"classes": rows, "macro": {"auroc": 0.2}}).splitlines()
    assert lines[0] == "name,auroc,auroc_interval_low,auroc_interval_high,positives,dice_mean"
    assert lines[1:] == ["a,0.1,,,3,", "b,0.30000000000000004,0.2,0.4,4,1.5", "mean,0.2,,,,"]


def test_values_are_converted_for_json():
    values = {"nan": float("nan"), 1: [np.float32(0.5), np.inf], "count": np.int64(3), "on": True}
    assert module.plain(values) == {"nan": None, "1": [0.5, None], "count": 3, "on": True}


def test_a_failed_write_leaves_no_record_of_another_test(tmp_path, monkeypatch):
    ResultsHook._write(tmp_path, {"a": 1}, {"x": np.zeros(2)})

    def full(path, data):
        raise OSError("no space left on device")

    monkeypatch.setattr(module, "write_whole", full)
    with pytest.raises(OSError, match="no space"):
        ResultsHook._write(tmp_path, {"a": 2}, {"x": np.ones(2)})
    assert not list(tmp_path.iterdir())
