"""Looks for leaks between training and evaluation before a run starts."""

import glob
import logging
import os

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_rank
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from ...datasets.audit import PRETRAIN, audit
from ...datasets.inspection import ROLES, build_datasets
from ...registry import HOOKS
from ...utils.configs import find_config
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
            includes its ``--cfg-options``. Its training data is compared with this run's validation and test sets.
            Default: the config beside the checkpoint of the run's :class:`otcxr_mm.LoadBackboneHook`; if there is
            none, a warning says that nothing was compared.
        pixels: See :func:`otcxr_mm.datasets.audit.audit`; anything but False reads every file.
        origins: See :func:`otcxr_mm.datasets.audit.audit`.
        show_ids: Whether the log may name patients and paths.
        strict: Whether a leak ends the run; otherwise it is a warning.

    Raises:
        ValueError: If there is a leak. Any other error of the audit is raised unchanged in the process that audits, and
            as a ValueError with its text in the others.
    """

    priority = "VERY_HIGH"

    def __init__(
        self,
        pretrain_config: str | None = None,
        pixels: bool | str = False,
        origins: str | None = None,
        show_ids: bool = False,
        strict: bool = True,
    ) -> None:
        if pretrain_config is not None and not os.path.isfile(pretrain_config):
            try:
                pretrain_config = str(find_config(pretrain_config))
            except FileNotFoundError:
                raise FileNotFoundError(
                    f"LeakAuditHook: pretrain_config={pretrain_config!r} is neither a file nor a config of this package"
                ) from None
        self.pretrain_config, self.pixels, self.origins = pretrain_config, pixels, origins
        self.show_ids, self.strict = show_ids, strict

    def before_run(self, runner: Runner) -> None:
        """Audits, in one process for all of them.

        Raises:
            ValueError: If there is a leak and `strict` is set.
        """
        message, failure = [None], None
        if get_rank() == 0:
            try:
                message = [self._audit(runner)]
            except Exception as error:  # the other processes wait for the result
                message, failure = [f"LeakAuditHook: {type(error).__name__}: {error}"], error
        broadcast_object_list(message)
        if failure is not None:
            raise failure
        if message[0] is not None:
            raise ValueError(message[0])

    def _audit(self, runner: Runner) -> str | None:
        datasets = self._datasets(runner)
        for hook in getattr(runner, "hooks", ()):
            if hasattr(hook, "keep_datasets"):  # saves reading the tables again
                hook.keep_datasets({role: dataset for role, dataset in datasets.items() if role in ROLES})
        found = audit(datasets, self.pixels, self.origins)
        runner.logger.info(f"Leak audit:\n{found.text(self.show_ids)}")
        try:
            found.check(self.show_ids)
        except ValueError as error:
            hint = "" if self.show_ids else " (otcxr audit CONFIG --show-ids names them)"
            if self.strict:
                return f"{error}{hint}"
            runner.logger.warning(f"{error}{hint}")
        return None

    def _datasets(self, runner: Runner) -> dict[str, object]:
        datasets = {}
        for role in ROLES:
            loop, loader = getattr(runner, f"_{role}_loop", None), getattr(runner, f"_{role}_dataloader", None)
            dataset = getattr(getattr(loop, "dataloader", loader), "dataset", None)
            if dataset is not None and not isinstance(dataset, dict):
                datasets[role] = dataset
            elif isinstance(loader, dict):
                datasets.update(self._built({f"{role}_dataloader": loader}, role))
        pretrain_config = self.pretrain_config or self._beside_the_backbone(runner)
        if pretrain_config is not None:
            before = Config.fromfile(pretrain_config)
            datasets.update(self._built(before, "train", PRETRAIN))
        return datasets

    @staticmethod
    def _beside_the_backbone(runner: Runner) -> str | None:
        """The config of the run that wrote the weights that this run starts from."""
        for hook in getattr(runner, "hooks", ()):
            if not isinstance(hook, LoadBackboneHook) or not hook.checkpoint:
                continue
            folder = os.path.dirname(os.path.abspath(os.path.expanduser(hook.checkpoint)))
            configs = glob.glob(os.path.join(glob.escape(folder), "*.py"))
            if len(configs) == 1 and os.path.isfile(os.path.join(folder, "last_checkpoint")):
                runner.logger.info(f"Leak audit: {hook.checkpoint} was pre-trained with {configs[0]}")
                return configs[0]
            runner.logger.warning(
                f"Leak audit: nothing was compared with the pre-training of {hook.checkpoint}, because no config of a "
                "run lies beside it: name one with default_hooks.leak_audit.pretrain_config=FILE, or make sure that it "
                "did not use patients of the test set"
            )
        return None

    @staticmethod
    def _built(cfg: dict, role: str, prefix: str = "") -> dict[str, object]:
        try:
            return build_datasets(cfg, prefix, (role,))
        except FileNotFoundError as error:
            print_log(f"Leak audit: {prefix}{role} was left out: {error}", "current", logging.WARNING)
            return {}
