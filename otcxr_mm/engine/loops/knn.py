"""Weighted k nearest neighbours among the features of a frozen backbone."""

from collections.abc import Sequence

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...models.heads import KNNHead
from ...registry import LOOPS
from .choice import best
from .frozen import Features, FrozenEvalLoop

KS = (5, 10, 20, 50, 100)


@LOOPS.register_module()
class KNNEvalLoop(FrozenEvalLoop):
    """Puts the features and labels of the training images into a :class:`otcxr_mm.KNNHead`.

    The number of neighbours with the best macro AUROC on the validation images is chosen, and `WORK_DIR/knn.pth` is
    written, an ordinary checkpoint of the classifier.

    Args:
        runner: Its model is an ImageClassifier with a KNNHead.
        dataloader: Of the training images, in any order, without augmentation.
        ks: Numbers of neighbours to try; more than one needs a validation data loader. Those above the number of
            training images are skipped.
        **kwargs: `calibrate` and `cache`, see :class:`otcxr_mm.engine.loops.frozen.FrozenEvalLoop`.

    Raises:
        ValueError: For another model, several numbers without validation images to choose by, or training images among
            which no class has both positives and negatives.
    """

    FILE = "knn.pth"

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, ks: Sequence[int] = KS, **kwargs: object) -> None:
        super().__init__(runner, dataloader, **kwargs)
        self.ks = sorted(ks)

    def check(self, model: nn.Module) -> None:
        """Fails for a model without KNNHead, or several numbers without validation images."""
        if not isinstance(getattr(model, "head", None), KNNHead):
            raise ValueError("KNNEvalLoop fits an otcxr_mm.KNNHead: set model.head to one")
        if self.runner.val_loop is None and len(self.ks) > 1:
            raise ValueError("KNNEvalLoop: to choose among several ks, val_dataloader must be set")

    def fit_head(self, model: nn.Module, train: Features | None, val: Features | None) -> None:
        """Fills the head on the main process and gives it to the others."""
        head, state = model.head, [None]

        def scores(k: int) -> Tensor | None:
            head.k = k
            return head.forward((val[0].to(head.bank),)) if val is not None else None

        if is_main_process():
            head.set_bank(*train)
            ks = [k for k in self.ks if k <= len(train[0])] or self.ks[:1]
            state = [(*train, best(ks, scores, val and val[1], "{} neighbours", self.runner.logger))]
        broadcast_object_list(state)
        *bank, head.k = state[0]
        if not is_main_process():
            head.set_bank(*bank)
