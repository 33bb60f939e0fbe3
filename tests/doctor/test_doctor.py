"""What the doctor finds, and that its page has a heading for each finding."""

import ast
import json
import os
import re
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch

from otcxr_mm import doctor
from otcxr_mm.doctor import Finding, examine, installed, main, probe
from otcxr_mm.utils import machine
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
# what this machine may lack, whatever the test
MACHINE = {"memory-low", "shm-small", "disk-full", "gpu-unused"}


def test_every_finding_has_its_heading_and_every_heading_its_finding():
    source = "\n".join(p.read_text() for p in (ROOT / "otcxr_mm" / "doctor").glob("*.py"))
    names = set(re.findall(r'(?:Finding\(|_found\(|\(""),?\s*"([a-z]+(?:-[a-z]+)*)",', source))
    names |= {name for _, name, _ in probe.REMEDIES}
    assert sorted(re.findall(r"^#### `([a-z-]+)`", PAGE, re.MULTILINE)) == sorted(names)


# --- metadata

REQUIRES = [
    "numpy",
    "torch>=2.6",
    "torchvision",
    'onedl-mmengine>=0.10.12; extra == "onedl"',
    'onedl-mmpretrain>=1.3.6; extra == "onedl"',
    'opencv-python-headless; extra == "onedl"',
    'mmengine>=0.10.7; extra == "mm"',
    'mmpretrain>=1.2.0; extra == "mm"',
    'mmcv-lite>=2.2.0; extra == "mm"',
    'setuptools<82,>=77; extra == "mm"',
    'pydicom>=3.0; extra == "dicom"',
]
COMMON = {"otcxr_mm": "0.1.0", "numpy": "2.4.6", "torch": "2.14.0+cpu", "torchvision": "0.29.0", "mmcv-lite": "2.2.0"}
ONEDL = {**COMMON, "onedl-mmengine": "0.10.12", "onedl_mmpretrain": "1.3.6", "opencv-python": "4.13"}
MM = {**COMMON, "mmengine": "0.10.7", "mmpretrain": "1.2.0", "setuptools": "81.0.0"}


@pytest.fixture
def packages(monkeypatch):
    """Makes it look as if other packages were installed; a version None takes one away."""

    def install(base, changes, python=(3, 11, 7)):
        monkeypatch.setattr(installed.sys, "version_info", python)
        found = {**base, **changes}.items()
        dists = [SimpleNamespace(metadata={"Name": name}, version=version) for name, version in found if version]
        requires = {"otcxr_mm": REQUIRES, "torchvision": ["numpy", "torch==2.14.0"]}
        monkeypatch.setattr(installed.metadata, "distributions", lambda: dists)
        monkeypatch.setattr(installed.metadata, "requires", requires.get)
        return installed.examine_packages()

    return install


@pytest.mark.parametrize("base", [ONEDL, MM])
def test_a_sound_environment_has_no_problem(packages, base):
    versions, findings = packages(base, {})
    assert findings == []
    assert versions["torch"] == "2.14.0+cpu"
    assert versions["pydicom"] == 'not installed; to read DICOM: pip install "pydicom>=3.0"'


@pytest.mark.parametrize(
    ("base", "changes", "name", "problem", "remedy"),
    [
        (ONEDL, {"otcxr_mm": None}, "missing-package", "otcxr_mm is not installed", "pip install -e ."),
        (ONEDL, {"torch": None}, "missing-package", "torch is not installed", 'pip install "torch>=2.6"'),
        (ONEDL, {"onedl-mmengine": None}, "missing-package", "onedl-mmengine", '"onedl-mmengine>=0.10.12"'),
        (ONEDL, {"mmcv-lite": None}, "missing-package", "mmcv-lite", 'pip install --no-deps "mmcv-lite>=2.2.0"'),
        (MM, {"mmengine": "0.9.0"}, "wrong-version", "mmengine 0.9.0", "mmengine>=0.10.7"),
        (ONEDL, {"mmengine": "0.10.7"}, "both-lines", "mmengine==0.10.7 are installed", "uninstall -y onedl-mmengine"),
        (MM, {"mmcv": "2.1.0"}, "both-lines", "mmcv-lite==2.2.0 and mmcv==2.1.0", "uninstall -y mmcv-lite mmcv"),
        (ONEDL, {"torch": "2.13.0"}, "torchvision-pair", "torchvision 0.29.0 needs torch==2.14.0", "torch torchvision"),
        (ONEDL, {"mmseg": "1.3"}, "mmseg-other", "mmseg 1.3 is a Chinese tokeniser", "pip uninstall -y mmseg"),
        (MM, {"setuptools": "84.2"}, "wrong-version", "setuptools 84.2", "setuptools<82,>=77"),
    ],
)
def test_packages_that_do_not_fit(packages, base, changes, name, problem, remedy):
    findings = packages(base, changes)[1]
    assert any(f.name == name and problem in f.problem and remedy in f.remedy for f in findings), findings
    assert {f.name for f in findings} <= {name, "missing-package"}


@pytest.mark.parametrize(("python", "names"), [((3, 13, 0), []), ((3, 14, 0), ["python-version"])])
def test_upstream_does_not_run_on_python_3_14(packages, python, names):
    assert [finding.name for finding in packages(MM, {}, python)[1]] == names
    assert packages(ONEDL, {}, python)[1] == []


@pytest.mark.parametrize("version", [(3, 8, 18), (3, 9, 1), (3, 15, 0)])
def test_a_python_that_is_not_supported_is_named(monkeypatch, version):
    monkeypatch.setattr(doctor.sys, "version_info", version)
    (finding,) = examine()[1]
    assert finding.name == "python-version" and ".".join(map(str, version)) in finding.problem


def test_an_old_python_can_read_it():
    for file in ("otcxr_mm/__init__.py", "otcxr_mm/cli/__init__.py", "otcxr_mm/doctor/__init__.py"):
        ast.parse((ROOT / file).read_text(), feature_version=(3, 8))


# --- the child process


def findings(steps):
    """What the steps of a probe have found."""
    return [Finding(*said["finding"]) for said in steps if "finding" in said]


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """What the child process finds if a module that hides the installed one is broken."""
    for name in ("numpy", "cv2", "torch", "torchvision", "mmengine/runner", "mmcv/transforms"):
        (tmp_path / name).mkdir(parents=True)
        for folder in {tmp_path / name, (tmp_path / name).parent} - {tmp_path}:
            (folder / "__init__.py").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def find(name, text):
        (tmp_path / name).write_text(text)
        (finding,) = doctor._run_probe(None)[1]
        return finding

    return find


NO_NMS = "raise RuntimeError('operator torchvision::nms does not exist')"
SYMBOL = "raise ImportError('_ext.so: undefined symbol: _ZN2at')"


@pytest.mark.parametrize(
    ("file", "text", "name", "problem", "remedy"),
    [
        ("torch/__init__.py", "import ctypes\nctypes.string_at(0)", "crash", "importing torch .*SIGSEGV", "NAME"),
        ("torch/__init__.py", "raise SystemExit(1)", "import-failed", "importing torch: SystemExit", "torch"),
        ("torch/__init__.py", "import sympyy", "import-failed", "No module named 'sympyy'", "pip install sympyy"),
        ("cv2/__init__.py", "raise ImportError('libGL.so.1: cannot open')", "import-failed", "libGL", "headless"),
        ("mmengine/__init__.py", "import pkg_resources_", "import-failed", "pkg_res", "setuptools>=77"),
        ("torchvision/__init__.py", NO_NMS, "torchvision-pair", "torchvision::nms", "one command"),
        ("mmcv/_ext.py", SYMBOL, "mmcv-broken", "importing mmcv.ops: .*undefined symbol", "mmcv-lite==2.2.0"),
    ],
)
def test_an_import_that_fails_is_a_finding(broken, tmp_path, file, text, name, problem, remedy):
    (tmp_path / "mmcv" / "ops.py").write_text("from . import _ext")
    found = broken(file, text)
    assert found.name == name
    assert re.search(problem, found.problem), found
    assert remedy in found.remedy


def test_an_import_that_hangs_is_a_finding(broken, monkeypatch):
    monkeypatch.setattr(doctor, "TIMEOUT", 1.0)
    found = broken("numpy/__init__.py", "import time\ntime.sleep(60)")
    assert found.name == "crash" and "importing numpy did not end within 1 s" in found.problem


@pytest.mark.filterwarnings("ignore:The NVIDIA driver")
@pytest.mark.parametrize(
    ("smi", "cuda", "visible", "problem"),
    [
        ("echo GPU 0: H100", None, None, "built for the CPU"),
        ("echo GPU 0: H100", "13.0", None, "driver on your system is too old"),
        ("echo GPU 0: H100", "13.0", "", "CUDA_VISIBLE_DEVICES= hides the GPUs"),
        ("echo Driver/library version mismatch; exit 18", "13.0", None, "nvidia-smi fails: Driver/library version"),
    ],
)
def test_a_gpu_that_torch_does_not_use(tmp_path, monkeypatch, smi, cuda, visible, problem):
    def unavailable():
        warnings.warn("The NVIDIA driver on your system is too old (found version 11040)", stacklevel=1)
        return False

    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{smi}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    (found,) = findings(probe.examine_gpu())
    assert found.name == "gpu-unused" and problem in found.problem


# --- configs

NIH = "train_dataloader = dict(dataset=dict(type='otcxr_mm.NIHChestXray14', {}))\n"


@pytest.fixture
def config(tmp_path, monkeypatch):
    """What is found in a config."""
    monkeypatch.chdir(tmp_path)

    def find(text):
        (tmp_path / "my.py").write_text('default_scope = "mmpretrain"\n' + text)
        return findings(probe.examine_config("my.py"))

    return find


@pytest.mark.parametrize(
    ("text", "name", "problem", "remedy"),
    [
        ("_base_ = ['./gone.py']", "config-unreadable", "gone.py", "base"),
        ("a = = 2", "config-unreadable", "SyntaxError", "correct the line"),
        ("root = '{{$OUR_FILMS:}}'", "config-unreadable", "OUR_FILMS", "correct"),
        ("custom_hooks = [dict(type='otcxr_mm.LeekAuditHook')]", "unknown-type", "custom_hooks.0", "LeakAuditHook"),
        ("model = dict(neck=dict(type='CVSIM'))", "unknown-type", "model.neck: type='CVSIM'", "otcxr_mm.CVSIM"),
        ("model = dict(type='ImageClasifier')", "unknown-type", "scope mmpretrain", "mean ImageClassifier"),
        ("model = dict(type='mmdetx.RetinaNet')", "missing-package", "mmdetx", "pip install mmdetx"),
        ("load_from = 'gone.pth'", "checkpoint-missing", "load_from: gone.pth", "train it first"),
        ("model = dict(init_cfg=dict(checkpoint='x/y.pth'))", "checkpoint-missing", "model.init_cfg: x/y.pth", ""),
    ],
)
def test_a_config_that_does_not_resolve(config, text, name, problem, remedy):
    (found,) = config(text + "\n")
    assert found.name == name
    assert problem in found.problem and remedy in found.remedy


def test_a_config_that_is_not_there_suggests_another():
    (found,) = findings(probe.examine_config("otcxr_r50_nhi"))
    assert found.name == "config-unreadable" and "did you mean otcxr_r50_nih.py" in found.problem


def test_data_that_is_there_is_no_problem(config, nih_folder):
    assert config(NIH.format("data_root='.', pipeline=[dict(type='otcxr_mm.LoadCXR')]")) == []


@pytest.mark.parametrize(
    ("settings", "name", "problem"),
    [
        ("data_root='gone'", "data-missing", "data_root='gone'"),
        ("data_root='images'", "data-missing", "no Data_Entry_2017"),
        ("data_root='.', ann_file='other.csv'", "data-missing", "other.csv: no such table"),
        ("data_root='.', split='test'", "data-missing", "00000003_000.png"),
        ("data_root='.', ann_file='damaged.csv'", "data-invalid", "damaged.csv"),
    ],
)
def test_data_that_cannot_be_read_is_reported_once(config, nih_folder, settings, name, problem):
    (nih_folder / "damaged.csv").write_text("a,b\n1\n")
    (nih_folder / "images" / "00000003_000.png").unlink()
    (found,) = config(NIH.format(settings) + "val_dataloader = test_dataloader = train_dataloader\n")
    assert found.name == name and problem in found.problem


# --- machine and report


def test_a_work_dir_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").touch()
    found = doctor._examine_machine(str(tmp_path / "file" / "runs"))
    assert [f.name for f in found if f.name not in MACHINE] == ["work-dir"]


def test_too_little_memory_and_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=5))
    monkeypatch.setattr(machine, "available_memory", lambda: 2**30)
    found = {f.name: f.problem for f in doctor._examine_machine(str(tmp_path))}
    assert found["disk-full"].startswith("5 B free") and found["memory-low"].startswith("1.0 GiB of memory")
    assert found.get("shm-small", "5 B free").startswith("5 B free")


def test_reports(monkeypatch, capsys):
    finding = Finding("work-dir", "the work dir /home/jane is full", "choose another")
    monkeypatch.setattr(doctor, "examine", lambda config: ({"torch": "2.14.0"}, [finding]))
    assert main([]) == 1
    assert "PROBLEM work-dir: the work dir /home/jane is full\n  -> choose another" in capsys.readouterr().out
    assert main(["--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"versions": {"torch": "2.14.0"}, "findings": ["work-dir"]}


def test_this_environment_is_sound_and_the_parent_imports_nothing_heavy(python, tmp_path):
    (tmp_path / "my.py").write_text(f"model = dict(type='otcxr_mm.OTCXR')\nwork_dir = {str(tmp_path / 'runs')!r}\n")
    script = "import sys, otcxr_mm.doctor as d; status = d.main(sys.argv[1:]); "
    script += "print([m for m in ('torch', 'numpy', 'mmengine') if m in sys.modules])"
    out = python("-c", script, tmp_path / "my.py").stdout
    assert set(re.findall(r"^PROBLEM ([a-z-]+)", out, re.MULTILINE)) <= MACHINE, out
    assert out.endswith("[]\n")
    assert os.listdir(tmp_path) == ["my.py"]
