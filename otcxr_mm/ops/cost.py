"""Ground costs between tokens."""

from torch import Tensor
from torch.nn.functional import normalize

from .precision import full_precision


@full_precision
def cost(x: Tensor, y: Tensor, metric: str = "sqeuclidean") -> Tensor:
    """Pairwise cost between the tokens of two sets.

    Args:
        x: Tokens, (B, N, D).
        y: Tokens, (B, M, D).
        metric: ``'sqeuclidean'``: ``||x_i - y_j||^2 / D``, the scale of VICReg's invariance term; ``'cosine'``:
            ``1 - cos(x_i, y_j)``, in [0, 2].

    Returns:
        Non-negative cost, (B, N, M), in float32 (float64 stays float64).

    Raises:
        ValueError: For another metric.
    """
    if metric == "sqeuclidean":
        # a common shift changes no distance, and keeps the expanded square exact far from the origin
        shift = x.detach().mean(dim=1, keepdim=True)
        x, y = x - shift, y - shift
        squares = x.square().sum(-1)[:, :, None] + y.square().sum(-1)[:, None, :]
        return (squares - 2 * (x @ y.transpose(1, 2))).clamp_min(0) / x.shape[2]
    if metric == "cosine":
        return (1 - normalize(x, dim=-1) @ normalize(y, dim=-1).transpose(1, 2)).clamp_min(0)
    raise ValueError(f"metric is 'sqeuclidean' or 'cosine', got {metric!r}")
