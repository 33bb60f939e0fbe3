import torch

from otcxr_mm.models.norm import CrossRankBatchNorm1d


def test_it_counts_as_a_batch_norm_for_weight_decay_rules_and_evaluates_like_one():
    norm = CrossRankBatchNorm1d(3)
    assert isinstance(norm, torch.nn.modules.batchnorm._BatchNorm)
    for _ in range(200):
        norm(5 + 2 * torch.randn(64, 3))
    norm.eval()
    x = 5 + 2 * torch.randn(1000, 3)
    assert abs(norm(x).mean()) < 0.2
    assert abs(norm(x).std() - 1) < 0.2
