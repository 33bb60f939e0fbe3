"""Linear evaluation: the optimum, the run, its checkpoint, and the cache of features."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from sklearn.linear_model import LogisticRegression

from otcxr_mm import KNNHead, LinearEvalLoop, MaskedBCELoss
from otcxr_mm.engine.loops.features import _key, extract, features_of
from otcxr_mm.engine.loops.linear_problem import LinearProblem
from tests.engine.runs import runner, some_unknown  # noqa: F401


def ill_conditioned():
    """Features of a network: few strong directions, many weak ones."""
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((400, 10)) * np.logspace(2, -2, 10)
    x = np.maximum(latent @ rng.standard_normal((10, 80)) + 0.1 * rng.standard_normal((400, 80)), 0)
    return x, (latent @ rng.standard_normal((10, 2)) + 50 * rng.standard_normal((400, 2)) > [50, 180])


def random_features(n, d):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d))
    return x, x @ rng.standard_normal((d, 3)) + rng.standard_normal((n, 3)) > 0.5


@pytest.mark.parametrize("decay", [1.0, 1e-1, 1e-3])
@pytest.mark.parametrize("data", [random_features(200, 12), random_features(30, 100), ill_conditioned()])
def test_the_fit_is_scikit_learns(data, decay):
    x, y = (data[0] - data[0].mean(0)) / (data[0].std(0) + 1e-6), data[1].astype(np.float64)
    problem = LinearProblem(torch.from_numpy(x), torch.from_numpy(y), MaskedBCELoss())
    assert not problem.minimise(decay, 1)[2]
    weight, bias, converged = problem.minimise(decay, 1000)
    assert converged
    for c in range(y.shape[1]):
        model = LogisticRegression(C=1 / (decay * len(x)), tol=1e-12, max_iter=100000, solver="newton-cholesky")
        reference = model.fit(x, y[:, c])
        scale = np.abs(reference.coef_).max()
        np.testing.assert_allclose(weight[c].numpy(), reference.coef_[0], atol=1e-4 * scale)
        assert bias[c].item() == pytest.approx(reference.intercept_[0], rel=1e-4, abs=1e-4)


def test_a_run_fits_the_head_alone_and_its_checkpoint_tests_to_the_same(tmp_path):
    run, before = runner(tmp_path), {}

    class Start(Hook):
        def before_train(self, runner):
            before.update({name: tensor.clone() for name, tensor in runner.model.named_parameters()})

    run.register_hook(Start())
    run.train()
    changed = {name for name, tensor in run.model.named_parameters() if not torch.equal(tensor, before[name])}
    assert changed == {"head.fc.weight", "head.fc.bias"}
    again = runner(tmp_path, name="again", load_from=f"{tmp_path}/work/linear.pth")
    assert again.test() == pytest.approx(run.test(), abs=1e-9, nan_ok=True)


def test_a_run_with_unknown_labels_is_that_of_the_known_ones(tmp_path, caplog, some_unknown):  # noqa: F811
    changes = {"train_cfg.decays": (1.0, 1e-1), "default_hooks.consistency.strict": False}
    run = runner(tmp_path, caplog=caplog, **changes)
    run.train()
    assert f"{some_unknown} (0 positive, 0 negative, 48 unknown)" in caplog.text
    # nothing is learnt of a class without labels; the other ones are those of their own images alone
    x, y = extract(run, run.train_dataloader, 64)
    fc = run.model.head.fc
    assert fc.weight[0].abs().max() < 1e-6 < 1e-3 < fc.weight[1].abs().max()
    known = y[:, 1].isfinite()
    found = torch.sigmoid(fc(x[known])[:, 1]).mean().item()
    assert found == pytest.approx(y[known, 1].mean().item(), abs=1e-3)


def fake_loop(classes, labels, **settings):
    """What LinearEvalLoop.check sees of a loop without validation images."""
    dataset = SimpleNamespace(metainfo={"classes": classes}, records=SimpleNamespace(labels=np.array(labels)))
    warned = []
    run = SimpleNamespace(val_loop=None, logger=SimpleNamespace(warning=warned.append))
    settings = {"ks": [5], "decays": [1.0], **settings}
    return SimpleNamespace(runner=run, dataloader=SimpleNamespace(dataset=dataset), warned=warned, **settings)


LABELS = [[1.0, 0.0, 1.0], [0.0, 0.0, np.nan], [1.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("head", "settings", "message"),
    [
        (torch.nn.Identity(), {}, "LinearEvalLoop fits model.head.fc"),
        (KNNHead(2, 3), dict(ks=[5, 10]), "to choose among several ks, val_dataloader must be set"),
        (SimpleNamespace(fc=torch.nn.Linear(3, 2)), dict(decays=[1, 2]), "several decays, val_dataloader must be set"),
        (KNNHead(3, 3), {}, "num_classes=3, but the training set has 2 classes: Hernia, Edema"),
        (KNNHead(2, 3), {}, "no class has both positives and negatives among the 3 training images: Hernia"),
    ],
)
def test_what_cannot_be_fitted_is_refused_before_the_features_are_computed(head, settings, message):
    with pytest.raises(ValueError, match=message):
        LinearEvalLoop.check(
            fake_loop(("Hernia", "Edema"), np.array(LABELS)[:, 1:], **settings), SimpleNamespace(head=head)
        )


def test_classes_that_cannot_be_learned_are_named():
    loop = fake_loop(("Mass", "Hernia", "Edema"), LABELS)
    LinearEvalLoop.check(loop, SimpleNamespace(head=KNNHead(3, 3)))
    assert loop.warned[0].endswith(
        "among the 3 training images: Hernia (0 positive, 3 negative, 0 unknown), "
        "Edema (2 positive, 0 negative, 1 unknown)"
    )


def test_features_are_computed_once_and_not_taken_for_those_of_other_weights_or_images(tmp_path, caplog):
    run = runner(tmp_path, caplog=caplog, randomness=dict(seed=5))
    first, second = (features_of(run, run.train_dataloader, 64, tmp_path / "features") for _ in range(2))
    assert [f"features {word}" in caplog.text for word in ("of 48 images written", "read from")] == [True, True]
    assert all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(first, second, strict=True))
    with pytest.raises(ValueError, match="in_channels=3, but the backbone and neck give features of 64 channels"):
        features_of(run, run.val_dataloader, 3, tmp_path / "features")

    def key(name, **changes):
        other = runner(tmp_path, name=name, **{"randomness.seed": 5, **changes})
        return _key(other, other.train_dataloader)

    assert [file.stem for file in (tmp_path / "features").iterdir()] == [key("same")]
    others = {
        key("weights", **{"randomness.seed": 6}),
        key("fraction", **{"train_dataloader.dataset.fraction": 0.5}),
        key("pipeline", **{"train_dataloader.dataset.pipeline.1.scale": (24, 24)}),
    }
    assert len({*others, key("same again")}) == 4
