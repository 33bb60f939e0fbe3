"""Records what a run is, in its work dir and in its checkpoints."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from ...utils.checkpoints import trained_config
from ...utils.files import write_whole
from ..provenance import KEY, STARTED_WITH, changes, describe, shareable_part

FILE = "manifest.json"
# what a resumed run must have in common with the run before, besides the number of images; and what it should have
EPOCH = ("batch_size", "world_size")
COMPARED = ("seed", "train", "val", "versions")


@HOOKS.register_module()
class RunManifestHook(Hook):
    """Writes `WORK_DIR/manifest.json` before training, and a copy beside the log of this start.

    The manifest is what :func:`otcxr_mm.engine.provenance.describe` returns: config, data as counts and SHA-256, the
    backbone's file, versions, commit, seed, processes, devices, command line and time. It is meant to stay on this
    machine: it holds paths, but no patient id. Each checkpoint gets the part without paths, from which a test reads
    what was trained.

    A resumed run warns of each setting of the config, and of data, seed and versions that differ from those of the
    checkpoint. It is refused with another number of images, batch size or number of processes.

    The hook uses the data sets that the run or :class:`otcxr_mm.LeakAuditHook` has built: none is read twice.

    Raises:
        ValueError: Before training, when resuming with another number of images, batch size or number of processes.
    """

    # after the hooks that may end the run before it starts
    priority = "VERY_LOW"

    def __init__(self) -> None:
        self._datasets: dict[str, object] = {}
        self._resumed: dict = {}  # meta of the checkpoint that is resumed

    def keep_datasets(self, datasets: Mapping[str, object]) -> None:
        """Keeps data sets that were built for another purpose until the file is written."""
        self._datasets = dict(datasets)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keeps what a resumed run is compared with."""
        self._resumed = checkpoint.get("meta") or {} if runner._resume else {}

    def before_train(self, runner: Runner) -> None:
        """Describes the run, compares it with the one that it resumes, and writes the files."""
        datasets, self._datasets = self._datasets, {}
        before = self._resumed.get(KEY)
        record = describe(runner, datasets, before)
        if before:
            changed = list(_changes(self._resumed, record))
            for line in changed:
                runner.logger.warning(f"resumed with a different {line}")
            record["resumed"] = {"epoch": runner.epoch, "iteration": runner.iter, "changed": changed}
        runner.message_hub.update_info(KEY, record, resumed=False)
        if is_main_process():
            for folder in (runner.log_dir, runner.work_dir):
                write_whole(Path(folder) / FILE, (json.dumps(record, indent=2) + "\n").encode())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Adds the part of the record that names no folder."""
        checkpoint["meta"][KEY] = shareable_part(runner.message_hub.get_info(KEY, {}))


def _changes(meta: Mapping, now: Mapping) -> Iterator[str]:
    """What differs between the run that wrote a checkpoint and the one that resumes it.

    Raises:
        ValueError: If an epoch would consist of other iterations.
    """
    both = meta[KEY], shareable_part(now)
    epochs = ({"images": one["train"]["images"], **{key: one[key] for key in EPOCH}} for one in both)
    if found := "; ".join(changes(*epochs)):
        raise ValueError(
            f"the checkpoint is from a run with other settings: {found}. Iterations and learning rate would be wrong. "
            "Resume with the same settings, or start a new run from its weights with load_from=CHECKPOINT and "
            "resume=False"
        )
    yield from changes(*({key: one[key] for key in COMPARED if key in one} for one in both))
    settings = [trained_config({"meta": {"cfg": text}}) for text in (meta["cfg"], now["config_text"])]
    if None not in settings:
        yield from changes(*({key: one[key] for key in one if key not in STARTED_WITH} for one in settings))
