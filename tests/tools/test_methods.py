import json
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.journeys import own, publishers

sys.path.append(str(ROOT / "tools" / "benchmarks"))
from method_screen.queues import QUEUES  # noqa: E402
from method_screen.run import Run  # noqa: E402


@pytest.fixture
def records(monkeypatch, tmp_path):
    """The records of the method screen, in folders of this test."""
    from method_screen import records

    monkeypatch.setattr(records, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("OTCXR_SCREEN", str(tmp_path / "work"))
    monkeypatch.setenv("OTCXR_DATA", str(tmp_path / "data"))
    return records


def test_records_are_appended_whole_by_several_writers(records):
    runs = [{"queue": "third", "name": str(i % 10), "loss": i + 1 / 3} for i in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(records.append, runs))
    lines = (records.RESULTS / "third.jsonl").read_text().splitlines()
    assert sorted((json.loads(line) for line in lines), key=lambda r: r["loss"]) == [
        {**r, "loss": float(f"{r['loss']:.5g}")} for r in runs
    ]
    # the last one of a name counts
    assert len(records.recorded("third")) == 10


def test_a_run_counts_as_recorded_with_its_config_and_its_test_figures(records):
    digest = records.config_hash(records.config_of(QUEUES["scratch"]["byol_seed1"]))
    record = {"queue": "scratch", "name": "byol_seed1", "config_hash": digest, "test": {}}
    for unlike in ({"config_hash": "of an older config"}, {"name": "byol_seed2"}):
        records.append(record | unlike)
        assert records.record_of("scratch", "byol_seed1") is None
    records.append({name: value for name, value in record.items() if name != "test"})
    assert records.record_of("scratch", "byol_seed1") is None
    records.append(record)
    assert records.record_of("scratch", "byol_seed1") == record


def test_probe_finds_what_is_there_and_chooses_on_validation(records):
    from method_screen.probes import knn, macro_auroc, probe

    rng = np.random.default_rng(0)
    x = {split: rng.standard_normal((200, 30)).astype(np.float32) for split in ("train", "val", "test")}
    y = {split: np.stack([f[:, 0] > 0, f[:, 1] > 0], 1) for split, f in x.items()}
    scores, decay = probe(x, y, [0, 1])
    assert macro_auroc(y["test"], scores["test"], [0, 1]) > 0.95
    # what the test labels are changes nothing
    other, same = probe(x, {**y, "test": ~y["test"]}, [0, 1])
    assert same == decay
    np.testing.assert_array_equal(other["test"], scores["test"])
    # validation decides: labels that only a strong decay serves
    noisy = {**y, "val": (x["val"] @ (x["train"].T @ (y["train"] - 0.5)))[:, [0, 1]] > 0}
    assert probe(x, noisy, [0, 1])[1] > decay
    assert macro_auroc(y["test"], knn(x, y)["test"], [0, 1]) > 0.6


def test_vicregl_matches_as_a_loop_would(records):
    from method_screen.components import VICRegL, vicreg

    x, y = torch.randn(8, 12, 5, dtype=torch.float64), torch.randn(8, 12, 5, dtype=torch.float64)
    distance = torch.cdist(x, y)
    found = VICRegL.matched(x, y, distance, 1 / 3)
    a, b = [], []
    for i in range(8):
        nearest = distance[i].min(1)
        keep = sorted(nearest.values.argsort()[:4].tolist())
        a.append(x[i, keep])
        b.append(y[i, nearest.indices[keep]])
    a, b = torch.stack(a), torch.stack(b)
    slots = [vicreg(a[:, k], b[:, k]) for k in range(4)]
    for name, value in found.items():
        torch.testing.assert_close(value, torch.stack([s[name] for s in slots]).mean())


def test_lungs_are_read_from_each_token_alone(records):
    from method_screen.probes import lungs

    rng = np.random.default_rng(0)
    masks = {split: (rng.random((40, 6, 6)) > 0.5).astype(np.uint8) * 255 for split in ("train", "val", "test")}
    tokens = {
        split: np.concatenate([m.reshape(40, 36, 1) / 255.0, rng.standard_normal((40, 36, 3))], 2)
        for split, m in masks.items()
    }
    masks = {split: m.repeat(16, 1).repeat(16, 2) for split, m in masks.items()}
    result, _ = lungs(tokens, masks)
    assert result["test"][0].mean() > 0.999
    assert 1 - result["test"][1].sum() / result["test"][2].sum() > 0.999
    blind, _ = lungs({split: t[:, :, 1:] for split, t in tokens.items()}, masks)
    assert abs(1 - blind["test"][1].sum() / blind["test"][2].sum()) < 0.1


def test_masks_are_carried_by_the_nearest_tokens(records):
    from method_screen.probes import carried

    rng = np.random.default_rng(0)
    cells = rng.random((12, 6, 6)) > 0.5
    masks = cells.repeat(16, 1).repeat(16, 2).astype(np.uint8) * 255
    inside, outside = rng.standard_normal((2, 4))
    tokens = np.where(cells.reshape(12, 36, 1), inside, outside).astype(np.float32)
    found = carried(tokens, masks, np.arange(12))
    assert found[:, 0].min() == 1
    assert 0.3 < found[:, 1].mean() < 0.7
    # there is nobody else to carry from
    with pytest.raises(ValueError, match="empty"):
        carried(tokens, masks, np.zeros(12))


@pytest.mark.parametrize("config", sorted({run.config for runs in QUEUES.values() for run in runs.values()}))
def test_method_computes_losses(records, config):
    from method_screen import components  # noqa: F401
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample

    init_default_scope("mmpretrain")
    sample = DataSample()
    sample.set_metainfo({"view_to_image": np.float32([[[0.5, 0, 0], [0, 0.5, 0]], [[0.5, 0, 0.1], [0, 0.5, 0.1]]])})
    options = {"model.queue_len": 4} if config.startswith("densecl") else {}
    model = MODELS.build(records.config_of(Run(config, options)).model)
    losses = model.loss([torch.randn(4, 1, 96, 96), torch.randn(4, 1, 96, 96)], [sample] * 4)
    assert all(torch.isfinite(value).all() for value in losses.values())


def test_the_hash_does_not_depend_on_where_files_are(records, monkeypatch):
    run = QUEUES["anchors"]["random"]
    before = records.config_hash(records.config_of(run))
    monkeypatch.setenv("OTCXR_DATA", "/elsewhere/data")
    monkeypatch.setenv("OTCXR_SCREEN", "/elsewhere/work")
    assert records.config_hash(records.config_of(run)) == before


def test_a_run_from_radiographs_to_its_record(records, real_data, tmp_path, monkeypatch):
    from method_screen import execute, from_imagenet, probes, report

    own.kermany(tmp_path / "data" / "kermany", real_data)
    own.lungs(tmp_path / "data" / "kermany_lungmask", real_data, "lung_masks", table=True)
    for name in ("nih", "nih_followup"):
        publishers.nih(tmp_path / "data" / name, real_data)
    (tmp_path / "data" / "weights").symlink_to(real_data / "weights")
    monkeypatch.setattr(probes, "DECAYS", (0.1, 1.0))
    few = {"train_dataloader.batch_size": 8} | from_imagenet.paired(0.5) | from_imagenet.WIDTHS["otcxr_screen"]
    monkeypatch.setitem(QUEUES, "try", {"one": Run("otcxr_screen", few, epochs=1, test=True, start="imagenet")})
    threads = torch.get_num_threads()
    execute.pack((96, 160))
    execute.execute("try", "one")
    torch.set_num_threads(threads)
    record = records.record_of("try", "one")
    assert record["images_seen"] == 24 + 32 + 32
    assert record["losses"]["loss_ot"][0] > 0
    assert 0.4 < record["test"]["kermany_linear"] <= 1
    assert 0 <= record["test"]["carried_dice"] <= 1
    assert 0.09 < record["test"]["correspondence_chance"] < 0.12
    assert str(tmp_path) not in json.dumps(record)
    assert "| one |" in report.table("try", "val")
