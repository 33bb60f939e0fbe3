"""Keeps transport and statistics in float32 whatever the precision around them."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor


def widen(value: object) -> object:
    """A half-precision tensor as float32; anything else as it is."""
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value


@contextmanager
def _no_tf32() -> Iterator[None]:
    matmul = torch.backends.cuda.matmul
    # newer torch refuses a mix of the two names: use the new one where it exists
    name, exact = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    before = getattr(matmul, name)
    setattr(matmul, name, exact)
    try:
        yield
    finally:
        setattr(matmul, name, before)


def full_precision(function: Callable) -> Callable:
    """Decorator: run `function` with autocast and TF32 off, half-precision tensors widened to float32.

    float32 and float64 tensors are passed on as they are. The device is that of the first tensor argument.
    Why: with raw squared distances of 128-d features exp(-C / eps) underflows in half precision at once, and
    with TF32 Sinkhorn does not converge.

    Args:
        function: With at least one tensor among its arguments.

    Returns:
        The function, with the same arguments.
    """

    @functools.wraps(function)
    def wrapped(*args: object, **kwargs: object) -> object:
        args = tuple(widen(value) for value in args)
        kwargs = {key: widen(value) for key, value in kwargs.items()}
        device = next(value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        if device == "meta":  # shapes only
            return function(*args, **kwargs)
        with torch.autocast(device, enabled=False), _no_tf32() if device == "cuda" else nullcontext():
            return function(*args, **kwargs)

    return wrapped
