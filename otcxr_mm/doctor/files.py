"""How many files a training leaves, and how large they are."""

from __future__ import annotations


def bytes_of_files(hook: dict, units: int, validations: int, checkpoint: int, weights: int, backbone: int = 0) -> tuple:
    """What will lie in the work dir at most.

    Args:
        hook: `default_hooks.checkpoint` of the config.
        units: Epochs of the training, or iterations if the hook counts those (:func:`units_of`).
        validations: How often is validated.
        checkpoint: Bytes of a checkpoint.
        weights: Bytes of the weights alone.
        backbone: Bytes of `backbone.pth`; 0 if none is written.

    Returns:
        Bytes by kind of file, and how many checkpoints lie there at the same time.
    """
    if not hook:
        return ({"checkpoints": 0, **({"backbone.pth": backbone} if backbone else {})}, 0)
    atomic = str(hook.get("type")).endswith("AtomicCheckpointHook")
    interval, most = hook.get("interval", 1 if atomic else -1), hook.get("max_keep_ckpts", 2 if atomic else -1)
    saves = units // interval if interval > 0 else 0
    if hook.get("save_last", True) and (interval <= 0 or units % interval):
        saves += 1
    kept = min(saves, most) if most > 0 else saves
    best = hook.get("save_best")
    bests = 0 if not best or not validations else 1 if isinstance(best, str) else len(best)
    # the next one is written before the oldest is deleted
    count = kept + (saves > kept)
    files = {"checkpoints": count * checkpoint}
    if bests:  # without the optimiser's state
        files["best"] = (bests + (validations > 1)) * weights
    if atomic:
        files["interrupted.pth"] = checkpoint
    if backbone:
        files["backbone.pth"] = backbone
    return files, count


def units_of(hook: dict, epochs: int | None, iterations: int | None) -> int | None:
    """Of the epochs and iterations of a training, what its checkpoint hook counts."""
    return epochs if hook.get("by_epoch", True) else iterations


def validations(units: int, begin: float, interval: int) -> int:
    """Validations in so many epochs, or iterations: each `interval` from `begin` on, and the last one."""
    return sum(unit >= begin and (unit % interval == 0 or unit == units) for unit in range(1, units + 1))
