"""The weights that come with the package load by name, do what their cards say, and are kept from their images."""

import csv
import hashlib
import json
import re

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import otcxr_mm
from otcxr_mm.datasets.listed import listed_images
from otcxr_mm.utils.checkpoints import ZOO, shipped
from tests.conftest import ROOT

from .options import cfg, loaders

NAMES = ("otcxr_mobilenetv2_96", "otcxr_r18w32_96")


def figure(name, measure):
    """A figure of a card."""
    card = (ZOO / name / "README.md").read_text()
    return float(re.search(rf"^\| {measure} \| ([\d.]+)", card, re.M)[1])


def test_the_weights_are_there():
    assert tuple(shipped()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_card_page_and_metafile_name_the_file(name):
    file = ZOO / name / "model.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert file.stat().st_size <= 12e6
    for place in (ZOO / name / "README.md", ROOT / "docs" / "model_zoo.md", ROOT / "configs" / "metafile.yml"):
        assert digest in place.read_text(), place


def test_features_tell_findings_of_patients_never_seen(real_data):
    name = "otcxr_mobilenetv2_96"  # the other one is evaluated on all images below
    with open(real_data / "kermany" / "labels.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    chosen = {}
    for split, n in (("train", 600), ("test", 300)):
        own = [row for row in rows if row["split"] == split]
        chosen[split] = [own[i] for i in np.random.default_rng(0).permutation(len(own))[:n]]
    model = otcxr_mm.load_backbone(name)
    features = {
        split: model.embed([real_data / "kermany" / "images" / row["filename"] for row in found]).numpy()
        for split, found in chosen.items()
    }
    kinds = {split: np.array([row["subtype"] for row in found]) for split, found in chosen.items()}
    mean, std = features["train"].mean(0), features["train"].std(0) + 1e-6
    probe = LogisticRegression(C=0.01, max_iter=500).fit((features["train"] - mean) / std, kinds["train"])
    scores = probe.predict_proba((features["test"] - mean) / std)
    auroc = np.mean([roc_auc_score(kinds["test"] == kind, scores[:, i]) for i, kind in enumerate(probe.classes_)])
    assert auroc == pytest.approx(figure(name, "kermany_linear"), abs=0.04)


def test_the_shipped_evaluation_gives_the_figure_of_the_card(otcxr, real_data, tmp_path):
    env = {"OTCXR_DATA": real_data}
    weights = ["default_hooks.load_backbone.checkpoint=otcxr_r18w32_96"]
    run = otcxr("train", "linear_r18_kermany.py", *cfg(weights, loaders(64)), cwd=tmp_path, env=env, check=True)
    assert "otcxr_r18w32_96 was pre-trained on the images listed in" in run.out
    otcxr("test", "work_dirs/linear_r18_kermany", cwd=tmp_path, env=env, check=True)
    metrics = json.loads((tmp_path / "work_dirs" / "linear_r18_kermany" / "results.json").read_text())["metrics"]
    assert metrics["multilabel/auroc"] == pytest.approx(figure("otcxr_r18w32_96", "kermany_linear"), abs=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_no_patient_of_the_official_test_list_was_trained_on(name, real_data):
    official = {line.split("_")[0] for line in (real_data / "tables" / "test_list.txt").read_text().split()}
    found = {dataset.collection: dataset.records for dataset in listed_images(ZOO / name)}
    patients = {path.split("_")[0] for path in found["NIH ChestX-ray14"].path.tolist()}
    assert len(patients) > 1900
    assert not patients & official


def test_another_name_is_refused_and_the_names_are_given():
    with pytest.raises(FileNotFoundError, match="come with the package: otcxr_mobilenetv2_96, otcxr_r18w32_96"):
        otcxr_mm.load_backbone("otcxr_r50")
    assert torch.is_tensor(otcxr_mm.load_backbone("otcxr_r18w32_96").embed(np.zeros((96, 96), np.uint8)))
