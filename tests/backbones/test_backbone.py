import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import ConcatDataset
from mmpretrain.models import ResNet
from torch.utils.data import Subset

import otcxr_mm
from otcxr_mm.backbones import load_backbone_weights, save_backbone
from otcxr_mm.datasets.inspection import data_sha256


def resnet(channels=1, depth=18):
    return ResNet(depth, in_channels=channels, base_channels=8, stem_channels=8, out_indices=(3,))


@pytest.fixture
def file(tmp_path):
    torch.save(resnet().state_dict(), tmp_path / "backbone.pth")
    return tmp_path / "backbone.pth"


def test_a_name_that_is_no_weights_is_answered_with_those_of_the_zoo():
    with pytest.raises(FileNotFoundError, match="come with the package: otcxr_mobilenetv2_96"):
        load_backbone_weights(resnet(), "otcxr_mobilenet")


def test_weights_of_another_network_are_refused_with_the_names_of_both():
    with pytest.raises(ValueError, match=r"0 of .*; missing: conv1.weight, [^:]* It holds conv1\.\S*(weight|bias),"):
        load_backbone_weights(resnet(), "otcxr_mobilenetv2_96")


def same(backbone, state):
    return all(torch.equal(v, state[n]) for n, v in backbone.state_dict().items() if v.dtype.is_floating_point)


@pytest.mark.parametrize("form", ["exported", "checkpoint", "ddp", "torchvision"])
def test_weights_are_taken_in_any_form(file, tmp_path, form):
    state = torch.load(file, weights_only=True)
    prefixed = {f"backbone.{n}": v for n, v in state.items()}
    other = {
        "exported": state,
        "checkpoint": {"meta": {"epoch": 3}, "state_dict": {**prefixed, "head.w": state["conv1.weight"]}},
        "ddp": {"model": {f"module.{n}": v for n, v in state.items()}},
        "torchvision": {**state, "fc.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(3)},
    }[form]
    torch.save(other, tmp_path / "other.pth")
    backbone = resnet()
    load_backbone_weights(backbone, tmp_path / "other.pth")
    assert same(backbone, state)


def test_published_weights_are_downloaded_once_and_never_unpickled(file, tmp_path, monkeypatch):
    state = torch.load(file, weights_only=True)
    hub = tmp_path / "hub"
    monkeypatch.setattr(torch.hub, "_hub_dir", str(hub))
    backbone = resnet()
    load_backbone_weights(backbone, file.as_uri())
    assert same(backbone, state)
    assert (hub / "checkpoints" / "backbone.pth").is_file()
    # torchvision's own file name: what lies in the folder is not downloaded
    whole = ResNet(18, out_indices=(3,)).state_dict()
    torch.save({**whole, "fc.weight": torch.zeros(3, 3)}, hub / "checkpoints" / "resnet18-f37072fd.pth")
    backbone = ResNet(18, in_channels=1, out_indices=(3,))
    load_backbone_weights(backbone, "torchvision://resnet18")
    torch.testing.assert_close(backbone.conv1.weight, whole["conv1.weight"].sum(1, keepdim=True))
    with pytest.raises(ValueError, match="torchvision://resnet18.v9: torchvision has no such weights"):
        load_backbone_weights(backbone, "torchvision://resnet18.v9")
    torch.save({"w": SimpleNamespace()}, tmp_path / "objects.pth")
    with pytest.raises(Exception, match="objects.pth: holds pickled objects"):
        load_backbone_weights(backbone, (tmp_path / "objects.pth").as_uri())


@pytest.mark.parametrize(("given", "wanted"), [(3, 1), (1, 3)])
def test_a_stem_of_other_channels_gives_the_same_for_a_grey_image(tmp_path, given, wanted):
    source, target = resnet(given), resnet(wanted)
    torch.save(source.state_dict(), tmp_path / "b.pth")
    load_backbone_weights(target, tmp_path / "b.pth")
    image = torch.rand(2, 1, 32, 32)
    source.eval()
    target.eval()
    outputs = [m(image.expand(-1, n, -1, -1))[0] for m, n in ((source, given), (target, wanted))]
    torch.testing.assert_close(*outputs)


def test_what_does_not_fit_is_refused_by_name(file, tmp_path):
    backbone = resnet(depth=34)
    before = {n: v.clone() for n, v in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=r"only \d+ of the backbone's \d+ tensors.*missing: layer1\.2\.conv1\.weight"):
        load_backbone_weights(backbone, file)
    assert same(backbone, before)
    wide = ResNet(18, in_channels=1, base_channels=16, stem_channels=16)
    with pytest.raises(ValueError, match=r"of another shape: conv1\.weight \(8, 1, 7, 7\) instead of \(16, 1, 7, 7\)"):
        load_backbone_weights(wide, file)
    torch.save({"state_dict": {"head.fc.weight": torch.zeros(2)}}, tmp_path / "head.pth")
    with pytest.raises(ValueError, match=r"only 0 of .*It holds head\.fc\.weight"):
        load_backbone_weights(resnet(), tmp_path / "head.pth")


def test_the_stem_is_never_left_random_and_what_is_missing_is_told(file, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr("otcxr_mm.backbones.weights.print_log", lambda text, *args: lines.append(text))
    state = torch.load(file, weights_only=True)
    torch.save({n: v for n, v in state.items() if n != "conv1.weight"}, tmp_path / "no_stem.pth")
    with pytest.raises(ValueError, match=r"missing: conv1\.weight"):
        load_backbone_weights(resnet(), tmp_path / "no_stem.pth")
    torch.save({n: v for n, v in state.items() if n != "bn1.weight"}, tmp_path / "no_bn.pth")
    load_backbone_weights(resnet(), tmp_path / "no_bn.pth")
    assert "bn1.weight" in lines[0]


def test_the_record_holds_no_path_class_or_split(tmp_path):
    model = SimpleNamespace(backbone=torch.nn.Linear(2, 2), data_preprocessor=otcxr_mm.CXRDataPreprocessor())
    backbone = {"type": "Linear", "init_cfg": {"type": "Pretrained", "checkpoint": "/home/someone/secret.pth"}}
    dataset = {"type": "NIHChestXray14", "data_root": "/data/secret", "packed": "secret", "views": ["PA", "/secret/x"]}
    cfg = {"model": {"backbone": backbone}, "train_dataloader": {"batch_size": 8, "dataset": dataset}}
    train = {"images": 3, "patients": 2, "sha256": "a", "split": "secret", "positives": {"secret": 1}}
    save_backbone(model, tmp_path / "b.pth", cfg, {"train": train, "seed": 5, "command": ["secret"]}, epochs=3)
    text = (tmp_path / "b.json").read_text()
    record = json.loads(text)
    assert record["train"] == {"images": 3, "patients": 2, "sha256": "a"}
    assert (record["seed"], record["epochs"], record["config"]["train_dataloader"]["batch_size"]) == (5, 3, 8)
    assert "secret" not in text


def test_the_hash_is_of_the_images_and_their_order(nih_folder):
    whole, train = (otcxr_mm.NIHChestXray14(nih_folder, split=split) for split in ("all", "train_val"))
    assert data_sha256(whole) != data_sha256(train) != data_sha256(ConcatDataset([train, train]))
    assert data_sha256(train) == data_sha256(otcxr_mm.NIHChestXray14(nih_folder))
    assert data_sha256(Subset(train, [0])) is None
