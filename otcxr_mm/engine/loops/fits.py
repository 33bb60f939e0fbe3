"""Classifiers on fixed features: linear, or of nearest neighbours, with a setting chosen on validation images."""

import logging
from collections.abc import Sequence

import numpy as np
from mmengine.logging import MMLogger, print_log
from torch import Tensor, nn

from ...models.heads import KNNHead
from .choice import best
from .features import Features
from .linear_problem import LinearProblem

DECAYS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
KS = (5, 10, 20, 50, 100)


def fit_linear(
    train: Features,
    val: Features | None,
    loss: nn.Module,
    decays: Sequence[float],
    max_iters: int,
    logger: MMLogger | str,
) -> tuple[Tensor, Tensor]:
    """Fits linear classifiers on standardised features, with the best of several weight decays.

    Args:
        train: Features (n, D) and labels (n, C) of the training images.
        val: Those of the validation images; None if there is one decay only.
        loss: Mean over images and classes.
        decays: Weight decays to try, from strong to weak.
        max_iters: L-BFGS iterations per decay.
        logger: For what was tried and chosen, and warnings; ``'silent'`` for none.

    Returns:
        Weight (C, D) and bias (C,) for features as they are.
    """
    x, y = train
    if x.numel() <= 2**27:  # a gigabyte
        x, val = x.double(), val and (val[0].double(), val[1])
    mean, std = x.mean(0), x.std(0) + 1e-6
    # a channel that hardly varies on these images says nothing, and may vary on others
    std[std < 1e-4 * std.median()] = float("inf")
    problem = LinearProblem((x - mean) / std, y, loss)
    fitted = {}

    def scores(decay: float) -> Tensor | None:
        weight, bias, converged = problem.minimise(decay, max_iters)
        fitted[decay] = weight, bias
        if not converged:
            text = f"weight decay {decay:g}: no convergence in {max_iters} iterations: raise train_cfg.max_iters"
            print_log(text, logger, logging.WARNING)
        return (val[0] - mean) / std @ weight.T + bias if val is not None else None

    # from strong to weak, each from where the last one ended
    decay = best(decays, scores, val and val[1], "weight decay {:g}", logger)
    if len(decays) > 1 and decay in (decays[0], decays[-1]):
        print_log(
            f"weight decay {decay:g} is the first or last of those tried: a value beyond it may be better "
            "(train_cfg.decays)",
            logger,
            logging.WARNING,
        )
    weight, bias = fitted[decay]
    return weight / std, bias - (weight / std) @ mean


def fit_neighbours(
    head: KNNHead, train: Features, val: Features | None, ks: Sequence[int], logger: MMLogger | str
) -> None:
    """Puts the training images into a head, with the best of several numbers of neighbours.

    Args:
        head: The head.
        train: Features (n, D) and labels (n, C) of the training images.
        val: Those of the validation images; None if there is one number only.
        ks: Numbers of neighbours to try; those above n are skipped.
        logger: For what was tried and chosen; ``'silent'`` for none.
    """
    head.set_bank(*train)

    def scores(k: int) -> Tensor | None:
        head.k = k
        return None if val is None else head((val[0].to(head.bank),))

    ks = [k for k in ks if k <= len(train[0])] or ks[:1]
    head.k = best(ks, scores, val and val[1], "{} neighbours", logger)


def check_labels(labels: np.ndarray, classes: Sequence[str], logger: MMLogger) -> None:
    """Warns of classes that cannot be learnt from these labels, (n, C); raises a ValueError if none can."""
    counts = zip(classes, (labels == 1).sum(0), (labels == 0).sum(0), np.isnan(labels).sum(0), strict=True)
    lacking = [
        f"{name} ({pos} positive, {neg} negative, {nan} unknown)" for name, pos, neg, nan in counts if not (pos and neg)
    ]
    text = f"both positives and negatives among the {len(labels)} training images: {', '.join(lacking)}"
    if len(lacking) == labels.shape[1]:
        raise ValueError(f"no class has {text}. Use other or more images")
    if lacking:
        logger.warning(f"these classes have no meaningful scores, for lack of {text}")
