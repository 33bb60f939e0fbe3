"""An epoch loop that resumes in the middle of an epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

from mmengine.dist import all_gather_object, get_world_size
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader, Sampler

from ...models import OTCXR
from ...registry import LOOPS
from ..model import unwrap_model


class _Rest:
    """What a sampler yields after its first `skip` indices."""

    def __init__(self, sampler: Sampler, skip: int) -> None:
        self.sampler, self.skip = sampler, skip

    def __iter__(self) -> Iterator[int]:
        return islice(iter(self.sampler), self.skip, None)

    def __len__(self) -> int:
        return len(self.sampler)  # the loader's length stays that of a whole epoch


@contextmanager
def _skipping(loader: DataLoader, batches: int) -> Iterator[None]:
    """Within it, a new iterator of the loader begins after so many batches, without loading them."""
    batch_sampler = loader.batch_sampler
    sampler = batch_sampler.sampler
    batch_sampler.sampler = _Rest(sampler, batches * batch_sampler.batch_size)
    try:
        yield
    finally:
        batch_sampler.sampler = sampler


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """MMEngine's EpochBasedTrainLoop that resumes in the middle of an epoch, where MMEngine's starts the epoch again.

    The images seen, and schedules by iteration, stay as in an uninterrupted run.

    Args:
        runner: The runner.
        dataloader: The loader or its config.
        max_epochs: Epochs to train.
        max_iters: Iterations to train, instead of `max_epochs`: training on 1 % of the labels gets as many as on all.
        val_interval: Epochs between validations; with `max_iters`, iterations, rounded up to whole epochs.
        **kwargs: See MMEngine's EpochBasedTrainLoop.

    Raises:
        ValueError: Before training, unless exactly one of `max_epochs` and `max_iters` is given, and if an epoch has no
            iteration, OTCXR would get a batch of one image, or the processes have different numbers of batches.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        max_epochs: int | None = None,
        max_iters: int | None = None,
        val_interval: int = 1,
        **kwargs: object,
    ) -> None:
        if (max_epochs is None) == (max_iters is None):
            raise ValueError(
                f"ResumableTrainLoop takes max_epochs or max_iters, got {max_epochs} and {max_iters}: set one of "
                "them to None"
            )
        if (max_epochs or max_iters or 0) < 1:
            raise ValueError(f"ResumableTrainLoop: training takes at least 1, got {max_epochs=}, {max_iters=}")
        super().__init__(runner, dataloader, max_epochs or 1, val_interval=val_interval, **kwargs)
        length = self._checked_length()
        if max_iters is not None:
            self._max_epochs, self._max_iters = -(-max_iters // length), max_iters
            self.val_interval = -(-val_interval // length)
            self.dynamic_intervals = [self.val_interval]

    def _checked_length(self) -> int:
        loader = self.dataloader
        images, batch = len(loader.sampler), loader.batch_sampler.batch_size
        if not len(loader):
            raise ValueError(
                f"{images} images per process and batches of {batch} with drop_last=True make no iteration: "
                "set train_dataloader.batch_size to at most that, or drop_last=False"
            )
        last = batch if loader.drop_last else images % batch or batch
        lengths = all_gather_object(len(loader))
        if len(set(lengths)) > 1:
            raise ValueError(
                f"the processes have {lengths} batches per epoch, and some would wait for the others: use a sampler "
                "that gives each the same number, such as DefaultSampler with round_up=True"
            )
        if isinstance(unwrap_model(self.runner), OTCXR) and get_world_size() == 1 and last == 1:
            way_out = "drop_last=True or another batch_size" if batch > 1 else "batch_size to at least 2"
            raise ValueError(
                f"OTCXR's statistics need at least 2 images per batch, and {images} images in batches of {batch} leave "
                f"a batch of 1: set train_dataloader.{way_out}"
            )
        return len(loader)

    def run(self) -> nn.Module:
        """Trains; with more `max_iters` than in the earlier run, from the middle of its last epoch."""
        length = len(self.dataloader)
        if (self._epoch - 1) * length <= self._iter < min(self._epoch * length, self._max_iters):
            self._epoch -= 1
        return super().run()

    def run_epoch(self) -> None:
        """Runs an epoch, or what is left of it."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        if done:
            self.runner.logger.info(
                f"Epoch {self._epoch + 1} resumes after {done} of {len(self.dataloader)} iterations"
            )
        with _skipping(self.dataloader, done):
            for idx, batch in enumerate(self.dataloader, done):
                self.run_iter(idx, batch)
                if self._iter == self._max_iters:  # may be in the middle of the last epoch
                    break
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
