"""Nearest neighbours among frozen features: the scores, the head, the run and its checkpoint."""

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from otcxr_mm import KNNHead
from tests.engine.runs import config, some_unknown  # noqa: F401


def slow_scores(x, bank, labels, centre, k, temperature):
    """One image and one class at a time."""
    unit = lambda v: v / np.linalg.norm(v)  # noqa: E731
    scores = np.empty((len(x), labels.shape[1]))
    for i, feature in enumerate(x):
        cosine = np.array([unit(feature - centre) @ unit(other - centre) for other in bank])
        near = np.argsort(-cosine)[:k]
        weight = np.exp(cosine[near] / temperature)
        for c in range(labels.shape[1]):
            known = np.isfinite(labels[near, c])
            if known.any():
                scores[i, c] = (weight * labels[near, c])[known].sum() / weight[known].sum()
            else:
                scores[i, c] = np.nanmean(labels[:, c])
    return scores


@pytest.mark.parametrize("k", [1, 5, 40])
def test_scores_are_those_of_the_definition_with_unknown_labels(k):
    rng = np.random.default_rng(0)
    bank, labels = rng.standard_normal((40, 6)) + 3, rng.integers(0, 2, (40, 3)).astype(np.float64)
    labels[rng.random(labels.shape) < 0.4] = np.nan
    x = rng.standard_normal((9, 6)) + 3
    head = KNNHead(3, 6, k=k)
    head.set_bank(torch.from_numpy(bank), torch.from_numpy(labels))
    got = head((torch.from_numpy(x),)).numpy()
    np.testing.assert_allclose(got, slow_scores(x, bank, labels, bank.mean(0), k, 0.07), atol=2e-5)


def test_predictions_are_the_scores_themselves():
    head = KNNHead(2, 3, k=1)
    head.set_bank(torch.eye(3), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    samples = head.predict((torch.eye(3),))
    assert torch.stack([sample.pred_score for sample in samples]).tolist() == [[1, 0], [0, 1], [0, 0]]
    assert [sample.pred_label.tolist() for sample in samples] == [[0], [1], []]


def test_a_head_goes_with_its_checkpoint_whatever_is_unknown_and_however_many_images():
    head = KNNHead(2, 3)
    head.set_bank(torch.eye(3), torch.tensor([[1.0, np.nan], [np.nan, 0.0], [0.0, np.nan]]))
    head.k = 2
    state = head.state_dict()
    assert all(tensor.isfinite().all() for tensor in state.values())  # else it would look like a diverged weight
    other = KNNHead(2, 3)
    other.load_state_dict(state)
    x = (torch.randn(5, 3),)
    assert other.k == 2
    assert torch.equal(other(x), head(x))
    # the second class is known of one image alone, which is negative
    assert head(x)[:, 1].tolist() == [0.0] * 5


def test_what_cannot_work_is_said():
    with pytest.raises(ValueError, match="the KNNHead has no training images: run otcxr train"):
        KNNHead(2, 3)((torch.zeros(1, 3),))


def knn(folder, caplog, **changes):
    """A linear evaluation whose head is changed by its type alone."""
    more = {"model.head.type": "otcxr_mm.KNNHead", "train_cfg.ks": (5, 10, 10**6)}
    run = Runner.from_cfg(config(folder, **more, **changes))
    run.logger.addHandler(caplog.handler)
    return run


def test_a_run_chooses_k_and_its_checkpoint_tests_to_the_same(tmp_path, caplog, some_unknown):  # noqa: F811
    run = knn(tmp_path, caplog, **{"default_hooks.consistency.strict": False})
    run.train()
    assert run.model.head.k in (5, 10)  # there are not a million images
    assert f"{some_unknown} (0 positive, 0 negative, 48 unknown)" in caplog.text
    metrics = run.test()
    assert 0 < metrics["multilabel/auroc"] <= 1
    again = knn(tmp_path, caplog, name="again", load_from=f"{tmp_path}/work/knn.pth")
    assert not again.model.head.known.numel()
    assert again.test() == pytest.approx(metrics, abs=1e-9, nan_ok=True)
    known = again.model.head.known.float().mean(0)
    assert known[0] == 0 and (known[1:] > 0.4).all() and (known[1:] < 0.9).all()
