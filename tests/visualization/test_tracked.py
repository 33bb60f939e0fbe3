"""What trackers are told, and what they are not: everything they write is searched for what was planted."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import VISBACKENDS, VISUALIZERS
from mmengine.visualization.vis_backend import BaseVisBackend, LocalVisBackend, MLflowVisBackend, WandbVisBackend

import otcxr_mm
from otcxr_mm.visualization import tracked
from tests.conftest import ROOT, write_image
from tests.datasets.dicoms import write_dicom

PATIENT, HOSPITAL, TAG = "PATIENT-SECRET-77", "secret_hospital", "Doe^Jane^Secret"
CASE, CLINIC = "CASE-0815", "KLINIKUM_X"
USER, HOST = "doctor_secret", "secret-host-7"

# trains with every way out of the machine closed; a service of this machine is no way out
OFFLINE = f"""
import runpy, socket, sys
connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo
HERE = ("127.0.0.1", "::1", "localhost", None, "")
def closed_connect(self, address):
    if self.family != socket.AF_UNIX and address[0] not in HERE:
        raise AssertionError(f"the network is asked for {{address}}")
    return connect(self, address)
def closed_lookup(host, *args, **kwargs):
    if host not in HERE:
        raise AssertionError(f"the network is asked for {{host}}")
    return getaddrinfo(host, *args, **kwargs)
socket.socket.connect = socket.socket.connect_ex = closed_connect
socket.getaddrinfo = closed_lookup
socket.gethostname = lambda: "{HOST}"
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
CONFIG = """
_base_ = ["{base}"]
train_dataloader = dict(dataset=dict(data_root="{root}", ann_file="table.csv"))
our_own_key = "{root}/more"
extra = dict(cases=["{case}.nii", "{case}.tsv"], rows=[b"{case}.parquet"], site_dir="{clinic}")
train_cfg = dict(max_epochs=1)
default_hooks = dict(checkpoint=dict(interval=-1))
visualizer = dict(
    vis_backends=[
        dict(type="LocalVisBackend"),
        dict(type="TensorboardVisBackend", save_dir="{out}/tensorboard"),
        dict(type="WandbVisBackend", save_dir="{out}/wandb", init_kwargs=dict(project="cxr", mode="offline")),
        dict(type="MLflowVisBackend", save_dir="{out}/mlflow", exp_name="cxr", tracking_uri="file://{out}/mlflow"),
    ],
    share_paths={share},
)
"""
TRACKERS = ("tensorboard", "wandb", "mlflow")


def start(tmp_path_factory, share):
    """A training with all three trackers, and where they and it write."""
    out, place = tmp_path_factory.mktemp("trackers"), tmp_path_factory.mktemp("run")
    root = place / HOSPITAL
    for i in range(7):
        write_image(root / f"{PATIENT}_{i}.png", (40, 40))
    write_dicom(root / f"{PATIENT}_7.dcm", np.arange(1600, dtype=np.uint16).reshape(40, 40), PatientName=TAG)
    rows = [f"{path.name},{PATIENT}" for path in sorted(root.iterdir())]
    (root / "table.csv").write_text("\n".join(["path,patient", *rows]) + "\n")
    base = ROOT / "tests" / "tiny.py"
    (place / "own_config.py").write_text(
        CONFIG.format(base=base, root=root, out=out, share=share, case=CASE, clinic=CLINIC)
    )
    (place / "offline.py").write_text(OFFLINE)
    command = [place / "offline.py", "tools/train.py", place / "own_config.py", "--work-dir", place / "work"]
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "USER": USER, "LOGNAME": USER, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process, out, place


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What each tracker has written, without and with `share_paths`, the work dir, and what was planted."""
    for package in TRACKERS:
        pytest.importorskip(package)
    found = []
    for process, out, place in [start(tmp_path_factory, share) for share in (False, True)]:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output[-4000:]
        # a tracker's log of itself stays on the machine: `wandb sync` does not send it
        sent = [f for f in out.rglob("*") if f.is_file() and f.parent.name != "logs" and not f.name.startswith("debug")]
        written = {name: b"".join(f.read_bytes() for f in sent if (out / name) in f.parents) for name in TRACKERS}
        secrets = [PATIENT, HOSPITAL, TAG, CASE, CLINIC, USER, HOST, str(place), str(ROOT), str(Path.home()) + "/"]
        found.append((written, place / "work", secrets))
    return found


@pytest.fixture
def quiet(runs):
    return runs[0]


@pytest.fixture
def shared(runs):
    return runs[1]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_no_path_no_patient_no_tag_and_no_name_of_user_or_machine_is_sent(quiet, tracker):
    written, _, secrets = quiet
    found = [secret for secret in secrets if secret.encode() in written[tracker]]
    real_host = socket.gethostname()
    if len(real_host) > 5 and real_host.encode() in written[tracker]:
        found.append(real_host)
    assert not found
    # and what they are for is there: the loss, and the config
    for text in (b"loss", b"max_epochs", b"TwoViewCrop", b"CosineAnnealingLR"):
        assert text in written[tracker], text


def test_what_is_kept_on_this_machine_is_whole(quiet):
    _, work, _ = quiet
    (local,) = work.glob("*/vis_data/config.py")
    assert HOSPITAL in local.read_text()
    (scalars,) = work.glob("*/vis_data/scalars.json")
    assert len(scalars.read_text().splitlines()) == 2  # 8 images in batches of 4


@pytest.mark.parametrize("tracker", TRACKERS)
def test_the_search_finds_them_once_they_are_shared(shared, tracker):
    written, _, _ = shared
    for secret in (HOSPITAL, CASE, CLINIC):
        assert secret.encode() in written[tracker], secret
    if tracker == "mlflow":
        assert USER.encode() in written[tracker]


class Recorder(BaseVisBackend):
    """A tracker that keeps what it is told."""

    def __init__(self, save_dir=None, artifact_suffix=(".json", ".log")):
        super().__init__(save_dir)
        self.told, self.artifact_suffix = [], artifact_suffix

    experiment = property(lambda self: self)

    def _init_env(self):
        pass

    def add_config(self, config, **kwargs):
        self.told.append(("config", config))

    def add_image(self, name, image, step=0, **kwargs):
        self.told.append(("image", name))

    def add_scalar(self, name, value, step=0, **kwargs):
        self.told.append((name, value))

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs):
        self.told.append(scalar_dict)


def build(tmp_path, **kwargs):
    visualizer = VISUALIZERS.build(
        dict(
            type="otcxr_mm.TrackedVisualizer",
            name=f"{tmp_path.name}{len(kwargs)}",
            vis_backends=[dict(type="LocalVisBackend"), dict(type=Recorder)],
            save_dir=str(tmp_path),
            **kwargs,
        )
    )
    assert isinstance(visualizer, otcxr_mm.TrackedVisualizer)
    return visualizer, visualizer.get_backend("Recorder")


def test_images_stay_here_unless_asked_for(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    visualizer, recorder = build(tmp_path)
    visualizer.add_image("overlay", image)
    assert not recorder.told
    assert list(tmp_path.rglob("overlay_0.png"))
    visualizer, recorder = build(tmp_path, images=True)
    visualizer.add_image("overlay", image)
    assert recorder.told == [("image", "overlay")]


def test_numbers_pass_and_text_does_not(tmp_path):
    visualizer, recorder = build(tmp_path)
    visualizer.add_scalars({"auroc_sex=F": 0.5, "loss": np.array([2.0]), "file": "/data/x.png"}, step=1)
    visualizer.add_scalar("note", PATIENT)
    visualizer.add_scalar("lr", torch.tensor(0.1))
    assert recorder.told == [{"auroc_sex=F": 0.5, "loss": np.array([2.0])}, ("lr", torch.tensor(0.1))]


def test_settings_of_trackers_are_no_tracker_s_business(tmp_path):
    cfg = Config(dict(visualizer=dict(key="API-SECRET"), work_dir="w", a=1))
    visualizer, recorder = build(tmp_path)
    visualizer.add_config(cfg)
    assert recorder.told[0][1].to_dict() == {"a": 1}
    assert recorder.artifact_suffix == ()
    visualizer, recorder = build(tmp_path, share_paths=True)
    visualizer.add_config(cfg)
    assert recorder.told[0][1].to_dict() == cfg.to_dict()
    assert recorder.artifact_suffix == (".json", ".log")


def begun(tmp_path, monkeypatch, share_paths=False, **spec):
    """What `wandb.init` gets of a back end."""
    wandb = pytest.importorskip("wandb")
    given = {}
    monkeypatch.setattr(wandb, "init", lambda **kwargs: given.update(kwargs))
    spec = tracked._prepared(dict(save_dir=str(tmp_path), **spec), share_paths)
    spec.pop("name", None)
    assert VISBACKENDS.build(spec).experiment is wandb
    return given


def test_what_the_user_says_to_a_tracker_wins(tmp_path, monkeypatch):
    spec = dict(type="WandbVisBackend", init_kwargs=dict(project="p", settings=dict(console="auto")))
    settings = begun(tmp_path, monkeypatch, **spec)["settings"]
    assert settings["console"] == "auto"
    assert settings["disable_git"] is True
    assert spec["init_kwargs"]["settings"] == {"console": "auto"}  # the config itself is left alone
    assert begun(tmp_path, monkeypatch, type="WandbVisBackend")["settings"] == tracked.WANDB_QUIET
    local = dict(type="LocalVisBackend")
    assert tracked._prepared(local, False) == local


def test_the_settings_of_weights_and_biases_may_be_its_own_object(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    own = wandb.Settings(console="wrap", disable_git=False)
    spec = dict(type="WandbVisBackend", init_kwargs=dict(settings=own))
    assert begun(tmp_path, monkeypatch, **spec)["settings"] == {
        **tracked.WANDB_QUIET,
        "console": "wrap",
        "disable_git": False,
    }
    assert begun(tmp_path, monkeypatch, share_paths=True, **spec)["settings"] is own
    with pytest.raises(TypeError, match=r"init_kwargs.settings is of type list; write a dict"):
        begun(tmp_path, monkeypatch, type="WandbVisBackend", init_kwargs=dict(settings=["console"]))


class OwnWandb(WandbVisBackend):
    """A user's, with arguments and a habit of its own."""

    def __init__(self, save_dir, team):
        super().__init__(save_dir, init_kwargs=dict(project=team))

    def add_config(self, config, **kwargs):
        super().add_config(config, **kwargs)
        self.team_is_told = True


class OwnMLflow(MLflowVisBackend):
    """A user's."""


def warnings_of(monkeypatch):
    said = []
    monkeypatch.setattr(tracked, "print_log", lambda message, logger, level: said.append(message))
    return said


def test_a_user_s_own_class_keeps_the_quiet_settings_and_is_warned_of(tmp_path, monkeypatch):
    said = warnings_of(monkeypatch)
    assert begun(tmp_path, monkeypatch, type=OwnWandb, team="cxr") == {
        "project": "cxr",
        "dir": str(tmp_path),
        "settings": tracked.WANDB_QUIET,
    }
    assert len(said) == 1
    assert "OwnWandb" in said[0]
    assert "host" in said[0]
    assert "\n" not in said[0]
    # no code is uploaded: its own add_config goes on top of the quiet one
    backend = tracked._mixed(OwnWandb, tracked.QuietWandb)(str(tmp_path), team="cxr")
    backend._env_initialized, backend._wandb = True, SimpleNamespace(config={}, run=None)
    backend.add_config(Config(dict(a=1)))
    assert backend._wandb.config["a"] == 1
    assert backend.team_is_told
    assert "settings" not in begun(tmp_path, monkeypatch, share_paths=True, type=OwnWandb, team="cxr")
    assert len(said) == 1


def test_back_ends_that_are_not_known_are_warned_of(tmp_path, monkeypatch):
    said = warnings_of(monkeypatch)
    build(tmp_path)
    tracked.TrackedVisualizer(vis_backends=[Recorder(), LocalVisBackend(str(tmp_path))])
    assert ["Recorder" in message for message in said] == [True, True]
    build(tmp_path, share_paths=True)
    tracked.TrackedVisualizer(vis_backends=LocalVisBackend(str(tmp_path)), share_paths=True)
    assert len(said) == 2


@pytest.fixture
def mlflow_run(tmp_path, monkeypatch):
    """Logs with the real MLflow into a folder, and gives the run that is there."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    (work / "run.json").write_text("{}")

    def log(cfg, scalars, share_paths=False, kind="MLflowVisBackend", **spec):
        visualizer = tracked.TrackedVisualizer(
            vis_backends=[dict(type=kind, tracking_uri=f"file://{tmp_path}/mlflow", **spec)],
            save_dir=str(tmp_path),
            share_paths=share_paths,
        )
        visualizer.add_config(Config(dict(work_dir=str(work), **cfg)))
        for numbers in scalars:
            visualizer.add_scalars(numbers, step=1)
        (run_id,) = [mlflow.active_run().info.run_id]
        visualizer.close()
        run = mlflow.get_run(run_id)
        return run.data.metrics, run.data.params, [file.path for file in mlflow.MlflowClient().list_artifacts(run_id)]

    return log


@pytest.mark.parametrize("share_paths", [False, True])
def test_names_that_mlflow_refuses_cost_no_number(mlflow_run, share_paths):
    numbers = {
        "multilabel/auroc/Mass (left)": 0.7,
        "multilabel/auroc": 0.8,
        "multilabel/auroc/Mass [left]": 0.6,
        "auroc_sex=F": 0.5,
        "a,b;c&d//..": 0.4,
        "x" * 300: 0.3,
        "Erguss/früh: 1.2-3": 0.2,
    }
    later = {"loss": 1.0, "multilabel/auroc/Mass (left)": 0.9, "Erguss": 2.0}
    metrics, params, _ = mlflow_run({"weights": {"Mass (left)": 2, 3: 4}}, [numbers, later], share_paths)
    assert metrics == {
        "multilabel/auroc": 0.8,
        "multilabel/auroc.Mass _left_": 0.9,
        "multilabel/auroc.Mass _left__2": 0.6,
        "auroc_sex_F": 0.5,
        "a_b_c_d/_/_": 0.4,
        "x" * 250: 0.3,
        "Erguss/früh: 1.2-3": 0.2,
        "loss": 1.0,
        "Erguss_2": 2.0,
    }
    assert params["weights.Mass _left_"] == "2"
    assert params["weights.3"] == "4"


def test_a_server_of_mlflow_groups_classes_below_their_mean():
    backend = tracked.QuietMLflow("unused")
    backend._mlflow = SimpleNamespace(get_tracking_uri=lambda: "http://mlflow.example:5000")
    names = ("auroc", "auroc/Mass (left)", "auroc/Mass [left]", "auroc/Mass (left)")
    assert [backend._metric(name) for name in names] == [
        "auroc",
        "auroc/Mass _left_",
        "auroc/Mass _left__2",
        "auroc/Mass _left_",
    ]


def test_entries_that_are_held_back_are_no_error_of_mlflow(mlflow_run, monkeypatch):
    said = warnings_of(monkeypatch)
    wanted = ["optim_wrapper", "work_dir", "visualizer"]
    _, params, files = mlflow_run(
        {"optim_wrapper": {"lr": 0.1}, "other": 1, "visualizer": {}}, [], tracked_config_keys=wanted
    )
    assert params == {"optim_wrapper.lr": "0.1"}
    assert files == ["config.py"]
    assert wanted == ["optim_wrapper", "work_dir", "visualizer"]
    assert len(said) == 1
    assert "is not sent work_dir, visualizer of tracked_config_keys" in said[0]


def test_files_go_to_mlflow_only_if_somebody_names_them(mlflow_run):
    assert mlflow_run({}, [], kind=OwnMLflow)[2] == ["config.py"]
    assert mlflow_run({}, [], artifact_suffix=(".json",))[2] == ["config.py", "run.json"]


@pytest.mark.parametrize(("kind", "package"), [("WandbVisBackend", "wandb"), ("MLflowVisBackend", "mlflow")])
def test_a_missing_package_is_named_with_what_to_install(monkeypatch, kind, package):
    monkeypatch.setattr(tracked, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=f"{kind}, whose package is not installed: pip install {package}"):
        tracked._prepared(dict(type=kind), False)


def test_an_unknown_back_end_is_named():
    with pytest.raises(KeyError, match="NoSuchBackend"):
        tracked._prepared(dict(type="NoSuchBackend"), False)


@pytest.mark.parametrize("config", ["otcxr_r18_cpu.py", "benchmarks/segmentation/otcxr_fcn_r18_lungs.py"])
def test_the_configs_have_it_with_mmengine_s_local_back_end_alone(config):
    cfg = Config.fromfile(ROOT / "configs" / config)
    assert cfg.visualizer.type == "otcxr_mm.TrackedVisualizer"
    assert [LocalVisBackend.__name__] == [backend.type for backend in cfg.visualizer.vis_backends]
