"""No door that takes a file runs code in it: files of :mod:`tests.hostile` at each of them."""

import re
from uuid import uuid4

import numpy as np
import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import load_checkpoint as mmengine_load
from torch import nn

from otcxr_mm import CXRClassifierInferencer, load_backbone, load_backbone_weights
from otcxr_mm.backbones.convert import export_backbone
from otcxr_mm.backbones.preprocessing import recorded_preprocessing
from otcxr_mm.engine.loops.features import features_of
from otcxr_mm.engine.model import unwrap_model
from otcxr_mm.reports.runs import load_runs
from otcxr_mm.utils.checkpoints import load_checkpoint
from tests import hostile
from tests.engine.runs import runner


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The checkpoint of a run, and its folder."""
    folder = tmp_path_factory.mktemp("good")
    runner(folder, "finetune").train()
    return torch.load(folder / "work" / "iter_2.pth", weights_only=True), folder


def run(folder, **changes):
    """A runner whose name no other test has had."""
    return runner(folder, "finetune", f"{uuid4()}", work_dir=f"{folder}/stranger", **changes)


def initialised(file, **kwargs):
    """MMEngine's way to start from weights."""
    made = BaseModule(dict(type="Pretrained", checkpoint=str(file), **kwargs))
    made.fc = nn.Linear(1, 1)
    made.init_weights()


DOORS = {
    "load_checkpoint": lambda file, folder: load_checkpoint(file),
    "MMEngine's load_checkpoint": lambda file, folder: mmengine_load(nn.Linear(1, 1), str(file)),
    "an address": lambda file, folder: load_checkpoint(file.as_uri()),
    "an address in MMEngine": lambda file, folder: mmengine_load(nn.Linear(1, 1), file.as_uri()),
    "init_cfg": lambda file, folder: initialised(file),
    "init_cfg with a prefix": lambda file, folder: initialised(file, prefix="backbone."),
    "resume": lambda file, folder: run(folder, load_from=str(file), resume=True).train(),
    "load_from": lambda file, folder: run(folder, load_from=str(file)).train(),
    "test": lambda file, folder: run(folder, load_from=str(file)).test(),
    "load_backbone": lambda file, folder: load_backbone(file),
    "load_backbone_weights": lambda file, folder: load_backbone_weights(unwrap_model(run(folder)).backbone, file),
    "inferencer": lambda file, folder: CXRClassifierInferencer(file),
    "LoadBackboneHook": lambda file, folder: run(
        folder, **{"default_hooks.load_backbone.checkpoint": str(file)}
    ).train(),
    "preprocessing": lambda file, folder: recorded_preprocessing(file),
    "export": lambda file, folder: export_backbone(file),
}


@pytest.mark.parametrize("kind", hostile.KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("door", DOORS)
def test_no_code_in_a_checkpoint_is_run(good, tmp_path, monkeypatch, log, door, kind):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)  # nothing rests on it
    checkpoint, folder = good
    file = tmp_path / "stranger.pth"
    file.write_bytes(kind(tmp_path, checkpoint))
    if kind is hostile.code_in_meta:
        DOORS[door](file, folder)
        said = log.text + "".join(path.read_text() for path in folder.glob("stranger/*/*.log"))
        assert re.search(rf"{tmp_path}.*: meta\['config'\], which MMEngine would run as code, is ignored", said)
    else:
        with pytest.raises(ValueError, match=re.escape("stranger.pth: ") + "(holds pickled objects|not a checkpoint)"):
            DOORS[door](file, folder)
    assert not hostile.executed(tmp_path)


def features(run, folder):
    return features_of(run, run.train_dataloader, 64, folder / "features")


@pytest.mark.parametrize("damage", [*hostile.KINDS, lambda folder, good: b"", lambda folder, good: good[:-100]])
def test_features_that_cannot_be_read_are_computed_again(good, tmp_path, caplog, damage):
    built = runner(good[1], "linear", f"{uuid4()}", caplog=caplog, work_dir=str(tmp_path / "work"))
    right = features(built, tmp_path)
    file = next((tmp_path / "features").iterdir())
    file.write_bytes(damage(tmp_path, good[0] if damage in hostile.KINDS else file.read_bytes()))
    torch.testing.assert_close(features(built, tmp_path), right, rtol=0, atol=0, equal_nan=True)
    assert re.search(f"features are computed again, because they cannot be read: .*{file.name}|'features'", caplog.text)
    assert not hostile.executed(tmp_path)
    caplog.clear()
    features(built, tmp_path)
    assert "features read from" in caplog.text


def test_a_table_reads_no_objects(tmp_path):
    (tmp_path / "results.json").write_text("{}")
    np.savez(tmp_path / "predictions.npz", scores=np.array([hostile.Evil(tmp_path)], dtype=object))
    with pytest.raises(ValueError, match=r"results.json: not a readable record"):
        load_runs([tmp_path])
    assert not hostile.executed(tmp_path)
