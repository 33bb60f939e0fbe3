import torch

from otcxr_mm.models import Atoms
from otcxr_mm.ops import full_precision
from otcxr_mm.ops.precision import to_float32


@full_precision
def product(x, y):
    return x @ y


def test_autocast_is_off_inside_and_on_again_outside():
    x = torch.randn(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert product(x, x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16


def test_only_half_precision_is_converted():
    assert product(torch.eye(2).half(), torch.eye(2).half()).dtype == torch.float32
    assert product(torch.eye(2).double(), y=torch.eye(2).double()).dtype == torch.float64


def test_tuples_keep_their_type_and_what_is_not_half_precision():
    dense, mass = torch.ones(2).bfloat16(), torch.ones(2).double()
    (atoms, nothing), grid = to_float32(((Atoms(dense, mass), None), (2, 3)))
    assert isinstance(atoms, Atoms)
    assert (atoms.points.dtype, atoms.mass.dtype) == (torch.float32, torch.float64)
    assert (nothing, grid) == (None, (2, 3))
