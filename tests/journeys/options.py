"""Options that make the shipped configs small enough for a test on two cores."""

from collections.abc import Sequence

# a backbone without pre-training, for linear evaluation and nearest neighbours
UNTRAINED = ["default_hooks.load_backbone.checkpoint=None", "train_cfg.calibrate=True"]
# weight decays that converge at once on a few images
DECAYS = ["train_cfg.decays=(0.1,1,10)"]
ONE_EPOCH = ["train_cfg.max_epochs=1", "param_scheduler=[]"]
PARTS = ("train", "val", "test")


def size(side: int, *parts: str, key: str = "scale") -> list[str]:
    """Another image size than the config's, in the second step of the pipelines."""
    return [f"{part}_dataloader.dataset.pipeline.1.{key}=({side},{side})" for part in parts or PARTS]


def loaders(batch: int, *parts: str) -> list[str]:
    """Batches that fit a small set, read in the process itself."""
    options = []
    for part in parts or PARTS:
        loader = f"{part}_dataloader"
        options += [f"{loader}.batch_size={batch}", f"{loader}.num_workers=0", f"{loader}.persistent_workers=False"]
    return options


def crops(side: int, batch: int = 4) -> list[str]:
    """Smaller crops of pre-training, in smaller batches."""
    return [f"train_dataloader.dataset.pipeline.1.size={side}", *loaders(batch, "train")]


def iterations(n: int, batch: int = 8) -> list[str]:
    """A training of so many iterations at a constant learning rate, with small checkpoints."""
    options = [f"train_cfg.max_iters={n}", f"train_cfg.val_interval={n}", "param_scheduler=[]"]
    options += [f"default_hooks.checkpoint.interval={n}", "default_hooks.checkpoint.save_optimizer=False"]
    return [*options, f"train_dataloader.batch_size={batch}"]


def cfg(*options: Sequence[str]) -> list[str]:
    """All of them behind --cfg-options."""
    return ["--cfg-options", *(option for group in options for option in group)]
