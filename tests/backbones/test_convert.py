import json

import pytest
import torch
from mmengine.config import Config

import otcxr_mm
from otcxr_mm.registry import MODELS


def write_checkpoint(path, backbone, prefix=""):
    """A checkpoint as MMEngine writes it, with weights and statistics that are not the initial ones."""
    torch.manual_seed(0)
    path.parent.mkdir(exist_ok=True)
    preprocessor = {"type": "otcxr_mm.CXRDataPreprocessor", "mean": [120.0], "std": [60.0]}
    cfg = Config(
        dict(
            default_scope="mmpretrain",
            model=dict(type="otcxr_mm.OTCXR", backbone=backbone, data_preprocessor=preprocessor),
            train_dataloader=dict(dataset=dict(type="otcxr_mm.UnlabeledCXR", data_root="/secret/hospital")),
        )
    )
    network = MODELS.build({**cfg.model.backbone, "_scope_": "mmpretrain"})
    network.eval()  # returns nothing
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(0.1 * torch.randn(tensor.shape).abs() + 0.01)
    state = {f"{prefix}backbone.{name}": tensor for name, tensor in network.state_dict().items()}
    provenance = {"train": {"images": 9, "patients": 4, "sha256": "a"}, "seed": 5, "config": "secret"}
    meta = {"cfg": cfg.pretty_text, "epoch": 3, "iter": 30, "provenance": provenance}
    torch.save({"meta": meta, "state_dict": {**state, "head.weight": torch.ones(2)}}, path)
    return network


RESNET = dict(type="ResNet", depth=18, in_channels=1, out_indices=(3,), zero_init_residual=True)


@pytest.mark.parametrize("layout", ["torchvision", "timm"])
@pytest.mark.parametrize("channels", [None, 3])
def test_the_librarys_model_computes_the_same(tmp_path, layout, channels):
    pytest.importorskip(layout)
    network = write_checkpoint(tmp_path / "epoch_3.pth", RESNET, prefix="module.")
    out = otcxr_mm.export_backbone(tmp_path, layout=layout, channels=channels)
    assert out == tmp_path / f"backbone_{layout}{'_3ch' if channels else ''}.pth"
    state = torch.load(out, weights_only=True)
    if layout == "timm":
        import timm

        model = timm.create_model("resnet18", in_chans=channels or 1, num_classes=0).eval()
        model.load_state_dict(state)
    else:
        import torchvision

        model = torchvision.models.resnet18().eval()
        if channels is None:
            model.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        model.fc = torch.nn.Identity()
        model.load_state_dict(state)
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        theirs = model(grey.expand(-1, channels or 1, -1, -1))
        ours = network(grey)[0].mean((2, 3))
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    record = json.loads(out.with_suffix(".json").read_text())
    assert (record["layout"], record["channels"], record["epochs"]) == (layout, channels or 1, 3)
    assert (record["mean"], record["std"], record["train"]["images"]) == ([120.0], [60.0], 9)
    assert "secret" not in out.with_suffix(".json").read_text()


def test_nothing_is_overwritten_unasked_and_the_source_never(tmp_path):
    write_checkpoint(tmp_path / "epoch_3.pth", RESNET)
    source = (tmp_path / "epoch_3.pth").read_bytes()
    out = otcxr_mm.export_backbone(tmp_path)
    with pytest.raises(FileExistsError, match="backbone_mmpretrain.pth is there already"):
        otcxr_mm.export_backbone(tmp_path)
    assert otcxr_mm.export_backbone(tmp_path, force=True) == out
    for force in (False, True):
        with pytest.raises(FileExistsError, match="epoch_3.pth is there already"):
            otcxr_mm.export_backbone(tmp_path, tmp_path / "epoch_3.pth", force=force)
    assert (tmp_path / "epoch_3.pth").read_bytes() == source


@pytest.mark.parametrize("content", [b"text", b"cut", b"code"])
def test_a_file_that_is_no_checkpoint_is_named_and_not_run(tmp_path, content):
    path = tmp_path / "a.pth"
    write_checkpoint(path, RESNET)
    if content == b"code":
        checkpoint = torch.load(path, weights_only=True)
        checkpoint["meta"]["cfg"] = f"model = open({str(tmp_path / 'run')!r}, 'w')\n"
        torch.save(checkpoint, path)
    else:
        path.write_bytes(path.read_bytes()[:100_000] if content == b"cut" else content)
    with pytest.raises(
        ValueError,
        match=r"a\.pth: (not a checkpoint|damaged|neither the checkpoint of a run)",
    ):
        otcxr_mm.export_backbone(path)
    assert not (tmp_path / "run").exists()


def test_a_timm_backbone_gets_timms_own_names(tmp_path):
    timm = pytest.importorskip("timm")
    backbone = dict(type="TIMMBackbone", model_name="resnet10t", features_only=True, in_channels=1)
    write_checkpoint(tmp_path / "a.pth", backbone)
    out = otcxr_mm.export_backbone(tmp_path / "a.pth", tmp_path / "b.safetensors", "timm")
    from safetensors.torch import load_file

    model = timm.create_model("resnet10t", features_only=True, in_chans=1)
    model.load_state_dict(load_file(out))
    original = torch.load(tmp_path / "a.pth", weights_only=True)["state_dict"]
    assert torch.equal(model.conv1[0].weight, original["backbone.timm_model.conv1.0.weight"])


def test_the_file_of_a_finished_run_is_a_source_too(tmp_path):
    network = write_checkpoint(tmp_path / "epoch_3.pth", RESNET)
    first = otcxr_mm.export_backbone(tmp_path, tmp_path / "backbone.pth")
    (tmp_path / "epoch_3.pth").unlink()
    second = otcxr_mm.export_backbone(tmp_path, layout="torchvision")
    records = [json.loads(path.with_suffix(".json").read_text()) for path in (first, second)]
    assert {**records[0], "layout": "torchvision"} == records[1]
    for path in (first, second):
        state = torch.load(path, weights_only=True)
        assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    "change",
    [
        dict(base_channels=32, stem_channels=32),
        dict(style="caffe", depth=50),
        dict(deep_stem=True),
        dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,)),
        dict(strides=(1, 2, 2, 1)),
    ],
)
def test_what_would_compute_something_else_is_refused(tmp_path, change):
    write_checkpoint(tmp_path / "a.pth", {**RESNET, **change})
    with pytest.raises(ValueError, match="torchvision's resnet.* does not compute what this backbone does"):
        otcxr_mm.export_backbone(tmp_path / "a.pth", layout="torchvision")
    assert not list(tmp_path.glob("backbone*"))


def test_what_is_no_source_is_named(tmp_path):
    for name in (".", "gone"):
        with pytest.raises(FileNotFoundError, match="neither a checkpoint nor a folder with one"):
            otcxr_mm.export_backbone(tmp_path / name)
    (tmp_path / "a.pth").touch()
    with pytest.raises(ValueError, match=r"must end in \.pth or \.safetensors"):
        otcxr_mm.export_backbone(tmp_path / "a.pth", tmp_path / "x.onnx")
