"""Where the time of a step of OTCXR goes: each part alone, forward and backward, on what the part before it gave."""

from collections.abc import Sequence

import torch
from _report import paired
from torch import Tensor

from otcxr_mm.models.tokens import Tokens
from otcxr_mm.ops import sinkhorn


def _leaves(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().requires_grad_() for tensor in tensors]


def _tensors(tokens: Tokens) -> list[Tensor]:
    """Those of the tokens, and of the tokens before infusion."""
    own = [tensor for tensor in tokens[:2] if tensor is not None]
    return own + (_tensors(tokens.plain) if tokens.plain is not None else [])


def _cut(tokens: Tokens) -> Tokens:
    """The tokens without the graph that made them."""
    dense, global_ = (None if tensor is None else tensor.detach().requires_grad_() for tensor in tokens[:2])
    return Tokens(dense, global_, tokens.grid, None if tokens.plain is None else _cut(tokens.plain))


def shares(model: dict, side: int, batch: int, rounds: int) -> dict[str, float]:
    """Time of each part / the sum of all parts but the optimiser; the transport is a part of the head.

    Args:
        model: Config of an OTCXR.
        side: Pixels of a view.
        batch: Images.
        rounds: How often each part is timed.
    """
    from otcxr_mm.registry import MODELS

    torch.manual_seed(0)
    built = MODELS.build(model).train()
    views = [torch.randn(batch, built.data_preprocessor.channels, side, side) for _ in range(2)]
    geometry = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[0.8, 0, 0.1], [0, 0.8, 0.1]]])
    geometry = geometry.expand(batch, 2, 2, 3)
    guard = built.head.guard

    def backbone() -> list[tuple[Tensor, ...]]:
        feats = [built.backbone(view) for view in views]
        torch.autograd.backward([f for maps in feats for f in maps], [f for maps in feats for f in maps])
        return feats

    def neck() -> tuple[Tokens, Tokens]:
        tokens = built.neck(*map(_leaves, feats), plain=guard, view_to_image=geometry)
        outputs = [tensor for each in tokens for tensor in _tensors(each)]
        torch.autograd.backward(outputs, outputs)
        return tokens

    def head() -> None:
        losses = built.head.loss(*map(_cut, tokens), geometry)
        sum(value for name, value in losses.items() if name.startswith("loss")).backward()

    feats = backbone()
    tokens = neck()
    _, solution = built.head.transport(*(_cut(each.plain or each) for each in tokens), geometry)
    plan = solution.plan.detach()
    cost, marginals = -plan.clamp_min(1e-30).log() * built.head.loss_ot.eps, (plan.sum(2), plan.sum(1))
    settings = {name: getattr(built.head.loss_ot, name) for name in ("eps", "n_iters", "rho")}

    def transport() -> None:
        sinkhorn(cost, *marginals, **settings)

    parts = {"backbone": backbone, "neck": neck, "head": head, "transport": transport}
    seconds = paired(parts, rounds)
    total = sum(seconds[name] for name in ("backbone", "neck", "head"))
    return {f"share of the {name}": value / total for name, value in seconds.items()}
