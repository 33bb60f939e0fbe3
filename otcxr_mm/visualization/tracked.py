"""A visualiser that tells trackers how a training goes, but not where, by whom or on whose images."""

import inspect
import json
import logging
import math
import os
import re

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.logging import print_log
from mmengine.visualization import LocalVisBackend, MLflowVisBackend, TensorboardVisBackend, WandbVisBackend
from mmengine.visualization.vis_backend import BaseVisBackend
from mmpretrain.visualization import UniversalVisualizer

from ..registry import VISUALIZERS
from ..utils.redaction import shareable

__all__ = ["TrackedVisualizer"]

_HIDDEN = "undisclosed"
_MLFLOW_TAGS = ("user", "source.name", "source.git.commit", "source.git.branch", "source.git.repoURL")
# the trackers' own variables; what users set themselves, there or in a back end's arguments, wins
QUIET = {
    **{f"WANDB_{name}": "true" for name in ("DISABLE_CODE", "DISABLE_GIT", "_DISABLE_META", "_DISABLE_MACHINE_INFO")},
    **{f"WANDB_{name}": "false" for name in ("SAVE_CODE", "_SAVE_REQUIREMENTS", "ERROR_REPORTING")},
    **{"WANDB_CONSOLE": "off", "WANDB_HOST": _HIDDEN, "WANDB_PROGRAM": _HIDDEN, "MLFLOW_DISABLE_TELEMETRY": "true"},
    "MLFLOW_RUN_CONTEXT": json.dumps({f"mlflow.{name}": _HIDDEN for name in _MLFLOW_TAGS}),
}


@VISUALIZERS.register_module()
class TrackedVisualizer(UniversalVisualizer):
    """MMPretrain's visualiser with an allow-list for every back end other than MMEngine's LocalVisBackend.

    Back ends are named as in MMEngine: ``vis_backends=[dict(type='LocalVisBackend'), dict(type='WandbVisBackend',
    init_kwargs=dict(project='cxr'))]``. The local one records everything. All others, including your own, get scalars
    and the part of the config that :func:`otcxr_mm.utils.redaction.shareable` lets through.

    Args:
        name: As MMEngine's.
        share_all: Whether trackers also get images and the whole config, and may collect what they collect by default.
        **kwargs: Other arguments of MMPretrain's UniversalVisualizer, such as `vis_backends`.
    """

    def __init__(self, name: str = "visualizer", share_all: bool = False, **kwargs: object) -> None:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer releases refuse MMEngine's default
        for variable, value in {} if share_all else QUIET.items():
            os.environ.setdefault(variable, value)
        super().__init__(name, **kwargs)
        backends = list(self._vis_backends.values())
        self._local = [backend for backend in backends if isinstance(backend, LocalVisBackend)]
        self._trackers = [backend for backend in backends if backend not in self._local]
        self._trusted = backends if share_all else self._local
        self._mlflow_names: dict[str, str] = {}
        for backend in backends:
            if backend not in self._trusted:
                _restrict(backend)

    @master_only
    def add_config(self, config: Config, **kwargs: object) -> None:
        """Records the config; trackers get its shareable part."""
        for backend in self._vis_backends.values():
            if backend in self._trusted:
                backend.add_config(config, **kwargs)
                continue
            _add_shareable(backend, Config(shareable(config)))
            if hasattr(backend, "cfg"):
                backend.cfg = config  # MMEngine looks for the work dir in it when the run ends

    @master_only
    def add_image(self, name: str, image: np.ndarray, step: int = 0) -> None:
        """Records an image; trackers do not get it, but see :meth:`add_drawing`."""
        for backend in self._trusted:
            backend.add_image(name, image, step)

    @master_only
    def add_drawing(self, name: str, image: np.ndarray, step: int = 0) -> None:
        """Records a picture that shows no patient; trackers get it too."""
        for backend in self._vis_backends.values():
            # MLflow takes the format from the name, and no step
            named = f"{name}_{step}.png" if isinstance(backend, MLflowVisBackend) else name
            backend.add_image(named, image, step)

    @master_only
    def add_scalar(self, name: str, value: float | np.ndarray | torch.Tensor, step: int = 0, **kwargs) -> None:
        """Records a number; trackers do not get anything else."""
        for backend in self._local:
            backend.add_scalar(name, value, step, **kwargs)
        self._track({name: value}, step)

    @master_only
    def add_scalars(
        self, scalar_dict: dict[str, float], step: int = 0, file_path: str | None = None, **kwargs: object
    ) -> None:
        """Records numbers; trackers do not get anything else."""
        for backend in self._local:
            backend.add_scalars(scalar_dict, step, file_path, **kwargs)
        self._track(scalar_dict, step)

    def _track(self, scalars: dict[str, float], step: int) -> None:
        plain = {n: v.item() if math.prod(getattr(v, "shape", (0,))) == 1 else v for n, v in scalars.items()}
        numbers = {n: v for n, v in plain.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
        for tracker in self._trackers if numbers else ():
            named = self._mlflow_name if isinstance(tracker, MLflowVisBackend) else str
            tracker.add_scalars({named(name): value for name, value in numbers.items()}, step)

    def _mlflow_name(self, name: str) -> str:
        """A name that MLflow accepts and no other metric has; a single bad one would cost all metrics of the call."""
        if name not in self._mlflow_names:
            # in MLflow's file store, a slash would make a folder where another metric may be a file
            plain = re.sub(r"[^\w\-. ]", "_", name.replace("/", ".")).lstrip(".")[:240] or "_"
            candidates = (plain, *(f"{plain}_{number}" for number in range(2, len(self._mlflow_names) + 2)))
            taken = set(self._mlflow_names.values())
            self._mlflow_names[name] = next(candidate for candidate in candidates if candidate not in taken)
        return self._mlflow_names[name]


def _add_shareable(tracker: BaseVisBackend, config: Config) -> None:
    if isinstance(tracker, WandbVisBackend) and tracker._log_code_name is None:
        # MMEngine's add_config would upload the code in the current folder
        tracker.experiment.config.update(config.to_dict(), allow_val_change=True)
        return
    if isinstance(tracker, MLflowVisBackend) and tracker._tracked_config_keys is not None:
        tracker._tracked_config_keys = [key for key in tracker._tracked_config_keys if key in config]
    tracker.add_config(config)


def _restrict(tracker: BaseVisBackend) -> None:
    """Keeps a tracker from uploading files of the work dir by default, or warns that it may collect more."""
    for kind in type(tracker).__mro__:
        suffixes = inspect.signature(kind.__init__).parameters.get("artifact_suffix")
        if suffixes is not None and getattr(tracker, "_artifact_suffix", None) is suffixes.default:
            tracker._artifact_suffix = ()
    if not isinstance(tracker, (TensorboardVisBackend, WandbVisBackend, MLflowVisBackend)):
        print_log(
            f"visualizer.vis_backends: {type(tracker).__name__} gets scalars and a part of the config, but may collect "
            "more by itself, such as the console, the code or the host name",
            "current",
            logging.WARNING,
        )
