import pytest
import torch

from otcxr_mm.ops import covariance, covariance_matrix, effective_rank, variance


def test_variance_is_vicregs():
    """VICReg, Eq. 1, one feature at a time."""
    x = 0.7 * torch.randn(9, 5, dtype=torch.float64)
    terms = [(1 - (column.var() + 1e-4).sqrt()).clamp_min(0) for column in x.T]
    torch.testing.assert_close(variance(covariance_matrix(x)), torch.stack(terms).mean(), rtol=1e-12, atol=0)


def test_covariance_is_vicregs():
    """VICReg, Eqs. 3 and 4, from the covariance matrix of torch."""
    x = torch.randn(9, 5, dtype=torch.float64)
    matrix = torch.cov(x.T).fill_diagonal_(0)
    torch.testing.assert_close(covariance(covariance_matrix(x)), matrix.square().sum() / 5, rtol=1e-12, atol=0)


def test_variance_gradient_is_finite_at_collapse():
    x = torch.zeros(8, 3, requires_grad=True)
    variance(covariance_matrix(x)).backward()
    assert torch.isfinite(x.grad).all()


def test_the_matrix_of_tokens_ignores_a_table_of_positions():
    # an unbiased estimate: unit noise around a table has variance 1
    tokens = 5 * torch.randn(1, 49, 16) + torch.randn(64, 49, 16, dtype=torch.float64)
    variances = covariance_matrix(tokens).diagonal()
    torch.testing.assert_close(variances, torch.ones(16, dtype=torch.float64), rtol=0.1, atol=0)


def test_one_matrix_gives_both_statistics_and_their_gradients():
    tokens = (0.5 * torch.randn(6, 9, 4, dtype=torch.float64)).requires_grad_()
    residual = (tokens - tokens.mean(0)).flatten(0, 1)
    matrix = residual.T @ residual / 45  # 9 x (6 - 1) degrees of freedom, by autograd throughout
    std = (matrix.diagonal() + 1e-4).sqrt()
    plain = (1 - std).clamp_min(0).mean(), (matrix.square().sum() - matrix.diagonal().square().sum()) / 4
    shared = covariance_matrix(tokens)
    for value, expected in zip((variance(shared), covariance(shared)), plain, strict=True):
        torch.testing.assert_close(value, expected)
        ours, theirs = (torch.autograd.grad(x, tokens, retain_graph=True)[0] for x in (value, expected))
        torch.testing.assert_close(ours, theirs)
    weight = torch.randn(4, 4, dtype=torch.float64)  # a gradient that is not symmetric
    ours, theirs = (torch.autograd.grad((weight * m).sum(), tokens)[0] for m in (shared, matrix))
    torch.testing.assert_close(ours, theirs)


def test_one_sample_is_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match=r"at least 2 samples, got \(1, 4\).*batch size"):
        covariance_matrix(torch.zeros(1, 4))
    with pytest.raises(ValueError, match="0 degrees of freedom"):
        covariance_matrix(torch.randn(1, 9, 4))  # 9 tokens, but of one image


def test_effective_rank_of_an_isotropic_set_a_line_and_a_point():
    q, _ = torch.linalg.qr(torch.randn(200, 8, dtype=torch.float64))
    q, _ = torch.linalg.qr(q - q.mean(0))  # orthonormal centred columns: equal singular values
    assert effective_rank(3 * q).item() == pytest.approx(8, abs=1e-6)
    assert effective_rank(torch.randn(50, 1) * torch.randn(1, 8)).item() == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.full((50, 8), 0.1)).item() == 0
