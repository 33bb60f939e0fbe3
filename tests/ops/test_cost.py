import pytest
import torch

from otcxr_mm.ops import cost


def slow_sqeuclidean(x, y):
    return torch.stack([(((a[:, None] - b[None]) ** 2).sum(-1) / a.shape[-1]) for a, b in zip(x, y, strict=True)])


def slow_cosine(x, y):
    out = torch.empty(len(x), x.shape[1], y.shape[1], dtype=x.dtype)
    for b in range(len(x)):
        for i in range(x.shape[1]):
            for j in range(y.shape[1]):
                out[b, i, j] = 1 - x[b, i] @ y[b, j] / (x[b, i].norm() * y[b, j].norm())
    return out


@pytest.mark.parametrize(("metric", "reference"), [("sqeuclidean", slow_sqeuclidean), ("cosine", slow_cosine)])
def test_equals_the_plain_loop(metric, reference):
    x, y = torch.randn(3, 5, 7, dtype=torch.float64), torch.randn(3, 4, 7, dtype=torch.float64)
    torch.testing.assert_close(cost(x, y, metric), reference(x, y), rtol=1e-12, atol=1e-12)


def test_far_from_the_origin_keeps_its_digits():
    x = torch.randn(2, 6, 32, dtype=torch.float64)
    y = torch.randn(2, 6, 32, dtype=torch.float64)
    exact = cost(x, y)
    shifted = cost((x + 1000).float(), (y + 1000).float())
    assert (shifted - exact).abs().max() < 1e-3  # without the common shift: 0.1


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
    assert c.dtype == torch.float32
    torch.testing.assert_close(c, cost(x.double(), y.double()).float(), rtol=1e-5, atol=1e-5)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="'l1'"):
        cost(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), "l1")
    with pytest.raises(ValueError, match=r"\(1, 2, 4\)"):
        cost(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4))
