import math

import numpy as np
import ot
import pytest
import torch

from otcxr_mm.ops import cost, sinkhorn, sinkhorn_divergence


def problem(b=3, n=12, m=17, dtype=torch.float64):
    c = torch.rand(b, n, m, dtype=dtype)
    a, w = torch.rand(b, n, dtype=dtype) + 0.1, torch.rand(b, m, dtype=dtype) + 0.1
    return c, a / a.sum(1, keepdim=True), w / w.sum(1, keepdim=True)


def log_domain(c, a, b, eps, n_iters, tau=1.0):
    """The textbook iteration in float64."""
    c, a, b = c.double(), a.double(), b.double()
    u, v = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(n_iters):
        u = tau * (a.log() - torch.logsumexp(-c / eps + v[:, None, :], 2))
        v = tau * (b.log() - torch.logsumexp(-c / eps + u[:, :, None], 1))
    return torch.exp(-c / eps + u[:, :, None] + v[:, None, :])


# against POT --------------------------------------------------------------------------------------


@pytest.mark.parametrize("eps", [1.0, 0.1, 0.05, 0.01])
@pytest.mark.parametrize("uniform", [True, False])
def test_plan_is_that_of_pot(eps, uniform):
    c, a, b = problem()
    a, b = (None, None) if uniform else (a, b)
    plan = sinkhorn(c, a, b, eps=eps, n_iters=4000).plan
    for i in range(len(c)):
        ai = np.full(12, 1 / 12) if uniform else a[i].numpy()
        bi = np.full(17, 1 / 17) if uniform else b[i].numpy()
        expected = ot.sinkhorn(
            ai, bi, c[i].numpy(), eps, method="sinkhorn_log", numItermax=100_000, stopThr=1e-13, warn=False
        )
        assert abs(plan[i].numpy() - expected).max() <= 1e-8


@pytest.mark.filterwarnings("ignore:If reg_type = entropy")
@pytest.mark.parametrize("rho", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("eps", [0.5, 0.05])
def test_unbalanced_plan_is_that_of_pot(eps, rho):
    c, a, b = problem(b=2)
    b = 1.5 * b  # masses may differ
    plan = sinkhorn(c, a, b, eps=eps, rho=rho, n_iters=4000).plan
    for i in range(len(c)):
        expected = ot.unbalanced.sinkhorn_unbalanced(
            a[i].numpy(),
            b[i].numpy(),
            c[i].numpy(),
            eps,
            rho,
            reg_type="entropy",
            numItermax=100_000,
            stopThr=1e-13,
        )
        assert abs(plan[i].numpy() - expected).max() <= 1e-8


@pytest.mark.parametrize("eps", [0.5, 0.05, 0.01, 0.002])
def test_value_lies_within_eps_log_nm_of_the_exact_one(eps):
    c, a, b = problem()
    result = sinkhorn(c, a, b, eps=eps, n_iters=20_000)
    for i in range(len(c)):
        exact = ot.emd2(a[i].numpy(), b[i].numpy(), c[i].numpy())
        assert abs(result.value[i].item() - exact) <= eps * math.log(12 * 17)
        assert result.cost[i].item() >= exact - 1e-9


# the fast iteration is the textbook one -----------------------------------------------------------


@pytest.mark.parametrize("n_iters", [1, 2, 3, 9, 10, 11, 50, 77])
@pytest.mark.parametrize("rho", [None, 0.3])
def test_every_iterate_is_that_of_the_log_domain(n_iters, rho):
    c, a, b = problem()
    tau = 1.0 if rho is None else rho / (rho + 0.03)
    expected = log_domain(c, a, b, 0.03, n_iters, tau)
    assert (sinkhorn(c, a, b, eps=0.03, rho=rho, n_iters=n_iters).plan - expected).abs().max() < 1e-13


@pytest.mark.parametrize("eps", [1.0, 0.05, 0.01, 1e-3])
def test_float32_is_within_1e_5_of_float64(eps):
    c, a, b = problem(b=4, n=49, m=49)
    exact = sinkhorn(c, a, b, eps=eps, n_iters=100)
    single = sinkhorn(c.float(), a.float(), b.float(), eps=eps, n_iters=100)
    assert single.plan.dtype == torch.float32
    assert (single.plan - exact.plan).abs().max() <= 1e-5
    assert (single.value - exact.value).abs().max() <= 1e-5


@pytest.mark.parametrize("eps", [1e-3, 1e-4])
def test_raw_squared_distances_at_tiny_eps_stay_finite(eps):
    x, y = 5 * torch.randn(2, 30, 128), 5 * torch.randn(2, 30, 128)
    c = 128 * cost(x, y)  # of order 10^4: exp(-c / eps) is 0 in every row of any float type
    result = sinkhorn(c, eps=eps, n_iters=300)
    assert all(torch.isfinite(t).all() for t in (result.plan, result.value, *result.potentials))
    exact = sinkhorn(c.double(), eps=eps, n_iters=300)
    assert all(torch.isfinite(t).all() for t in (exact.plan, exact.value, *exact.potentials))
    torch.testing.assert_close(exact.plan.sum(1), torch.full((2, 30), 1 / 30, dtype=torch.float64), rtol=1e-5, atol=0)


def test_no_value_is_read_back_to_the_host():
    # the meta device has no values: reading one would raise
    result = sinkhorn(torch.empty(2, 5, 6, device="meta"), eps=0.1, n_iters=20)
    assert result.plan.shape == (2, 5, 6)
    assert result.plan.device.type == "meta"


# closed forms and properties ----------------------------------------------------------------------


def test_two_by_two_closed_form():
    # symmetric: T = [[p, q], [q, p]], p / q = exp(1 / eps), p + q = 1/2
    c = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]], dtype=torch.float64)
    eps = 0.2
    p = 0.5 / (1 + math.exp(-1 / eps))
    result = sinkhorn(c, eps=eps, n_iters=50)
    expected = torch.tensor([[[p, 0.5 - p], [0.5 - p, p]]], dtype=torch.float64)
    torch.testing.assert_close(result.plan, expected, rtol=1e-12, atol=1e-14)


def test_large_eps_gives_the_product_of_the_marginals():
    c, a, b = problem()
    plan = sinkhorn(c, a, b, eps=1e6).plan
    torch.testing.assert_close(plan, a[:, :, None] * b[:, None, :], rtol=1e-5, atol=0)


def test_small_eps_finds_a_permutation():
    x = torch.randn(1, 8, 4, dtype=torch.float64)
    order = torch.randperm(8)
    plan = sinkhorn(cost(x, x[:, order]), eps=1e-3, n_iters=2000).plan[0]
    assert torch.equal(plan.argmax(0), order)
    assert plan.max(0).values.min() > 0.124


def test_permuting_tokens_permutes_the_plan():
    c, a, b = problem()
    rows, columns = torch.randperm(12), torch.randperm(17)
    plan = sinkhorn(c, a, b, n_iters=30).plan
    moved = sinkhorn(c[:, rows][:, :, columns], a[:, rows], b[:, columns], n_iters=30).plan
    torch.testing.assert_close(moved, plan[:, rows][:, :, columns], rtol=1e-10, atol=1e-15)


def test_marginals_hold_and_the_report_says_so():
    c, a, b = problem()
    few, many = sinkhorn(c, a, b, eps=0.02, n_iters=5), sinkhorn(c, a, b, eps=0.02, n_iters=5000)
    assert (few.marginal_error > 1e-3).all()
    assert (many.marginal_error < 1e-10).all()
    for r in (few, many):
        error = (r.plan.sum(2) - a).abs().sum(1) + (r.plan.sum(1) - b).abs().sum(1)
        torch.testing.assert_close(r.marginal_error, error)
        torch.testing.assert_close(r.mass, r.plan.sum((1, 2)))
        torch.testing.assert_close(r.entropy, -(r.plan * r.plan.log()).sum((1, 2)))
        torch.testing.assert_close(r.value, (r.plan * c).sum((1, 2)) - 0.02 * r.entropy)
        f, g = r.potentials
        torch.testing.assert_close(r.plan, torch.exp((f[:, :, None] + g[:, None, :] - c) / 0.02))


def test_atoms_without_mass_get_none():
    c, a, b = problem()
    a[:, 3] = 0
    b[:, 0] = 0
    a, b = a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)
    for dtype in (torch.float32, torch.float64):
        result = sinkhorn(c.to(dtype), a.to(dtype), b.to(dtype), eps=0.01, n_iters=3000)
        assert torch.isfinite(result.value).all()
        assert result.plan[:, 3].max() < 1e-30
        assert result.plan[:, :, 0].max() < 1e-30
        assert result.marginal_error.max() < 1e-4


def test_unbalanced_tends_to_balanced():
    c, a, b = problem()
    balanced = sinkhorn(c, a, b, n_iters=3000)
    loose = sinkhorn(c, a, b, rho=1e5, n_iters=3000)
    torch.testing.assert_close(loose.plan, balanced.plan, rtol=1e-3, atol=1e-8)
    torch.testing.assert_close(loose.value, balanced.value, rtol=1e-4, atol=1e-4)


def test_unbalanced_leaves_far_atoms_out():
    c = torch.full((1, 4, 4), 5.0, dtype=torch.float64)
    c[0, :2, :2] = 0
    plan = sinkhorn(c, eps=0.05, rho=0.1, n_iters=2000).plan[0]
    assert plan[2:].sum() < 1e-6
    assert plan[:2, :2].sum() > 0.3


def test_equal_inputs_and_zero_cost():
    result = sinkhorn(torch.zeros(2, 5, 5), eps=1e-3)
    torch.testing.assert_close(result.plan, torch.full((2, 5, 5), 1 / 25))


# gradients ----------------------------------------------------------------------------------------


def finite_difference(function, x, step=1e-6):
    grad = torch.zeros_like(x)
    for i in range(x.numel()):
        plus, minus = x.clone(), x.clone()
        plus.view(-1)[i] += step
        minus.view(-1)[i] -= step
        grad.view(-1)[i] = (function(plus) - function(minus)) / (2 * step)
    return grad


@pytest.mark.parametrize("rho", [None, 0.5])
def test_envelope_is_the_gradient_of_value(rho):
    c, a, b = problem(b=2, n=4, m=5)
    options = {"eps": 0.1, "rho": rho, "n_iters": 1000}
    c.requires_grad_()
    result = sinkhorn(c, a, b, **options)
    (grad,) = torch.autograd.grad(result.value.sum(), c)
    numeric = finite_difference(lambda x: sinkhorn(x, a, b, **options).value.sum(), c.detach())
    assert (grad - numeric).abs().max() < 1e-7
    torch.testing.assert_close(grad, result.plan)


@pytest.mark.parametrize("rho", [None, 0.5])
def test_envelope_is_the_gradient_of_value_in_the_marginals(rho):
    c, a, b = problem(b=1, n=4, m=5)

    def value(logits, columns):
        # softmax: every change keeps the mass
        return sinkhorn(c, logits.softmax(1), columns.softmax(1), eps=0.1, rho=rho, n_iters=3000).value.sum()

    la, lb = a.log().requires_grad_(), b.log().requires_grad_()
    grads = torch.autograd.grad(value(la, lb), (la, lb))
    assert (grads[0] - finite_difference(lambda x: value(x, lb.detach()), la.detach())).abs().max() < 1e-7
    assert (grads[1] - finite_difference(lambda x: value(la.detach(), x), lb.detach())).abs().max() < 1e-7


@pytest.mark.parametrize("n_iters", [1, 7, 30])
@pytest.mark.parametrize("rho", [None, 0.5])
def test_unroll_is_the_gradient_of_cost_at_so_many_iterations(n_iters, rho):
    c, a, b = problem(b=2, n=4, m=5)
    options = {"eps": 0.1, "rho": rho, "n_iters": n_iters, "grad": "unroll"}
    c.requires_grad_()
    (grad,) = torch.autograd.grad(sinkhorn(c, a, b, **options).cost.sum(), c)
    numeric = finite_difference(lambda x: sinkhorn(x, a, b, **options).cost.sum(), c.detach())
    assert (grad - numeric).abs().max() < 1e-7


def test_envelope_on_cost_is_a_surrogate_and_not_its_gradient():
    c, a, b = problem(b=1, n=4, m=5)
    c.requires_grad_()
    (surrogate,) = torch.autograd.grad(sinkhorn(c, a, b, eps=0.5, n_iters=500).cost.sum(), c)
    (true,) = torch.autograd.grad(sinkhorn(c, a, b, eps=0.5, n_iters=500, grad="unroll").cost.sum(), c)
    assert (surrogate - true).abs().max() > 1e-3


# debiased -----------------------------------------------------------------------------------------


def divergence(x, y, **kwargs):
    return sinkhorn_divergence(*(sinkhorn(cost(a, b), **kwargs) for a, b in ((x, y), (x, x), (y, y))))


def test_divergence_is_zero_only_between_equal_measures():
    x, y = torch.randn(4, 9, 6, dtype=torch.float64), torch.randn(4, 9, 6, dtype=torch.float64)
    for eps in (1.0, 0.1, 0.02):
        same = divergence(x, x, eps=eps, n_iters=3000).value
        other = divergence(x, y, eps=eps, n_iters=3000).value
        assert same.abs().max() < 1e-10
        assert other.min() > 0.01
        # the biased one is neither
        assert sinkhorn(cost(x, x), eps=eps, n_iters=3000).value.abs().min() > 1e-2


def test_divergence_of_points_is_their_cost():
    x, y = torch.randn(3, 1, 5, dtype=torch.float64), torch.randn(3, 1, 5, dtype=torch.float64)
    torch.testing.assert_close(divergence(x, y, eps=0.3).value, cost(x, y)[:, 0, 0])


def test_divergence_gradient_pushes_tokens_of_one_image_apart():
    # one blurred plan: the biased loss contracts x towards the mean of y, the debiased one does not
    y = torch.randn(1, 8, 4, dtype=torch.float64)
    x = (y + 0.01 * torch.randn_like(y)).requires_grad_()
    (biased,) = torch.autograd.grad(sinkhorn(cost(x, y), eps=1.0).value.sum(), x)
    (debiased,) = torch.autograd.grad(divergence(x, y, eps=1.0).value.sum(), x)
    inward = (x - x.mean(1, keepdim=True)).detach()
    assert (biased * inward).sum() > 0.05
    assert (debiased * inward).sum().abs() < 0.1 * (biased * inward).sum()


# errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"eps": 0}, "eps, the weight of the entropy, must be > 0, got 0"),
        ({"eps": -0.1}, "got -0.1"),
        ({"eps": float("nan")}, "got nan"),
        ({"n_iters": 0}, "n_iters must be >= 1"),
        ({"rho": 0.0}, "rho, the weight of the relaxed marginals"),
        ({"grad": "exact"}, "'envelope' or 'unroll', got 'exact'"),
        ({"a": torch.ones(3)}, "a is a marginal of shape"),
    ],
)
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn(torch.zeros(2, 4, 4), **kwargs)


def test_a_single_problem_needs_its_batch_dimension():
    with pytest.raises(ValueError, match=r"\(B, N, M\).*got \(4, 4\)"):
        sinkhorn(torch.zeros(4, 4))


def test_bfloat16_is_solved_in_float32():
    c, _, _ = problem(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        result = sinkhorn(c.bfloat16())
    assert result.plan.dtype == torch.float32
    assert result.marginal_error.max() < 1e-2
