import logging
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS

import otcxr_mm
from tests.conftest import write_image


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Writes images with a csv of patients and splits; returns the spec of a data set."""
    monkeypatch.setenv("TINY_DATA", str(tmp_path))

    def write(rows, name="table.csv"):
        for path, *_ in rows:
            write_image(tmp_path / path, (40, 40))
        (tmp_path / name).write_text("\n".join(["path,patient,split", *map(",".join, rows)]) + "\n")

        def spec(split):
            return dict(type="otcxr_mm.UnlabeledCXR", data_root=str(tmp_path), ann_file=name, split=split)

        return spec

    return write


# a table per split, so that neither shows the patient in both
TRAIN = [("1.png", "one", "train"), ("2.png", "two", "train")]
TEST = [("3.png", "one", "test")]
CLEAN_TEST = [("3.png", "three", "test")]
# pre-training on the patient of CLEAN_TEST
BEFORE = [("4.png", "three", "train")]


@pytest.fixture
def runner(caplog):
    """What a hook sees of a runner that has built its training data only."""

    def build(train, checkpoint=None, **loaders):
        logger = logging.getLogger("audit")
        caplog.set_level(logging.INFO)
        loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=DATASETS.build(train)))
        loaders = {f"_{role}_dataloader": dict(dataset=spec) for role, spec in loaders.items()}
        hooks = [otcxr_mm.LoadBackboneHook(checkpoint)]
        return SimpleNamespace(_train_loop=loop, _train_dataloader={}, logger=logger, hooks=hooks, **loaders)

    return build


def weights(work_dir, config):
    """Weights in a work dir with a config."""
    work_dir.mkdir()
    (work_dir / "mine.py").write_text(config)
    (work_dir / "last_checkpoint").write_text("epoch_1.pth")
    return str(work_dir / "backbone.pth")


def test_a_leak_to_a_test_set_that_training_never_builds_ends_the_run(table, runner, caplog):
    run = runner(table(TRAIN)("train"), test=table(TEST, "test.csv")("test"))
    with pytest.raises(ValueError, match=r"train and test: 1 patients \(1 and 1 images\)\n.*--show-ids` names them"):
        otcxr_mm.LeakAuditHook().before_run(run)
    assert "3.png" not in caplog.text
    otcxr_mm.LeakAuditHook(strict=False).before_run(run)
    assert [r.levelname for r in caplog.records if "leak between training" in r.getMessage()] == ["WARNING"]


def test_pretraining_is_compared_with_the_test_set(table, runner, caplog, tmp_path):
    before = dict(model=dict(type="X"), train_dataloader=dict(dataset=table(BEFORE, "before.csv")("train")))
    checkpoint = weights(tmp_path / "run", Config(before).pretty_text)
    loaders = dict(train=table(TRAIN)("train"), test=table(CLEAN_TEST, "test.csv")("test"))
    otcxr_mm.LeakAuditHook().before_run(runner(**loaders))
    assert "no leak found" in caplog.text
    # named, and found beside the weights
    for hook, run in (
        (otcxr_mm.LeakAuditHook(pretrain_config=str(tmp_path / "run" / "mine.py")), runner(**loaders)),
        (otcxr_mm.LeakAuditHook(), runner(**loaders, checkpoint=checkpoint)),
    ):
        with pytest.raises(ValueError, match="pretrain/train and test: 1 patients"):
            hook.before_run(run)
    with pytest.raises(FileNotFoundError, match="nowhere.py: no config of otcxr_mm has this name"):
        otcxr_mm.LeakAuditHook(pretrain_config="nowhere.py")


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
def test_code_beside_downloaded_weights_is_never_run(table, runner, log, tmp_path, config, why):
    mark = tmp_path / "mark"
    (tmp_path / "planted.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    checkpoint = weights(tmp_path / "run", config.replace("MARK", repr(str(mark))))
    otcxr_mm.LeakAuditHook().before_run(runner(table(TRAIN)("train"), checkpoint))
    assert not mark.exists()
    (warning,) = [r.getMessage() for r in log.records if r.levelname == "WARNING"]
    assert why in warning
    assert "leak_audit.pretrain_config=FILE" in warning


def test_what_cannot_be_compared_is_a_warning(table, runner, log, tmp_path):
    train = table(TRAIN)("train")
    otcxr_mm.LeakAuditHook().before_run(runner(train))
    assert not [record for record in log.records if record.levelname == "WARNING"]
    gone = {**train, "data_root": "/nowhere/at/all"}
    otcxr_mm.LeakAuditHook().before_run(runner(train, str(tmp_path / "backbone.pth"), test=gone))
    assert "Leak audit: test was left out" in log.text
    assert "no config of a run lies beside it" in log.text
    assert "no leak found" in log.text
