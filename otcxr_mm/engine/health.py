"""What a number in training says about its health, and what to change.

docs/monitoring.md says where the limits come from.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..models import OTHead
from ..models.tokens import Tokens
from ..ops import effective_rank

# of OTHead, as training logs them
LOGGED = ("ot_marginal_error", "ot_partners", "ot_mass")
# beyond these, a number is not healthy
MIN_RANK = 10.0  # and half of what is possible
MIN_TOKEN_STD = 0.1
MAX_PARTNERS = 0.3  # besides the first, as a share of all other atoms
MAX_MARGINAL_ERROR = 0.3
MIN_MASS = 0.5
MAX_STEP = 0.1
MAX_GROWTH = 2.0
MAX_AUROC = 0.995


def feature_numbers(parts: Collection[Tensor]) -> tuple[dict[str, float], dict[str, float]]:
    """Effective rank, mean standard deviation and mean cosine of features, and the largest rank possible.

    Args:
        parts: Features, (n_i, D) each; without two of them there are no numbers.
    """
    if sum(map(len, parts)) < 2:
        return {}, {}
    features = torch.cat(list(parts))
    n, mean = len(features), normalize(features, dim=1).mean(0)
    found = {
        "features/rank": effective_rank(features).item(),
        "features/std": features.std(0).mean().item(),
        # of two different features: that of all pairs, without the diagonal
        "features/cosine": ((n * mean.dot(mean) - 1) / (n - 1)).item(),
    }
    return found, {"features/rank": min(n - 1, features.shape[1])}


def tokens_spread(views: Sequence[Tokens]) -> tuple[int, Tensor]:
    """Mean standard deviation between images of the dense tokens of views, and its degrees of freedom."""
    images = len(views[0].dense)
    if images < 2:
        return 0, torch.zeros(())
    return images - 1, torch.stack([tokens.dense.float().std(0).mean() for tokens in views]).mean()


def mean_spread(spreads: Sequence[tuple[int, Tensor]]) -> dict[str, float]:
    """Mean of what :func:`tokens_spread` gave for some batches; two images, which may be alike, count for little."""
    freedom = sum(weight for weight, _ in spreads)
    return {"tokens/std": sum(weight * std.item() for weight, std in spreads) / freedom} if freedom else {}


def training_problems(found: Mapping[str, float], limits: Mapping[str, float], head: nn.Module) -> Iterator[str]:
    """What :class:`otcxr_mm.TransportMonitor` has found that is not healthy.

    Args:
        found: Numbers by name; any may be missing.
        limits: The largest possible value of `features/rank` and `plan/partners`.
        head: Of the model, whose settings are named.
    """
    yield from _collapse(found, limits, head)
    if isinstance(head, OTHead):
        yield from _plans(found, limits, head)
    step, growth = found.get("weights/step", 0), found.get("weights/growth", 1)
    if step > MAX_STEP or growth > MAX_GROWTH:
        yield (
            f"the learning rate is far too high: a step changed the backbone's kernels by {step:.1%} of their "
            f"norm (healthy: below {MAX_STEP:.0%}), and the norm became {growth:.2g} times as large in this epoch "
            f"(below {MAX_GROWTH:g}): divide optim_wrapper.optimizer.lr by 10, and start again"
        )


def _collapse(found: Mapping[str, float], limits: Mapping[str, float], head: nn.Module) -> Iterator[str]:
    weight = getattr(getattr(head, "loss_var", None), "loss_weight", None)
    raise_it = "raise model.head.loss_var.loss_weight" + ("" if weight is None else f" (now {weight:g})")
    rank = found.get("features/rank", MIN_RANK)
    if rank < min(MIN_RANK, limits.get("features/rank", MIN_RANK) / 2):
        yield (
            f"the effective rank of the backbone's features, {rank:.1f}, is below {MIN_RANK:g}: if it keeps falling, "
            f"the representation is collapsing: lower the learning rate or {raise_it}"
        )
    std = found.get("tokens/std", MIN_TOKEN_STD)
    if std < MIN_TOKEN_STD:
        yield (
            f"the representation is collapsing: projected tokens of different images have a standard deviation of "
            f"{std:.3f} (healthy: above {MIN_TOKEN_STD:g}): {raise_it}"
        )


def _plans(found: Mapping[str, float], limits: Mapping[str, float], head: OTHead) -> Iterator[str]:
    partners, atoms, loss = found.get("plan/partners", 1), limits.get("plan/partners", 1), head.loss_ot
    most = 1 + MAX_PARTNERS * (atoms - 1)
    if partners > most:
        yield (
            f"the plans are blurred: an atom is matched with {partners:.1f} of {atoms:g} on average (healthy: below "
            f"{most:.1f}): lower model.head.loss_ot.eps (now {loss.eps:g})"
        )
    error = found.get("plan/marginal_error", 0)
    solves = head.one_image.matching in ("transport", "geometry")  # the others meet their masses on one side at most
    if solves and loss.rho is None and error > MAX_MARGINAL_ERROR:
        yield (
            f"Sinkhorn has not converged: the plans miss {error:.2f} of their masses (healthy: below "
            f"{MAX_MARGINAL_ERROR:g}): raise model.head.loss_ot.n_iters (now {loss.n_iters}) or eps (now {loss.eps:g})"
        )
    mass = found.get("plan/mass", 1)
    if loss.rho is not None and mass < MIN_MASS:
        yield (
            f"the plans transport only {mass:.0%} of the mass (healthy: above {MIN_MASS:.0%}): raise "
            f"model.head.loss_ot.rho (now {loss.rho:g})"
        )


def probe_problems(found: Mapping[str, float]) -> Iterator[str]:
    """What an online probe has found that is too good."""
    auroc = max(found.get(f"probe/{kind}_auroc", 0) for kind in ("linear", "knn"))
    if auroc > MAX_AUROC:
        yield (
            f"the probe's labels leak: features predict them with an AUROC of {auroc:.3f}, where findings in "
            f"radiographs stay below {MAX_AUROC}. Look for marks, borders or a source that give the class away (one "
            "hospital per class), and crop them or use other images"
        )
