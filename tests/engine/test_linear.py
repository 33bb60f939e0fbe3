"""Linear evaluation: the optimum, the run, its checkpoint, and the cache of features."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from sklearn.linear_model import LogisticRegression

from otcxr_mm import LinearEvalLoop, MaskedBCELoss
from otcxr_mm.engine.loops.linear import LinearProblem
from tests.engine.runs import config, runner, some_unknown  # noqa: F401


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
    run = runner(tmp_path, caplog=caplog, **{"train_cfg.decays": (1.0, 1e-1)})
    run.train()
    assert f"{some_unknown} (0 positive, 0 negative, 48 unknown)" in caplog.text
    again = runner(tmp_path, name="again", load_from=f"{tmp_path}/work/linear.pth")
    assert again.test() == pytest.approx(run.test(), abs=1e-9, nan_ok=True)
    # nothing is learnt of a class without labels; the other ones are those of their own images alone
    x, y = run.train_loop.features(run.train_dataloader)
    fc = run.model.head.fc
    assert fc.weight[0].abs().max() < 1e-6 < 1e-3 < fc.weight[1].abs().max()
    known = y[:, 1].isfinite()
    found = torch.sigmoid(fc(x[known])[:, 1]).mean().item()
    assert found == pytest.approx(y[known, 1].mean().item(), abs=1e-3)


def test_on_its_training_images_the_weakest_decay_fits_best(tmp_path):
    def loss_of(decay):
        run = runner(tmp_path, name=f"decay{decay}", **{"train_cfg.decays": (decay,)})
        run.train()
        x, y = run.train_loop.features(run.train_dataloader)
        return run.model.head.loss_module(run.model.head.fc(x), y).item()

    losses = [loss_of(decay) for decay in (1.0, 1e-2, 1e-4)]
    assert losses[0] > losses[1] > losses[2]


def test_what_cannot_be_fitted(tmp_path):
    no_val = dict.fromkeys(("val_dataloader", "val_cfg", "val_evaluator"))
    with pytest.raises(ValueError, match="to choose among several decays, val_dataloader must be set"):
        runner(tmp_path, name="noval", **no_val).train()
    cfg = config(tmp_path, name="nohead")
    cfg.model.head = dict(type="MultiLabelClsHead")
    with pytest.raises(ValueError, match="LinearEvalLoop fits model.head.fc"):
        Runner.from_cfg(cfg).train()


def test_an_untrained_head_is_not_tested(tmp_path):
    state = runner(tmp_path).model.state_dict()
    torch.save({"state_dict": {n: v for n, v in state.items() if n.startswith("backbone.")}}, tmp_path / "b.pth")
    with pytest.raises(ValueError, match=r"lacks 2 of the model's weights \(head.fc.weight, head.fc.bias\)"):
        runner(tmp_path, name="test", load_from=f"{tmp_path}/b.pth").test()


def test_classes_that_cannot_be_learned_are_told():
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, float("nan")], [1.0, 0.0, 1.0]])
    lines = []
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo={"classes": ("Mass", "Hernia", "Edema")})),
        runner=SimpleNamespace(logger=SimpleNamespace(warning=lines.append)),
    )
    LinearEvalLoop.check_labels(loop, labels)
    assert lines[0].endswith(
        "among the 3 training images: Hernia (0 positive, 3 negative, 0 unknown), "
        "Edema (2 positive, 0 negative, 1 unknown)"
    )
    loop.dataloader.dataset.metainfo["classes"] = ("Hernia", "Edema")
    with pytest.raises(ValueError, match="no class has both positives and negatives among the 3 training images: Her"):
        LinearEvalLoop.check_labels(loop, labels[:, 1:])


def test_features_are_computed_once_and_not_taken_for_those_of_other_weights_or_images(tmp_path, caplog):
    def found(name, **changes):
        caplog.clear()
        run = runner(tmp_path, name=name, caplog=caplog, **{"train_cfg.cache": f"{tmp_path}/features", **changes})
        run.train()
        words = [record.getMessage().split(" ")[:2] for record in caplog.records]
        return ["read" if second == "read" else "new" for first, second, *_ in words if first == "features"], run

    first, run = found("first")
    assert first == ["new", "new"]
    second, again = found("second", **{"train_cfg.decays": (1e-1, 1.0)})
    assert second == ["read", "read"]
    kept, computed = again.train_loop.features(again.train_dataloader), run.train_loop._compute(run.train_dataloader)
    assert all(torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in zip(kept, computed, strict=True))
    assert found("weights", randomness=dict(seed=5))[0] == ["new", "new"]
    assert found("fraction", **{"train_dataloader.dataset.fraction": 0.5})[0][0] == "new"
    assert found("pipeline", **{"val_dataloader.dataset.pipeline.1.scale": (24, 24)})[0] == ["read", "new"]


def test_features_of_images_inside_an_archive_are_kept_too(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (2, 60, 28, 28), dtype=np.uint8), rng.integers(0, 2, (2, 60, 1))
    parts = {"train_images": images[0], "train_labels": labels[0], "val_images": images[1], "val_labels": labels[1]}
    np.savez(tmp_path / "pneumoniamnist.npz", **parts)
    cfg = config(tmp_path)
    small = dict(type="otcxr_mm.MedMNISTCXR", data_root=str(tmp_path), ann_file="pneumoniamnist.npz")
    for split in ("train", "val"):
        pipeline = cfg[f"{split}_dataloader"].dataset.pipeline
        cfg[f"{split}_dataloader"].dataset = dict(**small, split=split, pipeline=pipeline)
    cfg.model.head.num_classes = 1
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    loop = Runner.from_cfg(cfg).train_loop
    before = loop._key(loop.dataloader)
    assert before == loop._key(loop.dataloader)
    os.utime(tmp_path / "pneumoniamnist.npz", ns=(0, 0))  # another archive under the old name
    assert loop._key(loop.dataloader) != before
