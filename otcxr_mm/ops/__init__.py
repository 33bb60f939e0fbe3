"""Pure functions on tensors: transport, statistics, geometry, collectives. They need torch only."""

from .correspondence import Correspondence, correspondence
from .cost import cost
from .dist import all_reduce_mean, all_reduce_sum
from .exact import exact_plan
from .geometry import geometric_prior, token_centres, visibility
from .precision import full_precision
from .rank import effective_rank
from .sinkhorn import Transport, sinkhorn, sinkhorn_divergence
from .vicreg import covariance, covariance_matrix, variance

__all__ = [
    "Correspondence",
    "Transport",
    "all_reduce_mean",
    "all_reduce_sum",
    "correspondence",
    "cost",
    "covariance",
    "covariance_matrix",
    "effective_rank",
    "exact_plan",
    "full_precision",
    "geometric_prior",
    "sinkhorn",
    "sinkhorn_divergence",
    "token_centres",
    "variance",
    "visibility",
]
