"""What the inferencers share, on MMPretrain's base."""

import os
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import Compose
from mmpretrain.apis.base import BaseInferencer

from .images import Image, Inputs, Prepared, batches, find_images
from .passes import SIZE, full_pass, groups, pass_size
from .trained import Trained, build_model, read_trained, run_steps


@dataclass(frozen=True)
class Unread:
    """Stands where the result of an image would be that cannot be read."""

    reason: str


class CXRInferencer(BaseInferencer):
    """Base of the inferencers for radiographs.

    Files that cannot be read are named and left out, in place: results have the length and the order of the inputs. No
    code in a checkpoint or in the config beside it is run.

    Attributes:
        columns: What :meth:`row` gives for an image, by name.

    Args:
        source: Work dir of a run, or one of its checkpoints.
        device: Default: the first GPU, or else the CPU.
        max_value: White level of 16-bit files, instead of that of the training; see :class:`otcxr_mm.LoadCXR`.

    Raises:
        FileNotFoundError: If there are no weights.
        ValueError: If the file cannot be read, has no settings, names a part that is not registered, or lacks a weight.
    """

    preprocess_kwargs = {"workers"}
    visualize_kwargs = {"show_dir"}
    pass_size = SIZE
    columns: Sequence[str] = ()

    def __init__(
        self,
        source: str | os.PathLike | Trained,
        device: str | torch.device | None = None,
        max_value: int | None = None,
    ) -> None:
        self.trained = read_trained(source, whole=True)
        self.config, self.visualizer = self.trained.cfg, None
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = build_model(self.trained).to(self.device)
        self.check(self.trained)
        self.pipeline = self._init_pipeline(max_value)

    def _init_pipeline(self, max_value: int | None) -> Compose:
        return run_steps(self.trained, max_value)

    def check(self, trained: Trained) -> None:
        """Raises a ValueError unless the model is of the kind that this inferencer is for."""

    def __call__(
        self,
        inputs: Inputs,
        return_datasamples: bool = False,
        batch_size: int = 32,
        workers: int = 0,
        show_dir: str | os.PathLike | None = None,
    ) -> list:
        """Answers for images.

        Args:
            inputs: A file, folder, pattern, array or sequence of these, see :func:`.images.find_images`.
            return_datasamples: Whether to return MMPretrain's or MMSegmentation's data samples; an :class:`Unread` for
                an image that cannot be read.
            batch_size: Images that are read together, and on a GPU computed together.
            workers: Processes that read; 0 reads in this one.
            show_dir: Folder for a picture of each image, if the inferencer draws any.

        Returns:
            One entry per image, in the order given, with `path`; an image that cannot be read has `error`.
        """
        return super().__call__(inputs, return_datasamples, batch_size, workers=workers, show_dir=show_dir)

    def _inputs_to_list(self, inputs: Inputs) -> list[Image]:
        self._images = find_images(inputs)
        return self._images

    def preprocess(self, inputs: Sequence[Image], batch_size: int = 32, workers: int = 0) -> Iterator[list[Prepared]]:
        """Reads images, batch by batch."""
        return batches(inputs, self.pipeline, batch_size, workers)

    @torch.no_grad()
    def forward(self, inputs: Sequence[Prepared]) -> list:
        """Results of a batch in its order; an :class:`Unread` for an image that was not read."""
        found, size = {}, pass_size(self.device, self.pass_size)
        for group in groups(inputs, size):
            results = self.forward_group(group, size)
            found |= {entry.index: result for entry, result in zip(group, results, strict=True)}
        return [found.get(entry.index, Unread(entry.reason)) for entry in inputs]

    def forward_group(self, group: Sequence[Prepared], size: int | None) -> Sequence:
        """Results of images of one shape."""
        images = torch.stack([entry.tensor for entry in group])
        return full_pass(lambda filled: self.model.test_step({"inputs": filled}), images, size)

    def visualize(self, inputs: Sequence[Image], preds: list, show_dir: str | os.PathLike | None = None) -> list | None:
        """Draws a picture of each result into a folder, if this inferencer draws any."""
        if show_dir is None:
            return None
        return [self.draw(*pair, number, Path(show_dir)) for number, pair in enumerate(zip(inputs, preds, strict=True))]

    def draw(self, image: Image, result: object, number: int, folder: Path) -> Path | None:
        """Draws one result; returns the file.

        Raises:
            NotImplementedError: If this inferencer draws nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} draws no pictures")

    def original(self, image: Image) -> np.ndarray:
        """An image that was read before, (H, W), as the first step of the pipeline gives it: not resized."""
        return self.pipeline.transforms[0](image.load())["img"]

    def postprocess(self, preds: list, visualization: list | None, return_datasamples: bool = False) -> list:
        """One dictionary per image."""
        if return_datasamples:
            return preds
        pairs = zip(self._images, preds, strict=True)
        return [
            {"path": image.name, **({"error": pred.reason} if isinstance(pred, Unread) else self.describe(pred))}
            for image, pred in pairs
        ]

    @abstractmethod
    def describe(self, result: object) -> dict:
        """A result as a dictionary for people."""

    @abstractmethod
    def row(self, result: object) -> np.ndarray:
        """A result as numbers, one per column."""


def picture_file(image: Image, number: int, folder: Path) -> Path:
    """Where the picture of an image goes: its number in the inputs keeps equal names of several folders apart."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{number:06d}_{Path(image.name).stem}.png"
