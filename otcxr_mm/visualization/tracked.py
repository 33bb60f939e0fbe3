"""Trackers that are told how a training goes, and nothing about whose images it sees."""

import os
from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend, MLflowVisBackend, WandbVisBackend
from mmengine.visualization.vis_backend import BaseVisBackend
from mmpretrain.visualization import UniversalVisualizer

from ..export.paths import without_paths
from ..registry import VISUALIZERS

UNDISCLOSED = "undisclosed"
# what a back end imports -> what to install
PACKAGES = {
    "TensorboardVisBackend": ("tensorboard", "tensorboard"),
    "WandbVisBackend": ("wandb", "wandb"),
    "MLflowVisBackend": ("mlflow", "mlflow"),
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


class QuietWandb(WandbVisBackend):
    """MMEngine's WandbVisBackend that uploads code only under a `log_code_name`, which MMEngine's always does."""

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


class QuietMLflow(MLflowVisBackend):
    """MMEngine's MLflowVisBackend that starts its run with the tags of :data:`MLFLOW_QUIET`; the user's own win."""

    def _init_env(self) -> None:
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


QUIET = {"WandbVisBackend": QuietWandb, "MLflowVisBackend": QuietMLflow}


@VISUALIZERS.register_module()
class TrackedVisualizer(UniversalVisualizer):
    """MMPretrain's visualiser that stands between a run and trackers other than MMEngine's LocalVisBackend.

    Back ends are named as in MMEngine: ``vis_backends=[dict(type='LocalVisBackend'), dict(type='WandbVisBackend',
    init_kwargs=dict(project='cxr'))]``. The local one gets everything. All others get the config without paths, numbers
    by name, and no image; Weights & Biases records no console, code, git, command line or machine, and MLflow uploads
    no file of the work dir and names neither user nor script. What a back end is told explicitly (`init_kwargs`,
    `artifact_suffix`, `tags`) wins over this.

    Args:
        vis_backends: Back ends of MMEngine, as configs.
        images: Whether trackers get images, too.
        share_paths: Whether trackers get the config as it is, and back ends are MMEngine's with all that they collect.
        **kwargs: See MMPretrain's UniversalVisualizer.

    Raises:
        ModuleNotFoundError: If the package of a tracker is not installed.
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
            _prepared(backend, share_paths) if isinstance(backend, Mapping) else backend for backend in backends
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
    name = kind.__name__
    package, install = PACKAGES.get(name, (None, None))
    if package is not None and find_spec(package) is None:
        raise ModuleNotFoundError(
            f"visualizer.vis_backends has {name}, whose package is not installed: pip install {install}, or "
            'pip install "otcxr_mm[trackers]"'
        )
    if name == "MLflowVisBackend" and str(spec.get("tracking_uri") or "file:").startswith("file:"):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer ones refuse MMEngine's default
    if name in QUIET:  # they would report usage and errors to their makers
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    if share_paths or issubclass(kind, LocalVisBackend):
        return spec
    if name in QUIET:
        spec["type"], spec["name"] = QUIET[name], spec.get("name", name)
    if name == "WandbVisBackend":
        init = dict(spec.get("init_kwargs") or {})
        init["settings"] = {**WANDB_QUIET, **(init.get("settings") or {})}
        spec["init_kwargs"] = init
    if "artifact_suffix" in kind.__init__.__code__.co_varnames:
        spec.setdefault("artifact_suffix", ())
    return spec


def _is_number(value: object) -> bool:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return value.size == 1 if isinstance(value, np.ndarray) else value.numel() == 1
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
