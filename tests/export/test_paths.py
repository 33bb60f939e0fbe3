"""What of a config is left out of records, and what is not."""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from otcxr_mm.export.paths import without_paths
from tests.conftest import ROOT

CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts)


def test_what_looks_like_a_path_goes_and_the_rest_stays():
    config = {
        "data_root": "plain_name",
        "checkpoint": {"interval": 5, "save_best": "multilabel/auroc"},
        "somewhere": ["data/nih", "C:\\images", "~/x", "s3://bucket/y", "scan.DCM", "PA", 0.5],
        "path": Path("x"),
        "/data/as/key": 1,
        "data_prefix": {"img_path": "plain"},
        "nested": {"type": "otcxr_mm.LoadCXR", "table": "patients.csv", "save_best": "/data/x"},
        "scale": (0.25, 1.0),
    }
    assert without_paths(config) == {
        "checkpoint": {"interval": 5, "save_best": "multilabel/auroc"},
        "somewhere": ["PA", 0.5],
        "nested": {"type": "otcxr_mm.LoadCXR"},
        "scale": [0.25, 1.0],
    }


@pytest.mark.parametrize(
    "name",
    [
        *("csv", "tsv", "xlsx", "xls", "parquet", "feather", "arrow", "json", "jsonl"),
        *("h5", "hdf5", "pkl", "pickle", "npy", "npz", "mat", "lmdb", "log"),
        *("db", "sqlite", "sqlite3", "nii", "nii.gz", "nrrd", "mha", "mhd", "dcm"),
        *("dicom", "DICOM", "png", "webp", "jp2", "jpeg", "tiff", "safetensors", "ckpt"),
        *("pth", "bin", "tar", "tgz", "tar.gz", "gz", "zip"),
    ],
)
def test_names_of_files_go_by_themselves_and_within_text(name):
    kept = without_paths({"cases": [f"CASE-0815.{name}", "PA"], "note": f"see CASE.{name}, please", f"CASE.{name}": 1})
    assert kept == {"cases": ["PA"]}


@pytest.mark.parametrize(
    "name",
    [
        *("otcxr_mm.OTCXR", "mmpretrain.ResNet", "resnet50.a1_in1k", "vit_base_patch16_224.mae", "torch.float32"),
        *(
            "torch.nn.LayerNorm",
            "backbone.layer4.2.bn2",
            "multilabel_auroc",
            "2.7.1+cu128",
            "model.bin_head",
            "a.csv_x",
        ),
        *("mmseg.models.decode_heads.FCNHead", "zip", "log", "db", "0.5", "e.g. this. And that."),
    ],
)
def test_names_of_classes_modules_models_and_layers_stay(name):
    config = {"type": name, "name": name, "names": [name], name: 1}
    assert without_paths(config) == config


def test_classes_and_modules_stay_also_where_they_end_like_files():
    config = {"type": "numpy.log", "custom_imports": {"imports": ["our_models.db", "our.bin"]}}
    assert without_paths(config) == config
    assert without_paths({"type": "CASE-0815.nii", "imports": ["/data/our.db", "CASE 1.db"]}) == {"imports": []}


@pytest.mark.parametrize("key", ["file", "dir", "root", "path", "prefix", "folder"])
def test_entries_go_whose_names_say_where(key):
    config = {
        **dict.fromkeys(
            (key, f"site_{key}", f"a_{key.upper()}", f"site_{key}{'es' if key == 'prefix' else 's'}"), "KLINIKUM_X"
        ),
        "header_file": "plain",
        "detail_file": "plain",
        f"{key}_type": "kept",
        f"by{key}": "kept",
    }
    assert without_paths({"extra": config}) == {"extra": {f"{key}_type": "kept", f"by{key}": "kept"}}


def test_sets_bytes_arrays_and_tuples_are_looked_at():
    config = OrderedDict(
        some={"/b/c", "b", "a"},
        frozen=frozenset({"CASE.nii", 3}),
        raw=b"/data/x",
        plain=b"PA",
        array=np.array([["/data/x", "PA"]]),
        number=np.array(0.5),
        scalar=np.array("/data/x"),
        nested=({"x": {b"a.csv"}},),
    )
    config[("a", "/b")] = 1
    config[b"/b"] = 1
    kept = without_paths(config)
    assert kept == {
        "some": ["a", "b"],
        "frozen": [3],
        "plain": "PA",
        "array": [["PA"]],
        "number": 0.5,
        "nested": [{"x": []}],
    }
    json.dumps(kept)  # as records are written


def types(config):
    """All values of `type` in a config, in order."""
    if isinstance(config, dict):
        own = [config["type"]] if isinstance(config.get("type"), str) else []
        return own + [found for value in config.values() for found in types(value)]
    return [found for value in config for found in types(value)] if isinstance(config, (list, tuple)) else []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configs_keep_their_types_and_settings(path):
    config = Config.fromfile(path).to_dict()
    kept = without_paths(config)
    assert types(kept) == types(config)
    assert kept["custom_imports"] == {**config["custom_imports"], "imports": list(config["custom_imports"]["imports"])}
    for key in ("train_cfg", "optim_wrapper", "param_scheduler"):
        assert kept.get(key) == json.loads(json.dumps(config.get(key))), key
