"""Checks that weights are used with the classes and preprocessing of their training, and that classes have labels."""

from collections.abc import Mapping

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmpretrain.models import BaseClassifier

from ...backbones.preprocessing import differences, preprocessing_of, recorded_preprocessing
from ...datasets.inspection import all_labels, leaves
from ...registry import HOOKS
from ...utils.checkpoints import is_address, locate, trained_config
from ..model import unwrap_model
from .load import LoadBackboneHook


@HOOKS.register_module()
class ConsistencyHook(Hook):
    """Refuses weights that do not belong to the run that loads them, and classes that cannot be learnt.

    A test is refused if the checkpoint lacks weights of the model, if the classes of the test set or their order differ
    from the training set's, or if the normalisation differs from training; another image size is a warning. Resumed
    training is refused if its classes have changed, and any training if the classes of its validation set differ from
    those of its training set, or if images are normalised differently than in the pre-training of its backbone, as the
    JSON beside the weights (or the config in the checkpoint) records. So is training with other convolutions
    (`conv_cfg`) than that JSON records: other padding accepts the same weights, but gives other features. A classifier
    is not trained if no training image has a known label of one of its classes; a class that one of several data sets
    labels is learnt from that one.

    Args:
        strict: Whether a difference ends the run; otherwise it is logged as a warning. Missing weights always end it.

    Raises:
        ValueError: If something differs; names it, for both runs.
    """

    # after the audit, which builds the data sets first
    priority = "HIGH"

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict

    def before_train(self, runner: Runner) -> None:
        """Compares the data sets with each other, and the preprocessing with that of the pre-training."""
        if isinstance(unwrap_model(runner), BaseClassifier):
            self._check_labels(runner)
        val_loop = runner.val_loop
        if val_loop is not None:
            train, val = (_classes(loop.dataloader.dataset) for loop in (runner.train_loop, val_loop))
            self._compare_classes(runner, train, val, "train_dataloader gives", "val_dataloader")
        files = [hook.checkpoint for hook in runner.hooks if isinstance(hook, LoadBackboneHook) and hook.checkpoint]
        for weights in [locate(file) for file in files if not runner.iter and not is_address(file)]:
            if weights.is_file():  # otherwise the hook that loads it raises an error
                before, now = recorded_preprocessing(weights), preprocessing_of(runner.cfg)
                self._compare_preprocessing(runner, str(weights), before, now)
                self._compare_convolutions(runner, str(weights), before.get("backbone"))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds the names of the masks to what MMEngine saves about the training set."""
        named = _classes(runner.train_dataloader.dataset)
        if "mask_classes" in named:
            meta = checkpoint["meta"]
            meta["dataset_meta"] = {**(meta.get("dataset_meta") or {}), "mask_classes": named["mask_classes"]}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compares the checkpoint with this run."""
        training = isinstance(runner._train_loop, BaseLoop)
        if training and not runner._resume:  # only weights to start from
            return
        if not training:
            _require_weights(runner, checkpoint)
        saved = (checkpoint.get("meta") or {}).get("dataset_meta")
        for role in ("train",) if training else ("val", "test"):
            loop = getattr(runner, f"_{role}_loop", None)
            if isinstance(loop, BaseLoop):
                now, whose = _classes(loop.dataloader.dataset), "the checkpoint was trained for"
                self._compare_classes(runner, _named(saved), now, whose, f"{role}_dataloader")
        trained = trained_config(checkpoint)
        if trained is not None and not training:
            both = preprocessing_of(trained, "test"), preprocessing_of(runner.cfg, "test")
            self._compare_preprocessing(runner, "the checkpoint", *both)

    def _check_labels(self, runner: Runner) -> None:
        dataset = runner.train_dataloader.dataset
        labels = all_labels(dataset)
        if labels is None:
            return
        names = _classes(dataset).get("classes") or list(map(str, range(labels.shape[1])))
        nowhere = [name for name, unknown in zip(names, np.isnan(labels).all(0), strict=True) if unknown]
        if nowhere:
            self._report(
                runner,
                f"no training image has a known label of {nowhere}: these classes cannot be learnt. Leave them out of "
                "classes of every data set and lower model.head.num_classes, add a data set that labels them, or set "
                "default_hooks.consistency.strict=False to train the other classes alone",
            )

    def _compare_classes(self, runner: Runner, first: dict, second: dict, whose: str, loader: str) -> None:
        for key in first.keys() & second.keys():
            if first[key] != second[key]:
                self._report(
                    runner,
                    f"{whose} the classes {first[key]}, but {loader} gives {second[key]}: scores would be read against "
                    "the wrong classes. Give both data sets the same classes in the same order",
                )

    def _compare_preprocessing(self, runner: Runner, weights: str, before: Mapping, now: Mapping) -> None:
        changed = differences(before, now)
        then, today = (", ".join(f"{key}={settings[key]}" for key in changed) for settings in (before, now))
        message = f"{weights} was trained with {then}, but this run uses {today}"
        if changed == ["size"]:
            runner.logger.warning(message)
        elif changed:
            self._report(
                runner,
                f"{message}: set model.data_preprocessor (mean, std) and LoadCXR (max_value) to the values of that "
                "training, or default_hooks.consistency.strict=False if the difference is intended",
            )

    def _compare_convolutions(self, runner: Runner, weights: str, before: Mapping | None) -> None:
        now = runner.cfg.model.backbone
        if not before or _registered(before) != _registered(now):  # another library's network, or no record
            return
        then, today = (dict(spec.get("conv_cfg") or {}) or None for spec in (before, now))
        if then != today:
            self._report(
                runner,
                f"{weights} was trained with the convolutions conv_cfg={then}, but this run uses conv_cfg={today}: the "
                f"features would differ. Set model.backbone.conv_cfg={then}, or "
                "default_hooks.consistency.strict=False if the difference is intended",
            )

    def _report(self, runner: Runner, message: str) -> None:
        if self.strict:
            raise ValueError(message)
        runner.logger.warning(message)


def _classes(dataset: object) -> dict[str, list[str]]:
    """Names of the labels and of the masks; for several data sets, the masks only if all have the same."""
    masks = {tuple(getattr(leaf, "mask_classes", ())) for leaf in leaves(dataset)}
    same = masks.pop() if len(masks) == 1 else ()
    return _named({**(getattr(dataset, "metainfo", None) or {}), "mask_classes": same})


def _registered(spec: Mapping) -> str:
    """Name of a part without its scope."""
    return str(spec.get("type")).rpartition(".")[2]


def _named(meta: Mapping | None) -> dict[str, list[str]]:
    meta = meta if isinstance(meta, Mapping) else {}
    return {key: [str(name) for name in meta[key]] for key in ("classes", "mask_classes") if meta.get(key)}


def _require_weights(runner: Runner, checkpoint: Mapping) -> None:
    """Refuses missing weights and weights of another shape, which MMEngine would leave at random values."""
    state = {name.removeprefix("module."): value for name, value in checkpoint.get("state_dict", checkpoint).items()}
    wanted = dict(unwrap_model(runner).named_parameters())
    lacking = [name for name, value in wanted.items() if name not in state or state[name].shape != value.shape]
    if lacking:
        name, given = lacking[0], tuple(getattr(state.get(lacking[0]), "shape", ())) or "missing"
        raise ValueError(
            f"the checkpoint lacks {len(lacking)} of the model's weights, or has other shapes ({name}: {given}, in the "
            f"model {tuple(wanted[name].shape)}), so they would stay random: test the checkpoint that the training of "
            "this config wrote"
        )
