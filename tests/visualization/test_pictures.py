import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from otcxr_mm.visualization.features import dense_tokens, pca_rgb
from otcxr_mm.visualization.plans import draw_matches, plan_matches
from tests.conftest import ROOT


def test_tokens_lie_on_the_finest_grid_with_unit_norm_a_stage():
    fine, coarse = torch.randn(2, 3, 4, 5), torch.randn(2, 7, 2, 2)
    tokens, grid = dense_tokens((fine, coarse))
    assert grid == (4, 5)
    assert tokens.shape == (2, 20, 10)
    torch.testing.assert_close(tokens[:, :, :3].norm(dim=2), torch.ones(2, 20))
    torch.testing.assert_close(tokens[:, :, 3:].norm(dim=2), torch.ones(2, 20))
    torch.testing.assert_close(tokens[1, 7, :3], fine[1, :, 1, 2] / fine[1, :, 1, 2].norm())


def test_colours_separate_what_differs():
    tokens = torch.randn(2, 6, 8) * 0.01
    tokens[:, :3] += torch.arange(8.0)
    rgb = pca_rgb(tokens, (2, 3))
    assert rgb.shape == (2, 2, 3, 3)
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    assert abs(rgb[:, 0, :, 0].mean() - rgb[:, 1, :, 0].mean()) > 0.8


def test_matches_of_identical_views_are_the_tokens_themselves():
    cfg = Config.fromfile(ROOT / "configs" / "otcxr_r18_cpu.py")
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    views = np.random.default_rng(0).integers(0, 256, (3, 96, 96), dtype=np.uint8)
    same = torch.tensor([[0.5, 0, 0.2], [0, 0.5, 0.3]]).expand(3, 2, 2, 3)
    matches = plan_matches(model, (views, views), same)
    n = matches.grid[0] * matches.grid[1]
    assert torch.equal(matches.partner, torch.arange(n).expand(3, n))
    assert matches.seen.all()
    assert matches.distance.max() < 1e-3
    apart = same.clone()
    apart[:, 1, :, 2] += 0.25  # the second view shows another corner
    matches = plan_matches(model, (views, views), apart, prior=False)
    axis = Figure().subplots()
    draw_matches(axis, views[0], views[0], matches, 0, near=0.15)
    assert len(axis.lines) == int(matches.seen[0].sum()) < n
