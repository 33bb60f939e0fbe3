import pytest
import torch

from otcxr_mm.ops import covariance, position_centred, variance


def slow_variance(x, gamma=1.0, eps=1e-4):
    """VICReg, Eq. 1, one feature at a time."""
    total = 0.0
    for column in x.T:
        mean = sum(column) / len(column)
        var = sum((value - mean) ** 2 for value in column) / (len(column) - 1)
        total += max(0.0, gamma - (var + eps) ** 0.5)
    return total / x.shape[1]


def slow_covariance(x):
    """VICReg, Eqs. 3 and 4, one pair at a time."""
    n, d = x.shape
    centred = x - x.sum(0) / n
    total = 0.0
    for i in range(d):
        for j in range(d):
            if i != j:
                total += (sum(centred[k, i] * centred[k, j] for k in range(n)) / (n - 1)) ** 2
    return total / d


def test_variance_is_vicregs():
    x = 0.7 * torch.randn(9, 5, dtype=torch.float64)
    torch.testing.assert_close(variance(x), torch.as_tensor(slow_variance(x)), rtol=1e-12, atol=0)


def test_covariance_is_vicregs():
    x = torch.randn(9, 5, dtype=torch.float64)
    torch.testing.assert_close(covariance(x), slow_covariance(x), rtol=1e-12, atol=0)


def test_extremes():
    constant = torch.ones(8, 3)
    assert variance(constant).item() == pytest.approx(0.99, abs=1e-6)  # 1 - sqrt(1e-4)
    assert variance(10 * torch.randn(100, 3)).item() == 0
    column = torch.randn(50, 1, dtype=torch.float64)
    copies = column.expand(50, 4)
    torch.testing.assert_close(covariance(copies), 3 * column.var() ** 2)


@pytest.mark.parametrize("statistic", [variance, covariance])
def test_gradient_against_finite_differences(statistic):
    x = (0.5 * torch.randn(6, 4, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(statistic, (x,))


def test_variance_gradient_is_finite_at_collapse():
    x = torch.zeros(8, 3, requires_grad=True)
    variance(x).backward()
    assert torch.isfinite(x.grad).all()


def test_position_centred_removes_a_table():
    table = torch.randn(1, 49, 16)
    residual, dof = position_centred(table.expand(8, -1, -1))
    assert residual.abs().max() < 1e-5
    assert dof == 49 * 7
    # an unbiased estimate: unit noise around a table has variance 1
    tokens = 5 * table.double() + torch.randn(64, 49, 16, dtype=torch.float64)
    residual, dof = position_centred(tokens)
    torch.testing.assert_close(residual.square().sum(0) / dof, torch.ones(16, dtype=torch.float64), rtol=0.1, atol=0)


@pytest.mark.parametrize("statistic", [variance, covariance])
def test_one_sample_is_an_error_that_says_what_to_do(statistic):
    with pytest.raises(ValueError, match=r"at least 2 samples, got \(1, 4\).*batch size"):
        statistic(torch.zeros(1, 4))
    residual, dof = position_centred(torch.randn(1, 9, 4))  # 9 tokens, but of one image
    with pytest.raises(ValueError, match="0 degrees of freedom"):
        statistic(residual, dof=dof)


def test_float32_under_autocast():
    x = torch.randn(16, 8).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = variance(x) + covariance(x)
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(x.grad).all()
