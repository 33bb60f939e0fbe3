"""Linear evaluation: a linear head on the features of a frozen backbone, fitted to convergence."""

import os
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import broadcast, collect_results, is_main_process
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...evaluation.metrics.multilabel_auc import per_class
from ...registry import LOOPS
from ..model import bare_model

DECAYS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@LOOPS.register_module()
class LinearEvalLoop(BaseLoop):
    """Fits the linear head of an ImageClassifier while everything before it stays as it is.

    Features of training and validation images are computed once, in evaluation mode, and standardised. For each weight
    decay L-BFGS minimises the head's loss plus decay / 2 |w|^2 a class, to convergence: no learning rate, schedule or
    seed enters. The decay with the best macro AUROC on the validation images is taken, its weights are put into the
    head (standardisation folded in), the validation loop runs, and `WORK_DIR/linear.pth` is written, an ordinary
    checkpoint of the classifier.

    Args:
        runner: Its model is an ImageClassifier whose head has a linear layer `fc`, as MultiLabelLinearClsHead.
        dataloader: Of the training images, in any order, without augmentation.
        decays: Weight decays to try; more than one needs a validation data loader.
        max_iters: L-BFGS iterations a decay, after which a fit that has not converged is left as it is, with a warning.
        calibrate: Whether the statistics of batch norm are first set to those of up to 1,024 training images: for a
            network that was never trained, whose own are those of no data.

    Raises:
        ValueError: For another model, or decays without validation images to choose by.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        decays: Sequence[float] = DECAYS,
        max_iters: int = 1000,
        calibrate: bool = False,
    ) -> None:
        super().__init__(runner, dataloader)
        self.decays, self._fit_iters, self.calibrate = sorted(decays, reverse=True), max_iters, calibrate
        self.val_interval = self.val_begin = 1
        self._done = 0

    # what MMEngine's runner asks a training loop
    max_epochs = max_iters = property(lambda self: 1)
    epoch = iter = property(lambda self: self._done)

    def run(self) -> nn.Module:
        """Fits the head."""
        runner, model = self.runner, bare_model(self.runner)
        head = getattr(model, "head", None)
        if not isinstance(getattr(head, "fc", None), nn.Linear) or not hasattr(model, "extract_feat"):
            raise ValueError(
                "LinearEvalLoop fits model.head.fc of an ImageClassifier: take the head MultiLabelLinearClsHead"
            )
        if runner.val_loop is None and len(self.decays) > 1:
            raise ValueError("LinearEvalLoop: to choose among several decays, val_dataloader must be set")
        runner.call_hook("before_train")
        model.requires_grad_(False)
        if self.calibrate:
            calibrate_batch_norm(model, self.dataloader)
        train = self.features(self.dataloader)
        val = self.features(runner.val_loop.dataloader) if runner.val_loop else None
        if is_main_process():
            device = head.fc.weight.device
            train, val = [part and tuple(x.to(device) for x in part) for part in (train, val)]
            weight, bias = self.fit(*train, val, head.loss_module)
            head.fc.weight.copy_(weight)
            head.fc.bias.copy_(bias)
        for parameter in (head.fc.weight, head.fc.bias):
            broadcast(parameter.data)
        self._done = 1
        if runner.val_loop:
            runner.val_loop.run()
        runner.save_checkpoint(
            runner.work_dir, "linear.pth", save_optimizer=False, save_param_scheduler=False, by_epoch=False
        )
        runner.logger.info(f"classifier written to {os.path.join(runner.work_dir, 'linear.pth')}")
        runner.call_hook("after_train")
        return runner.model

    @torch.no_grad()
    def features(self, loader: DataLoader) -> tuple[Tensor, Tensor]:
        """Features (n, D) and labels (n, C) of a loader's images, on the CPU, in the data set's order."""
        model = bare_model(self.runner)
        model.eval()
        rows = []
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            feats = model.extract_feat(data["inputs"])[-1].float().cpu()
            for sample, feature in zip(data["data_samples"], feats, strict=True):
                if "gt_score" not in sample:
                    raise ValueError("the data set of a linear evaluation must have labels (gt_score)")
                rows.append((feature, sample.gt_score.float().cpu()))
        rows = collect_results(rows, len(loader.dataset), "cpu")
        if rows is None:  # not the main process
            return torch.empty(0), torch.empty(0)
        return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])

    def fit(self, x: Tensor, y: Tensor, val: tuple[Tensor, Tensor] | None, loss: nn.Module) -> tuple[Tensor, Tensor]:
        """The head's weight (C, D) and bias (C,), for features x (n, D) as they are, and labels y (n, C)."""
        self._check_labels(y)
        if x.numel() <= 2**27:  # a gigabyte
            x, val = x.double(), val and (val[0].double(), val[1])
        mean, std = x.mean(0), x.std(0) + 1e-6
        x = (x - mean) / std
        weight, bias = x.new_zeros(y.shape[1], x.shape[1]), x.new_zeros(y.shape[1])
        best = None
        for decay in self.decays:  # from strong to weak, each from where the last one ended
            weight, bias, converged = minimise(x, y, weight, bias, decay, loss, self._fit_iters)
            if not converged:
                self.runner.logger.warning(
                    f"weight decay {decay:g}: no convergence in {self._fit_iters} iterations: raise train_cfg.max_iters"
                )
            auroc = float("nan")
            if val is not None:
                scores = (val[0] - mean) / std @ weight.T + bias
                values, _ = per_class(val[1].double().cpu().numpy(), scores.double().cpu().numpy())
                auroc = float(np.nanmean(values))
                self.runner.logger.info(f"weight decay {decay:g}: macro AUROC on validation images {auroc:.4f}")
            if best is None or auroc > best[0]:
                best = auroc, decay, weight, bias
        _, decay, weight, bias = best
        self.runner.logger.info(f"weight decay {decay:g} is taken")
        return weight / std, bias - (weight / std) @ mean

    def _check_labels(self, y: Tensor) -> None:
        lacking = ((y == 1).sum(0) == 0) | ((y == 0).sum(0) == 0)
        names = (getattr(self.dataloader.dataset, "metainfo", None) or {}).get("classes") or range(len(lacking))
        if lacking.all():
            raise ValueError(
                f"no class has both positives and negatives among the {len(y)} training images: take others, or more"
            )
        if lacking.any():
            named = ", ".join(str(name) for name, no in zip(names, lacking.tolist(), strict=True) if no)
            self.runner.logger.warning(
                f"without positives or without negatives among the {len(y)} training images, so that their scores mean "
                f"nothing: {named}"
            )


def minimise(
    x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, decay: float, loss: nn.Module, max_iters: int
) -> tuple[Tensor, Tensor, bool]:
    """L-BFGS on loss(x w + b, y) a class + decay / 2 |w|^2; with binary cross-entropy scikit-learn's C = 1 / (decay n).

    Args:
        x: (n, D).
        y: (n, C).
        weight: Start, (C, D).
        bias: Start, (C,).
        decay: Weight decay.
        loss: Mean over images and classes.
        max_iters: At most so many iterations.

    Returns:
        Weight and bias at the minimum, and whether it was reached.
    """
    weight, bias = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [weight, bias],
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
        value = len(bias) * loss(x @ weight.T + bias, y) + decay / 2 * weight.square().sum()
        value.backward()
        return value

    optimiser.step(objective)
    converged = optimiser.state[weight]["n_iter"] < max_iters
    return weight.detach(), bias.detach(), converged


@torch.no_grad()
def calibrate_batch_norm(model: nn.Module, loader: DataLoader, images: int = 1024) -> None:
    """Sets the statistics of batch norm to those of a loader's first images, averaged over its batches."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    seen = 0
    for batch in loader:
        data = model.data_preprocessor(batch, False)
        model.extract_feat(data["inputs"])
        seen += len(data["inputs"])
        if seen >= images:
            break
    model.eval()
    for norm in norms:  # those of the first process's images, in all processes
        broadcast(norm.running_mean)
        broadcast(norm.running_var)
