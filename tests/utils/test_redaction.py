"""What of a config is shared, and that nothing else is."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from otcxr_mm.utils.redaction import DATASET, shareable, without_places
from tests.conftest import ROOT

CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts)
SECRETS = ("CASE-0815", "CASE0815", "KLINIKUM_X", "/data/x", "C:\\x", b"CASE", Path("x"), {"CASE"}, np.ones(2))


def test_what_is_not_on_the_list_is_left_out():
    weights = {"type": "Pretrained", "checkpoint": "b.pth"}
    head = {"CASE-0815": 1, 815: 2, "scale": (0.25, None, "/x"), "flag": False, "kind": dict}
    data = {"data_root": "x", "split": "train", "patients": [815], "pipeline": [{"type": "our.Noise", "p": 0.5}]}
    config = {"work_dir": "out", "our_own": {"lr": 1}, "model": {"style": "caffe", "init_cfg": weights, "head": head}}
    config["train_dataloader"] = {"batch_size": 8, "dataset": {"type": "RepeatDataset", "times": 2, "dataset": data}}
    kept = shareable(Config(config))
    data = kept["train_dataloader"]["dataset"].pop("dataset")
    assert data == {"split": "train", "pipeline": [{"type": "our.Noise", "p": 0.5}]}
    head = {"scale": [0.25, None], "flag": False, "kind": "dict"}
    assert kept == {
        "model": {"style": "caffe", "init_cfg": {"type": "Pretrained"}, "head": head},
        "train_dataloader": {"batch_size": 8, "dataset": {"type": "RepeatDataset", "times": 2}},
    }


@pytest.mark.parametrize("secret", SECRETS, ids=repr)
def test_nothing_that_may_be_a_secret_passes_under_any_key(secret):
    dataset = dict.fromkeys({*DATASET, "data_root", "note"} - {"type"}, secret)
    config = {"model": {"note": secret, "names": [secret, [secret]]}, "train_dataloader": {"dataset": dataset}}
    assert shareable(config) == {"model": {"names": [[]]}, "train_dataloader": {"dataset": {}}}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_keeps_its_model_and_schedule_whole(path):
    config = Config.fromfile(path).to_dict()
    kept = shareable(config)
    for key in ("model", "optim_wrapper", "param_scheduler", "train_cfg", "randomness"):
        assert kept.get(key) == json.loads(json.dumps(config.get(key))), key
    assert str(kept).count("'type'") == sum(str(config[key]).count("'type'") for key in kept)
    assert config["visualizer"]["type"] == "otcxr_mm.TrackedVisualizer"
    assert [backend["type"] for backend in config["visualizer"]["vis_backends"]] == ["LocalVisBackend"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("cannot read /data/X Hospital/DOE JOHN 1.dcm: no pixels", "cannot read [path]: no pixels"),
        ("'/data/X Hospital/a b' is gone", "[path] is gone"),
        ("images/0001.PNG and DOE_7.dcm differ", "[file] and [file] differ"),
        ("from ../runs/a or ~/b, see s3://bucket/x", "from [path] or [path], see [address]"),
        (
            "multilabel/auroc/Mass is 0.5; 3/4 of N/A; head.loss_ot.eps",
            "multilabel/auroc/Mass is 0.5; 3/4 of N/A; head.loss_ot.eps",
        ),
    ],
)
def test_a_message_names_no_place(message, expected):
    assert without_places(message) == expected
