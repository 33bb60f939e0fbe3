"""Linear evaluation: a head on the features of a frozen backbone, fitted to convergence."""

import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import BaseLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from ...datasets.inspection import all_labels
from ...models.heads import KNNHead
from ...registry import LOOPS
from ..model import unwrap_model
from .features import Features, features_of
from .fits import DECAYS, KS, check_labels, fit_linear, fit_neighbours


@LOOPS.register_module()
class LinearEvalLoop(BaseLoop):
    """Linear evaluation of a frozen backbone; with a :class:`otcxr_mm.KNNHead`, nearest neighbours instead.

    Features of training and validation images are computed once and standardised. For each weight decay, L-BFGS
    minimises the head's loss plus ``decay / 2 |w|^2`` per class to convergence: there is no learning rate, schedule or
    seed. The decay with the best macro AUROC on the validation images is chosen, its weights are put into the head
    (standardisation folded in), the validation loop runs, and `WORK_DIR/linear.pth` is written, an ordinary checkpoint
    of the classifier.

    A KNNHead gets the training images instead, and the number of neighbours is chosen in the same way; the checkpoint
    is `WORK_DIR/knn.pth`.

    Args:
        runner: Its model is an ImageClassifier whose head is a KNNHead or has a linear layer `fc`, as
            MultiLabelLinearClsHead has.
        dataloader: Of the training images, in any order, without augmentation.
        decays: Weight decays to try; more than one needs a validation data loader.
        max_iters: L-BFGS iterations per decay; a fit that has not converged by then is used as it is, with a warning.
        ks: Numbers of neighbours to try with a KNNHead; more than one needs a validation data loader. Those above the
            number of training images are skipped.
        cache: Folder for the features, which other runs with the same backbone and images may share. Default
            `WORK_DIR/features`.

    Raises:
        ValueError: For another head or number of classes, decays or ks without validation images to choose by, or
            training images among which no class has both positives and negatives.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        decays: Sequence[float] = DECAYS,
        max_iters: int = 1000,
        ks: Sequence[int] = KS,
        cache: str | None = None,
    ) -> None:
        super().__init__(runner, dataloader)
        self.decays, self._fit_iters, self.ks = sorted(decays, reverse=True), max_iters, sorted(ks)
        self.cache = Path(cache or os.path.join(runner.work_dir, "features"))
        self.val_interval = self.val_begin = 1
        self._done = 0

    # what MMEngine's runner asks a training loop
    max_epochs = max_iters = property(lambda self: 1)
    epoch = iter = property(lambda self: self._done)

    def run(self) -> nn.Module:
        """Computes the features, fits the head, validates, and writes the checkpoint."""
        runner, model = self.runner, unwrap_model(self.runner)
        self.check(model)
        # names the checkpoint, and the run's rows in tables unless the config sets another protocol
        protocol = "knn" if isinstance(model.head, KNNHead) else "linear"
        runner.cfg.setdefault("protocol", protocol)
        runner.call_hook("before_train")
        model.requires_grad_(False)
        loaders = [self.dataloader, *([runner.val_loop.dataloader] if runner.val_loop else [])]
        features = [features_of(runner, loader, _size(model.head)[1], self.cache) for loader in loaders]
        self._fit_head(model.head, features[0], features[1] if runner.val_loop else None)
        self._done = 1
        if runner.val_loop:
            runner.val_loop.run()
        name = f"{protocol}.pth"
        runner.save_checkpoint(runner.work_dir, name, save_optimizer=False, save_param_scheduler=False, by_epoch=False)
        runner.logger.info(f"classifier written to {os.path.join(runner.work_dir, name)}")
        runner.call_hook("after_train")
        return runner.model

    def check(self, model: nn.Module) -> None:
        """Fails for a model or data that cannot be fitted, before the features are computed."""
        head, dataset = getattr(model, "head", None), self.dataloader.dataset
        knn = isinstance(head, KNNHead)
        if not knn and not isinstance(getattr(head, "fc", None), nn.Linear):
            raise ValueError(
                "LinearEvalLoop fits model.head.fc of an ImageClassifier, or a KNNHead: set model.head to a "
                "MultiLabelLinearClsHead or an otcxr_mm.KNNHead"
            )
        if self.runner.val_loop is None and len(self.ks if knn else self.decays) > 1:
            name = "ks" if knn else "decays"
            raise ValueError(f"LinearEvalLoop: to choose among several {name}, val_dataloader must be set")
        classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
        if classes is not None and len(classes) != _size(head)[0]:
            raise ValueError(
                f"model.head.num_classes={_size(head)[0]}, but the training set has {len(classes)} classes: "
                f"{', '.join(classes)}"
            )
        if (labels := all_labels(dataset)) is not None:
            check_labels(labels, classes, self.runner.logger)

    def _fit_head(self, head: nn.Module, train: Features, val: Features | None) -> None:
        """Fits the head on the main process, which alone has features, and gives it to the others."""
        state = [None]
        if is_main_process():
            if isinstance(head, KNNHead):
                fit_neighbours(head, train, val, self.ks, self.runner.logger)
            else:
                device = head.fc.weight.device
                train, val = [part and tuple(x.to(device) for x in part) for part in (train, val)]
                fitted = fit_linear(train, val, head.loss_module, self.decays, self._fit_iters, self.runner.logger)
                weight, bias = fitted
                head.fc.weight.copy_(weight)
                head.fc.bias.copy_(bias)
            state = [{name: tensor.cpu() for name, tensor in head.state_dict().items()}]
        # a KNNHead of another process is still empty, so that nothing could be copied into it
        broadcast_object_list(state)
        head.load_state_dict(state[0])


def _size(head: nn.Module) -> tuple[int, int]:
    """Classes and length of the features that a head takes."""
    return tuple(head.fc.weight.shape if hasattr(head, "fc") else (head.labels.shape[1], head.bank.shape[1]))
