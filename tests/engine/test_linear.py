import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from sklearn.linear_model import LogisticRegression

from otcxr_mm import LinearEvalLoop, MaskedBCELoss, SyntheticCXR
from otcxr_mm.engine.loops.linear import LinearProblem
from tests.conftest import ROOT


def config(folder, **changes):
    os.environ["OTCXR_SYNTHETIC"] = str(folder / "images")
    cfg = Config.fromfile(ROOT / "configs" / "demo" / "linear_r18_synthetic.py")
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].dataset.update(patients=40, size=48)
        for step in cfg[loader].dataset.pipeline:
            if step["type"] == "Resize":
                step["scale"] = (32, 32)
    cfg.model.backbone.update(base_channels=8, stem_channels=8)
    cfg.model.head.in_channels = 64
    cfg.default_hooks.load_backbone.checkpoint = None
    cfg.train_cfg.calibrate = True
    cfg.work_dir, cfg.experiment_name = str(folder / "work"), f"linear_{folder.name}"
    cfg.merge_from_dict(changes)
    return cfg


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OTCXR_SYNTHETIC", "")  # given back afterwards
    return tmp_path


@pytest.fixture
def some_unknown(monkeypatch):
    """A third of all labels is unknown, and the first class is unknown for all training images; gives its name."""
    load = SyntheticCXR.load_records

    def load_records(self):
        records = load(self)
        records.labels[np.random.default_rng(0).random(records.labels.shape) < 0.3] = np.nan
        records.labels[records.split == "train", 0] = np.nan
        return records

    monkeypatch.setattr(SyntheticCXR, "load_records", load_records)
    return SyntheticCXR.METAINFO["classes"][0]


@pytest.mark.parametrize("decay", [1.0, 1e-2, 1e-4])
def test_the_fit_is_scikit_learns(decay):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 12)).astype(np.float32)
    y = (x @ rng.standard_normal((12, 3)) + rng.standard_normal((200, 3)) > 0.5).astype(np.float32)
    problem = LinearProblem(torch.from_numpy(x).double(), torch.from_numpy(y), MaskedBCELoss())
    assert not problem.minimise(decay, 1)[2]
    weight, bias, converged = problem.minimise(decay, 500)
    assert converged
    for c in range(3):
        reference = LogisticRegression(C=1 / (decay * len(x)), tol=1e-10, max_iter=10000).fit(
            x.astype(np.float64), y[:, c]
        )
        np.testing.assert_allclose(weight[c].numpy(), reference.coef_[0], atol=1e-5 * np.abs(reference.coef_).max())
        assert bias[c].item() == pytest.approx(reference.intercept_[0], abs=1e-5)


def test_a_run_fits_the_head_alone_and_its_checkpoint_tests_to_the_same(folder):
    runner = Runner.from_cfg(config(folder))
    before = {}

    class Start(Hook):
        def before_train(self, runner):
            before.update({name: tensor.clone() for name, tensor in runner.model.named_parameters()})

    runner.register_hook(Start())
    runner.train()
    changed = {name for name, tensor in runner.model.named_parameters() if not torch.equal(tensor, before[name])}
    assert changed == {"head.fc.weight", "head.fc.bias"}
    metrics = runner.test()
    assert 0 < metrics["multilabel/auroc"] < 1
    again = Runner.from_cfg(config(folder, load_from=str(folder / "work" / "linear.pth"), experiment_name="again"))
    assert again.test() == pytest.approx(metrics, abs=1e-9, nan_ok=True)


def test_a_run_with_unknown_labels_is_that_of_the_known_ones(folder, some_unknown):
    runner = Runner.from_cfg(config(folder, train_cfg=dict(decays=(1.0, 1e-1))))
    lines = []
    runner.logger.warning = lambda text, *args: lines.append(str(text))
    runner.train()
    assert any(f"{some_unknown} (0 positive, 0 negative, " in line for line in lines)
    metrics = runner.test()
    again = config(folder, load_from=str(folder / "work" / "linear.pth"), experiment_name="again")
    assert Runner.from_cfg(again).test() == pytest.approx(metrics, abs=1e-9, nan_ok=True)
    # nothing is learnt of a class without labels; the other ones are those of their own images alone
    x, y = runner.train_loop.features(runner.train_dataloader)
    fc = runner.model.head.fc
    assert fc.weight[0].abs().max() < 1e-6 < 1e-3 < fc.weight[1].abs().max()
    known = y[:, 1].isfinite()
    found = torch.sigmoid(fc(x[known])[:, 1]).mean().item()
    assert found == pytest.approx(y[known, 1].mean().item(), abs=1e-3)


def test_on_its_training_images_the_weakest_decay_fits_best(folder):
    def loss_of(decay):
        runner = Runner.from_cfg(config(folder, train_cfg=dict(decays=(decay,)), experiment_name=f"decay{decay}"))
        runner.train()
        x, y = runner.train_loop.features(runner.train_dataloader)
        return runner.model.head.loss_module(runner.model.head.fc(x), y).item()

    losses = [loss_of(decay) for decay in (1.0, 1e-2, 1e-4)]
    assert losses[0] > losses[1] > losses[2]


def test_what_cannot_be_fitted(folder):
    cfg = config(folder, experiment_name="noval")
    for key in ("val_dataloader", "val_cfg", "val_evaluator"):
        cfg[key] = None
    with pytest.raises(ValueError, match="to choose among several decays, val_dataloader must be set"):
        Runner.from_cfg(cfg).train()
    cfg = config(folder, experiment_name="nohead")
    cfg.model.head = dict(type="MultiLabelClsHead")
    with pytest.raises(ValueError, match="LinearEvalLoop fits model.head.fc"):
        Runner.from_cfg(cfg).train()


def test_an_untrained_head_is_not_tested(folder, python, tmp_path):
    from mmpretrain.models import ResNet

    backbone = ResNet(18, in_channels=1, base_channels=8, stem_channels=8)
    state = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "backbone_only.pth")
    cfg = config(folder)
    cfg.dump(tmp_path / "config.py")
    result = python(ROOT / "tools" / "test.py", tmp_path / "config.py", tmp_path / "backbone_only.pth", check=False)
    assert result.returncode == 1
    assert "lacks 2 of the model's weights (head.fc.weight, head.fc.bias)" in result.stderr


def test_classes_that_cannot_be_learned_are_told():
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, float("nan")], [1.0, 0.0, 1.0]])
    lines = []
    loop = SimpleNamespace(
        dataloader=SimpleNamespace(dataset=SimpleNamespace(metainfo={"classes": ("Mass", "Hernia", "Edema")})),
        runner=SimpleNamespace(logger=SimpleNamespace(warning=lines.append)),
    )
    LinearEvalLoop._check_labels(loop, labels)
    assert lines[0].endswith(
        "among the 3 training images: Hernia (0 positive, 3 negative, 0 unknown), "
        "Edema (2 positive, 0 negative, 1 unknown)"
    )
    loop.dataloader.dataset.metainfo["classes"] = ("Hernia", "Edema")
    with pytest.raises(ValueError, match="no class has both positives and negatives among the 3 training images: Her"):
        LinearEvalLoop._check_labels(loop, labels[:, 1:])


def test_features_are_computed_once_and_not_taken_for_those_of_other_weights_or_images(folder):
    def lines_of(name, **changes):
        cache = dict(train_cfg=dict(cache=str(folder / "features")), experiment_name=name)
        runner = Runner.from_cfg(config(folder, **cache, **changes))
        lines = []
        info = runner.logger.info
        runner.logger.info = lambda text, *args: (lines.append(str(text)), info(text, *args))
        runner.train()
        return [line.split(" ")[1] for line in lines if line.startswith("features ")], runner

    (first, runner) = lines_of("first")
    assert first == ["of", "of"]  # computed: features of ... images written to
    second, again = lines_of("second", **{"train_cfg.decays": (1e-2, 1.0)})
    assert second == ["read", "read"]
    x, y = again.train_loop.features(again.train_dataloader)
    assert torch.equal(x, runner.train_loop._compute(runner.train_dataloader)[0])
    assert torch.equal(y, runner.train_loop._compute(runner.train_dataloader)[1])
    assert lines_of("weights", randomness=dict(seed=5))[0] == ["of", "of"]
    assert lines_of("fraction", **{"train_dataloader.dataset.fraction": 0.5, "train_cfg.calibrate": True})[0][0] == "of"
    assert lines_of("pipeline", **{"val_dataloader.dataset.pipeline.1.scale": (24, 24)})[0] == ["read", "of"]


def test_features_of_images_inside_an_archive_are_kept_too(folder):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (2, 60, 28, 28), dtype=np.uint8), rng.integers(0, 2, (2, 60, 1))
    parts = {"train_images": images[0], "train_labels": labels[0], "val_images": images[1], "val_labels": labels[1]}
    np.savez(folder / "pneumoniamnist.npz", **parts)
    cfg = config(folder)
    small = dict(type="otcxr_mm.MedMNISTCXR", data_root=str(folder), ann_file="pneumoniamnist.npz")
    for split in ("train", "val"):
        pipeline = cfg[f"{split}_dataloader"].dataset.pipeline
        cfg[f"{split}_dataloader"].dataset = dict(**small, split=split, pipeline=pipeline)
    cfg.model.head.num_classes = 1
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    loop = Runner.from_cfg(cfg).train_loop
    before = loop._key(loop.dataloader)
    assert before == loop._key(loop.dataloader)
    os.utime(folder / "pneumoniamnist.npz", ns=(0, 0))  # another archive under the old name
    assert loop._key(loop.dataloader) != before


def test_an_ill_conditioned_problem_is_solved_to_scikit_learns_optimum():
    # features of a network: few strong directions, many weak ones
    rng = np.random.default_rng(0)
    latent = rng.standard_normal((400, 10)) * np.logspace(2, -2, 10)
    x = np.maximum(latent @ rng.standard_normal((10, 80)) + 0.1 * rng.standard_normal((400, 80)), 0)
    x = (x - x.mean(0)) / (x.std(0) + 1e-6)
    y = (latent @ rng.standard_normal((10, 2)) + 50 * rng.standard_normal((400, 2)) > [50, 180]).astype(np.float64)
    problem = LinearProblem(torch.from_numpy(x), torch.from_numpy(y), MaskedBCELoss())
    for decay in (1e-1, 1e-3):
        weight, bias, converged = problem.minimise(decay, 1000)
        assert converged
        for c in range(2):
            model = LogisticRegression(C=1 / (decay * len(x)), tol=1e-12, max_iter=100000, solver="newton-cholesky")
            reference = model.fit(x, y[:, c])
            scale = np.abs(reference.coef_).max()
            np.testing.assert_allclose(weight[c].numpy(), reference.coef_[0], atol=1e-4 * scale)
            assert bias[c].item() == pytest.approx(reference.intercept_[0], rel=1e-4)


def test_fewer_images_than_features():
    x, y = torch.randn(30, 100, dtype=torch.float64), (torch.rand(30, 1) > 0.5).float()
    weight, bias, converged = LinearProblem(x, y, MaskedBCELoss()).minimise(1e-2, 500)
    reference = LogisticRegression(C=1 / (1e-2 * 30), tol=1e-10, max_iter=10000).fit(x.numpy(), y[:, 0].numpy())
    assert converged
    np.testing.assert_allclose(weight[0].numpy(), reference.coef_[0], atol=1e-5)
