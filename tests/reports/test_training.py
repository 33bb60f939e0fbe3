import math

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from otcxr_mm.reports.training import read_trainings
from otcxr_mm.utils.locks import hold, release
from tests.reports.work_dirs import train_line, write_start


def read(*folders):
    found = read_trainings(folders)
    return found if len(found) > 1 else found[0]


def test_what_a_resumed_run_repeats_replaces_what_it_had_done(tmp_path):
    # logged every iteration until 8, resumed from the checkpoint at 6, and then logged every third
    write_start(tmp_path, "20260101_000000", [train_line(i, ot_mass=1.0) for i in range(1, 9)], manifest={})
    later = [train_line(i, loss=-1.0) for i in (9, 12)]
    write_start(tmp_path, "20260102_000000", later, manifest={"resumed": {"epoch": 2, "iteration": 6, "changed": []}})
    run = read(tmp_path)
    assert list(run.scalars["loss"]) == [1, 2, 3, 4, 5, 6, 9, 12]
    assert [run.scalars["loss"][i] for i in (6, 9)] == [6.0, -1.0]
    assert list(run.scalars["ot_mass"]) == [1, 2, 3, 4, 5, 6]
    assert (len(run.starts), run.state) == (2, "finished")


def test_a_plain_run_is_taken_as_resumed_before_its_first_value(tmp_path):
    write_start(tmp_path, "20260101_000000", [train_line(i) for i in range(1, 9)])
    write_start(tmp_path, "20260102_000000", [train_line(i, loss=-1.0) for i in (7, 8, 9)])
    write_start(tmp_path, "20260103_000000")  # ended before it logged anything
    run = read(tmp_path)
    assert [run.scalars["loss"][i] for i in range(5, 10)] == [5.0, 6.0, -1.0, -1.0, -1.0]


def test_what_was_before_a_new_beginning_is_left_out(tmp_path):
    write_start(tmp_path, "20260101_000000", [train_line(i) for i in (1, 2)], manifest={}, pictures=[("old", 1)])
    write_start(tmp_path, "20260102_000000", [train_line(3)], manifest={}, pictures=[("plan", 3), ("plan", 2)])
    run = read(tmp_path)
    assert list(run.scalars["loss"]) == [3]
    assert {name: list(files) for name, files in run.pictures.items()} == {"plan": [2, 3]}


def test_validations_stand_at_the_iteration_at_which_their_epoch_ended(tmp_path):
    # MMEngine gives the step of a validation in epochs, but that of a hook's own scalar as the hook does
    validation = {"auroc": 0.7, "data_time": 0.5, "time": 0.5, "step": 2}
    write_start(tmp_path, "20260101_000000", [train_line(3), train_line(6), validation, {"probe/knn": 0.6, "step": 2}])
    run = read(tmp_path)
    assert run.scalars["auroc"] == {6: 0.7}
    assert run.scalars["probe/knn"] == {2: 0.6}
    assert run.scalars["time"] == {3: 0.1, 6: 0.1}, "the times of a validation are not those of training"


def test_a_line_cut_short_and_values_that_are_no_numbers(tmp_path):
    lines = [train_line(1, loss=math.nan), train_line(2, loss=None), train_line(3, histogram=[1, 2])]
    write_start(tmp_path, "20260101_000000", lines)
    with open(tmp_path / "20260101_000000" / "vis_data" / "scalars.json", "a") as stream:
        stream.write('{"loss": 3.0, "st')
    run = read(tmp_path)
    assert [math.isnan(value) for value in run.scalars["loss"].values()] == [True, True, False]
    assert "histogram" not in run.scalars
    assert list(run.warnings) == ["1 lines of the curves were damaged and are left out"]


@pytest.mark.parametrize(
    ("last", "log", "checkpoint", "state"),
    [
        (12, (), None, "finished"),
        (11, (), "epoch_4.pth", "finished"),  # the last iterations of an epoch may not be logged
        (5, (), "epoch_1.pth", "not finished: killed, or still running elsewhere"),
        (5, (), "/elsewhere/interrupted.pth", "interrupted"),
        (5, (("ERROR", "/p/console.py - _report - 99 - Traceback:\n  x\nValueError: bad"),), None, "ended by an error"),
    ],
)
def test_the_state_of_a_run(tmp_path, last, log, checkpoint, state):
    write_start(tmp_path, "20260101_000000", [train_line(i) for i in range(1, last + 1)], manifest={}, log=log)
    if checkpoint:
        (tmp_path / "last_checkpoint").write_text(checkpoint)
    run = read(tmp_path)
    assert run.state == state
    expected = ["The last training ended by an error: ValueError: bad"] if log else []
    assert list(run.warnings) == expected


def test_a_run_whose_work_dir_is_locked_is_running(tmp_path):
    write_start(tmp_path, "20260101_000000", [train_line(1)], manifest={})
    hold(tmp_path)
    assert read(tmp_path).state == "running"
    release(tmp_path)
    assert read(tmp_path).state.startswith("not finished")


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, x, mode="loss"):
        return {"loss": self.linear(x).square().mean()}


def test_a_run_of_mmengine_alone_is_read(tmp_path):
    lengths = dict(by_epoch=True, max_epochs=2)
    Runner(
        Toy(),
        str(tmp_path / "toy"),
        train_dataloader=DataLoader([(torch.ones(2),)] * 6, batch_size=2),
        train_cfg=lengths,
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        default_hooks=dict(logger=dict(type="LoggerHook", interval=1)),
        experiment_name=tmp_path.name,
        default_scope="mmpretrain",  # what the tests after this one build in
        cfg=dict(train_cfg=lengths),
    ).train()
    run = read(tmp_path / "toy")
    assert (run.name, run.state, run.manifest) == ("toy", "finished", {})
    assert list(run.scalars["loss"]) == [1, 2, 3, 4, 5, 6]
    assert {"Python", "PyTorch", "MMEngine"} <= set(run.starts[-1].log.environment)
    (run.starts[-1].folder / "vis_data" / "config.py").unlink()
    assert read(tmp_path / "toy").state == "finished or not: its length is unknown"


def test_what_is_no_run_is_refused_by_name(tmp_path):
    run = write_start(tmp_path / "runs" / "a", "20260101_000000", [train_line(1)])
    (tmp_path / "empty").mkdir()
    for folder, message in {
        tmp_path / "missing": "missing: no such folder",
        tmp_path / "empty": "empty: not a work dir: it has no log, no curves and no manifest.json$",
        tmp_path / "runs": "runs: not a work dir.*; it holds work dirs: name them, such as .*runs/a$",
        run / "20260101_000000": "it is one start of a run: name the folder above it, a$",
    }.items():
        with pytest.raises(FileNotFoundError, match=message):
            read(folder)
    with pytest.raises(ValueError, match="is named 2 times"):
        read(run, f"{run}/")


def test_names_are_as_short_as_they_can_be(tmp_path):
    for name in ("a/x", "b/x"):
        write_start(tmp_path / name, "20260101_000000", [train_line(1)])
    assert [run.name for run in read(tmp_path / "a" / "x", tmp_path / "b" / "x")] == ["a/x", "b/x"]
    assert read(tmp_path / "a" / "x").name == "x"
