import ot
import pytest
import torch

from otcxr_mm.ops import cost, exact_plan, sinkhorn


def test_a_permuted_copy_is_matched_exactly():
    x = torch.randn(3, 7, 4)
    order = torch.randperm(7)
    plan = exact_plan(cost(x, x[:, order]))
    expected = torch.zeros(7, 7)
    expected[order, torch.arange(7)] = 1 / 7
    torch.testing.assert_close(plan, expected.expand(3, 7, 7))


def test_it_is_the_limit_of_small_entropy():
    c = torch.rand(2, 5, 6, dtype=torch.float64)
    a = torch.tensor([0.1, 0.3, 0.2, 0.2, 0.2], dtype=torch.float64)
    plan = exact_plan(c, 2 * a, torch.full((6,), 2 / 6, dtype=torch.float64))  # any mass
    torch.testing.assert_close(plan.sum(2), (2 * a).expand(2, 5))
    near = sinkhorn(c, 2 * a, torch.full((6,), 2 / 6, dtype=torch.float64), eps=1e-3, n_iters=20_000)
    torch.testing.assert_close((plan * c).sum((1, 2)), near.cost, rtol=1e-3, atol=1e-4)
    assert (plan > 0).sum((1, 2)).max() <= 10
    assert (plan[0] * c[0]).sum().item() == pytest.approx(2 * ot.emd2(a.numpy(), [1 / 6] * 6, c[0].numpy()))


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"\(B, N, M\).*got \(2, 2\)"):
        exact_plan(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="b is a marginal of shape"):
        exact_plan(torch.zeros(1, 2, 2), b=torch.ones(3))
