"""Linear classifiers on fixed features, by L-BFGS."""

import torch
from torch import Tensor, nn


class LinearProblem:
    """Linear classifiers of several labels on the same features, for a sweep of weight decays.

    The features are rotated once to their principal axes. In these coordinates the Hessian of logistic regression is
    nearly diagonal, about q_c lambda_i + decay with q_c = p (1 - p) of the class's prevalence p and lambda_i the
    variance along the axis: scaled by its square root, L-BFGS converges where it did not in a thousand iterations.

    Args:
        x: Features, standardised, (n, D).
        y: Labels, (n, C), NaN for unknown.
        loss: Mean over images and classes.
    """

    def __init__(self, x: Tensor, y: Tensor, loss: nn.Module) -> None:
        n, d = x.shape
        if n < d:
            self.axes = torch.linalg.svd(x, full_matrices=False).Vh.T
        else:
            self.axes = torch.linalg.eigh(x.T @ x)[1]
        self.x, self.y, self.loss = x @ self.axes, y, loss
        self.variance = self.x.square().mean(0)
        known = torch.isfinite(y)
        # never 0 or 1, so that a class without positives has a start, too
        prevalence = (((y == 1).sum(0) + 0.5) / (known.sum(0) + 1)).to(x)
        self.spread = prevalence * (1 - prevalence)
        self.weight, self.bias = x.new_zeros(y.shape[1], self.x.shape[1]), torch.logit(prevalence)

    def minimise(self, decay: float, max_iters: int) -> tuple[Tensor, Tensor, bool]:
        """L-BFGS on loss(x w + b, y) a class + decay / 2 |w|^2; with cross-entropy scikit-learn's C = 1 / (decay n).

        The next call starts from where this one ended.

        Args:
            decay: Weight decay.
            max_iters: At most so many iterations.

        Returns:
            Weight (C, D) and bias (C,) at the minimum, and whether it was reached.
        """
        scale = (self.spread[:, None] * self.variance + decay).clamp_min(1e-12).rsqrt()
        shift = self.spread.rsqrt()
        u, v = (self.weight / scale).requires_grad_(), (self.bias / shift).requires_grad_()
        optimiser = torch.optim.LBFGS(
            [u, v],
            max_iter=max_iters,
            max_eval=4 * max_iters,
            history_size=20,
            tolerance_grad=1e-7,
            tolerance_change=1e-12,
            line_search_fn="strong_wolfe",
        )

        @torch.enable_grad()
        def objective() -> Tensor:
            optimiser.zero_grad()
            weight, bias = u * scale, v * shift
            value = len(bias) * self.loss(self.x @ weight.T + bias, self.y) + decay / 2 * weight.square().sum()
            value.backward()
            return value

        optimiser.step(objective)
        # a line search that stalls ends it, too
        objective()
        steep = max(part.grad.abs().max().item() for part in (u, v))
        converged = optimiser.state[u]["n_iter"] < max_iters and steep < 1e-5
        self.weight, self.bias = (u * scale).detach(), (v * shift).detach()
        return self.weight @ self.axes.T, self.bias, converged
