"""A backbone in three lines: what it computes, where its settings come from, and what is refused."""

import json

import cv2
import numpy as np
import pytest
import torch

import otcxr_mm
from otcxr_mm.datasets.transforms.resize import resize
from tests.apis.weights import write_backbone, write_classifier
from tests.conftest import write_image


@pytest.fixture
def images(tmp_path):
    for i in range(11):
        write_image(tmp_path / "in" / f"{i:02d}.png", (50 + i, 70))
    return tmp_path / "in"


@torch.no_grad()
def test_features_are_those_of_the_network_on_images_as_in_training(tmp_path, images):
    model = write_backbone(tmp_path)
    loaded = otcxr_mm.load_backbone(tmp_path)
    files = sorted(images.iterdir())
    pixels = np.stack([resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), 32, 32) for file in files])
    expected = model.backbone((torch.from_numpy(pixels)[:, None].float() - 127.5) / 64.0)[-1].mean((2, 3))
    assert expected.std(0).mean() > 1e-3  # the images differ
    torch.testing.assert_close(loaded.embed(images), expected, rtol=0, atol=1e-5)
    tensor = loaded.preprocess(images)
    assert torch.equal(tensor, torch.from_numpy(pixels)[:, None].float())
    torch.testing.assert_close(loaded(tensor), expected, rtol=0, atol=1e-5)
    assert loaded.feature_maps(tensor)[-1].shape == (11, 64, 1, 1)


def test_a_classifiers_backbone_reads_images_as_the_classifier_does(tmp_path, images):
    model, _ = write_classifier(tmp_path)
    loaded = otcxr_mm.load_backbone(tmp_path / "linear.pth")
    scores = torch.sigmoid(model.head.fc(loaded.embed(images)))
    inferencer = otcxr_mm.CXRClassifierInferencer(tmp_path, device="cpu")
    found = torch.tensor([list(result["scores"].values()) for result in inferencer(str(images))])
    torch.testing.assert_close(found, scores, rtol=0, atol=1e-6)


def test_features_do_not_depend_on_what_else_is_computed(tmp_path, images):
    write_backbone(tmp_path, **{"model.backbone.base_channels": 32, "model.backbone.stem_channels": 32})
    loaded = otcxr_mm.load_backbone(tmp_path, size=96)
    files = sorted(map(str, images.iterdir()))
    first = loaded.embed(files)
    for batch_size, workers in ((1, 0), (3, 2), (5, 0)):
        assert torch.equal(loaded.embed(files, batch_size, workers), first)
    assert torch.equal(loaded.embed(files[::-1]).flip(0), first)
    assert torch.equal(loaded.embed(files[4]), first[4:5])


def test_it_is_a_module_to_train_on(tmp_path, images):
    write_backbone(tmp_path)
    loaded = otcxr_mm.load_backbone(tmp_path)
    assert not loaded.training
    loaded.train()
    loaded(loaded.preprocess(images)).sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.backbone.parameters())
    before = {name: value.clone() for name, value in loaded.state_dict().items()}
    loaded.embed(images)
    assert loaded.training
    assert all(torch.equal(value, before[name]) for name, value in loaded.state_dict().items())


def test_the_white_level_is_that_of_the_training_and_can_be_changed(tmp_path):
    write_backbone(tmp_path)
    dark = np.full((40, 40), 2048, np.uint16)
    cv2.imwrite(str(tmp_path / "dark.png"), dark)
    with pytest.raises(ValueError, match=r"dark\.png: 16 bits, but no pixel above 2048"):
        otcxr_mm.load_backbone(tmp_path).embed(tmp_path / "dark.png")
    loaded = otcxr_mm.load_backbone(tmp_path, max_value=4095)
    assert loaded.preprocess(tmp_path / "dark.png").mean().item() == pytest.approx(127.5, abs=0.1)


def test_three_channels_get_the_same_image(tmp_path, images):
    changes = {"model.backbone.in_channels": 3, "model.data_preprocessor.channels": 3}
    model = write_backbone(tmp_path, **changes)
    loaded = otcxr_mm.load_backbone(tmp_path / "backbone.pth")
    tensor = loaded.preprocess(images)
    with torch.no_grad():
        expected = model.backbone(((tensor - 127.5) / 64.0).expand(-1, 3, -1, -1))[-1].mean((2, 3))
    torch.testing.assert_close(loaded.embed(images), expected, rtol=0, atol=1e-5)


def test_safetensors_are_read_too(tmp_path, images):
    write_backbone(tmp_path)
    # the name that a folder for the hub uses is a file with its own JSON here
    out = otcxr_mm.export_backbone(tmp_path / "backbone.pth", tmp_path / "model.safetensors")
    assert torch.equal(otcxr_mm.load_backbone(out).embed(images), otcxr_mm.load_backbone(tmp_path).embed(images))


def hostile_type(checkpoint, record, run):
    record["backbone"] = {"type": "os.system", "command": f"touch {run}"}


def hostile_part(checkpoint, record, run):
    record["backbone"]["norm_cfg"] = {"type": "os.system"}


def hostile_scope(checkpoint, record, run):
    record["backbone"]["_scope_"] = "antigravity"


def hostile_weights(checkpoint, record, run):
    # an address or a file to unpickle is dropped, and the weights are those of the file
    record["backbone"]["init_cfg"] = {"type": "Pretrained", "checkpoint": "http://localhost:9/x.pth"}
    del checkpoint["layer4.1.conv2.weight"]


def no_record(checkpoint, record, run):
    record.clear()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (hostile_type, r"type='os\.system' is not a part of OpenMMLab's libraries"),
        (hostile_part, r"type='os\.system' is not a part"),
        (hostile_scope, "_scope_='antigravity' is not a part"),
        (hostile_weights, r"lacks 1 of the model's weights, layer4\.1\.conv2\.weight first"),
        (no_record, r"backbone\.json: not the record of a backbone"),
    ],
)
def test_what_the_files_name_is_not_run(tmp_path, change, message):
    write_backbone(tmp_path)
    checkpoint = torch.load(tmp_path / "backbone.pth", weights_only=True)
    record = json.loads((tmp_path / "backbone.json").read_text())
    change(checkpoint, record, tmp_path / "run")
    torch.save(checkpoint, tmp_path / "backbone.pth")
    (tmp_path / "backbone.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=message):
        otcxr_mm.load_backbone(tmp_path)
    assert not (tmp_path / "run").exists()


class Pickled:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (self.file, "w")


def test_a_pickle_is_not_run(tmp_path):
    torch.save({"state_dict": Pickled(str(tmp_path / "run"))}, tmp_path / "a.pth")
    for door in (otcxr_mm.load_backbone, otcxr_mm.CXRFeatureInferencer, otcxr_mm.CXRClassifierInferencer):
        with pytest.raises(ValueError, match=r"a\.pth: .*"):
            door(tmp_path / "a.pth")
    assert not (tmp_path / "run").exists()


def test_code_in_a_checkpoints_config_is_not_run(tmp_path):
    write_classifier(tmp_path)
    checkpoint = torch.load(tmp_path / "linear.pth", weights_only=True)
    checkpoint["meta"]["cfg"] += f"\nx = open({str(tmp_path / 'run')!r}, 'w')\n"
    torch.save(checkpoint, tmp_path / "linear.pth")
    for door in (otcxr_mm.load_backbone, otcxr_mm.CXRClassifierInferencer):
        with pytest.raises(ValueError, match=r"linear\.pth: .*config can be read"):
            door(tmp_path)
    assert not (tmp_path / "run").exists()


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="otcxr_r18: no weights here: name the work dir of a run"):
        otcxr_mm.load_backbone("otcxr_r18")
    with pytest.raises(FileNotFoundError, match="no weights here"):
        otcxr_mm.load_backbone(tmp_path)
