"""Linear evaluation: a head on the features of a frozen backbone, fitted to convergence."""

from collections.abc import Sequence

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...models.heads import KNNHead
from ...registry import LOOPS
from .frozen import FrozenEvalLoop
from .knn import KS, fit_neighbours, validation_auroc
from .linear_problem import LinearProblem

DECAYS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)


@LOOPS.register_module()
class LinearEvalLoop(FrozenEvalLoop):
    """Linear evaluation of a frozen backbone; with a :class:`otcxr_mm.KNNHead`, nearest neighbours instead.

    Features of training and validation images are computed once and standardised. For each weight decay L-BFGS
    minimises the head's loss plus ``decay / 2 |w|^2`` per class, to convergence: no learning rate, schedule or seed
    enters. The decay with the best macro AUROC on the validation images is taken, its weights are put into the head
    (standardisation folded in), the validation loop runs, and `WORK_DIR/linear.pth` is written, an ordinary checkpoint
    of the classifier.

    A KNNHead gets the training images instead, and the number of neighbours is chosen in the same way; the checkpoint
    is `WORK_DIR/knn.pth`.

    Args:
        runner: Its model is an ImageClassifier whose head is a KNNHead or has a linear layer `fc`, as
            MultiLabelLinearClsHead has.
        dataloader: Of the training images, in any order, without augmentation.
        decays: Weight decays to try; more than one needs a validation data loader.
        max_iters: L-BFGS iterations per decay; a fit that has not converged by then is kept, with a warning.
        ks: Numbers of neighbours to try with a KNNHead; more than one needs a validation data loader. Those above the
            number of training images are left out.
        **kwargs: `calibrate` (False): whether the statistics of batch norm are first set to those of up to 1,024
            training images, for a network that was never trained; `cache`: folder for the features, to be shared by
            several runs; True (the default): `WORK_DIR/features`; False: none.

    Raises:
        ValueError: For another model, decays or ks without validation images to choose by, or training images among
            which no class has both positives and negatives.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        decays: Sequence[float] = DECAYS,
        max_iters: int = 1000,
        ks: Sequence[int] = KS,
        **kwargs: object,
    ) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self.decays, self._fit_iters = sorted(decays, reverse=True), max_iters
        self.ks = sorted(ks)

    def check(self, model: nn.Module) -> None:
        """Fails for a model with another head, or several decays or ks without validation images.

        Raises:
            ValueError: With what is missing.
        """
        head = getattr(model, "head", None)
        if not isinstance(head, KNNHead) and not isinstance(getattr(head, "fc", None), nn.Linear):
            raise ValueError(
                "LinearEvalLoop fits model.head.fc of an ImageClassifier, or a KNNHead: set model.head to a "
                "MultiLabelLinearClsHead or an otcxr_mm.KNNHead"
            )
        self.protocol = "knn" if isinstance(head, KNNHead) else "linear"
        classes = (getattr(self.dataloader.dataset, "metainfo", None) or {}).get("classes")
        if classes is not None and len(classes) != _size(head)[0]:
            raise ValueError(
                f"model.head.num_classes={_size(head)[0]}, but the training set has {len(classes)} classes: "
                f"{', '.join(classes)}"
            )
        labels = getattr(getattr(self.dataloader.dataset, "records", None), "labels", None)
        if labels is not None:  # before the features are computed
            self._check_labels(torch.from_numpy(labels))
        name, values = ("ks", self.ks) if self.protocol == "knn" else ("decays", self.decays)
        if self.runner.val_loop is None and len(values) > 1:
            raise ValueError(f"LinearEvalLoop: to choose among several {name}, val_dataloader must be set")

    def check_features(self, model: nn.Module, width: int) -> None:
        """Fails if the head takes features of another width.

        Raises:
            ValueError: With both widths.
        """
        expected = _size(model.head)[1]
        if width != expected:
            raise ValueError(
                f"model.head.in_channels={expected}, but the backbone and neck give features of {width} channels: set "
                f"it to {width}"
            )

    def fit_head(
        self, model: nn.Module, train: tuple[Tensor, Tensor] | None, val: tuple[Tensor, Tensor] | None
    ) -> None:
        """Fits the head on the main process and gives it to the others.

        Args:
            model: The classifier.
            train: Features (n, D) and labels (n, C) of the training images; None in all processes but the main one.
            val: Those of the validation images; None without them.
        """
        head = model.head
        if is_main_process():
            if self.protocol == "knn":
                fit_neighbours(head, self.ks, train, val, self.runner.logger)
            else:
                device = head.fc.weight.device
                train, val = [part and tuple(x.to(device) for x in part) for part in (train, val)]
                weight, bias = self.fit(*train, val, head.loss_module)
                head.fc.weight.copy_(weight)
                head.fc.bias.copy_(bias)
        # a KNNHead of another process is still empty, so that nothing could be copied into it
        state = [{name: tensor.cpu() for name, tensor in head.state_dict().items()} if is_main_process() else None]
        broadcast_object_list(state)
        head.load_state_dict(state[0])

    def fit(self, x: Tensor, y: Tensor, val: tuple[Tensor, Tensor] | None, loss: nn.Module) -> tuple[Tensor, Tensor]:
        """Fits a linear head.

        Args:
            x: Features (n, D), as they are.
            y: Labels (n, C): 1, 0, or NaN for unknown.
            val: Features and labels of the validation images, to choose the decay by; None for a single decay.
            loss: Of logits and labels, (n, C) each.

        Returns:
            Weight (C, D) and bias (C,), for features as they are.
        """
        if x.numel() <= 2**27:  # a gigabyte
            x, val = x.double(), val and (val[0].double(), val[1])
        mean, std = x.mean(0), x.std(0) + 1e-6
        # a channel that hardly moves on these images says nothing, and may move on others
        std[std < 1e-4 * std.median()] = float("inf")
        problem = LinearProblem((x - mean) / std, y, loss)
        best = None
        for decay in self.decays:  # from strong to weak, each from where the last one ended
            weight, bias, converged = problem.minimise(decay, self._fit_iters)
            if not converged:
                self.runner.logger.warning(
                    f"weight decay {decay:g}: no convergence in {self._fit_iters} iterations: raise train_cfg.max_iters"
                )
            auroc = float("nan")
            if val is not None:
                scores = (val[0] - mean) / std @ weight.T + bias
                auroc = validation_auroc(val[1], scores)
                self.runner.logger.info(f"weight decay {decay:g}: macro AUROC on validation images {auroc:.4f}")
            if best is None or auroc > best[0]:
                best = auroc, decay, weight, bias
        _, decay, weight, bias = best
        self.runner.logger.info(f"weight decay {decay:g} is taken")
        if len(self.decays) > 1 and decay in (self.decays[0], self.decays[-1]):
            self.runner.logger.warning(
                f"weight decay {decay:g} is at the end of those tried: one beyond may be better (train_cfg.decays)"
            )
        return weight / std, bias - (weight / std) @ mean


def _size(head: nn.Module) -> tuple[int, int]:
    """Classes and length of the features that a head takes."""
    return tuple(head.fc.weight.shape if hasattr(head, "fc") else (head.labels.shape[1], head.bank.shape[1]))
