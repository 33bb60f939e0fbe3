import importlib
import json
import sys

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score


@pytest.fixture
def methods(root, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(root / "tools" / "benchmarks"))
    module = importlib.import_module("methods")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(module, "WORK", tmp_path / "work")
    monkeypatch.setenv("OTCXR_SCREEN", str(tmp_path / "work"))
    yield module
    for name in [n for n in sys.modules if n == "methods" or n.startswith("method_screen.queues")]:
        del sys.modules[name]


def test_weighted_auroc_is_that_of_scikit_learn(methods):
    from method_screen.compare import weighted_auroc

    rng = np.random.default_rng(0)
    labels, scores = rng.random(200) < 0.3, rng.integers(0, 20, 200) / 7  # with ties
    weights = rng.integers(0, 4, (5, 200)).astype(float)
    expected = [roc_auc_score(labels, scores, sample_weight=w) for w in weights]
    np.testing.assert_allclose(weighted_auroc(labels, scores, weights), expected, rtol=1e-12)
    assert np.isnan(weighted_auroc(np.zeros(200, bool), scores, weights)).all()


def test_draws_are_of_patients(methods):
    from method_screen.compare import draw_weights, interval

    patients = np.array(["a", "b", "a", "c", "b", "a"])
    weights = draw_weights(patients, 500)
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[1:, [0, 1, 3]].sum(1) == 3).all()
    assert weights[1:].std() > 0.5
    found = interval(np.concatenate([[0.5], np.linspace(0, 1, 1001)]))
    assert found == pytest.approx({"value": 0.5, "low": 0.025, "high": 0.975})


def test_probe_finds_what_is_there_and_chooses_on_validation(methods):
    from method_screen.frozen import knn, macro_auroc, probe

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


def test_vicregl_matches_as_a_loop_would(methods):
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


def test_lungs_are_read_from_each_token_alone(methods):
    from method_screen.frozen import lungs

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
    # the mean mask looks at no image either
    assert abs(1 - blind["test"][4].sum() / blind["test"][2].sum()) < 0.1
    same = {split: np.repeat(masks["train"][:1], 40, 0) for split in masks}
    told, _ = lungs(tokens, same)
    assert told["test"][3].mean() == 1


def test_every_run_of_every_queue_builds(methods, real_data, monkeypatch):
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import MODELS

    monkeypatch.setenv("OTCXR_DATA", str(real_data))
    init_default_scope("mmpretrain")
    hashes = {}
    for queue, runs in methods.QUEUES.items():
        for name, run in runs.items():
            cfg = methods.config_of(run)
            importlib.import_module("method_screen.components")
            assert MODELS.build(cfg.model) is not None
            assert cfg.train_cfg.max_epochs == run.epochs
            digest = methods.config_hash(cfg)
            hashes.setdefault((queue, digest, run.test), []).append(name)
    twice = [names for names in hashes.values() if len(names) > 1]
    assert not twice, f"the same run under several names: {twice}"


def test_the_runs_for_a_gpu_build_and_pass_a_batch(methods, real_data, monkeypatch):
    from mmengine.registry import init_default_scope
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample

    monkeypatch.setenv("OTCXR_DATA", str(real_data))
    monkeypatch.setattr(methods, "LARGE_RUNS", True)
    init_default_scope("mmpretrain")
    sample = DataSample()
    sample.set_metainfo({"view_to_image": np.float32([[[0.5, 0, 0], [0, 0.5, 0]], [[0.5, 0, 0.1], [0, 0.5, 0.1]]])})
    runs = {run.config: run for run in methods.QUEUES["anchors"].values()}
    runs["otcxr"] = methods.QUEUES["screen"]["centre"]
    runs["grid"] = methods.QUEUES["third"]["grid-12"]
    for run in runs.values():
        cfg = methods.config_of(run)
        assert cfg.train_dataloader.dataset.datasets[0].pipeline[1].size == 224
        assert cfg.train_dataloader.dataset.datasets[1].packed.endswith("nih_320")
        importlib.import_module("method_screen.components")
        if cfg.model.type == "DenseCL":
            cfg.model.queue_len = 4
        model = MODELS.build(cfg.model)
        losses = model.loss([torch.randn(4, 1, 96, 96), torch.randn(4, 1, 96, 96)], [sample] * 4)
        assert all(torch.isfinite(value).all() for value in losses.values())


def test_the_hash_does_not_depend_on_where_files_lie(methods, monkeypatch):
    from pathlib import Path

    run = next(iter(methods.QUEUES["anchors"].values()))
    before = methods.config_hash(methods.config_of(run))
    monkeypatch.setattr(methods, "DATA", Path("/elsewhere/data"))
    monkeypatch.setattr(methods, "WORK", Path("/elsewhere/work"))
    monkeypatch.setenv("OTCXR_DATA", "/elsewhere/data")
    monkeypatch.setenv("OTCXR_SCREEN", "/elsewhere/work")
    assert methods.config_hash(methods.config_of(run)) == before


@pytest.fixture
def fewer(real_data, tmp_path):
    """Every tenth image of the paediatric sets, all of the other."""
    for name, folders in (("kermany", ["images"]), ("kermany_lungmask", ["images", "lung_masks"])):
        (tmp_path / "data" / name).mkdir(parents=True)
        header, *rows = (real_data / name / "labels.csv").read_text().splitlines()
        (tmp_path / "data" / name / "labels.csv").write_text("\n".join([header, *rows[::10]]))
        for folder in folders:
            (tmp_path / "data" / name / folder).symlink_to(real_data / name / folder)
    (tmp_path / "data" / "nih").symlink_to(real_data / "nih")
    return tmp_path / "data"


def test_a_run_from_radiographs_to_its_record(methods, fewer, monkeypatch):
    monkeypatch.setattr(methods, "DATA", fewer)
    monkeypatch.setenv("OTCXR_DATA", str(fewer))
    few = {"train_dataloader.dataset.datasets.0.indices": 256, "train_dataloader.dataset.datasets.1.indices": 64}
    run = methods.Run("otcxr_screen", few, epochs=1, test=True)
    monkeypatch.setitem(methods.QUEUES, "try", {"one": run})
    threads = torch.get_num_threads()
    assert not methods.finished("try", "one")
    methods.pack()
    methods.execute("try", "one")
    torch.set_num_threads(threads)
    assert methods.finished("try", "one")
    record = json.loads(methods.result_file("try", "one").read_text())
    assert record["images_seen"] == 5 * 64
    assert record["losses"]["loss_ot"][0] > 0
    assert 0.4 < record["test"]["kermany_linear"] < 1
    assert 0.09 < record["test"]["correspondence_chance"] < 0.12
    text = methods.result_file("try", "one").read_text()
    assert str(fewer) not in text
    assert "one" in methods.table("try", "val")
    # another config is another run
    monkeypatch.setitem(methods.QUEUES, "try", {"one": methods.Run("otcxr_screen", few, epochs=1, seed=1, test=True)})
    assert not methods.finished("try", "one")
