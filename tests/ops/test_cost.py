import ot
import pytest
import torch

from otcxr_mm.models import Atoms
from otcxr_mm.ops import cost, exact_plan, full_precision, sinkhorn
from otcxr_mm.ops.precision import to_float32


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
def test_cost_is_that_of_pot(metric):
    x, y = torch.randn(3, 5, 7, dtype=torch.float64), torch.randn(3, 4, 7, dtype=torch.float64)
    unit = 7 if metric == "sqeuclidean" else 1
    expected = torch.stack([ot.dist(a, b, metric) / unit for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(cost(x, y, metric), expected, rtol=1e-10, atol=1e-10)


def test_far_from_the_origin_keeps_its_digits():
    x, y = torch.randn(2, 6, 32, dtype=torch.float64), torch.randn(2, 6, 32, dtype=torch.float64)
    shifted = cost((x + 1000).float(), (y + 1000).float())
    assert (shifted - cost(x, y)).abs().max() < 1e-3  # without the common shift: 0.1


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
def test_gradient_against_finite_differences(metric):
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, y: cost(x, y, metric), (x, y))


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
def test_zero_between_equal_tokens_and_never_negative(metric):
    x = torch.randn(2, 6, 16)
    c = cost(x, x, metric)
    assert c.min() >= 0
    assert c.diagonal(dim1=1, dim2=2).max() < 1e-5


def test_half_precision_is_computed_in_float32():
    x, y = torch.randn(2, 5, 64).bfloat16(), torch.randn(2, 5, 64).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        c = cost(x, y)
        assert (x @ y.transpose(1, 2)).dtype == torch.bfloat16  # autocast is on again
    assert c.dtype == torch.float32
    torch.testing.assert_close(c, cost(x.double(), y.double()).float(), rtol=1e-5, atol=1e-5)


def test_only_half_precision_is_converted_in_named_tuples_too():
    atoms, grid = to_float32((Atoms(torch.ones(2).half(), torch.ones(2).double()), (2, 3)))
    assert (atoms.points.dtype, atoms.mass.dtype, grid) == (torch.float32, torch.float64, (2, 3))
    product = full_precision(lambda x, y: x @ y)
    assert product(torch.eye(2).half(), y=torch.eye(2).half()).dtype == torch.float32


def test_another_metric_is_refused():
    with pytest.raises(ValueError, match="'l1'"):
        cost(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), "l1")


def test_an_exact_plan_is_the_limit_of_small_entropy():
    c = torch.rand(2, 5, 6, dtype=torch.float64)
    a, b = torch.tensor([0.2, 0.6, 0.4, 0.4, 0.4]).double(), torch.full((6,), 2 / 6).double()  # any mass
    plan = exact_plan(c, a, b)
    torch.testing.assert_close(plan.sum(2), a.expand(2, 5))
    assert (plan > 0).sum((1, 2)).max() <= 10
    near = sinkhorn(c, a, b, eps=2e-3, n_iters=5000)
    torch.testing.assert_close((plan * c).sum((1, 2)), near.cost, rtol=2e-3, atol=1e-3)
