"""The shipped configs: their models and data sets are built, their layout and their recorded results checked."""

import csv
import re

import pytest
import yaml
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner import Runner

import otcxr_mm.utils.patches  # noqa: F401  knows bases that are named otcxr_mm::X.py
from tests.conftest import ROOT

FOLDER = ROOT / "configs"
CONFIGS = sorted(p for p in FOLDER.rglob("*.py") if "_base_" not in p.parts)
READMES = sorted(FOLDER.rglob("README.md"))
METAFILES = sorted(FOLDER.rglob("metafile.yml"))
PARTS = ("train", "val", "test")


def build_model(cfg):
    if cfg.default_scope == "mmseg":
        pytest.importorskip("mmseg.registry")
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_a_config_builds_its_model_and_has_its_command(path):
    cfg = Config.fromfile(path)
    assert build_model(cfg) is not None
    if "auto_scale_lr" in cfg:  # a linear evaluation has no learning rate
        assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size
    assert f"python tools/train.py {path.relative_to(ROOT)}" in path.read_text().partition("_base_")[0]


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.parent.name)
def test_configs_in_a_readme_build(readme, tmp_path):
    for block in re.findall(r"```python\n(.*?)```", readme.read_text(), re.S):
        (tmp_path / "mine.py").write_text(block)
        assert build_model(Config.fromfile(tmp_path / "mine.py")) is not None


def test_the_demo_trains_both_methods_on_the_same_data():
    cfgs = [Config.fromfile(FOLDER / "demo" / f"{name}_r18_synthetic.py") for name in ("otcxr", "vicreg")]
    assert len({repr(cfg.train_dataloader) + repr(cfg.optim_wrapper) for cfg in cfgs}) == 1


def test_metafiles_list_every_config_once():
    index = yaml.safe_load((ROOT / "model-index.yml").read_text())
    assert sorted(index["Import"]) == sorted(str(path.relative_to(ROOT)) for path in METAFILES)
    models = [m for path in METAFILES for m in yaml.safe_load(path.read_text())["Models"]]
    listed = [m["Config"] for m in models if "Weights" not in m]
    assert sorted(listed) == sorted(str(p.relative_to(ROOT)) for p in CONFIGS)
    assert len({path.name for path in CONFIGS}) == len(CONFIGS), "MIM finds configs by their names alone"


@pytest.fixture(scope="module")
def measured():
    """Figures of OTCXR and of an untrained backbone, to three decimals, by data set, protocol, method and fraction."""
    data = {"CSVLabeledCXR": "kermany", "NIHChestXray14": "nih", "CXRSegmentation": "lungs"}
    with open(ROOT / "docs" / "results" / "downstream" / "table.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] == "macro"]
    keys = [(data[row["test_type"]], row["protocol"], row["method"], float(row["fraction"])) for row in rows]
    return {key: round(float(row["value"]), 3) for key, row in zip(keys, rows, strict=True)}


def test_readmes_have_the_recorded_results(measured):
    found = {}
    for readme in READMES:
        for line in re.findall(r"^\| (?:kermany|nih|lungs) \| .*", readme.read_text(), re.M):
            data, protocol, method, *values = [cell.strip() for cell in line.strip("|\n").split("|")]
            for fraction, value in zip((0.01, 0.1, 1.0), values, strict=True):
                found[data, protocol, method, fraction] = float(value)
    assert found == {key: value for key, value in measured.items() if key[2] != "VICRegL"}


def test_metafiles_have_the_recorded_results(measured):
    models = [m for path in METAFILES for m in yaml.safe_load(path.read_text())["Models"]]
    found = {m["Name"]: m["Results"][0]["Metrics"] for m in models if "Results" in m and "synthetic" not in m["Name"]}
    of_metric = {"kNN AUROC": "knn", "Dice": "finetune", "Frozen Dice": "frozen"}
    for name, metrics in found.items():
        protocol, _, data = name.split("_")
        for metric, value in metrics.items():
            assert value == measured[data, of_metric.get(metric, protocol), "OTCXR", 1.0]
    assert sum(map(len, found.values())) == 8


def loader(cfg, part):
    """A data loader that reads in this process."""
    spec = cfg[f"{part}_dataloader"]
    spec.num_workers, spec.persistent_workers = 0, False
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return Runner.build_dataloader(spec, seed=0)


def test_the_small_config_reads_real_radiographs(real_data, monkeypatch):
    monkeypatch.setenv("OTCXR_DATA", str(real_data))
    images = loader(Config.fromfile(FOLDER / "otcxr_r18_cpu.py"), "train")
    assert len(images.dataset) == 3699 + 594
    assert next(iter(images))["inputs"][0].shape == (64, 1, 96, 96)


@pytest.mark.parametrize("name", ["nih", "vinbig", "rsna"])
def test_labelled_configs_read_the_genuine_tables_and_split_them(name, real_data, tmp_path, monkeypatch):
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
    cfg = Config.fromfile(FOLDER / "downstream" / "finetune" / f"finetune_r50_{name}.py")
    cfg.merge_from_dict({"train_dataloader.dataset.fraction": 0.01})
    parts = []
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        for part in PARTS:
            parts.append(DATASETS.build({**cfg[f"{part}_dataloader"].dataset, "check_files": False}).records)
    sizes = {"nih": (774, 10834, 25596), "vinbig": (107, 1493, 2974), "rsna": (188, 2668, 5322)}[name]
    assert tuple(map(len, parts)) == pytest.approx(sizes, rel=0.3)
    assert all(records.labels.shape[1] == cfg.model.head.num_classes for records in parts)
    for column in ("path", "patient") if name == "nih" else ("path",):
        values = [set(getattr(records, column).tolist()) for records in parts]
        assert not (values[0] & values[1] or values[0] & values[2] or values[1] & values[2])


@pytest.mark.parametrize("data", ["kermany", "nih"])
@pytest.mark.parametrize("task", ["linear", "finetune"])
def test_small_labelled_configs_read_real_radiographs(data, task, real_data, monkeypatch):
    monkeypatch.setenv("OTCXR_DATA", str(real_data))
    cfg = Config.fromfile(FOLDER / "downstream" / task / f"{task}_r18_{data}.py")
    datasets = [loader(cfg, part).dataset for part in PARTS]
    for dataset in datasets:
        sample = dataset[3]
        assert sample["inputs"].shape == (1, 96, 96)
        assert len(sample["data_samples"].gt_score) == cfg.model.head.num_classes
        assert sample["data_samples"].patient_id
    assert [len(dataset) for dataset in datasets] == {"kermany": [3699, 520, 997], "nih": [594, 130, 276]}[data]


def test_the_lungs_config_reads_real_masks(real_data, monkeypatch):
    pytest.importorskip("mmseg.registry")
    monkeypatch.setenv("OTCXR_DATA", str(real_data))
    cfg = Config.fromfile(FOLDER / "downstream" / "segmentation" / "upernet_r18_lungs.py")
    datasets = [loader(cfg, part).dataset for part in PARTS]
    assert [dataset[3]["inputs"].shape for dataset in datasets] == [(1, 96, 96)] * 3
    assert len(datasets[2]) == 287 and sum(map(len, datasets)) == 1544
