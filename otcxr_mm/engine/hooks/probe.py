"""Asks during pre-training what the features are worth so far."""

from collections.abc import Sequence

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from ...datasets.audit import PRETRAIN, audit
from ...registry import HOOKS
from ..health import probe_problems
from ..loops.fits import DECAYS, KS, check_labels
from ..model import refuse_sharded, undisturbed, unwrap_model
from ..probe import ProbeImages, probe_labels, probe_masks, probe_views, read_images
from .audit import enforce


@HOOKS.register_module()
class OnlineProbeHook(Hook):
    """Evaluates the frozen backbone on a small labelled set every few epochs of a pre-training.

    With `labels`: macro AUROC on the validation images of linear classifiers and of nearest neighbours, which are what
    :class:`otcxr_mm.LinearEvalLoop` fits to the same images. With `masks`: the Dice of masks read linearly from each
    dense token, and that of the mean training mask (`blind`). With either: correspondence, the share of tokens of a
    validation image whose nearest neighbour in another view of it lies within one cell of the true place, beside that
    of the token of the same index and of a random one. The backbone is the one that the run exports, not its EMA
    target.

    The numbers go to the log and, as `probe/...`, to the visualiser. The images are read once and stay in the main
    process's memory, which does the work alone: take some hundred. Training is not touched: with and without the hook
    it gives the same weights, bit for bit.

    The leak audit's rules hold: a patient or file in both `train` and `val` ends the run, validation images that the
    pre-training has seen too are a note in the log. Copies under other names, and labels that are suspiciously easy to
    predict, are warnings.

    Args:
        labels: ``dict(train=..., val=...)``, configs of two data sets with labels and a pipeline without random draws.
        masks: The same of data sets with masks.
        interval: Epochs (iterations with ``by_epoch=False``) between probes; there is one at the end, too.
        by_epoch: Unit of `interval`.
        views: Number of validation images for the correspondence; 0: none.
        decays: Weight decays to try, as of LinearEvalLoop.
        ks: Numbers of neighbours to try, as of LinearEvalLoop.
        strict: Whether a leak ends the run; otherwise it is a warning.

    Raises:
        ValueError: For neither labels nor masks; before training for a leak (with `strict`), data sets without labels
            or masks or with different classes, and labels among which no class has both positives and negatives.
    """

    # after the EMA target and batch norm statistics have been updated
    priority = "LOW"

    def __init__(
        self,
        labels: dict | None = None,
        masks: dict | None = None,
        interval: int = 2,
        by_epoch: bool = True,
        views: int = 64,
        decays: Sequence[float] = DECAYS,
        ks: Sequence[int] = KS,
        strict: bool = True,
    ) -> None:
        self.specs = {kind: spec for kind, spec in (("labels", labels), ("masks", masks)) if spec is not None}
        wrong = [kind for kind, spec in self.specs.items() if set(spec) != {"train", "val"}]
        if wrong or not self.specs:
            raise ValueError(
                "OnlineProbeHook: labels, masks or both are dict(train=..., val=...) with configs of data sets, got "
                f"{labels=}, {masks=}"
            )
        self.interval, self.by_epoch, self.views, self.strict = interval, by_epoch, views, strict
        self.decays, self.ks = sorted(decays, reverse=True), sorted(ks)
        self.images: dict[str, tuple[ProbeImages, ProbeImages]] = {}
        self.probed = 0

    def before_train(self, runner: Runner) -> None:
        """Builds and audits the data sets, and reads their images."""
        refuse_sharded(runner, "OnlineProbeHook")
        for kind, spec in self.specs.items():
            train, val = (DATASETS.build(spec[role]) for role in ("train", "val"))
            self._audit(runner, kind, train, val)
            if is_main_process():
                self.images[kind] = self._read(runner, kind, train, val)

    def _audit(self, runner: Runner, kind: str, train: object, val: object) -> None:
        found = audit({"train": train, "val": val, f"{PRETRAIN}train": runner.train_dataloader.dataset})
        enforce(found, f"Leak audit of the online probe's {kind}", self.strict, runner.logger)

    def _read(self, runner: Runner, kind: str, *datasets: object) -> tuple[ProbeImages, ProbeImages]:
        train, val = (read_images(dataset, kind) for dataset in datasets)
        if train.names != val.names:
            raise ValueError(
                f"OnlineProbeHook: {kind}.train has the classes {list(train.names)}, {kind}.val {list(val.names)}: "
                "give both the same classes in the same order"
            )
        if kind == "labels":
            for images in (train, val):
                check_labels(images.labels.numpy(), images.names, runner.logger)
        if copies := val.copies_of(train):
            runner.logger.warning(
                f"online probe: {copies} of {len(val)} images in {kind}.val are copies of images in {kind}.train under "
                "other names, so its figures are too good: remove them from one of the two"
            )
        return train, val

    def after_train_epoch(self, runner: Runner) -> None:
        """Probes, if configured by epoch."""
        if self.by_epoch and (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            self._probe(runner, f"Epoch {runner.epoch + 1}", runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Probes, if configured by iteration."""
        if not self.by_epoch and (self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)):
            self._probe(runner, f"Iteration {runner.iter + 1}", runner.iter + 1)

    def _probe(self, runner: Runner, when: str, step: int) -> None:
        if not is_main_process():
            return
        model, found = unwrap_model(runner), {}
        parts = model.backbone, model.data_preprocessor
        with undisturbed(model):
            if "labels" in self.images:
                found |= probe_labels(*parts, *self.images["labels"], self.decays, self.ks)
            if "masks" in self.images:
                found |= probe_masks(*parts, *self.images["masks"])
            if self.views:
                held_back = next(iter(self.images.values()))[1]
                found |= probe_views(*parts, held_back.inputs[: self.views])
        runner.visualizer.add_scalars(found, step=step)
        summary = ", ".join(f"{name[6:]} {value:.4f}" for name, value in found.items() if name.count("/") == 1)
        counts = "; ".join(f"{len(a)} + {len(b)} images with {kind}" for kind, (a, b) in self.images.items())
        runner.logger.info(f"{when}: probe of frozen features ({counts}): {summary}")
        for problem in () if self.probed else probe_problems(found):
            runner.logger.warning(f"{when}: {problem}")
        self.probed += 1
