import pytest
import torch

from otcxr_mm.ops import effective_rank


def test_isotropic_line_and_point():
    q, _ = torch.linalg.qr(torch.randn(200, 8, dtype=torch.float64))
    q = q - q.mean(0)
    q, _ = torch.linalg.qr(q)  # 8 orthonormal centred columns: equal singular values
    assert effective_rank(3 * q).item() == pytest.approx(8, abs=1e-6)
    line = torch.randn(50, 1) * torch.randn(1, 8)
    assert effective_rank(line).item() == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.full((50, 8), 0.1)).item() == 0


def test_needs_two_rows():
    with pytest.raises(ValueError, match="at least 2 rows"):
        effective_rank(torch.zeros(1, 8))
