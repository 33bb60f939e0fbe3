"""What trackers get, and what they do not: everything that they write is searched for what was planted."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.visualization.vis_backend import BaseVisBackend, LocalVisBackend, MLflowVisBackend

from otcxr_mm.visualization import tracked
from tests.conftest import ROOT, write_image
from tests.datasets.dicoms import write_dicom

pytestmark = pytest.mark.xdist_group("trackers")

PATIENT, HOSPITAL, TAG = "PATIENT-SECRET-77", "secret_hospital", "Doe^Jane^Secret"
CASE, CLINIC = "CASE-0815", "KLINIKUM_X"
USER, HOST = "doctor_secret", "secret-host-7"
CONFIG_OF_USER = Config(dict(visualizer=dict(key="API-SECRET"), work_dir="w", train_cfg=dict(max_epochs=1)))
TRACKERS = ("tensorboard", "wandb", "mlflow")

# trains with every way out of the machine closed; a service of this machine is no way out
OFFLINE = f"""
import runpy, socket, sys
connect = socket.socket.connect
def closed_connect(self, address):
    assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1"), f"the network is asked for {{address}}"
    return connect(self, address)
socket.socket.connect = socket.socket.connect_ex = closed_connect
socket.gethostname = lambda: "{HOST}"
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
CONFIG = """
_base_ = ["{base}"]
train_dataloader = dict(dataset=dict(data_root="{root}", ann_file="table.csv"))
our_own_key = "{root}/more"
extra = dict(cases=["{case}.nii"], rows=[b"{case}.parquet"], site="{clinic}")
train_cfg = dict(max_epochs=1)
default_hooks = dict(checkpoint=dict(interval=-1), monitor=dict(pictures=1))
wandb = dict(project="cxr", mode="offline", settings=dict(host="chosen-host"))
visualizer = dict(
    vis_backends=[
        dict(type="LocalVisBackend"),
        dict(type="TensorboardVisBackend", save_dir="{out}/tensorboard"),
        dict(type="WandbVisBackend", save_dir="{out}/wandb", init_kwargs=wandb),
        dict(type="MLflowVisBackend", save_dir="{out}/mlflow", tracking_uri="file://{out}/mlflow", tags=dict(a="mine")),
    ],
)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training with all three trackers: what each has written, and what was planted."""
    for package in TRACKERS:
        pytest.importorskip(package)
    out, place = tmp_path_factory.mktemp("trackers"), tmp_path_factory.mktemp("run")
    root = place / HOSPITAL
    for i in range(7):
        write_image(root / f"{PATIENT}_{i}.png", (40, 40))
    write_dicom(root / f"{PATIENT}_7.dcm", 40 * np.arange(1600, dtype=np.uint16).reshape(40, 40), PatientName=TAG)
    rows = [f"{path.name},{PATIENT}" for path in sorted(root.iterdir())]
    (root / "table.csv").write_text("\n".join(["path,patient", *rows]) + "\n")
    values = dict(base=ROOT / "tests" / "tiny.py", root=root, out=out, case=CASE, clinic=CLINIC)
    (place / "own_config.py").write_text(CONFIG.format(**values))
    (place / "offline.py").write_text(OFFLINE)
    script = [sys.executable, place / "offline.py", "tools/train.py"]
    command = [*map(str, script), str(place / "own_config.py"), "--work-dir", str(place / "work")]
    # without what trackers that were built in this process have set
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "MLFLOW_"))}
    environment |= {"USER": USER, "LOGNAME": USER, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
    # a tracker's log of itself stays on the machine: `wandb sync` does not send it
    sent = [f for f in out.rglob("*") if f.is_file() and f.parent.name != "logs" and not f.name.startswith("debug")]
    written = {name: b"".join(f.read_bytes() for f in sent if (out / name) in f.parents) for name in TRACKERS}
    secrets = [PATIENT, HOSPITAL, TAG, CASE, CLINIC, USER, HOST, str(place), str(ROOT), str(Path.home()) + "/"]
    # Weights & Biases' name for the code that it would upload
    return written, [*secrets, "source-cxr-"]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_no_path_no_patient_no_tag_and_no_name_of_user_or_machine_is_sent(run, tracker):
    written, secrets = run
    assert not [secret for secret in secrets if secret.encode() in written[tracker]]
    # what trackers are for is there: the loss, and the config; and what the user has set
    seen = (b"plan/right", b"features/rank", b"plans", b"IHDR")  # numbers and pictures of the monitor
    chosen = {"tensorboard": seen, "wandb": (b"chosen-host",), "mlflow": (b"mine",)}[tracker]
    for text in (b"loss", b"max_epochs", b"TwoViewCrop", b"CosineAnnealingLR", b"UnlabeledCXR", *chosen):
        assert text in written[tracker], text


class Recorder(BaseVisBackend):
    """A tracker of the user's own."""

    def __init__(self, save_dir=None, artifact_suffix=(".json", ".log")):
        super().__init__(save_dir)
        self.told, self._artifact_suffix = [], artifact_suffix

    experiment = _init_env = None

    def add_config(self, config, **kwargs):
        self.told.append(config.to_dict())

    def add_image(self, name, image, step=0, **kwargs):
        self.told.append(name)

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs):
        self.told.append((scalar_dict, step, file_path))


@pytest.fixture
def build(tmp_path, monkeypatch):
    """A visualiser beside a local one, and its tracker."""
    monkeypatch.setattr(os, "environ", {**os.environ})
    # MMEngine's MLflow back end reopens the file of a current logger whose stream is closed, as another test's can be
    MMLogger.get_instance(tmp_path.name)

    def make(tracker=None, **kwargs):
        backends = [LocalVisBackend(str(tmp_path)), tracker or Recorder()]
        return tracked.TrackedVisualizer(vis_backends=backends, **kwargs), backends[1]

    return make


def test_a_tracker_of_ones_own_gets_numbers_and_the_same_list_and_a_warning(build, tmp_path, log):
    visualizer, tracker = build()
    scalars = {"sex=F": 0.5, "loss": np.array([2.0]), "file": "/data/x.png", "two": [1, 2], "yes": True}
    visualizer.add_scalars(scalars, step=1, file_path=str(tmp_path / "own.json"))
    visualizer.add_scalar("note", PATIENT)
    visualizer.add_scalar("lr", torch.tensor(0.5), step=2)
    visualizer.add_image("overlay", np.zeros((4, 4, 3), np.uint8))
    visualizer.add_drawing("plans", np.zeros((4, 4, 3), np.uint8))
    visualizer.add_config(CONFIG_OF_USER)
    numbers = [({"sex=F": 0.5, "loss": 2.0}, 1, None), ({"lr": 0.5}, 2, None)]
    assert tracker.told == [*numbers, "plans", {"train_cfg": {"max_epochs": 1}}]
    assert tracker._artifact_suffix == ()
    assert "Recorder gets scalars and a part of the config" in log.text
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["overlay_0.png", "plans_0.png"]


def test_a_tracker_gets_everything_if_it_is_asked_for(build, log):
    visualizer, tracker = build(share_all=True)
    visualizer.add_config(CONFIG_OF_USER)
    visualizer.add_image("overlay", np.zeros((4, 4, 3), np.uint8))
    assert tracker.told == [CONFIG_OF_USER.to_dict(), "overlay"]
    assert tracker._artifact_suffix == (".json", ".log")
    assert "Recorder" not in log.text


def test_mlflow_gets_every_number_no_key_that_is_held_back_and_only_files_that_somebody_names(build, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    (tmp_path / "run.json").write_text("{}")
    numbers = {"auroc/Mass (left)": 0.7, "auroc": 0.8, "auroc/Mass [left]": 0.6, "//..": 0.4, "x" * 300: 0.3}
    accepted = ("auroc.Mass _left_", "auroc", "auroc.Mass _left__2", "_", "x" * 240)
    folder = str(tmp_path / "mlflow")
    keys = dict(tracked_config_keys=["train_cfg", "work_dir"])
    for more, files in (({}, []), (dict(artifact_suffix=(".json",), **keys), ["run.json", "scalars.json"])):
        tracker = MLflowVisBackend(save_dir=folder, tracking_uri=f"file://{folder}", **more)
        visualizer, _ = build(tracker)
        visualizer.add_config(Config(dict(work_dir=str(tmp_path), train_cfg=dict(max_epochs=1))))
        visualizer.add_scalars(numbers, step=1)
        run_id = mlflow.active_run().info.run_id
        visualizer.close()
        data = mlflow.get_run(run_id).data
        assert data.metrics == dict(zip(accepted, numbers.values(), strict=True))
        assert data.params == {"train_cfg.max_epochs": "1"}
        assert [file.path for file in mlflow.MlflowClient().list_artifacts(run_id)] == ["config.py", *files]
