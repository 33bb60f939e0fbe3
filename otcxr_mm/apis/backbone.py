"""A trained backbone with its own preprocessing, in three lines."""

import os
from collections.abc import Sequence

import torch
from mmengine.dataset import Compose
from torch import Tensor, nn

from .images import Inputs, Prepared, batches, find_images
from .passes import full_pass, groups, pass_size
from .trained import Trained, build_backbone, read_trained, record_steps, run_steps


class CXRBackbone(nn.Module):
    """A backbone that takes radiographs as they are: files, arrays, or a batch on the scale 0 to 255.

    A plain module for your own training loop: its parameters are those of the backbone, and `model(images)` is
    differentiable. :func:`load_backbone` makes it.

    Attributes:
        backbone: MMPretrain's network.
        source: Path of the weights.
        record: What is recorded beside the weights: `backbone`, `channels`, `mean`, `std`, `size`, `max_value`, and of
            newer files how it was trained.
    """

    def __init__(self, backbone: nn.Module, record: dict, steps: Compose, source: str = "") -> None:
        super().__init__()
        self.backbone, self.record, self.steps, self.source = backbone, record, steps, source
        mean, std = (record.get(key) or [value] for key, value in (("mean", 0.0), ("std", 1.0)))
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.mean.device

    def preprocess(self, images: Inputs, workers: int = 0) -> Tensor:
        """Reads and resizes images as in training.

        Args:
            images: See :func:`.images.find_images`.
            workers: Processes that read; 0 reads in this one.

        Returns:
            (n, 1, H, W) float32 on the scale 0 to 255, on the CPU.

        Raises:
            ValueError: If an image cannot be read; names it.
        """
        found = find_images(images)
        tensors = [entry.require().float() for batch in batches(found, self.steps, 32, workers) for entry in batch]
        return torch.stack(tensors)

    def feature_maps(self, images: Tensor) -> tuple[Tensor, ...]:
        """Outputs of the backbone's stages, as its `out_indices` say, for (n, 1 or C, H, W) from 0 to 255."""
        images = (images.to(self.device).float() - self.mean) / self.std
        return self.backbone(images.expand(-1, self.record["channels"], -1, -1))

    def forward(self, images: Tensor) -> Tensor:
        """Features (n, D) of images (n, 1 or C, H, W) from 0 to 255: the last stage, averaged over space.

        Raises:
            ValueError: If the backbone returns tokens, neither maps nor vectors.
        """
        last = self.feature_maps(images)[-1]
        if last.dim() == 4:
            return last.mean((2, 3))
        if last.dim() != 2:
            raise ValueError(
                f"the backbone returns {tuple(last.shape)}, not maps or vectors: it needs out_type='featmap', or of a "
                "TIMMBackbone features_only=True"
            )
        return last

    @torch.no_grad()
    def embed(self, images: Inputs, batch_size: int = 32, workers: int = 0) -> Tensor:
        """Features of images in evaluation mode, as :meth:`forward` defines them.

        On a CPU, an image has the same features to the last bit for any `batch_size`, order and number of workers.

        Args:
            images: See :func:`.images.find_images`.
            batch_size: Images that are read together, and on a GPU computed together.
            workers: Processes that read; 0 reads in this one.

        Returns:
            (n, D) float32 on the CPU, in the order given.

        Raises:
            ValueError: If an image cannot be read; names it. :class:`otcxr_mm.CXRFeatureInferencer` goes on instead.
        """
        found, rows = find_images(images), []
        for batch in batches(found, self.steps, batch_size, workers):
            for entry in batch:
                entry.require()
            rows += self.features(batch)
        return torch.stack(rows)

    @torch.no_grad()
    def features(self, batch: Sequence[Prepared]) -> list[Tensor | None]:
        """Features (D,) of images that were read, on the CPU; None for those that were not."""
        training = self.training
        if training:
            self.eval()
        rows: dict[int, Tensor] = {}
        size = pass_size(self.device)
        for group in groups(batch, size):
            found = full_pass(self, torch.stack([entry.tensor for entry in group]), size).float().cpu()
            rows |= {entry.index: row for entry, row in zip(group, found, strict=True)}
        if training:
            self.train()
        return [rows.get(entry.index) for entry in batch]


def load_backbone(
    source: str | os.PathLike,
    device: str | torch.device | None = None,
    size: int | None = None,
    max_value: int | None = None,
) -> CXRBackbone:
    """Loads a trained backbone with its preprocessing.

    ::

        model = otcxr_mm.load_backbone("work_dirs/otcxr_r50_nih")
        z = model.embed(["a.png", "b.dcm"])  # (2, 2048)

    The settings come from the JSON beside `backbone.pth`, or from the config in the checkpoint. They are read as data;
    no code in them is run. To fill a network of your own instead, use :func:`otcxr_mm.load_backbone_weights`.

    Args:
        source: Work dir of a run, one of its checkpoints, a `backbone.pth` (or `.safetensors`) with its JSON, or a
            folder of :func:`otcxr_mm.export_folder`. Of a work dir, `backbone.pth` is taken, or else the checkpoint
            that `otcxr test` takes.
        device: Default: the CPU.
        size: Side in pixels to resize images to, instead of that of the training.
        max_value: White level of 16-bit files, instead of that of the training; see :class:`otcxr_mm.LoadCXR`.

    Returns:
        The module, in evaluation mode.

    Raises:
        FileNotFoundError: If there are no weights.
        ValueError: If the file cannot be read, has no settings, names a part that is not registered, or lacks a weight.
    """
    return backbone_from(read_trained(source), size, max_value).to(device or "cpu").eval()


def backbone_from(trained: Trained, size: int | None = None, max_value: int | None = None) -> CXRBackbone:
    """Builds what :func:`load_backbone` returns, on the CPU."""
    backbone, record = build_backbone(trained)
    # a classifier's own test pipeline, where there is one: then features are those that its head was trained on
    evaluated = size is None and any((trained.cfg or {}).get(f"{role}_dataloader") for role in ("test", "val"))
    steps = run_steps(trained, max_value) if evaluated else record_steps(record, max_value, size)
    return CXRBackbone(backbone, record, steps, str(trained.path))
