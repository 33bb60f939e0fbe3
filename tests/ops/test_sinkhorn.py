import ot
import pytest
import torch
from torch.autograd import gradcheck

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


@pytest.mark.parametrize("eps", [1.0, 0.05, 0.01])
@pytest.mark.parametrize("uniform", [True, False])
def test_plan_is_that_of_pot(eps, uniform):
    c, a, b = problem(b=1)
    if uniform:
        a, b = torch.full_like(a, 1 / 12), torch.full_like(b, 1 / 17)
    plan = sinkhorn(c, *((None, None) if uniform else (a, b)), eps=eps, n_iters=4000).plan[0]
    options = dict(method="sinkhorn_log", numItermax=100_000, stopThr=1e-13, warn=False)
    expected = ot.sinkhorn(a[0].numpy(), b[0].numpy(), c[0].numpy(), eps, **options)
    assert abs(plan.numpy() - expected).max() <= 1e-8


@pytest.mark.filterwarnings("ignore:If reg_type = entropy")
@pytest.mark.parametrize("rho", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("eps", [0.5, 0.05])
def test_unbalanced_plan_is_that_of_pot(eps, rho):
    c, a, b = problem(b=1)
    b = 1.5 * b  # masses may differ
    plan = sinkhorn(c, a, b, eps=eps, rho=rho, n_iters=4000).plan[0]
    options = dict(reg_type="entropy", numItermax=100_000, stopThr=1e-13)
    expected = ot.unbalanced.sinkhorn_unbalanced(a[0].numpy(), b[0].numpy(), c[0].numpy(), eps, rho, **options)
    assert abs(plan.numpy() - expected).max() <= 1e-8


@pytest.mark.parametrize("n_iters", [1, 7, 50])
@pytest.mark.parametrize("rho", [None, 0.3])
def test_unrolled_iterates_are_those_of_the_log_domain(n_iters, rho):
    c, a, b = problem()
    tau = 1.0 if rho is None else rho / (rho + 0.03)
    expected = log_domain(c, a, b, 0.03, n_iters, tau)
    plan = sinkhorn(c, a, b, eps=0.03, rho=rho, n_iters=n_iters, grad="unroll").plan
    assert (plan - expected).abs().max() < 1e-13


@pytest.mark.parametrize("rho", [None, 0.3])
@pytest.mark.parametrize("eps", [0.5, 0.05, 0.01])
def test_iterates_are_nearer_to_convergence_than_plain_ones(eps, rho):
    x, noise = torch.randn(2, 4, 20, 16, dtype=torch.float64) * torch.arange(1, 17) ** -1.0
    c = cost(x, x + 0.7 * noise)
    c = c / c.mean((1, 2), keepdim=True)
    c[0, :, 3] += 100  # far from everything
    exact = sinkhorn(c, eps=eps, rho=rho, n_iters=3000).plan
    # first a few plain ones from a start of its own
    for n_iters, share in ((5, 1.3), (10, 1.0), (50, 0.5)):
        ours, plain = (
            (sinkhorn(c, eps=eps, rho=rho, n_iters=n_iters, grad=grad).plan - exact).abs().sum((1, 2))
            for grad in ("envelope", "unroll")
        )
        assert (ours <= share * plain + 1e-13).all()


def test_over_relaxation_saves_most_iterations():
    c, a, b = problem(b=8, n=49, m=49)
    few, many = (sinkhorn(c, a, b, eps=0.01, n_iters=60, grad=grad) for grad in ("envelope", "unroll"))
    assert (few.marginal_error < many.marginal_error / 20).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_solution_does_not_depend_on_the_rest_of_the_batch(dtype):
    c, a, b = problem(b=6, n=30, m=20, dtype=dtype)
    c *= torch.logspace(-1, 3, 6, dtype=dtype)[:, None, None]  # from trivial to hard
    together = sinkhorn(c, a, b, eps=0.1, n_iters=40)
    for i in range(6):
        alone = sinkhorn(c[i : i + 1], a[i : i + 1], b[i : i + 1], eps=0.1, n_iters=40)
        torch.testing.assert_close(alone.plan[0], together.plan[i], rtol=1e3 * torch.finfo(dtype).eps, atol=1e-30)


@pytest.mark.parametrize("eps", [1.0, 0.05, 0.01, 1e-3])
def test_float32_is_within_1e_5_of_float64(eps):
    c, a, b = problem(b=4, n=49, m=49)
    exact = sinkhorn(c, a, b, eps=eps, n_iters=1000)
    single = sinkhorn(c.float(), a.float(), b.float(), eps=eps, n_iters=1000)
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


@pytest.mark.parametrize("rho", [None, 0.5])
def test_envelope_is_the_gradient_of_value(rho):
    c, a, b = problem(b=1, n=3, m=4)
    c.requires_grad_()
    options = {"eps": 0.1, "rho": rho, "n_iters": 300}
    assert gradcheck(lambda c: sinkhorn(c, a, b, **options).value, c, atol=1e-7)
    result = sinkhorn(c, a, b, **options)
    (grad,) = torch.autograd.grad(result.value.sum(), c)
    torch.testing.assert_close(grad, result.plan)

    def value(rows, columns):  # softmax: every change keeps the mass
        return sinkhorn(c.detach(), rows.softmax(1), columns.softmax(1), **options).value

    assert gradcheck(value, (a.log().requires_grad_(), b.log().requires_grad_()), atol=1e-7)


@pytest.mark.parametrize("n_iters", [1, 7, 30])
@pytest.mark.parametrize("rho", [None, 0.5])
@pytest.mark.parametrize("objective", ["cost", "value"])
def test_unroll_is_the_gradient_at_so_many_iterations(objective, n_iters, rho):
    c, a, b = problem(b=1, n=3, m=4)
    options = {"eps": 0.1, "rho": rho, "n_iters": n_iters, "grad": "unroll"}
    assert gradcheck(lambda c: getattr(sinkhorn(c, a, b, **options), objective), c.requires_grad_(), atol=1e-7)


@pytest.mark.parametrize("rho", [None, 0.3])
def test_unroll_is_finite_where_the_plan_underflows(rho):
    c, a, b = problem(dtype=torch.float32)

    def gradient(c):
        c = c.clone().requires_grad_()
        result = sinkhorn(c, a, b, eps=1e-3, rho=rho, n_iters=20, grad="unroll")
        assert (result.plan == 0).any() or c.dtype == torch.float64
        return torch.autograd.grad(result.value.sum(), c)[0]

    torch.testing.assert_close(gradient(c).double(), gradient(c.double()), rtol=0, atol=2e-3)


def divergence(x, y, **kwargs):
    return sinkhorn_divergence(*(sinkhorn(cost(a, b), **kwargs) for a, b in ((x, y), (x, x), (y, y))))


@pytest.mark.parametrize("eps", [1.0, 0.1])
def test_divergence_is_zero_only_between_equal_measures(eps):
    x, y = torch.randn(4, 9, 6, dtype=torch.float64), torch.randn(4, 9, 6, dtype=torch.float64)
    same, other = (divergence(x, z, eps=eps, n_iters=1000).value for z in (x, y))
    assert same.abs().max() < 1e-10
    assert other.min() > 0.01
    # the biased one is neither
    assert sinkhorn(cost(x, x), eps=eps, n_iters=1000).value.abs().min() > 1e-2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"eps": 0}, "eps, the weight of the entropy, must be > 0, got 0"),
        ({"rho": 0.0}, "rho, the weight of the relaxed marginals"),
        ({"grad": "exact"}, "'envelope' or 'unroll', got 'exact'"),
        ({"cost": torch.ones(2, 4, 4, dtype=torch.int64)}, "cost must be of floating point, got torch.int64"),
        ({"cost": torch.zeros(4, 4)}, r"\(B, N, M\).*got \(4, 4\)"),
    ],
)
def test_errors_name_the_argument(kwargs, message):
    with pytest.raises(ValueError, match=message):
        sinkhorn(**{"cost": torch.zeros(2, 4, 4), **kwargs})
