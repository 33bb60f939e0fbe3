import numpy as np
import pytest
import torch

from otcxr_mm import TwoViewCrop
from otcxr_mm.ops import correspondence

WHOLE = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]]])
FLIPPED = torch.tensor([[[-1.0, 0, 1], [0, 1.0, 0]]])
LEFT = torch.tensor([[[0.5, 0, 0], [0, 1.0, 0]]])
RIGHT = torch.tensor([[[0.5, 0, 0.5], [0, 1.0, 0]]])


def pairs(n, grid):
    np.random.seed(0)
    crop = TwoViewCrop(8, scale=(0.25, 1.0), min_overlap=0.0)
    matrices = torch.from_numpy(
        np.stack([crop.transform({"img": np.zeros((256, 256), np.uint8)})["view_to_image"] for _ in range(n)])
    )
    return matrices[:, 0], matrices[:, 1]


def test_identical_viewpoints():
    x = torch.eye(36)[None]
    counts = correspondence(x, x, WHOLE, WHOLE, (6, 6))
    assert counts.correct == counts.index == counts.tokens == 36
    # a corner has 4 cells within one cell, an edge 6, the interior 9
    assert counts.chance.item() * 36 == pytest.approx(4 * 4 + 16 * 6 + 16 * 9)


def test_against_a_loop_over_tokens():
    a, b = pairs(20, (3, 5))
    x, y = torch.randn(20, 15, 4), torch.randn(20, 15, 4)
    counts = correspondence(x, y, a, b, (3, 5))
    for i in range(20):
        correct = index = chance = tokens = 0
        to_b = np.linalg.inv(np.vstack([b[i].double().numpy(), [0, 0, 1]])) @ np.vstack(
            [a[i].double().numpy(), [0, 0, 1]]
        )
        for t in range(15):
            u, v, _ = to_b @ [(t % 5 + 0.5) / 5, (t // 5 + 0.5) / 3, 1]
            if not (0 <= u <= 1 and 0 <= v <= 1):
                continue
            tokens += 1
            near = {
                j for j in range(15) if abs(u * 5 - j % 5 - 0.5) <= 1 + 1e-4 and abs(v * 3 - j // 5 - 0.5) <= 1 + 1e-4
            }
            correct += torch.cosine_similarity(x[i, t], y[i], dim=-1).argmax().item() in near
            index += t in near
            chance += len(near) / 15
        assert counts.tokens[i] == tokens
        assert counts.correct[i] == correct
        assert counts.index[i] == index
        assert counts.chance[i].item() == pytest.approx(chance, rel=1e-5)
