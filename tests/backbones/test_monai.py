"""MONAI with the program that docs/compose.md prints, on a real radiograph."""

import re
import shutil

import pytest
import torch

import otcxr_mm
from tests.apis.weights import write_backbone
from tests.conftest import ROOT

pytest.importorskip("monai")
PROGRAM = r"^```python\n# monai_resnet\.py\n(.*?)^```"


@torch.no_grad()
def test_monais_network_computes_the_same(tmp_path, real_data, monkeypatch):
    widths = {f"model.backbone.{part}_channels": 64 for part in ("base", "stem")}
    work = tmp_path / "work_dirs" / "otcxr_r50_nih"
    write_backbone(work, **{"model.backbone.depth": 50}, **widths)
    shutil.copy(next((real_data / "nih").rglob("*.png")), tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(re.search(PROGRAM, (ROOT / "docs" / "compose.md").read_text(), re.M | re.S)[1], names)
    model = otcxr_mm.load_backbone(work, size=224)
    expected = model.embed("a.png")
    image = (model.preprocess("a.png") - 127.5) / 64.0
    scale = expected.abs().max().item()
    torch.testing.assert_close(names["net"](image), expected, rtol=0, atol=1e-5 * scale)
    # MONAI averages whole pixels where OpenCV weighs them; a transposed image would be far from it
    features = names["features"].as_tensor()
    assert torch.nn.functional.cosine_similarity(features, expected).item() > 0.999
    turned = names["net"](image.transpose(2, 3))
    assert (features - expected).norm() < 0.2 * (turned - expected).norm()
