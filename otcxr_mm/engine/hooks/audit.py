"""Looks for leaks between training and evaluation before a run starts."""

import logging
import os

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger, print_log
from mmengine.runner import Runner

from ...datasets.audit import PRETRAIN, audit
from ...datasets.findings import Audit
from ...datasets.inspection import ROLES, build_datasets, build_untrusted
from ...datasets.listed import listed_images
from ...registry import HOOKS
from ...utils.checkpoints import is_address, locate
from ...utils.configs import find_config, read_settings
from .load import LoadBackboneHook


@HOOKS.register_module()
class LeakAuditHook(Hook):
    """Compares the patients and files of training, validation and test, and prints what they share.

    What training shares with validation or test, or pre-training with test, is a leak and ends the run. What
    pre-training shares with validation is a note in the log, which states the consequence.

    The hook uses the data sets that the runner has built, and builds those that the runner does not need, such as the
    test set during training; a data set that is not on this machine is left out with a warning.

    Args:
        pretrain_config: Config of the run that pre-trained the backbone, preferably the copy in its work dir, which
            includes its ``--cfg-options``. Its training data is compared with this run's validation and test sets. Code
            in it is run. Default: the config beside the checkpoint of the run's :class:`otcxr_mm.LoadBackboneHook`,
            which is read without running any code; if there is none, or if it holds more than plain settings, a warning
            says that nothing was compared.
        strict: Whether a leak ends the run; otherwise it is a warning. ``otcxr audit`` names the patients.
    """

    priority = "VERY_HIGH"

    def __init__(self, pretrain_config: str | None = None, strict: bool = True) -> None:
        if pretrain_config is not None and not os.path.isfile(pretrain_config):
            pretrain_config = str(find_config(pretrain_config))
        self.pretrain_config, self.strict = pretrain_config, strict

    def before_run(self, runner: Runner) -> None:
        """Raises a ValueError if there is a leak and `strict` is set."""
        datasets = self._datasets(runner)
        for hook in runner.hooks:
            if hasattr(hook, "keep_datasets"):  # saves reading the tables again
                hook.keep_datasets({role: dataset for role, dataset in datasets.items() if role in ROLES})
        enforce(audit(datasets), "Leak audit", self.strict, runner.logger)

    def _datasets(self, runner: Runner) -> dict[str, object]:
        datasets = {}
        for role in ROLES:
            loop, loader = getattr(runner, f"_{role}_loop", None), getattr(runner, f"_{role}_dataloader", None)
            dataset = getattr(getattr(loop, "dataloader", loader), "dataset", None)
            if dataset is not None and not isinstance(dataset, dict):
                datasets[role] = dataset
            elif isinstance(loader, dict):
                datasets |= _build({f"{role}_dataloader": loader}, role)
        if self.pretrain_config is not None:
            return datasets | _build(Config.fromfile(self.pretrain_config), "train", PRETRAIN)
        for hook in runner.hooks:
            if isinstance(hook, LoadBackboneHook) and hook.checkpoint:
                datasets |= _build_beside(hook.checkpoint)
        return datasets


def enforce(found: Audit, title: str, strict: bool, logger: MMLogger) -> None:
    """Logs what an audit has found; a leak is a ValueError if `strict`, otherwise a warning."""
    logger.info(f"{title}:\n{found.text()}")
    try:
        found.check()
    except ValueError as error:
        if strict:
            raise
        logger.warning(str(error))


def _build(cfg: dict, role: str, prefix: str = "") -> dict[str, object]:
    try:
        return build_datasets(cfg, prefix, (role,))
    except FileNotFoundError as error:
        print_log(f"Leak audit: {prefix}{role} was left out: {error}", "current", logging.WARNING)
        return {}


def _build_beside(checkpoint: str) -> dict[str, object]:
    """The training data of the run in whose work dir a checkpoint lies, or of weights with a list of their images.

    The folder may be a download: its config is read as text, and may only name data sets of this package.
    """
    if is_address(checkpoint):
        print_log(f"Leak audit: nothing is known here of the images that {checkpoint} was trained on", "current")
        return {}
    folder = locate(checkpoint).absolute().parent
    if listed := listed_images(folder):
        print_log(f"Leak audit: {checkpoint} was pre-trained on the images listed in {folder}", "current")
        return {f"{PRETRAIN}train": listed}
    configs = list(folder.glob("*.py"))
    try:
        if len(configs) != 1 or not (folder / "last_checkpoint").is_file():
            raise ValueError("no config of a run lies beside it")
        loader = read_settings(configs[0].read_text(encoding="utf-8")).get("train_dataloader")
        dataset = build_untrusted(loader.get("dataset") if isinstance(loader, dict) else None)
    except (SyntaxError, ValueError, FileNotFoundError) as error:
        print_log(
            f"Leak audit: nothing was compared with the pre-training of {checkpoint}: {error}. Name its config with "
            "default_hooks.leak_audit.pretrain_config=FILE, which also runs the code in it",
            "current",
            logging.WARNING,
        )
        return {}
    print_log(f"Leak audit: {checkpoint} was pre-trained with {configs[0]}", "current")
    return {f"{PRETRAIN}train": dataset}
