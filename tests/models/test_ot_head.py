import pytest
import torch

from otcxr_mm import OTHead, TransportLoss
from otcxr_mm.models import Atoms, Tokens
from otcxr_mm.ops import cost, covariance, covariance_matrix, sinkhorn, variance

GRID = (3, 3)


def points(b=8, n=9, d=16, dtype=torch.float64):
    return torch.randn(b, n, d, dtype=dtype), torch.randn(b, n, d, dtype=dtype)


def tokens(*dense, global_=(None, None), plain=(None, None)):
    """Tokens of both views."""
    return [Tokens(x, g, GRID, p) for x, g, p in zip(dense, global_, plain, strict=True)]


def uniform(x):
    return Atoms(x, x.new_full(x.shape[:2], 1 / x.shape[1]))


def geometry(b=8, overlap=True):
    """Half-size crops; without overlap in opposite corners."""
    first = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    second = first.clone()
    second[:, 2] = 0.2 if overlap else 0.5
    return torch.stack([first, second]).expand(b, 2, 2, 3)


def total(losses):
    return sum(value for name, value in losses.items() if name.startswith("loss"))


def test_the_objective_is_the_sum_of_its_parts_at_the_published_weights():
    x, y = points()
    head = OTHead(global_mass=0.0, loss_ot=dict(relative_eps=False, eps=0.3))
    losses = head.loss(*tokens(x, y))
    transported = sinkhorn(cost(x, y), eps=0.3, n_iters=50).cost.mean()
    torch.testing.assert_close(losses["loss_ot"], 25 * transported)
    var = cov = 0
    for t in (x, y):
        for matrix in (covariance_matrix(t.mean(1)), covariance_matrix(t)):
            var, cov = var + variance(matrix) / 2, cov + covariance(matrix) / 2
    torch.testing.assert_close(losses["loss_var"], 12.5 * var)
    torch.testing.assert_close(losses["loss_cov"], cov)


@pytest.mark.parametrize("statistics", ["both", "pooled", "tokens", "flattened"])
def test_a_table_of_positions_is_heavily_penalised(statistics):
    """q = f(position), without any image, is an optimum over flattened tokens alone."""
    table = torch.linalg.qr(torch.randn(49, 48))[0] * 7
    q = (table - table.mean(0)).expand(64, 49, 48)
    losses = OTHead(global_mass=0.0, statistics=statistics, loss_ot=dict(eps=0.02)).loss(*tokens(q, q))
    if statistics == "flattened":
        assert total(losses) < 0.6
    else:
        # 2 views x 12.5 x (1 - sqrt(1e-4)): the largest value the variance term can take
        assert losses["loss_var"].item() == pytest.approx(24.75, rel=1e-3)


def test_a_global_token_of_its_own_takes_the_place_of_the_mean():
    x, y = points()
    own = points(n=1)
    views = tokens(x, y, global_=own)
    plan = OTHead().transport(*views)[1].plan
    assert plan.shape == (8, 10, 10)
    for column, mass in ((9, 0.25), (0, 0.75 / 9)):
        torch.testing.assert_close(plan[:, :, column].sum(1), torch.full((8,), mass, dtype=x.dtype))
    pooled, dense = covariance_matrix(own[0][:, 0]), covariance_matrix(x)
    alone = OTHead().loss(views[0], views[0])
    torch.testing.assert_close(alone["loss_var"], 12.5 * (variance(pooled) + variance(dense)))
    torch.testing.assert_close(alone["loss_cov"], covariance(pooled) + covariance(dense))
    # with the mean of the dense tokens it is the same problem
    for centre in ("none", "batch", "position"):
        head = OTHead(centre=centre)
        given = head.loss(*tokens(x, y, global_=(x.mean(1, keepdim=True), y.mean(1, keepdim=True))))
        for name, value in head.loss(*tokens(x, y)).items():
            torch.testing.assert_close(given[name], value)


def test_matching_by_index_and_by_geometry_look_at_no_feature():
    x, y = points()
    index = OTHead(global_mass=0.0, matching="index")
    solution = index.transport(*tokens(x, y))[1]
    torch.testing.assert_close(solution.cost, cost(x, y).diagonal(dim1=1, dim2=2).mean(1))
    assert index.loss(*tokens(x, y))["ot_partners"].item() == pytest.approx(1)
    head = OTHead(global_mass=0.5, marginals="visibility", matching="geometry", prior_scale=0.25)
    plans = [head.transport(*tokens(*pair), geometry())[1].plan for pair in ((x, y), (y, x))]
    torch.testing.assert_close(*plans)
    # crops half the image wide, 0.2 apart: a token's partner lies 0.2 / (1 / 6) = 1.2 cells up and left
    assert plans[0][0, 8, :9].argmax() == 4
    assert plans[0][0, 9, 9] > 0.45
    x.requires_grad_()
    head.loss(*tokens(x, y), geometry())["loss_ot"].backward()
    assert x.grad.abs().sum() > 0


def test_visibility_gives_hidden_tokens_little_mass_and_is_uniform_without_overlap():
    x, y = points()
    head = OTHead(global_mass=0.0, marginals="visibility", loss_ot=dict(eps=1.0, n_iters=200))
    rows = head.transport(*tokens(x, y), geometry())[1].plan.sum(2)[0].view(GRID)
    assert rows[0, 0] < 0.1 * rows[2, 2]  # the corner away from the other view
    apart = head.transport(*tokens(x, y), geometry(overlap=False))[1].plan
    torch.testing.assert_close(apart.sum(1), torch.full((8, 9), 1 / 9, dtype=apart.dtype), rtol=1e-6, atol=0)
    assert torch.isfinite(apart).all()


def test_prior_leads_the_plan_to_the_true_partners_and_is_not_counted():
    x, y = points()
    whole = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    mirrored = torch.tensor([[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    flip = torch.stack([whole, mirrored]).expand(8, 2, 2, 3)
    partner = torch.arange(9).view(3, 3).flip(1).flatten()
    head = OTHead(global_mass=0.0, prior_scale=0.25, loss_ot=dict(prior_weight=10.0, n_iters=200))
    solution = head.transport(*tokens(x, y), flip)[1]
    assert (solution.plan.argmax(2) == partner).all()
    matched = (x - y[:, partner]).square().mean((1, 2))
    torch.testing.assert_close(solution.cost, matched, rtol=1e-2, atol=1e-3)
    alone = head.transport(*tokens(x, y), flip, prior=False)[1].plan
    assert (alone.argmax(2) == partner).float().mean() < 0.6
    head.loss_ot.prior_weight = 0.0
    assert torch.equal(head.transport(*tokens(x, y), flip)[1].plan, alone)


@pytest.mark.parametrize("debiased", [False, True])
def test_with_relative_eps_the_plan_does_not_depend_on_the_scale_of_the_features(debiased):
    x, y = points()
    loss = TransportLoss(debiased=debiased, eps=0.2, n_iters=100)
    one, three = loss(uniform(x), uniform(y))[1], loss(uniform(3 * x), uniform(3 * y))[1]
    torch.testing.assert_close(one.plan, three.plan)
    torch.testing.assert_close(9 * one.cost, three.cost)


def test_transport_loss_gradient_is_that_of_the_surrogate():
    x, y = points(b=2, n=4, d=3)
    x.requires_grad_()
    value, solution = TransportLoss(relative_eps=False, eps=0.3, loss_weight=1.0, n_iters=500)(uniform(x), uniform(y))
    (grad,) = torch.autograd.grad(value, x)
    plan = solution.plan.detach()
    expected = 2 / 3 / 2 * (plan.sum(2, keepdim=True) * x.detach() - plan @ y)
    torch.testing.assert_close(grad, expected)


def test_unrolled_cost_goes_through_the_plan_of_the_fused_cost():
    x, y = points(b=2, n=9, d=3)
    x.requires_grad_()
    loss = TransportLoss(grad="unroll", n_iters=5, relative_eps=False, prior_weight=0.7, loss_weight=1.0)
    prior = torch.rand(2, 9, 9, dtype=x.dtype)
    (grad,) = torch.autograd.grad(loss(uniform(x), uniform(y), prior)[1].cost.sum(), x)
    c = cost(x, y)
    fused = c + 0.7 * c.detach().mean((1, 2), keepdim=True) * prior  # the unit of the prior is a constant
    plan = sinkhorn(fused, eps=0.1, n_iters=5, grad="unroll").plan  # its gradient: tests/ops/test_sinkhorn.py
    (expected,) = torch.autograd.grad((plan * c).sum(), x)
    torch.testing.assert_close(grad, expected)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"centre": "batch", "loss_ot": dict(metric="cosine", loss_weight=50.0)},
        {"centre": "position"},
        {"loss_ot": dict(debiased=True)},
        {"loss_ot": dict(rho=1.0)},
        {"loss_ot": dict(objective="value", relative_eps=False, grad="unroll", n_iters=10)},
        # the plan underflows to 0 in places
        {"loss_ot": dict(objective="value", rho=0.1, eps=1e-3, grad="unroll", n_iters=10)},
        {"marginals": "visibility", "prior_scale": 0.25},
        {"matching": "index"},
        {"matching": "geometry", "prior_scale": 0.25, "marginals": "visibility"},
        {"statistics": "flattened"},
        {"guard": True},
        {"guard": True, "matching": "index"},
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_every_choice_is_finite_with_gradients_under_bfloat16(options, own):
    x, y = points(dtype=torch.float32)
    x.requires_grad_()
    y.requires_grad_()
    global_ = [t.bfloat16() for t in points(n=1)] if own else (None, None)
    halves = x.bfloat16(), y.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        views = tokens(*halves, global_=global_, plain=tokens(*halves, global_=global_))
        losses = OTHead(**options).loss(*views, geometry())
    assert {losses[name].dtype for name in ("loss_ot", "loss_var", "loss_cov")} == {torch.float32}
    total(losses).backward()
    assert torch.isfinite(total(losses))
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0
    assert y.grad.abs().sum() > 0


def test_guard_plan_does_not_see_the_infused_tokens():
    p_s, p_t = points()
    head = OTHead(guard=True)
    q_s, q_t = (t.requires_grad_() for t in points())
    copied = head.loss(*tokens(q_s, q_s, plain=tokens(p_s, p_t)))
    half = OTHead().loss(*tokens(p_s, p_t))
    # whatever q does, half the loss of p stays
    assert copied["loss_ot"] >= half["loss_ot"] / 2
    with pytest.raises(ValueError, match="guard=True needs the tokens before infusion"):
        head.loss(*tokens(q_s, q_t))


def test_both_directions_count_with_a_target_network():
    x, y = points()
    head = OTHead()
    fixed = tokens(x.clone(), y.clone())
    both = head.loss(*tokens(x, y), fixed=fixed)
    torch.testing.assert_close(both["loss_ot"], head.loss(*tokens(x, y))["loss_ot"], rtol=1e-3, atol=1e-4)
    x.requires_grad_()
    head.loss(*tokens(x, y), fixed=fixed)["loss_ot"].backward()
    assert x.grad.abs().sum() > 0


def test_diagnostics_are_no_losses():
    x = points()[0].requires_grad_()
    sharp = OTHead(global_mass=0.0, loss_ot=dict(eps=0.002, n_iters=500)).loss(*tokens(x, x))
    blurred = OTHead(global_mass=0.0, loss_ot=dict(eps=100.0)).loss(*tokens(x, x))
    assert sharp["ot_partners"].item() == pytest.approx(1, abs=1e-3)
    assert blurred["ot_partners"].item() == pytest.approx(9, abs=1e-2)
    assert sharp["ot_mass"].item() == pytest.approx(1)
    # equal tokens and a sharp plan: the transport term vanishes, the statistics stay
    assert sharp["loss_ot"] < 1e-3
    assert sharp["loss_var"] > 0
    assert not any(value.requires_grad for name, value in sharp.items() if name.startswith("ot_"))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"marginals": "learned"}, "marginals is one of"),
        ({"loss_ot": dict(objective="plan")}, "objective is one of"),
        (
            {"guard": True, "loss_ot": dict(debiased=True)},
            "guard=True with .* needs objective='cost' and debiased=False",
        ),
        ({"matching": "geometry"}, "needs prior_scale"),
        ({"global_mass": 1.0}, r"global_mass must be in \[0, 1\)"),
        ({"prior_scale": 0}, "prior_scale must be > 0"),
        ({"matching": "index", "loss_ot": dict(debiased=True)}, "matching='index' needs objective='cost'"),
    ],
)
def test_arguments_are_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        OTHead(**kwargs)


def test_statistics_of_half_precision_tokens_are_those_of_the_converted_ones():
    x, y = (0.01 * t for t in points(dtype=torch.float32))  # near collapse, where bfloat16 means are wrong
    head = OTHead(centre="batch")
    half = head.loss(*tokens(x.bfloat16(), y.bfloat16()))
    wide = head.loss(*tokens(x.bfloat16().float(), y.bfloat16().float()))
    for name, value in wide.items():
        assert torch.equal(half[name], value), name


def test_pairs_are_matched_in_their_own_way_and_the_rest_as_always():
    x, y = points()
    globals_ = points(n=1)
    pairs = dict(global_mass=0.0, marginals="uniform", matching="nearest", loss_ot=dict(prior_weight=0.0, rho=0.5))
    kwargs = dict(marginals="visibility", prior_scale=0.25, statistics="both", centre="batch")
    head = OTHead(pairs=pairs, **kwargs)
    views, where = tokens(x, y, global_=globals_), geometry()
    paired = [False, True, True, False, False, False, True, False]
    found = head.loss(*views, where, paired=paired)
    # each group alone, with tokens that are centred over the whole batch
    rows = torch.tensor(paired)
    means = [torch.cat([t.dense.mean((0, 1), keepdim=True), t.global_.mean((0, 1), keepdim=True)]) for t in views]
    centred = [t._replace(dense=t.dense - m[:1], global_=t.global_ - m[1:]) for t, m in zip(views, means, strict=True)]
    alone = OTHead(**{**kwargs, "centre": "none"})
    one = alone.transport(*(t.take(~rows) for t in centred), where[~rows])[0]
    two = OTHead(statistics="both", **{**pairs, "prior_scale": None}).transport(*(t.take(rows) for t in centred))[0]
    torch.testing.assert_close(found["loss_ot"], (5 * one + 3 * two) / 8)
    without = head.loss(*views, where)
    for name in ("loss_var", "loss_cov"):
        torch.testing.assert_close(found[name], without[name])


def test_pairs_by_default_leave_the_global_token_and_the_visibility_out():
    x, y = points()
    head = OTHead(marginals="visibility", prior_scale=0.25)
    views = tokens(x, y, global_=points(n=1))
    plan = head.transport(*views, geometry(overlap=False), pairs=True)[1].plan
    torch.testing.assert_close(plan.sum(1), torch.full((8, 9), 1 / 9, dtype=x.dtype))
    assert (head.loss_ot.prior_weight, head.pair_loss_ot.prior_weight) == (1.0, 0.3)
    assert head.loss(*views, geometry(), paired=[True] * 8)["loss_ot"].item() > 0


@pytest.mark.parametrize("pairs", [dict(global_mass=1.0), dict(marginals="x"), dict(matching="geometry")])
def test_settings_of_pairs_are_checked(pairs):
    with pytest.raises(ValueError, match="OTHead: "):
        OTHead(pairs=pairs)


def test_softmax_keeps_one_marginal_and_nearest_takes_the_least_cost():
    x, y = points(b=2)
    mass = torch.softmax(torch.randn(2, 9, dtype=x.dtype), 1)
    source, target = Atoms(x, mass), Atoms(y, mass.flip(1))
    loss = TransportLoss(eps=0.2, loss_weight=1.0)
    c = cost(x, y)
    unit = c.mean((1, 2))
    for b in range(2):
        there = mass[b][:, None] * torch.softmax(-c[b] / (0.2 * unit[b]), 1)
        back = mass.flip(1)[b][None] * torch.softmax(-c[b] / (0.2 * unit[b]), 0)
        plan = loss(source, target, matching="softmax")[1].plan[b]
        torch.testing.assert_close(plan, (there + back) / 2)
        near = torch.zeros_like(plan)
        for i in range(9):
            near[i, c[b, i].argmin()] += mass[b, i] / 2
            near[c[b, :, i].argmin(), i] += mass.flip(1)[b, i] / 2
        value, solution = loss(source, target, matching="nearest")
        torch.testing.assert_close(solution.plan[b], near)
    torch.testing.assert_close(value, (solution.plan * c).sum((1, 2)).mean())
