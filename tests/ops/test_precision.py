import torch

from otcxr_mm.ops import full_precision


@full_precision
def product(x, y):
    return x @ y


def test_autocast_is_off_inside_and_on_again_outside():
    x = torch.randn(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert product(x, x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16


def test_only_half_precision_is_widened():
    assert product(torch.eye(2).half(), torch.eye(2).half()).dtype == torch.float32
    assert product(torch.eye(2).double(), y=torch.eye(2).double()).dtype == torch.float64
