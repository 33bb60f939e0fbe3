"""Shows during pre-training whether features, weights and transport plans are healthy."""

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from ...models import OTCXR, CXRDataPreprocessor, OTHead
from ...models.tokens import Tokens
from ...registry import HOOKS
from ..health import LOGGED, feature_numbers, mean_spread, tokens_spread, training_problems
from ..model import is_sharded, pooled, undisturbed, unwrap_model

SHOWN = 8  # images in the pictures
STEPS = 8  # of the optimiser that are measured in an epoch


@HOOKS.register_module()
class TransportMonitor(Hook):
    """Logs after each epoch what tells a healthy pre-training from a sick one, and warns with what to change.

    - `features/rank`, `features/std`, `features/cosine` of the backbone's features, averaged over space: effective rank
      (the exponential of the entropy of the singular values of the centred features: the directions in use), mean
      standard deviation, and mean cosine of two different images.
    - `weights/step`, `weights/growth` of the backbone's kernels: the largest of some optimiser steps in units of their
      norm, and their norm in units of that before the epoch.
    - `plan/right` of the last batch in OTCXR: the share of tokens whose partner lies near its true place, in a plan
      that sees features alone and not the geometry; `plan/chance`: the same for a random partner.
    - `tokens/std` of the last two batches: the mean standard deviation of projected tokens between images.
    - `plan/marginal_error`, `plan/partners`, `plan/mass`: means over the epoch of what OTHead logs as `ot_...`.

    ``docs/monitoring.md`` states what is healthy. There is no extra forward pass, except for pictures: the hook uses
    the features and tokens that training computes anyway. It does not touch gradients, random draws and batch norm.

    Every few epochs the visualiser gets two pictures: `plans`, pairs of views with the matches of the plan with and
    without geometry, and `features`, dense features with their first three principal components as colours.

    Under FSDP there are no pictures and no `weights/...`: no process has the whole model.

    Args:
        samples: Number of images for the statistics of features, the last ones seen; each contributes two views.
        pictures: Epochs between pictures; the first and the last epoch have them, too. 0: none.
        images: Images in the pictures: ``'drawings'``, procedural radiographs of nobody, the same in every run; or
            ``'training'``, views of the first training images of this start, which trackers do not get unless the
            visualiser has ``share_all=True``.

    Raises:
        ValueError: For other `images`.
    """

    priority = "BELOW_NORMAL"

    def __init__(self, samples: int = 512, pictures: int = 5, images: str = "drawings") -> None:
        if images not in ("drawings", "training"):
            raise ValueError(f"TransportMonitor: images is 'drawings' or 'training', got {images!r}")
        self.samples, self.pictures, self.images = samples, pictures, images
        self.features: deque[Tensor] = deque()
        self.left = 0  # iterations of the epoch after this one
        self.draws = False
        self.batch: dict | None = None
        self.tokens: tuple[Tokens, ...] | None = None
        self.spreads: list[tuple[int, Tensor]] = []
        self.weights: list[Tensor] | None = None
        self.views: tuple | None = None

    def _keep_features(self, module: nn.Module, args: tuple, output: Tensor | tuple[Tensor, ...]) -> None:
        if not module.training:
            return
        self.draws = all(map_.dim() == 4 for map_ in (output if isinstance(output, (tuple, list)) else [output]))
        self.features.append(pooled(output))
        while sum(map(len, self.features)) - len(self.features[0]) >= 2 * self.samples:
            self.features.popleft()

    def _keep_tokens(self, module: nn.Module, args: tuple, output: tuple[Tokens, Tokens]) -> None:
        if module.training and self.left < 2:
            # with the guard, the tokens before infusion alone determine the plan
            both = (tokens if tokens.plain is None else tokens.plain for tokens in output)
            self.tokens = tuple(Tokens(t.dense.detach(), t.pooled.detach(), t.grid) for t in both)
            self.spreads.append(tokens_spread(self.tokens))

    def before_train(self, runner: Runner) -> None:
        """Registers forward hooks on the backbone and, in OTCXR, on the neck."""
        model = unwrap_model(runner)
        self.handles = [model.backbone.register_forward_hook(self._keep_features)]
        if isinstance(model, OTCXR) and isinstance(model.head, OTHead):
            self.handles.append(model.neck.register_forward_hook(self._keep_tokens))

    def before_train_epoch(self, runner: Runner) -> None:
        """Forgets the epoch before."""
        self.norm, self.steps, self.weights, self.spreads = None, [], None, []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Measures the weights, keeps those before some of the optimiser's steps, and counts what is left."""
        if self.norm is None:  # some backbones freeze their first stages only when they are set to training
            parameters = unwrap_model(runner).backbone.parameters()
            self.kernels = [weight for weight in parameters if weight.requires_grad and weight.dim() > 1]
            self.norm = _norm(self.kernels)
        length = len(runner.train_dataloader)
        if batch_idx % max(1, length // STEPS) == 0 and self.weights is None:
            self.weights = [weight.detach().clone() for weight in self.kernels]
        self.left = min((runner.epoch + 1) * length, runner.max_iters) - runner.iter - 1

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Measures a step of the optimiser, and keeps the last batch of an epoch."""
        if self.weights and runner.optim_wrapper.should_update():
            change = torch._foreach_sub([weight.detach() for weight in self.kernels], self.weights)
            self.steps.append(_norm(change) / _norm(self.weights))
            self.weights = None
        self.batch = None if self.left else data_batch

    def after_train_epoch(self, runner: Runner) -> None:
        """Logs the numbers, warns, and draws."""
        model = unwrap_model(runner)
        found, limits = feature_numbers(self.features)
        self.features.clear()
        if self.steps:
            found["weights/step"] = torch.stack(self.steps).max().item()
            found["weights/growth"] = (_norm(self.kernels) / self.norm).item()
        if self.tokens is not None and self.batch is not None:
            found |= self._of_plans(model.head, self.batch["data_samples"])
            scalars, n = runner.message_hub.log_scalars, len(runner.train_dataloader)
            found |= {f"plan/{name[3:]}": float(scalars[f"train/{name}"].mean(n)) for name in LOGGED}
            limits["plan/partners"] = self.tokens[0].dense.shape[1] + (model.head.one_image.global_mass > 0)
        if not found:
            return
        runner.visualizer.add_scalars(found, step=runner.iter)
        most = {name: f" of {limit}" for name, limit in limits.items()}
        listed = ", ".join(f"{name} {value:.4g}{most.get(name, '')}" for name, value in found.items())
        runner.logger.info(f"Epoch {runner.epoch + 1}: {listed}")
        for problem in training_problems(found, limits, getattr(model, "head", None)):
            runner.logger.warning(f"Epoch {runner.epoch + 1}: {problem}")
        first = runner.epoch == 0 or self.is_last_train_epoch(runner)
        if self.pictures and not is_sharded(runner) and (first or self.every_n_epochs(runner, self.pictures)):
            self._draw(runner, model)
        self.tokens = self.batch = None

    def _of_plans(self, head: OTHead, samples: Sequence) -> dict[str, float]:
        found = mean_spread(self.spreads)
        matrices = OTCXR.geometry(samples, self.tokens[0].dense.device)
        if matrices is None:  # no true places are known
            return found
        from ...visualization.plans import match_tokens

        matches = match_tokens(head, *self.tokens, matrices, prior=False)
        matches.seen[_paired(samples)] = False
        if matches.seen.any():
            found["plan/right"], found["plan/chance"] = matches.right()
        return found

    def _draw(self, runner: Runner, model: nn.Module) -> None:
        """Gives the visualiser the pictures; all processes compute, since the head may need all."""
        if not (self.draws and isinstance(model.data_preprocessor, CXRDataPreprocessor) and self.batch):
            return
        from ...visualization.sheets import training_pictures

        if self.views is None:
            self.views = self._views()
        with undisturbed(model):
            pictures = training_pictures(model, *self.views, draw=is_main_process())
        show = runner.visualizer.add_image
        if self.images == "drawings":
            show = getattr(runner.visualizer, "add_drawing", show)
        for name, picture in pictures.items():
            show(name, picture, runner.iter)

    def _views(self) -> tuple[tuple[np.ndarray, np.ndarray], Tensor | None]:
        """Two views of each image of the pictures, and their geometry, if it is known."""
        from ...visualization.views import cropped_pairs, drawings

        inputs, samples = self.batch["inputs"], self.batch["data_samples"]
        if self.images == "drawings":
            return cropped_pairs(drawings(SHOWN, inputs[0].shape[-1]), 0, scale=(0.3, 0.7), min_overlap=0.4)
        rows = torch.argsort(_paired(samples).int(), stable=True)[:SHOWN]  # those of one image first
        views = tuple(view[rows, 0].cpu().numpy() for view in inputs)
        matrices = OTCXR.geometry(samples, "cpu")
        return views, matrices if matrices is None else matrices[rows]

    def after_train(self, runner: Runner) -> None:
        """Removes the forward hooks."""
        for handle in self.handles:
            handle.remove()


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    """Norm of all entries together."""
    if not tensors:
        return torch.zeros(())
    return torch.stack(torch._foreach_norm([tensor.detach() for tensor in tensors])).norm()


def _paired(samples: Sequence) -> Tensor:
    """Which samples are views of two images of a patient, which share no geometry, (B,)."""
    return torch.tensor([bool(sample.get("paired", False)) for sample in samples])
