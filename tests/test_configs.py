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


@pytest.mark.parametrize("name", ["nih", "vinbig", "rsna"])
def test_labelled_configs_read_the_genuine_tables_and_part_them(name, real_data, tmp_path, monkeypatch):
    from tests.datasets.test_public_sets import unpack

    tables = real_data / "tables"
    if name == "nih":
        unpack(tables / "Data_Entry_2017_v2020.csv.gz", tmp_path / "Data_Entry_2017_v2020.csv")
        for file in ("train_val_list.txt", "test_list.txt"):
            (tmp_path / file).write_text((tables / file).read_text())
        (tmp_path / "images").mkdir()
    elif name == "vinbig":
        unpack(tables / "vinbigdata-train.csv.gz", tmp_path / "train.csv")
    else:
        unpack(tables / "kaggle_stage_2_train_labels.csv.zip", tmp_path / "stage_2_train_labels.csv")
    monkeypatch.setenv(f"OTCXR_{name.upper()}", str(tmp_path))
    from mmengine.registry import DATASETS

    cfg = Config.fromfile(ROOT / "configs" / "benchmarks" / "semisup" / f"otcxr_semisup_r50_{name}.py")
    init_default_scope(cfg.default_scope)
    parts = {}
    for part in ("train", "val", "test"):
        spec = {**cfg[f"{part}_dataloader"].dataset, "check_files": False}
        parts[part] = DATASETS.build(spec).records
    sizes = {"nih": (774, 10834, 25596), "vinbig": (107, 1493, 2974), "rsna": (188, 2668, 5322)}[name]
    assert tuple(len(records) for records in parts.values()) == pytest.approx(sizes, rel=0.3)
    for records in parts.values():
        assert records.labels.shape[1] == cfg.model.head.num_classes
    paths = [set(records.path.tolist()) for records in parts.values()]
    assert not (paths[0] & paths[1] or paths[0] & paths[2] or paths[1] & paths[2])
    if name == "nih":
        patients = [set(records.patient.tolist()) for records in parts.values()]
        assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])


@pytest.mark.parametrize("task", ["kermany", "nih"])
@pytest.mark.parametrize("protocol", ["linear", "knn", "finetune"])
def test_small_labelled_configs_read_real_radiographs(task, protocol, real_data, monkeypatch):
    monkeypatch.setenv("OTCXR_DATA", str(real_data))
    cfg = Config.fromfile(ROOT / "configs" / "benchmarks" / protocol / f"otcxr_{protocol}_r18_{task}.py")
    init_default_scope(cfg.default_scope)
    sizes = []
    for part in ("train", "val", "test"):
        loader = Runner.build_dataloader(cfg[f"{part}_dataloader"], seed=0)
        sizes.append(len(loader.dataset))
        sample = loader.dataset[3]
        assert sample["inputs"].shape == (1, 96, 96)
        assert len(sample["data_samples"].gt_score) == cfg.model.head.num_classes
        assert sample["data_samples"].patient_id
    assert sizes == {"kermany": [3699, 520, 997], "nih": [594, 130, 276]}[task]
