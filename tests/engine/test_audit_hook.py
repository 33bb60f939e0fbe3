import logging
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

import otcxr_mm
from tests.conftest import ROOT, write_image


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


# one table a split, so that no table by itself shows the patient in both
TRAIN = [("1.png", "one", "train"), ("2.png", "two", "train")]
TEST = [("3.png", "one", "test")]


@pytest.fixture
def runner(tmp_path):
    """What a hook sees of a runner that has built its training data only."""

    def build(train, caplog, **loaders):
        logger = logging.getLogger("audit")
        logger.propagate = True
        caplog.set_level(logging.INFO)
        from mmengine.registry import DATASETS

        loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=DATASETS.build(train)))
        return SimpleNamespace(_train_loop=loop, _train_dataloader={}, logger=logger, **loaders)

    return build


def test_a_leak_to_a_test_set_that_training_never_builds_ends_the_run(table, runner, caplog):
    train, test = table(TRAIN)("train"), table(TEST, "test.csv")("test")
    run = runner(train, caplog, _test_dataloader=dict(dataset=test))
    with pytest.raises(ValueError, match=r"train and test: 1 patients \(1 and 1 images\)\n.*--show-ids names them"):
        otcxr_mm.LeakAuditHook().before_run(run)
    assert "3.png" not in caplog.text
    with pytest.raises(ValueError, match=r"1 patients \(1 and 1 images\): one\n"):
        otcxr_mm.LeakAuditHook(show_ids=True).before_run(run)
    otcxr_mm.LeakAuditHook(strict=False).before_run(run)
    assert [r.levelname for r in caplog.records if "leak between training" in r.getMessage()] == ["WARNING"]


def test_what_pretraining_saw_is_compared_with_the_test_set(table, runner, caplog, tmp_path):
    spec = table([("1.png", "one", "train"), ("3.png", "three", "test")])
    before = table([("1.png", "three", "train")], "before.csv")
    Config(dict(train_dataloader=dict(dataset=before("train")))).dump(str(tmp_path / "before.py"))
    run = runner(spec("train"), caplog, _test_dataloader=dict(dataset=spec("test")))
    otcxr_mm.LeakAuditHook().before_run(run)
    assert "no leak found" in caplog.text
    with pytest.raises(ValueError, match="pretrain/train and test: 1 patients"):
        otcxr_mm.LeakAuditHook(pretrain_config=str(tmp_path / "before.py")).before_run(run)
    with pytest.raises(FileNotFoundError, match="pretrain_config='nowhere.py' is neither a file"):
        otcxr_mm.LeakAuditHook(pretrain_config="nowhere.py")


def test_pretraining_on_validation_images_is_a_note_in_the_log(table, runner, caplog, tmp_path):
    spec = table([("1.png", "one", "train"), ("2.png", "two", "val"), ("3.png", "three", "test")])
    before = table([("1.png", "one", "train"), ("2.png", "two", "train")], "before.csv")
    Config(dict(train_dataloader=dict(dataset=before("train")))).dump(str(tmp_path / "before.py"))
    loaders = {f"_{role}_dataloader": dict(dataset=spec(role)) for role in ("val", "test")}
    otcxr_mm.LeakAuditHook(str(tmp_path / "before.py")).before_run(runner(spec("train"), caplog, **loaders))
    assert "note: pretrain/train and val: 1 patients (1 and 1 images)" in caplog.text
    assert "validation figures are optimistic" in caplog.text


def test_the_pretraining_is_found_beside_the_backbone(table, runner, caplog, tmp_path):
    """In the work dir of a run; elsewhere the log says that nothing was compared."""
    train, test = table(TRAIN, "a.csv")("train"), table([("3.png", "three", "test")], "b.csv")("test")
    before = table([("4.png", "three", "train")], "c.csv")("train")
    for name in ("run", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "backbone.pth").write_bytes(b"")
    (tmp_path / "run" / "mine.py").write_text(f"train_dataloader = dict(dataset={before!r})\n")
    (tmp_path / "run" / "last_checkpoint").write_text("epoch_1.pth")
    run = runner(train, caplog, _test_dataloader=dict(dataset=test))
    run.hooks = [otcxr_mm.LoadBackboneHook(str(tmp_path / "run" / "backbone.pth"))]
    with pytest.raises(ValueError, match="pretrain/train and test: 1 patients"):
        otcxr_mm.LeakAuditHook().before_run(run)
    run.hooks = [otcxr_mm.LoadBackboneHook(None)]
    otcxr_mm.LeakAuditHook().before_run(run)
    assert "nothing was compared" not in caplog.text
    run.hooks = [otcxr_mm.LoadBackboneHook(str(tmp_path / "elsewhere" / "backbone.pth"))]
    otcxr_mm.LeakAuditHook().before_run(run)
    assert "nothing was compared with the pre-training of" in caplog.text


def test_a_test_set_that_is_not_here_does_not_stop_training(table, runner, caplog):
    train = table(TRAIN)("train")
    gone = {**train, "data_root": "/nowhere/at/all"}
    run = runner(train, caplog, _test_dataloader=dict(dataset=gone), _val_dataloader=None)
    otcxr_mm.LeakAuditHook().before_run(run)
    assert "no leak found" in caplog.text


def test_content_is_read_only_when_asked_for(table, runner, caplog, tmp_path):
    spec = table([("1.png", "one", "train"), ("3.png", "three", "test")])
    (tmp_path / "3.png").write_bytes((tmp_path / "1.png").read_bytes())
    run = runner(spec("train"), caplog, _test_dataloader=dict(dataset=spec("test")))
    otcxr_mm.LeakAuditHook().before_run(run)
    with pytest.raises(ValueError, match="1 pairs of files with the same content"):
        otcxr_mm.LeakAuditHook(pixels=True).before_run(run)


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_of_the_audit_reaches_every_process(table, runner, caplog, monkeypatch, rank):
    """The word of the first process is sent in any case, or the others would wait for ever."""
    from otcxr_mm.engine.hooks import audit as module

    text = "LeakAuditHook: RuntimeError: disc is gone"
    sent = []

    def broadcast(message):
        if rank == 0:
            sent.extend(message)
        else:
            message[0] = text

    def broken(*args):
        raise RuntimeError("disc is gone")

    monkeypatch.setattr(module, "get_rank", lambda: rank)
    monkeypatch.setattr(module, "broadcast_object_list", broadcast)
    monkeypatch.setattr(module, "audit", broken)
    with pytest.raises(RuntimeError if rank == 0 else ValueError, match="disc is gone"):
        otcxr_mm.LeakAuditHook().before_run(runner(table(TRAIN)("train"), caplog))
    assert sent == ([text] if rank == 0 else [])


def test_every_config_of_the_project_is_audited(table, tmp_path):
    train, test = table(TRAIN)("train"), table(TEST, "test.csv")("test")
    cfg = Config.fromfile(ROOT / "tests" / "tiny.py")
    assert cfg.default_hooks.leak_audit.type == "otcxr_mm.LeakAuditHook"
    cfg.work_dir, cfg.experiment_name = str(tmp_path / "work"), tmp_path.name
    cfg.train_dataloader.dataset = {**train, "pipeline": cfg.train_dataloader.dataset.pipeline}
    cfg.train_dataloader.batch_size = 2
    cfg.test_dataloader = dict(
        batch_size=1, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False), dataset=test
    )
    cfg.test_cfg, cfg.test_evaluator = dict(), dict(type="otcxr_mm.MultiLabelAUC")
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match=r"train and test: 1 patients \(1 and 1 images\)"):
        runner.train()
