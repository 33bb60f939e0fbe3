import json
import os
from types import SimpleNamespace

import pytest
import torch

import otcxr_mm
from otcxr_mm.export import save_backbone


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    model = SimpleNamespace(backbone=torch.nn.Linear(2, 2), data_preprocessor=otcxr_mm.CXRDataPreprocessor())
    cfg = {"model": {"backbone": {"type": "Linear"}}}
    save_backbone(model, tmp_path / "new" / "b.pth", cfg, epochs=3)
    assert sorted(os.listdir(tmp_path / "new")) == ["b.json", "b.pth"]
    assert json.loads((tmp_path / "new" / "b.json").read_text())["epochs"] == 3
    before = (tmp_path / "new" / "b.pth").read_bytes()

    def full_disk(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    model.backbone = torch.nn.Linear(3, 3)
    with pytest.raises(OSError, match="no space left"):
        save_backbone(model, tmp_path / "new" / "b.pth", cfg)
    assert (tmp_path / "new" / "b.pth").read_bytes() == before
    assert sorted(os.listdir(tmp_path / "new")) == ["b.json", "b.pth"]
