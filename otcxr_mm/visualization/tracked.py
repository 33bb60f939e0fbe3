"""Trackers that are told how a training goes, and nothing about whose images it sees."""

import inspect
import logging
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.logging import print_log
from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend, MLflowVisBackend, TensorboardVisBackend, WandbVisBackend
from mmengine.visualization.vis_backend import BaseVisBackend, force_init_env
from mmpretrain.visualization import UniversalVisualizer

from ..export.paths import without_paths
from ..registry import VISUALIZERS

UNDISCLOSED = "undisclosed"
# what a back end imports -> what to install
PACKAGES = {
    TensorboardVisBackend: ("tensorboard", "tensorboard"),
    WandbVisBackend: ("wandb", "wandb"),
    MLflowVisBackend: ("mlflow", "mlflow"),
}
# Weights & Biases: no console, code, git, command line, packages or machine
WANDB_QUIET = {
    "console": "off",
    "disable_code": True,
    "save_code": False,
    "disable_git": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    "host": UNDISCLOSED,
    "program": UNDISCLOSED,
}
# MLflow: tags that it would fill with the script's path, the user, the commit and the repository
MLFLOW_QUIET = {
    "mlflow.user": UNDISCLOSED,
    "mlflow.source.name": UNDISCLOSED,
    "mlflow.source.type": "LOCAL",
    "mlflow.source.git.commit": UNDISCLOSED,
    "mlflow.source.git.branch": UNDISCLOSED,
    "mlflow.source.git.repoURL": UNDISCLOSED,
}


# characters of a name that MLflow refuses; of a class's name, such as "Mass (left)", for all metrics of a call at once
REFUSED = re.compile(r"[^\w\-. /]" if os.name == "nt" else r"[^\w\-. :/]")
LONGEST = 250  # characters of a name in MLflow


class QuietWandb(WandbVisBackend):
    """MMEngine's WandbVisBackend with :data:`WANDB_QUIET`; the user's own settings win.

    It uploads code only under a `log_code_name`, which MMEngine's always does.
    """

    def _init_env(self) -> None:
        init = dict(self._init_kwargs or {})
        init["settings"] = {**WANDB_QUIET, **_as_dict(init.get("settings"))}
        self._init_kwargs = init
        super()._init_env()

    def add_config(self, config: Config, **kwargs: object) -> None:
        """Sends the config."""
        if self._log_code_name is not None:
            super().add_config(config, **kwargs)
            return
        allowed = (self._init_kwargs or {}).get("allow_val_change", False)
        self.experiment.config.update(config.to_dict(), allow_val_change=allowed)

    def close(self) -> None:
        """Ends the run."""
        if hasattr(self, "_wandb"):
            self._wandb.finish()


def _as_dict(settings: object) -> dict:
    """What was set of `init_kwargs.settings`, which Weights & Biases takes as a dict or as its own Settings."""
    if settings is None or isinstance(settings, Mapping):
        return dict(settings or {})
    if not hasattr(settings, "model_fields_set"):
        raise TypeError(
            f"visualizer.vis_backends, WandbVisBackend: init_kwargs.settings is of type {type(settings).__name__}; "
            "write a dict of what is to be set, such as settings=dict(console='auto')"
        )
    return {name: getattr(settings, name) for name in settings.model_fields_set}


class NamedMLflow(MLflowVisBackend):
    """MMEngine's MLflowVisBackend with names that MLflow takes.

    It refuses all metrics of a call because of one name. Other characters than letters, digits and ``_-. :/`` become
    `_`; of two metrics that would have the same name the later one gets `_2`, of two entries of the config the later
    one wins. In a folder, where a metric is a file, `auroc/Mass` beside `auroc` is `auroc.Mass`.
    """

    @force_init_env
    def add_scalar(self, name: str, value: object, step: int = 0, **kwargs: object) -> None:
        """Sends a number."""
        super().add_scalar(self._metric(name), value, step, **kwargs)

    @force_init_env
    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: object) -> None:
        """Sends numbers."""
        # short ones first, so that `auroc` is a file before `auroc/Mass` would make it a folder
        told = {self._metric(name): scalar_dict[name] for name in sorted(scalar_dict, key=len)}
        super().add_scalars(told, step, file_path, **kwargs)

    def _metric(self, name: str) -> str:
        """The name that a metric has in MLflow, the same for the whole run."""
        sent = self.__dict__.setdefault("_sent", {})
        if name not in sent:
            taken = set(sent.values())
            told = _mlflow_name(name)
            if _is_folder(str(self._mlflow.get_tracking_uri())):
                start = 0
                while (start := told.find("/", start) + 1) > 0:
                    if told[: start - 1] in taken:
                        told = f"{told[: start - 1]}.{told[start:]}"
                taken |= {other[:i] for other in taken for i, letter in enumerate(other) if letter == "/"}
            number, free = 1, told
            while free in taken:
                number += 1
                free = f"{told[: LONGEST - 8]}_{number}"
            sent[name] = free
        return sent[name]

    def _flatten(self, d: Mapping, parent_key: str = "", sep: str = ".") -> dict:
        return super()._flatten({_mlflow_name(str(key)): value for key, value in d.items()}, parent_key, sep)


def _is_folder(uri: str) -> bool:
    return uri.startswith("file:") or (":" not in uri and uri != "databricks")


def _mlflow_name(name: str) -> str:
    """A name with what MLflow takes, and without parts that mean something in paths."""
    parts = REFUSED.sub("_", name)[:LONGEST].split("/")
    return "/".join("_" if part in ("", ".", "..") else part for part in parts)


class QuietMLflow(NamedMLflow):
    """An MLflowVisBackend that starts its run with the tags of :data:`MLFLOW_QUIET`; the user's own win.

    It uploads no files of the work dir unless an `artifact_suffix` is given, and no entries of the config that were
    held back, also where `tracked_config_keys` names them.
    """

    def add_config(self, config: Config, **kwargs: object) -> None:
        """Sends the config."""
        wanted = self._tracked_config_keys
        if wanted is not None:
            absent = [key for key in wanted if key not in config]
            if absent:
                print_log(
                    f"MLflow is not sent {', '.join(map(str, absent))} of tracked_config_keys: the config has no such "
                    "entry, or it holds a path or trackers' settings",
                    "current",
                    logging.WARNING,
                )
            self._tracked_config_keys = [key for key in wanted if key in config]
        try:
            super().add_config(config, **kwargs)
        finally:
            self._tracked_config_keys = wanted

    def _init_env(self) -> None:
        if self._artifact_suffix is UPLOADED:  # nobody has named any
            self._artifact_suffix = ()
        run_name, tags, params = self._run_name, self._tags, self._params
        # MMEngine would start a run for these, with MLflow's own tags
        self._run_name = self._tags = self._params = None
        super()._init_env()
        if self._mlflow.active_run() is None:
            self._mlflow.start_run(run_name=run_name, tags={**MLFLOW_QUIET, **(tags or {})})
        elif tags:
            self._mlflow.set_tags(tags)
        if params:
            self._mlflow.log_params(params)


QUIET = {WandbVisBackend: QuietWandb, MLflowVisBackend: QuietMLflow}
# files of the work dir that MMEngine's MLflowVisBackend uploads by itself
UPLOADED = inspect.signature(MLflowVisBackend).parameters["artifact_suffix"].default


@VISUALIZERS.register_module()
class TrackedVisualizer(UniversalVisualizer):
    """MMPretrain's visualiser that stands between a run and trackers other than MMEngine's LocalVisBackend.

    Back ends are named as in MMEngine: ``vis_backends=[dict(type='LocalVisBackend'), dict(type='WandbVisBackend',
    init_kwargs=dict(project='cxr'))]``. The local one gets everything. All others get the config without paths, numbers
    by name, and no image; Weights & Biases records no console, code, git, command line or machine, and MLflow uploads
    no file of the work dir and names neither user nor script. What a back end is told explicitly (`init_kwargs`,
    `artifact_suffix`, `tags`) wins over this. A class of your own derived from one of them keeps all that where it does
    not do otherwise itself; of it and of any other back end a warning says that it may collect more.

    Args:
        vis_backends: Back ends of MMEngine, as configs.
        images: Whether trackers get images, too.
        share_paths: Whether trackers get the config as it is, and back ends are MMEngine's with all that they collect.
        **kwargs: See MMPretrain's UniversalVisualizer.

    Raises:
        ModuleNotFoundError: If the package of a tracker is not installed.
        KeyError: If a back end is not registered.
    """

    def __init__(
        self,
        name: str = "visualizer",
        image: np.ndarray | None = None,
        vis_backends: list[dict | BaseVisBackend] | dict | None = None,
        images: bool = False,
        share_paths: bool = False,
        **kwargs: object,
    ) -> None:
        backends = [vis_backends] if isinstance(vis_backends, (dict, BaseVisBackend)) else list(vis_backends or [])
        backends = [
            _prepared(backend, share_paths) if isinstance(backend, Mapping) else _built(backend, share_paths)
            for backend in backends
        ]
        super().__init__(name, image, vis_backends=backends, **kwargs)
        self.images, self.share_paths = images, share_paths

    def _trackers(self) -> list[BaseVisBackend]:
        return [backend for backend in self._vis_backends.values() if not isinstance(backend, LocalVisBackend)]

    def _local(self) -> list[BaseVisBackend]:
        return [backend for backend in self._vis_backends.values() if isinstance(backend, LocalVisBackend)]

    @master_only
    def add_config(self, config: Config, **kwargs: object) -> None:
        """Records the config; trackers get it without paths and without the settings of trackers."""
        for backend in self._local():
            backend.add_config(config, **kwargs)
        told = config
        if not self.share_paths:
            plain = {key: value for key, value in config.to_dict().items() if key != "visualizer"}
            told = Config(without_paths(plain))
        for backend in self._trackers():
            backend.add_config(told, **kwargs)
            if hasattr(backend, "cfg"):
                backend.cfg = config  # some look for the work dir in it when they close

    @master_only
    def add_image(self, name: str, image: np.ndarray, step: int = 0) -> None:
        """Records an image; trackers get it with `images` only."""
        for backend in self._vis_backends.values() if self.images else self._local():
            backend.add_image(name, image, step)

    @master_only
    def add_scalar(self, name: str, value: float | torch.Tensor | np.ndarray, step: int = 0, **kwargs: object) -> None:
        """Records a number; trackers get nothing else."""
        for backend in self._local():
            backend.add_scalar(name, value, step, **kwargs)
        for backend in self._trackers() if _is_number(value) else ():
            backend.add_scalar(name, value, step, **kwargs)

    @master_only
    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: object) -> None:
        """Records numbers; trackers get nothing else."""
        for backend in self._local():
            backend.add_scalars(scalar_dict, step, file_path, **kwargs)
        numbers = {name: value for name, value in scalar_dict.items() if _is_number(value)}
        for backend in self._trackers():
            backend.add_scalars(dict(numbers), step, file_path, **kwargs)


def _prepared(spec: Mapping, share_paths: bool) -> dict:
    """A back end's config that collects nothing by itself."""
    spec = dict(spec)
    kind = VISBACKENDS.get(spec["type"]) if isinstance(spec["type"], str) else spec["type"]
    if kind is None:
        raise KeyError(f"visualizer.vis_backends: {spec['type']} is no back end of MMEngine")
    known = next((base for base in PACKAGES if issubclass(kind, base)), None)
    package, install = PACKAGES.get(known, (None, None))
    if package is not None and find_spec(package) is None:
        raise ModuleNotFoundError(
            f"visualizer.vis_backends has {kind.__name__}, whose package is not installed: pip install {install}, or "
            'pip install "otcxr_mm[trackers]"'
        )
    if known in QUIET:
        spec.setdefault("name", kind.__name__)
    if known is MLflowVisBackend and str(spec.get("tracking_uri") or "file:").startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer ones refuse MMEngine's default
    if known in QUIET:  # they would report usage and errors to their makers
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if issubclass(kind, LocalVisBackend):
        return spec
    if share_paths:
        if known is MLflowVisBackend:
            spec["type"] = _mixed(kind, NamedMLflow)
        return spec
    if kind not in (*PACKAGES, *QUIET.values()):
        _warn_of(kind)
    if "artifact_suffix" in inspect.signature(kind).parameters:
        spec.setdefault("artifact_suffix", ())
    if known in QUIET:
        spec["type"] = _mixed(kind, QUIET[known])
    return spec


def _built(backend: BaseVisBackend, share_paths: bool) -> BaseVisBackend:
    """A back end that is as its maker has it."""
    held = isinstance(backend, LocalVisBackend) or type(backend) in (TensorboardVisBackend, *QUIET.values())
    if isinstance(backend, BaseVisBackend) and not held and not share_paths:
        _warn_of(type(backend))
    return backend


def _mixed(kind: type[BaseVisBackend], quiet: type[BaseVisBackend]) -> type[BaseVisBackend]:
    """`quiet` in the place of MMEngine's `kind`, or below a user's own, whose methods win."""
    if issubclass(quiet, kind):
        return quiet
    return kind if issubclass(kind, quiet) else type(kind.__name__, (kind, quiet), {})


def _warn_of(kind: type[BaseVisBackend]) -> None:
    """Says of a back end that it may collect something by itself."""
    print_log(
        f"visualizer.vis_backends has {kind.__name__}: it is told numbers and the config without paths, but what it "
        "collects by itself (maybe console, code, command line, git, user, host or files of the work dir) is not held "
        "back; leave it out if that must not leave this machine",
        "current",
        logging.WARNING,
    )


def _is_number(value: object) -> bool:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return value.size == 1 if isinstance(value, np.ndarray) else value.numel() == 1
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
