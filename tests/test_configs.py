import ast

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from tests.conftest import ROOT

CONFIGS = sorted(p for p in (ROOT / "configs").rglob("*.py") if "_base_" not in p.parts)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_model_builds(path):
    cfg = Config.fromfile(path)
    if cfg.default_scope == "mmseg":
        pytest.importorskip("mmseg.registry")
    init_default_scope(cfg.default_scope)
    assert MODELS.build(cfg.model) is not None
    if "auto_scale_lr" in cfg:  # a linear evaluation has no learning rate
        assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size


def test_basenames_are_unique():
    names = [p.name for p in CONFIGS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_bases_are_relative(path):
    # a base of another package needs pkg_resources on MMEngine 0.10.7, which setuptools 82 has dropped
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_base_":
            assert all(base.startswith("./") or base.startswith("../") for base in ast.literal_eval(node.value))


def test_model_index_names_every_config():
    import yaml

    index = yaml.safe_load((ROOT / "model-index.yml").read_text())
    listed = set()
    for metafile in index["Import"]:
        for model in yaml.safe_load((ROOT / metafile).read_text())["Models"]:
            listed.add(model["Config"])
    assert listed == {str(p.relative_to(ROOT)) for p in CONFIGS}


def test_the_data_set_of_the_nih_config_can_be_overridden(nih_folder, tmp_path):
    cfg = Config.fromfile(ROOT / "configs" / "otcxr_r50_nih.py")
    cfg.merge_from_dict({"train_dataloader.dataset.data_root": str(nih_folder), "train_dataloader.dataset.indices": 2})
    cfg.train_dataloader.num_workers, cfg.train_dataloader.persistent_workers = 0, False
    init_default_scope(cfg.default_scope)
    (batch,) = list(Runner.build_dataloader(cfg.train_dataloader, seed=0))
    assert [view.shape for view in batch["inputs"]] == [(2, 1, 224, 224)] * 2
    assert batch["data_samples"][0].view_to_image.shape == (2, 2, 3)


def test_the_small_config_reads_real_radiographs(real_data, monkeypatch):
    monkeypatch.setenv("OTCXR_DATA", str(real_data))
    cfg = Config.fromfile(ROOT / "configs" / "otcxr_r18_cpu.py")
    init_default_scope(cfg.default_scope)
    cfg.train_dataloader.num_workers, cfg.train_dataloader.persistent_workers = 0, False
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    assert len(loader.dataset) == 3699 + 594
    batch = next(iter(loader))
    assert batch["inputs"][0].shape == (64, 1, 96, 96)
