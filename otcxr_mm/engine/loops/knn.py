"""Weighted k nearest neighbours among the features of a frozen backbone."""

from collections.abc import Sequence

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...models.heads import KNNHead
from ...registry import LOOPS
from .frozen import FrozenEvalLoop
from .linear import validation_auroc

KS = (5, 10, 20, 50, 100)


@LOOPS.register_module()
class KNNEvalLoop(FrozenEvalLoop):
    """Puts the features and labels of the training images into a :class:`otcxr_mm.KNNHead`.

    The number of neighbours with the best macro AUROC on the validation images is taken, and `WORK_DIR/knn.pth` is
    written, an ordinary checkpoint of the classifier.

    Args:
        runner: Its model is an ImageClassifier with a KNNHead.
        dataloader: Of the training images, in any order, without augmentation.
        ks: Numbers of neighbours to try; more than one needs a validation data loader. Those above the number of
            training images are left out.
        **kwargs: `calibrate` (False): whether the statistics of batch norm are first set to those of up to 1,024
            training images, for a network that was never trained; `cache`: folder for the features, to be shared by
            several runs; True (the default): `WORK_DIR/features`; False: none.

    Raises:
        ValueError: For another model, several numbers without validation images to choose by, or training images among
            which no class has both positives and negatives.
    """

    FILE = "knn.pth"

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, ks: Sequence[int] = KS, **kwargs: object) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self.ks = sorted(ks)

    def check(self, model: nn.Module) -> None:
        """Fails for a model without KNNHead, or several numbers without validation images.

        Raises:
            ValueError: With what is missing.
        """
        if not isinstance(getattr(model, "head", None), KNNHead):
            raise ValueError("KNNEvalLoop fits an otcxr_mm.KNNHead: set model.head to one")
        if self.runner.val_loop is None and len(self.ks) > 1:
            raise ValueError("KNNEvalLoop: to choose among several ks, val_dataloader must be set")

    def fit_head(
        self, model: nn.Module, train: tuple[Tensor, Tensor] | None, val: tuple[Tensor, Tensor] | None
    ) -> None:
        """Fills the head; all processes get the same.

        Args:
            model: The classifier.
            train: Features (n, D) and labels (n, C) of the training images; None in all processes but the main one.
            val: Those of the validation images; None without them.
        """
        state = [None]
        if is_main_process():
            features, labels = train
            ks = [k for k in self.ks if k <= len(features)] or self.ks[:1]
            model.head.set_bank(features, labels)
            best = None
            for k in ks:
                model.head.k = k
                auroc = float("nan")
                if val is not None:
                    scores = model.head.forward((val[0].to(model.head.bank),))
                    auroc = validation_auroc(val[1], scores)
                    self.runner.logger.info(f"{k} neighbours: macro AUROC on validation images {auroc:.4f}")
                if best is None or auroc > best[0]:
                    best = auroc, k
            self.runner.logger.info(f"{best[1]} neighbours are taken")
            state = [(features, labels, best[1])]
        broadcast_object_list(state)
        features, labels, model.head.k = state[0]
        if not is_main_process():
            model.head.set_bank(features, labels)
