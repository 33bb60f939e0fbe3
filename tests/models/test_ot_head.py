import pytest
import torch

import otcxr_mm

GRID = (3, 3)


def tokens(b=8, n=9, d=16, dtype=torch.float64):
    return torch.randn(b, n, d, dtype=dtype), torch.randn(b, n, d, dtype=dtype)


def geometry(b=8, overlap=True):
    """Half-size crops; without overlap in opposite corners."""
    first = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    second = first.clone()
    second[:, 2] = 0.2 if overlap else 0.5
    return torch.stack([first, second]).expand(b, 2, 2, 3), GRID


def total(losses):
    return sum(value for name, value in losses.items() if name.startswith("loss"))


def test_the_objective_is_the_sum_of_its_parts_at_the_published_weights():
    from otcxr_mm.ops import cost, covariance, position_centred, sinkhorn, variance

    x, y = tokens()
    head = otcxr_mm.OTHead(global_mass=0.0, loss_ot=dict(relative_eps=False, eps=0.3))
    losses = head.loss(x, y)
    transported = sinkhorn(cost(x, y), eps=0.3, n_iters=50).cost.mean()
    torch.testing.assert_close(losses["loss_ot"], 25 * transported)
    var = cov = 0
    for t in (x, y):
        residual, dof = position_centred(t)
        var = var + (variance(t.mean(1)) + variance(residual, dof=dof)) / 2
        cov = cov + (covariance(t.mean(1)) + covariance(residual, dof=dof)) / 2
    torch.testing.assert_close(losses["loss_var"], 12.5 * var)
    torch.testing.assert_close(losses["loss_cov"], cov)


def test_without_transport_blur_it_is_vicreg_on_matched_tokens():
    # equal tokens and a sharp plan: the transport term vanishes, the statistics stay
    x, _ = tokens()
    losses = otcxr_mm.OTHead(global_mass=0.0, loss_ot=dict(eps=0.002, n_iters=500)).loss(x, x)
    assert losses["loss_ot"] < 1e-3
    assert losses["loss_var"] > 0


def test_a_table_of_positions_is_heavily_penalised():
    """q = f(position), without any image, is an optimum over flattened tokens; the default statistics refuse it."""
    b, n, d = 64, 49, 48
    table = torch.linalg.qr(torch.randn(n, d))[0] * n**0.5
    table = table - table.mean(0)
    q = table.expand(b, n, d)
    default = otcxr_mm.OTHead(global_mass=0.0, loss_ot=dict(eps=0.02)).loss(q, q)
    flattened = otcxr_mm.OTHead(global_mass=0.0, statistics="flattened", loss_ot=dict(eps=0.02)).loss(q, q)
    assert total(flattened) < 0.6
    # 2 viewpoints x 12.5 x (1 - sqrt(1e-4)): the largest value the variance term can take
    assert default["loss_var"].item() == pytest.approx(24.75, rel=1e-3)
    assert total(default) > 40 * total(flattened)
    for statistics in ("pooled", "tokens"):
        assert otcxr_mm.OTHead(statistics=statistics).loss(q, q)["loss_var"].item() == pytest.approx(24.75, rel=1e-3)


def test_global_token_is_one_more_atom_of_its_mass():
    x, y = tokens()
    head = otcxr_mm.OTHead(global_mass=0.25)
    plan = head.transport(x, y).plan
    assert plan.shape == (8, 10, 10)
    torch.testing.assert_close(plan[:, :, 9].sum(1), torch.full((8,), 0.25, dtype=plan.dtype))
    torch.testing.assert_close(plan[:, :, 0].sum(1), torch.full((8,), 0.75 / 9, dtype=plan.dtype))


def test_a_global_token_of_its_own_is_the_last_one():
    from otcxr_mm.ops import covariance, position_centred, variance

    x, y = tokens(n=10)
    head = otcxr_mm.OTHead(global_token="own", marginals="visibility", prior_scale=0.25)
    solution = head.transport(x, y, geometry())
    torch.testing.assert_close(solution.plan[:, 9].sum(1), torch.full((8,), 0.25, dtype=x.dtype), atol=0.02, rtol=0)
    losses = head.loss(x, y, geometry())
    residual, dof = position_centred(x[:, :9])
    alone = otcxr_mm.OTHead(global_token="own").loss(x, x)
    torch.testing.assert_close(alone["loss_var"], 12.5 * (variance(x[:, 9]) + variance(residual, dof=dof)))
    torch.testing.assert_close(alone["loss_cov"], covariance(x[:, 9]) + covariance(residual, dof=dof))
    assert torch.isfinite(total(losses))
    # of the mean of the tokens it is the same problem
    mean = torch.cat([x[:, :9], x[:, :9].mean(1, keepdim=True)], 1)
    other = torch.cat([y[:, :9], y[:, :9].mean(1, keepdim=True)], 1)
    for centre in ("none", "batch", "position"):
        own = otcxr_mm.OTHead(global_token="own", centre=centre).loss(mean, other)
        plain = otcxr_mm.OTHead(centre=centre).loss(x[:, :9], y[:, :9])
        for name, value in plain.items():
            torch.testing.assert_close(own[name], value)


def test_matching_by_index_and_by_geometry_look_at_no_feature():
    from otcxr_mm.ops import cost

    x, y = tokens()
    index = otcxr_mm.OTHead(global_mass=0.0, matching="index")
    solution = index.transport(x, y)
    torch.testing.assert_close(solution.cost, cost(x, y).diagonal(dim1=1, dim2=2).mean(1))
    assert index.loss(x, y)["ot_partners"].item() == pytest.approx(1)
    head = otcxr_mm.OTHead(global_mass=0.5, marginals="visibility", matching="geometry", prior_scale=0.25)
    plans = [head.transport(*pair, geometry()).plan for pair in ((x, y), (y, x))]
    torch.testing.assert_close(*plans)
    # crops half the image wide, 0.2 apart: a token's partner lies 0.2 / (1 / 6) = 1.2 cells up and left
    assert plans[0][0, 8, :9].argmax() == 4
    assert plans[0][0, 9, 9] > 0.45
    x.requires_grad_()
    head.loss(x, y, geometry())["loss_ot"].backward()
    assert x.grad.abs().sum() > 0


def test_visibility_gives_hidden_tokens_little_mass_and_is_uniform_without_overlap():
    x, y = tokens()
    head = otcxr_mm.OTHead(global_mass=0.0, marginals="visibility", loss_ot=dict(eps=1.0, n_iters=200))
    rows = head.transport(x, y, geometry()).plan.sum(2)[0].view(GRID)
    assert rows[0, 0] < 0.1 * rows[2, 2]  # the corner away from the other viewpoint
    apart = head.transport(x, y, geometry(overlap=False)).plan
    torch.testing.assert_close(apart.sum(1), torch.full((8, 9), 1 / 9, dtype=apart.dtype), rtol=1e-6, atol=0)
    assert torch.isfinite(apart).all()


def test_saliency_gives_tokens_that_stand_out_more_mass():
    x, y = tokens()
    x[:, 4] *= 5
    rows = otcxr_mm.OTHead(global_mass=0.0, marginals="saliency", loss_ot=dict(n_iters=500)).transport(x, y).plan.sum(2)
    assert (rows.argmax(1) == 4).all()


def test_prior_leads_the_plan_to_the_true_partners_and_is_not_counted():
    x, y = tokens()
    whole = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    mirrored = torch.tensor([[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    flip = (torch.stack([whole, mirrored]).expand(8, 2, 2, 3), GRID)
    partner = torch.arange(9).view(3, 3).flip(1).flatten()
    head = otcxr_mm.OTHead(global_mass=0.0, prior_scale=0.25, loss_ot=dict(prior_weight=10.0, n_iters=200))
    solution = head.transport(x, y, flip)
    assert (solution.plan.argmax(2) == partner).all()
    matched = (x - y[:, partner]).square().mean((1, 2))
    torch.testing.assert_close(solution.cost, matched, rtol=1e-2, atol=1e-3)
    head.loss_ot.prior_weight = 0.0
    assert (head.transport(x, y, flip).plan.argmax(2) == partner).float().mean() < 0.6


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("relative", [False, True])
def test_scale_of_the_features(debiased, relative):
    # relative eps: the plan does not depend on the scale of the features, the cost goes with its square
    x, y = tokens()
    loss = otcxr_mm.TransportLoss(relative_eps=relative, debiased=debiased, eps=0.2, n_iters=100)
    mass = x.new_full((8, 9), 1 / 9)
    one, three = loss.solve(x, y, mass, mass), loss.solve(3 * x, 3 * y, mass, mass)
    if relative:
        torch.testing.assert_close(one.plan, three.plan)
        torch.testing.assert_close(9 * one.cost, three.cost)
    else:
        assert (one.plan - three.plan).abs().max() > 1e-3


def test_transport_loss_gradient_is_that_of_the_surrogate():
    x, y = tokens(b=2, n=4, d=3)
    mass = x.new_full((2, 4), 1 / 4)
    x.requires_grad_()
    loss = otcxr_mm.TransportLoss(relative_eps=False, eps=0.3, loss_weight=1.0, n_iters=500)
    solution = loss.solve(x, y, mass, mass)
    (grad,) = torch.autograd.grad(loss(solution), x)
    plan = solution.plan.detach()
    expected = 2 / 3 / 2 * (plan.sum(2, keepdim=True) * x.detach() - plan @ y)
    torch.testing.assert_close(grad, expected)


def test_unrolled_cost_goes_through_the_plan_of_the_fused_cost():
    x, y = tokens(b=2, n=9, d=3)
    x.requires_grad_()
    loss = otcxr_mm.TransportLoss(grad="unroll", n_iters=5, relative_eps=False, prior_weight=0.7, loss_weight=1.0)
    mass, prior = x.new_full((2, 9), 1 / 9), torch.rand(2, 9, 9, dtype=x.dtype)
    (grad,) = torch.autograd.grad(loss.solve(x, y, mass, mass, prior).cost.sum(), x)
    from otcxr_mm.ops import cost, sinkhorn

    weight = 0.7 * cost(x, y).detach().mean((1, 2), keepdim=True)  # the unit of the prior is a constant

    def transported(t):
        c = cost(t, y)
        plan = sinkhorn(c + weight * prior, eps=0.1, n_iters=5, grad="unroll").plan
        return (plan * c).sum()

    numeric = torch.zeros_like(grad)
    for i in range(x.numel()):
        step = torch.zeros_like(grad)
        step.view(-1)[i] = 1e-6
        numeric += step / 1e-6 * (transported(x.detach() + step) - transported(x.detach() - step)) / 2e-6
    assert (grad - numeric).abs().max() < 1e-7


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"centre": "batch", "loss_ot": dict(metric="cosine", loss_weight=50.0)},
        {"centre": "position"},
        {"loss_ot": dict(debiased=True)},
        {"loss_ot": dict(rho=1.0)},
        {"loss_ot": dict(objective="value", relative_eps=False, grad="unroll", n_iters=10)},
        {"marginals": "visibility", "prior_scale": 0.25},
        {"marginals": "saliency"},
        {"global_token": "own", "centre": "batch"},
        {"matching": "index"},
        {"matching": "geometry", "prior_scale": 0.25, "marginals": "visibility"},
        {"statistics": "flattened"},
        {"guard": True},
        {"guard": True, "matching": "index", "global_token": "own"},
    ],
)
def test_every_choice_is_finite_with_gradients_under_bfloat16(options):
    x, y = tokens(dtype=torch.float32)
    x.requires_grad_()
    y.requires_grad_()
    head = otcxr_mm.OTHead(**options)
    if options.get("global_token") == "own":
        x, y = (torch.randn(8, 10, 16, requires_grad=True) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        losses = head.loss(x.bfloat16(), y.bfloat16(), geometry(), plain=(x.bfloat16(), y.bfloat16()))
    assert {losses[name].dtype for name in ("loss_ot", "loss_var", "loss_cov")} == {torch.float32}
    total(losses).backward()
    assert torch.isfinite(total(losses))
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0
    assert y.grad.abs().sum() > 0


def test_guard_plan_does_not_see_the_infused_tokens():
    p_s, p_t = tokens()
    head = otcxr_mm.OTHead(guard=True)
    q_s, q_t = (t.requires_grad_() for t in tokens())
    copied = head.loss(q_s, q_s, plain=(p_s, p_t))
    half = otcxr_mm.OTHead().loss(p_s, p_t)
    # whatever q does, half the loss of p stays
    assert copied["loss_ot"] >= half["loss_ot"] / 2
    with pytest.raises(ValueError, match="guard=True needs the tokens before infusion"):
        head.loss(q_s, q_t)


def test_fixed_tokens_get_no_gradient_and_both_directions_count():
    x, y = tokens()
    head = otcxr_mm.OTHead()
    fixed = tuple(t.clone() for t in (x, y))
    both = head.loss(x, y, fixed=fixed)
    torch.testing.assert_close(both["loss_ot"], head.loss(x, y)["loss_ot"], rtol=1e-3, atol=1e-4)
    x.requires_grad_()
    fixed[1].requires_grad_(False)
    head.loss(x, y, fixed=fixed)["loss_ot"].backward()
    assert x.grad.abs().sum() > 0


def test_diagnostics_are_no_losses():
    x, _ = tokens()
    sharp = otcxr_mm.OTHead(global_mass=0.0, loss_ot=dict(eps=0.002, n_iters=500)).loss(x, x)
    blurred = otcxr_mm.OTHead(global_mass=0.0, loss_ot=dict(eps=100.0)).loss(x, x)
    assert sharp["ot_partners"].item() == pytest.approx(1, abs=1e-3)
    assert blurred["ot_partners"].item() == pytest.approx(9, abs=1e-2)
    assert sharp["ot_mass"].item() == pytest.approx(1)
    assert not any(value.requires_grad for name, value in sharp.items() if name.startswith("ot_"))


def test_missing_geometry_and_single_image_are_named():
    x, y = tokens(b=1)
    with pytest.raises(ValueError, match="otcxr_mm.PackViews after otcxr_mm.TwoViewCrop"):
        otcxr_mm.OTHead(marginals="visibility").loss(x, y)
    with pytest.raises(ValueError, match="at least 2 samples"):
        otcxr_mm.OTHead().loss(x, y)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"marginals": "learned"}, "marginals is one of"),
        ({"centre": "image"}, "centre is one of"),
        ({"statistics": "all"}, "statistics is one of"),
        ({"global_mass": 1.0}, "global_mass lies in"),
        ({"prior_scale": 0}, "prior_scale must be > 0"),
        ({"loss_ot": dict(eps=0)}, "eps, the weight of the entropy, must be > 0, got 0"),
        ({"loss_ot": dict(objective="plan")}, "objective is 'cost' or 'value'"),
        ({"loss_ot": dict(prior_weight=-1)}, "prior_weight must be >= 0"),
        ({"guard": True, "loss_ot": dict(debiased=True)}, "guard=True goes with"),
        ({"global_token": "cls"}, "global_token is one of"),
        ({"matching": "nearest"}, "matching is one of"),
        ({"matching": "geometry"}, "needs prior_scale"),
        ({"matching": "index", "loss_ot": dict(debiased=True)}, "matching='index' goes with objective='cost'"),
    ],
)
def test_arguments_are_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        otcxr_mm.OTHead(**kwargs)


def test_statistics_of_half_precision_tokens_are_those_of_the_widened_ones():
    x, y = (0.01 * t for t in tokens(dtype=torch.float32))  # near collapse, where bfloat16 means are wrong
    head = otcxr_mm.OTHead(centre="batch")
    half = head.loss(x.bfloat16(), y.bfloat16())
    wide = head.loss(x.bfloat16().float(), y.bfloat16().float())
    for name, value in wide.items():
        assert torch.equal(half[name], value), name
