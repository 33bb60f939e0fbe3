"""What the monitors of pre-training say, and that a run does not notice them."""

import json
import random
import re
import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

import otcxr_mm
from otcxr_mm.engine.health import feature_numbers, mean_spread, probe_problems, tokens_spread, training_problems
from otcxr_mm.engine.model import undisturbed
from otcxr_mm.models.tokens import Tokens
from otcxr_mm.utils.redaction import shareable
from tests.conftest import ROOT
from tests.engine import runs
from tests.journeys.conftest import otcxr  # noqa: F401

PROBE = dict(type="otcxr_mm.OnlineProbeHook", interval=1, decays=(1.0,), ks=(5,), views=4)


def labelled(folder, **more):
    """Data sets of :func:`runs.write_data` with labels."""
    linear = runs.config(folder)
    return {
        split: {**linear[f"{split}_dataloader"].dataset.to_dict(), "test_mode": True, **more}
        for split in ("train", "val")
    }


def pretrain(folder, name="pre", watched=True, pictures=0, **changes):
    """The tiny pre-training on 16 of those images, two iterations an epoch, with or without all monitors."""
    labels = labelled(folder)
    cfg = Config.fromfile(ROOT / "tests" / "tiny.py")
    cfg.train_dataloader.batch_size = 8
    data = dict(data_root=str(folder), ann_file="t.csv", img_prefix="images", split="train", indices=16)
    cfg.train_dataloader.dataset.update(data)
    cfg.train_cfg.max_epochs = 2
    cfg.default_hooks.checkpoint.update(by_epoch=True, interval=1, max_keep_ckpts=-1)
    cfg.default_hooks.monitor.pictures = pictures
    if watched:
        cfg.custom_hooks += [{**PROBE, "labels": labels}]
    else:
        del cfg.default_hooks["monitor"]
    cfg.work_dir, cfg.experiment_name = str(folder / name), f"{folder.name}_{name}"
    cfg.merge_from_dict(changes)
    return cfg


def train(cfg, caplog=None):
    """Trains; gives the model."""
    runner = Runner.from_cfg(cfg)
    if caplog is not None:
        runner.logger.addHandler(caplog.handler)
    return runner.train()


def scalars(work_dir):
    """What the run gave the visualiser, by name: the values in order."""
    found = {}
    for log in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        for line in log.read_text().splitlines():
            for name, value in json.loads(line).items():
                found.setdefault(name, []).append(value)
    return found


def assert_same(one, other, last="epoch_2.pth"):
    """Two runs have ended with the same weights and optimiser, to the bit."""
    a, b = (torch.load(Path(folder, last), weights_only=True) for folder in (one, other))
    assert a["state_dict"].keys() == b["state_dict"].keys()
    assert all(torch.equal(tensor, b["state_dict"][name]) for name, tensor in a["state_dict"].items())
    for slots in zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True):
        assert all(torch.equal(torch.as_tensor(slots[0][key]), torch.as_tensor(slots[1][key])) for key in slots[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_does_not_notice_the_monitors(tmp_path, workers):
    """Nothing seeds the generators before each iteration here, so that every draw would move those that follow."""
    for name, watched in (("with", True), ("without", False)):
        cfg = pretrain(tmp_path, name, watched, 1, **{"train_dataloader.num_workers": workers})
        del cfg.default_hooks["reproducibility"]
        if watched:
            cfg.custom_hooks += [{**cfg.custom_hooks[-1], "by_epoch": False}]
        train(cfg)
    assert_same(tmp_path / "with", tmp_path / "without")
    assert len(scalars(tmp_path / "with")["probe/linear_auroc"]) == 2 + 4


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_does_not_notice_them_either(tmp_path, workers):
    load = {"train_dataloader.num_workers": workers}
    train(pretrain(tmp_path, "without", False, **load))
    train(pretrain(tmp_path, "with", **load))
    train(pretrain(tmp_path, "resumed", resume=True, load_from=f"{tmp_path}/with/epoch_1.pth", **load))
    assert_same(tmp_path / "resumed", tmp_path / "without")
    first, second = (scalars(tmp_path / name) for name in ("with", "resumed"))
    same = ("probe/linear_auroc", "probe/correspondence", "plan/right", "features/rank", "tokens/std", "weights/step")
    assert all(first[name][1:] == second[name] for name in same)


def test_two_processes_do_not_notice_them(tmp_path, otcxr):  # noqa: F811
    """With a head that gathers for each plan, a probe that one process does alone, and resumed within an epoch."""
    changes = {"model.head.centre": "batch", "train_dataloader.batch_size": 4, "train_dataloader.num_workers": 2}
    changes |= {"default_hooks.checkpoint.by_epoch": False}
    resumed = dict(resume=True, load_from=f"{tmp_path}/with/iter_1.pth")
    for name, watched, more in (("with", True, {}), ("without", False, {}), ("resumed", True, resumed)):
        cfg = pretrain(tmp_path, name, watched, 1, **changes, **more)
        cfg.dump(str(tmp_path / f"{name}.py"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free.getsockname()[1], "WORLD_SIZE": 2}
        ranks = [{**env, "RANK": rank, "LOCAL_RANK": rank} for rank in range(2)]
        command = ("train", tmp_path / f"{name}.py", "--launcher", "pytorch")
        for process in [otcxr.start(*command, env=rank) for rank in ranks]:
            assert process.wait(120).status == 0, process.out[-3000:]
    for name in ("with", "resumed"):
        assert_same(tmp_path / name, tmp_path / "without", "iter_4.pth")
    first, again = (scalars(tmp_path / name)["probe/linear_auroc"] for name in ("with", "resumed"))
    assert len(first) == 2
    assert again == first


def test_what_is_looked_at_undisturbed_is_as_before():
    model = MODELS.build(
        dict(type="ResNet", depth=18, base_channels=4, stem_channels=4, frozen_stages=1, norm_cfg=dict(type="BN"))
    )
    model.train()  # what is frozen stays in evaluation mode
    modes = [module.training for module in model.modules()]
    assert len(set(modes)) == 2
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    draws = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]
    with pytest.raises(KeyError), undisturbed(model):
        out = model(torch.randn(2, 3, 32, 32))[-1] * random.random() * np.random.rand()
        assert not out.requires_grad
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert draws == [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]


@pytest.mark.parametrize("head", ["MultiLabelLinearClsHead", "otcxr_mm.KNNHead"])
def test_the_last_probe_is_the_offline_evaluation(tmp_path, real_data, monkeypatch, head):
    """The backbone that the run exports, evaluated through the shipped config, on the probe's images."""
    monkeypatch.setenv("OTCXR_DATA", str(real_data))
    linear = Config.fromfile(ROOT / "configs" / "downstream" / "linear" / "linear_r18_kermany.py")
    for split, fraction in (("train", 0.04), ("val", 0.2)):
        linear[f"{split}_dataloader"].dataset.fraction = fraction
        linear[f"{split}_dataloader"].dataset.pipeline[1].scale = (64, 64)
    linear.model.backbone.update(base_channels=8, stem_channels=8)
    linear.model.head.update(in_channels=64, type=head)
    linear.default_hooks.load_backbone.checkpoint = f"{tmp_path}/pre/backbone.pth"
    linear.work_dir, linear.experiment_name = f"{tmp_path}/linear", f"{tmp_path.name}_linear"
    cfg = pretrain(tmp_path)
    backbone = dict(_delete_=True, **linear.model.backbone, out_indices=(2, 3))
    cfg.merge_from_dict(dict(model=dict(backbone=backbone, neck=dict(in_channels=(32, 64)))))
    cfg.custom_hooks[-1].update(
        labels={split: linear[f"{split}_dataloader"].dataset.to_dict() for split in ("train", "val")},
        decays=linear.train_cfg.decays,
        ks=linear.train_cfg.ks,
    )
    train(cfg)
    train(linear)
    kind = "knn" if head.endswith("KNNHead") else "linear"
    online, offline = scalars(tmp_path / "pre"), scalars(tmp_path / "linear")
    assert 0.6 < online[f"probe/{kind}_auroc"][-1] < 0.995
    assert online[f"probe/{kind}_auroc"][-1] == pytest.approx(offline["multilabel/auroc"][-1], abs=0.002)
    for name in ("normal", "bacteria", "virus"):
        assert online[f"probe/{kind}_auroc/{name}"][-1] == pytest.approx(
            offline[f"multilabel/auroc/{name}"][-1], abs=0.002
        )


RESNET = dict(type="ResNet", depth=18, in_channels=1, base_channels=8, stem_channels=8, out_indices=(1, 2))
SICK = {
    "healthy": ({}, None),
    "collapse": (
        {"model.head.loss_var.loss_weight": 0.0},
        r"collapsing: projected tokens .* deviation of 0\.0\d\d .*: raise model.head.loss_var.loss_weight \(now 0\)",
    ),
    "blurred plans": (
        {"model.head.loss_ot.eps": 10.0},
        r"plans are blurred: an atom is matched with .* of 17 on average .*: lower model.head.loss_ot.eps \(now 10\)",
    ),
    "learning rate": (
        {"optim_wrapper.optimizer.lr": 0.18},
        r"learning rate is far too high: .*: divide optim_wrapper.optimizer.lr by 10",
    ),
}


@pytest.mark.parametrize("case", SICK)
def test_a_sick_run_is_named_within_one_epoch(tmp_path, caplog, case):
    changes, said = SICK[case]
    cfg = pretrain(tmp_path, **{"optim_wrapper.optimizer.lr": 6e-3, "train_cfg.max_epochs": 1})
    cfg.train_dataloader.batch_size = 4
    cfg.train_dataloader.dataset.update(split="all", indices=80)
    backbone = dict(_delete_=True, **RESNET, norm_cfg=dict(type="BN"))
    cfg.merge_from_dict(dict(model=dict(ema=None, backbone=backbone, neck=dict(in_channels=(16, 32)))))
    cfg.custom_hooks = []
    cfg.merge_from_dict(changes)
    train(cfg, caplog)
    named = [line for line in caplog.text.splitlines() if re.search(r"Epoch \d: the ", line)]
    assert len(named) == (said is not None)
    assert all(re.search(said, line) for line in named)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"features/rank": 9.0}, "effective rank of the backbone's features, 9.0, is below 10"),
        ({"plan/marginal_error": 0.4}, r"miss 0.40 of their masses .* raise model.head.loss_ot.n_iters \(now 25\)"),
        ({"weights/growth": 3.0}, "learning rate is far too high"),
        ({"plan/mass": 0.2}, None),  # a balanced plan
    ],
)
def test_words_for_a_number(found, said):
    problems = list(training_problems(found, {"features/rank": 255}, otcxr_mm.OTHead()))
    assert len(problems) == (said is not None)
    assert all(re.search(said, problem) for problem in problems)


@pytest.mark.parametrize("matching", ["softmax", "nearest", "index"])
def test_plans_that_sinkhorn_did_not_compute_need_not_converge(matching):
    head = otcxr_mm.OTHead(matching=matching)
    assert not list(training_problems({"plan/marginal_error": 0.9}, {}, head))


@pytest.mark.parametrize("queue", ["scratch", "start", "confirm"])
def test_of_recorded_trainings_only_blurred_plans_are_called_so(queue):
    """Numbers of the first and last iterations of trainings on real radiographs, whose features were then evaluated."""
    lines = (ROOT / "docs" / "results" / "runs" / f"{queue}.jsonl").read_text().splitlines()
    runs = [run for run in map(json.loads, lines) if "ot_partners" in (run.get("losses") or {})]
    assert len(runs) >= 4
    for run in runs:
        head = otcxr_mm.OTHead(matching=run["options"].get("model.head.matching", "transport"), prior_scale=0.25)
        blurred = re.match("otcxr_(paper|features_softmax)", run["name"])
        for at in (0, 1):
            found = {name.replace("ot_", "plan/"): values[at] for name, values in run["losses"].items()}
            found["features/rank"] = found["backbone_rank"]
            problems = list(training_problems(found, {"features/rank": 256, "plan/partners": 37}, head))
            assert all(blurred and problem.startswith("the plans are blurred") for problem in problems), run["name"]


def test_features_on_a_line_have_collapsed():
    parts = [torch.randn(10, 1) * torch.ones(1, 64) for _ in range(2)]
    found, limits = feature_numbers(parts)
    assert found["features/rank"] == pytest.approx(1, abs=1e-3)
    assert limits["features/rank"] == 19
    assert "effective rank of the backbone's features, 1.0" in next(training_problems(found, limits, None))
    found, _ = feature_numbers([torch.ones(5, 3)])
    assert (found["features/std"], found["features/cosine"]) == pytest.approx((0, 1))
    assert feature_numbers([torch.ones(1, 3)]) == feature_numbers([]) == ({}, {})


def test_frozen_kernels_are_not_measured():
    """MobileNetV2 freezes its first stages only when it is set to training."""
    backbone = MODELS.build(dict(type="MobileNetV2", widen_factor=0.1, frozen_stages=2))
    model = nn.ModuleDict(dict(backbone=backbone))
    model.backbone, hook = backbone, otcxr_mm.TransportMonitor()
    runner = SimpleNamespace(model=model, train_dataloader=range(4), iter=0, epoch=0, max_iters=4)
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    model.train()
    hook.before_train_iter(runner, 0)
    assert all(kernel.requires_grad for kernel in hook.kernels)
    assert 0 < len(hook.kernels) < sum(weight.dim() > 1 for weight in backbone.parameters())


def test_two_images_that_are_alike_in_the_last_batch_are_no_collapse():
    def batch(images, std):
        return tokens_spread([Tokens(std * torch.randn(images, 9, 64), None, (3, 3)) for _ in range(2)])

    assert mean_spread([batch(64, 0.24), batch(2, 0.01)])["tokens/std"] == pytest.approx(0.24, rel=0.05)
    assert mean_spread([batch(64, 0.05), batch(64, 0.03)])["tokens/std"] == pytest.approx(0.04, rel=0.05)
    assert mean_spread([batch(1, 0.24)]) == mean_spread([]) == {}


def test_little_mass_names_rho():
    head = otcxr_mm.OTHead(loss_ot=dict(rho=0.01))
    (problem,) = training_problems({"plan/mass": 0.2, "plan/marginal_error": 0.9}, {}, head)
    assert "transport only 20% of the mass" in problem
    assert "raise model.head.loss_ot.rho (now 0.01)" in problem


def test_labels_that_leak_are_named(tmp_path, caplog):
    """The images of the tests show their labels as plain stripes."""
    train(pretrain(tmp_path, **{"train_cfg.max_epochs": 1}), caplog)
    assert "Epoch 1: the probe's labels leak: features predict them with an AUROC of 1.000" in caplog.text
    assert not list(probe_problems({"probe/linear_auroc": 0.97}))


def test_patients_in_both_parts_of_the_probe_end_the_run(tmp_path, caplog):
    cfg = pretrain(tmp_path)
    cfg.custom_hooks[-1]["labels"]["val"]["split"] = "train"
    with pytest.raises(ValueError, match=r"train and val: 24 patients"):
        train(cfg)
    cfg.custom_hooks[-1]["strict"], cfg.experiment_name = False, f"{cfg.experiment_name}_warned"
    cfg.train_cfg.max_epochs = 1
    train(cfg, caplog)
    assert "train and val: 24 patients" in caplog.text
    assert "48 of 48 images in labels.val are copies of images in labels.train" in caplog.text


def test_a_probe_without_labels_is_refused():
    with pytest.raises(ValueError, match="labels, masks or both"):
        otcxr_mm.OnlineProbeHook()
    with pytest.raises(ValueError, match=r"dict\(train=..., val=...\)"):
        otcxr_mm.OnlineProbeHook(labels=dict(train={}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(label_columns=dict(Virus="c_virus")),
            r"labels.train has the classes \['Virus', .*labels.val \['Virus'\]",
        ),
        (dict(indices=[0]), "no class has both positives and negatives among the 1"),
        (dict(pipeline=[dict(type="otcxr_mm.LoadCXR"), dict(type="otcxr_mm.PackViews")]), "gives no labels"),
    ],
)
def test_a_probe_that_cannot_work_ends_the_run_before_it_trains(tmp_path, change, message):
    cfg = pretrain(tmp_path)
    labels = cfg.custom_hooks[-1]["labels"]
    labels["val"] = {**labels["val"], **change}
    with pytest.raises(ValueError, match=message):
        train(cfg)
    assert not list(Path(cfg.work_dir).glob("*.pth"))


def test_masks_views_and_pictures_of_a_run(tmp_path):
    """On drawn radiographs, whose lungs and heart are known; the pictures are of nobody."""
    pipeline = [
        dict(type="otcxr_mm.LoadCXR"),
        dict(type="Resize", scale=(32, 32)),
        dict(type="otcxr_mm.PackCXR", meta_keys=("gt_masks",)),
    ]
    drawn = dict(type="otcxr_mm.SyntheticCXR", data_root=str(tmp_path / "drawn"), patients=30, size=32)
    masks = {split: {**drawn, "split": split, "pipeline": pipeline} for split in ("train", "val")}
    cfg = pretrain(tmp_path, pictures=1)
    cfg.custom_hooks[-1] = {**PROBE, "masks": masks, "interval": 2}
    train(cfg)
    found = scalars(cfg.work_dir)
    assert len(found["probe/dice_lungs"]) == 1
    assert 0.5 < found["probe/dice_lungs_blind"][0] < 1
    assert 0.5 < found["probe/dice_lungs"][0] < 1
    assert 0 <= found["probe/correspondence"][0] <= 1
    assert found["probe/correspondence_chance"][0] < found["probe/correspondence_index"][0]
    assert len(found["plan/right"]) == 2
    assert found["plan/partners"][0] == pytest.approx(np.mean(found["ot_partners"][:2]), rel=1e-5)
    pictures = sorted(path.name for path in Path(cfg.work_dir).glob("*/vis_data/vis_image/*.png"))
    assert pictures == ["features_2.png", "features_4.png", "plans_2.png", "plans_4.png"]


def test_pictures_of_training_images_are_theirs():
    hook = otcxr_mm.TransportMonitor(images="training")
    inputs = [torch.full((3, 1, 8, 8), view) + torch.arange(3).view(3, 1, 1, 1) for view in (10, 20)]
    geometry = np.zeros((2, 2, 3), np.float32)
    samples = [DataSample(metainfo={"view_to_image": geometry + i, "paired": i == 0}) for i in range(3)]
    hook.batch = dict(inputs=inputs, data_samples=samples)
    (first, second), matrices = hook._views()
    assert first[:, 0, 0].tolist() == [11, 12, 10]  # the one whose views are of two images comes last
    assert second[:, 0, 0].tolist() == [21, 22, 20]
    assert matrices[:, 0, 0, 0].tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match="images is 'drawings' or 'training', got 'real'"):
        otcxr_mm.TransportMonitor(images="real")


def test_the_probe_tells_trackers_nothing_of_its_data(tmp_path):
    (kept,) = [hook for hook in shareable(pretrain(tmp_path))["custom_hooks"] if "Probe" in hook["type"]]
    numbers = {"interval": 1, "decays": [1.0], "ks": [5], "views": 4}
    assert kept == {"type": "otcxr_mm.OnlineProbeHook", **numbers, "labels": {}}
