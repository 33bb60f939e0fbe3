from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DATASETS

import otcxr_mm
from otcxr_mm.datasets.listed import write_list
from tests.conftest import write_image
from tests.datasets import layouts


@pytest.fixture
def data(tmp_path):
    """Writes images of these patients and their table; returns the spec of a data set."""

    def write(name, *patients):
        paths = [f"{name}{i}.png" for i in range(len(patients))]
        for path in paths:
            write_image(tmp_path / path)
        rows = map(",".join, zip(paths, patients, strict=True))
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,patient", *rows]) + "\n")
        return dict(type="otcxr_mm.UnlabeledCXR", data_root=str(tmp_path), ann_file=f"{name}.csv")

    return write


def runner(train, checkpoint=None, test=None):
    """What a hook sees of a runner that has built its training data only."""
    return SimpleNamespace(
        _train_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=DATASETS.build(train))),
        _test_dataloader=test and dict(dataset=test),
        logger=MMLogger.get_current_instance(),
        hooks=[otcxr_mm.LoadBackboneHook(checkpoint)],
    )


def weights(work_dir, config):
    """Weights in a work dir with a config."""
    work_dir.mkdir()
    (work_dir / "mine.py").write_text(config)
    (work_dir / "last_checkpoint").write_text("epoch_1.pth")
    return str(work_dir / "backbone.pth")


def warnings(log):
    return [record.getMessage() for record in log.records if record.levelname == "WARNING"]


def test_a_leak_to_a_test_set_that_training_never_builds_ends_the_run(data, log):
    run = runner(data("train", "one", "two"), test=data("test", "one"))
    with pytest.raises(ValueError, match=r"train and test: 1 patients \(1 and 1 images\)\n.*--show-ids` names them"):
        otcxr_mm.LeakAuditHook().before_run(run)
    assert "test0.png" not in log.text
    otcxr_mm.LeakAuditHook(strict=False).before_run(run)
    assert "leak between training" in warnings(log)[0]


def test_pretraining_is_compared_with_the_test_set(data, log, tmp_path):
    before = dict(model=dict(type="X"), train_dataloader=dict(dataset=data("before", "three")))
    checkpoint = weights(tmp_path / "run", Config(before).pretty_text)
    train, test = data("train", "one"), data("test", "three")
    otcxr_mm.LeakAuditHook().before_run(runner(train, test=test))
    assert "no leak found" in log.text
    # named, and found beside the weights
    for pretrain_config, found in ((str(tmp_path / "run" / "mine.py"), None), (None, checkpoint)):
        with pytest.raises(ValueError, match="pretrain/train and test: 1 patients"):
            otcxr_mm.LeakAuditHook(pretrain_config).before_run(runner(train, found, test))


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("import pathlib\npathlib.Path(MARK).touch()\n", "line 1 is code, not a setting"),
        ("_base_ = ['../planted.py']\n", "its training data is None"),
        ("train_dataloader = dict(dataset=dict(type='pathlib.Path.touch', self=MARK))\n", "touch', not a data set"),
        ("train_dataloader = 3\n", "its training data is None"),
        ("broken(\n", "was never closed"),
    ],
)
def test_code_beside_downloaded_weights_is_never_run(data, log, tmp_path, config, why):
    mark = tmp_path / "mark"
    (tmp_path / "planted.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    checkpoint = weights(tmp_path / "run", config.replace("MARK", repr(str(mark))))
    otcxr_mm.LeakAuditHook().before_run(runner(data("train", "one"), checkpoint))
    assert not mark.exists()
    (warning,) = warnings(log)
    assert why in warning


def test_what_cannot_be_compared_is_a_warning(data, log, tmp_path):
    train = data("train", "one")
    gone = {**train, "data_root": "/nowhere/at/all"}
    otcxr_mm.LeakAuditHook().before_run(runner(train, str(tmp_path / "backbone.pth"), gone))
    left_out, nothing = warnings(log)
    assert "Leak audit: test was left out" in left_out
    assert "no config of a run lies beside it" in nothing


def test_weights_of_the_package_are_compared_by_the_list_of_their_images(log, tmp_path, monkeypatch):
    layouts.nih(tmp_path / "nih")
    spec = dict(type="otcxr_mm.NIHChestXray14", data_root=str(tmp_path / "nih"))
    train, test = dict(spec, split="train_val"), dict(spec, split="test")
    zoo = tmp_path / "zoo"
    monkeypatch.setattr("otcxr_mm.utils.checkpoints.ZOO", zoo)
    (zoo / "small").mkdir(parents=True)
    (zoo / "small" / "model.safetensors").touch()
    write_list(zoo / "small", [("NIH ChestX-ray14", "00099999_000.png", "99999"), ("children", "a.jpeg", "00000001")])
    otcxr_mm.LeakAuditHook().before_run(runner(train, "small", test))
    assert "small was pre-trained on the images listed in" in log.text
    assert not warnings(log)
    write_list(zoo / "small", [("NIH ChestX-ray14", "00000005_000.png", "5")])
    with pytest.raises(ValueError, match=r"pretrain/train and test: 1 patients \(1 and 1 images\)"):
        otcxr_mm.LeakAuditHook().before_run(runner(train, "small", test))
