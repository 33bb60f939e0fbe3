"""Keeps transport and statistics in float32, whatever the precision around them."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor


def to_float32(value: Any) -> Any:
    """Converts half-precision tensors to float32, in (named) tuples too; returns anything else as it is."""
    if isinstance(value, tuple):
        items = map(to_float32, value)
        return value._make(items) if hasattr(value, "_make") else tuple(items)
    if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
        return value.float()
    return value


@contextmanager
def _no_tf32() -> Iterator[None]:
    matmul = torch.backends.cuda.matmul
    # recent versions of torch refuse a mix of the two names: use the new one where it exists
    name, exact = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    before = getattr(matmul, name)
    setattr(matmul, name, exact)
    try:
        yield
    finally:
        setattr(matmul, name, before)


def full_precision(function: Callable) -> Callable:
    """Decorator that runs a function in float32 (or float64): autocast and TF32 off, half-precision tensors converted.

    In half precision exp(-C / eps) underflows for squared distances of 128-dimensional features, and with TF32
    Sinkhorn does not converge.

    Args:
        function: Takes at least one tensor; the first one determines the device.

    Returns:
        The function, with the same arguments.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        args = to_float32(args)
        kwargs = {key: to_float32(value) for key, value in kwargs.items()}
        device = next(value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        if device == "meta":  # shapes only
            return function(*args, **kwargs)
        with torch.autocast(device, enabled=False), _no_tf32() if device == "cuda" else nullcontext():
            return function(*args, **kwargs)

    return wrapped
