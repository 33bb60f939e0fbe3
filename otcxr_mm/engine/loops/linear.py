"""Linear evaluation: a linear head on the features of a frozen backbone, fitted to convergence."""

from collections.abc import Sequence

import torch
from mmengine.dist import broadcast, is_main_process
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...registry import LOOPS
from .choice import best
from .frozen import Features, FrozenEvalLoop

DECAYS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


@LOOPS.register_module()
class LinearEvalLoop(FrozenEvalLoop):
    """Fits the linear head of an ImageClassifier while everything before it stays as it is.

    Features of training and validation images are computed once and standardised. For each weight decay, L-BFGS
    minimises the head's loss plus ``decay / 2 |w|^2`` per class to convergence: there is no learning rate, schedule or
    seed. The decay with the best macro AUROC on the validation images is chosen, its weights are put into the head
    (standardisation folded in), the validation loop runs, and `WORK_DIR/linear.pth` is written, an ordinary checkpoint
    of the classifier.

    Args:
        runner: Its model is an ImageClassifier whose head has a linear layer `fc`, as MultiLabelLinearClsHead.
        dataloader: Of the training images, in any order, without augmentation.
        decays: Weight decays to try; more than one needs a validation data loader.
        max_iters: L-BFGS iterations per decay; a fit that has not converged by then is used as it is, with a warning.
        **kwargs: `calibrate` and `cache`, see :class:`otcxr_mm.engine.loops.frozen.FrozenEvalLoop`.

    Raises:
        ValueError: For another model, decays without validation images to choose by, or training images among which no
            class has both positives and negatives.
    """

    FILE = "linear.pth"

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        decays: Sequence[float] = DECAYS,
        max_iters: int = 1000,
        **kwargs: object,
    ) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self.decays, self._fit_iters = sorted(decays, reverse=True), max_iters

    def check(self, model: nn.Module) -> None:
        """Fails for a model without linear head, other classes, or several decays without validation images."""
        if not isinstance(getattr(getattr(model, "head", None), "fc", None), nn.Linear):
            raise ValueError(
                "LinearEvalLoop fits model.head.fc of an ImageClassifier: set model.head.type=MultiLabelLinearClsHead"
            )
        classes = (getattr(self.dataloader.dataset, "metainfo", None) or {}).get("classes")
        if classes is not None and len(classes) != model.head.fc.out_features:
            raise ValueError(
                f"model.head.num_classes={model.head.fc.out_features}, but the training set has {len(classes)} "
                f"classes: {', '.join(classes)}"
            )
        labels = getattr(getattr(self.dataloader.dataset, "records", None), "labels", None)
        if labels is not None:  # before the features are computed
            self.check_labels(torch.from_numpy(labels))
        if self.runner.val_loop is None and len(self.decays) > 1:
            raise ValueError("LinearEvalLoop: to choose among several decays, val_dataloader must be set")

    def check_features(self, model: nn.Module, width: int) -> None:
        """Fails if the head takes features of another width."""
        if width != model.head.fc.in_features:
            raise ValueError(
                f"model.head.in_channels={model.head.fc.in_features}, but the backbone and neck give features of "
                f"{width} channels: set it to {width}"
            )

    def fit_head(self, model: nn.Module, train: Features | None, val: Features | None) -> None:
        """Fits `head.fc` on the main process and gives it to the others."""
        fc = model.head.fc
        if is_main_process():
            device = fc.weight.device
            train, val = [part and tuple(x.to(device) for x in part) for part in (train, val)]
            weight, bias = self._fit(*train, val, model.head.loss_module)
            fc.weight.copy_(weight)
            fc.bias.copy_(bias)
        for parameter in (fc.weight, fc.bias):
            broadcast(parameter.data)

    def _fit(self, x: Tensor, y: Tensor, val: Features | None, loss: nn.Module) -> tuple[Tensor, Tensor]:
        """Weight (C, D) and bias (C,) for features as they are, with the best decay."""
        if x.numel() <= 2**27:  # a gigabyte
            x, val = x.double(), val and (val[0].double(), val[1])
        mean, std = x.mean(0), x.std(0) + 1e-6
        # a channel that hardly varies on these images says nothing, and may vary on others
        std[std < 1e-4 * std.median()] = float("inf")
        problem, logger = LinearProblem((x - mean) / std, y, loss), self.runner.logger
        fitted = {}

        def scores(decay: float) -> Tensor | None:
            weight, bias, converged = problem.minimise(decay, self._fit_iters)
            fitted[decay] = weight, bias
            if not converged:
                logger.warning(
                    f"weight decay {decay:g}: no convergence in {self._fit_iters} iterations: raise train_cfg.max_iters"
                )
            return (val[0] - mean) / std @ weight.T + bias if val is not None else None

        # from strong to weak, each from where the last one ended
        decay = best(self.decays, scores, val and val[1], "weight decay {:g}", logger)
        if len(self.decays) > 1 and decay in (self.decays[0], self.decays[-1]):
            logger.warning(
                f"weight decay {decay:g} is the first or last of those tried: a value beyond it may be better "
                "(train_cfg.decays)"
            )
        weight, bias = fitted[decay]
        return weight / std, bias - (weight / std) @ mean


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
        """L-BFGS on the loss per class plus decay / 2 |w|^2; with cross-entropy scikit-learn's C = 1 / (decay n).

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
