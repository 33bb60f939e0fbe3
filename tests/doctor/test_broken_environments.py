"""Environments broken on purpose: the doctor names each culprit and a way out.

All are made and examined at once, two processes at a time, by the fixture `reports`.
"""

import os
import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.doctor.environments import ONEDL, Environment

OURS, THEIRS = ("onedl-", "") if ONEDL else ("", "onedl-")
# what this machine, and no environment, brings
MACHINE = ("shm-small", "open-files", "memory-low", "disk-full", "gpu-busy", "nvidia-smi-fails", "cuda-unavailable")
NO_LIBRARY = "libGL.so.7"


@dataclass
class Case:
    """An environment: how it is broken, what is asked, and what must be said."""

    break_it: Callable
    level: str
    code: str
    message: str
    advice: str
    args: tuple = ("--quick",)


CASES: dict[str, Case] = {}


def case(level: str, code: str, message: str, advice: str, *args: str, only: bool = True) -> Callable:
    """Registers a function that breaks an environment; it may return further arguments of the doctor."""

    def register(function: Callable) -> Callable:
        if only:
            CASES[function.__name__] = Case(function, level, code, message, advice, args or ("--quick",))
        return function

    return register


IMPORTS = ("--timeout", "120")


def lean(env, *names):
    """Takes out what takes long to import and is not what this environment is about."""
    env.hide("mmpretrain", "sklearn", "ot", "mim", *names)


# --- packages that are not there


@case("error", "missing-package", "torch is not installed", "pip install torch torchvision")
def no_torch(env):
    env.hide("torch", "torch-*.dist-info")


@case("error", "missing-package", "torchvision is not installed", r"pip install torchvision==0\.\d+\.\*")
def no_torchvision(env):
    env.hide("torchvision", "torchvision-*.dist-info")


@case("error", "missing-package", "mmengine is not installed", 'pip install "(onedl-)?mmengine>=', *IMPORTS)
def no_mmengine(env):
    env.hide("mmengine")
    env.forget(f"{OURS}mmengine")


@case("error", "missing-package", "mmpretrain is not installed", 'pip install "(onedl-)?mmpretrain>=')
def no_mmpretrain(env):
    env.hide("mmpretrain")
    env.forget(f"{OURS}mmpretrain")


@case("error", "missing-package", "mmcv is not installed", "mmcv-lite")
def no_mmcv(env):
    env.hide("mmcv")
    env.forget("mmcv-lite")


@case("error", "missing-package", "sklearn is not installed .scikit-learn", "pip install scikit-learn")
def no_scikit_learn(env):
    env.hide("sklearn")
    env.forget("scikit-learn")


@case("error", "missing-package", "cv2 is not installed", "pip install opencv-python-headless")
def no_opencv(env):
    env.hide("cv2")
    env.forget("opencv-python-headless")


@case("error", "missing-package", "pip lists (onedl-)?mmengine .*files are gone", "--force-reinstall --no-deps")
def files_gone_with_the_other_line(env):
    env.hide("mmengine")


# --- packages that do not belong together


@case("error", "both-lines", "(onedl-)?mmengine .* are both installed", "pip uninstall -y")
def both_lines_of_mmengine(env):
    record = "mmengine/version.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
    env.distribution(f"{THEIRS}mmengine", "0.10.7" if ONEDL else "0.10.12", record)
    env.write("mmengine/version.py")


@case("error", "both-lines", r"mmpretrain .* are both installed.* of \d+ files are those of", "keep one line")
def both_lines_of_mmpretrain(env):
    env.distribution(f"{THEIRS}mmpretrain", "1.3.6")


@case("warning", "mixed-lines", "mmpretrain .* of the other line", "mmpretrain")
def mixed_lines(env):
    env.forget(f"{OURS}mmpretrain")
    env.distribution(f"{THEIRS}mmpretrain", "1.3.6")


@case("warning", "changed-files", r"1 of the \d+ .*mmengine.*mmengine/hooks/hook\.py", "--force-reinstall")
def a_file_of_mmengine_was_overwritten(env):
    env.write("mmengine/hooks/hook.py", "class Hook:\n    pass\n")


@case("error", "mmcv-twice", "mmcv 2.1.0 beside mmcv-lite", "pip uninstall -y mmcv mmcv-lite")
def mmcv_beside_mmcv_lite(env):
    env.distribution("mmcv", "2.1.0")


@case("warning", "opencv-twice", "opencv-python 4.1.2", "pip uninstall -y .*opencv-python")
def two_opencvs(env):
    env.distribution("opencv-python", "4.1.2")


@case("error", "too-old", "mmengine 0.8.5: 0.10", "mmengine>=0.10")
def mmengine_too_old(env):
    env.forget(f"{OURS}mmengine")
    env.distribution(f"{OURS}mmengine", "0.8.5")


@case("error", "too-old", "torch 2.0.1: 2.1 is the oldest", "pip install torch torchvision")
def torch_too_old(env):
    other_torch(env, "2.0.1")


@case("error", "torchvision-pair", "torchvision 0.17.2 does not go with torch", r"torchvision==0\.\d+\.\*")
def torchvision_of_another_release(env):
    env.write("torchvision/version.py", "__version__ = '0.17.2'\n")


@case("error", "torchvision-build", "torch 2.9.0.cpu is built without CUDA, .*0.24.0.cu126 for CUDA", "one index")
def torch_for_the_cpu_beside_torchvision_for_cuda(env):
    other_torch(env, "2.9.0", "+cpu")
    env.write("torchvision/version.py", "__version__ = '0.24.0+cu126'\n")


@case("error", "numpy-torch", "torch 2.2.2 .* cannot use NumPy 2", "numpy<2")
def numpy_2_with_an_old_torch(env):
    other_torch(env, "2.2.2")


@case("error", "changed-files", "pip lists torch 2.*, but the files are of torch 2.9.0", "pip uninstall -y torch")
def torch_of_two_releases(env):
    env.write("torch/version.py", "__version__ = '2.9.0'\ncuda = None\n")


@case("warning", "two-copies", "is installed 2 times: .*0.10.1", "pip uninstall -y")
def metadata_of_two_versions(env):
    env.distribution(f"{OURS}mmengine", "0.10.1")


def other_torch(env, version, build=""):
    env.write("torch/version.py", f"__version__ = '{version}{build}'\ncuda = None\nhip = None\n")
    env.forget("torch")
    env.distribution("torch", version)


# --- packages that are there and do not import


@case("error", "torchvision-ops", "operator torchvision::nms does not exist", "--force-reinstall", *IMPORTS)
def torchvision_without_its_operators(env):
    lean(env, "mmengine", "timm", "cv2")
    env.hide("torchvision/_C*.so", "torchvision/image*.so")


@case("error", "numpy-broken", "numpy", "pip install --force-reinstall --no-deps numpy==", *IMPORTS)
def numpy_without_a_compiled_module(env):
    env.hide("numpy/_core/_multiarray_umath*.so")


@case("error", "missing-library", f"cv2 .*{NO_LIBRARY}", "opencv-python-headless", *IMPORTS)
def opencv_without_libgl(env):
    lean(env, "mmengine", "timm", "torch", "torchvision")
    # a real library that asks for one that is nowhere, as libGL.so.1 is on a server without a display
    suffix = next(iter((env.site / "markupsafe").glob("_speedups*.so")))
    library = suffix.read_bytes().replace(b"libpthread.so.0\0", NO_LIBRARY.encode().ljust(16, b"\0"))
    env.module("cv2", "from . import _speedups\n")
    (env.site / "cv2" / suffix.name).write_bytes(library)


@case(
    "error", "import-crashed", "importing torch .*SIGSEGV, at .*torch/__init__.py, line 2", "force-reinstall", *IMPORTS
)
def torch_that_crashes(env):
    env.module("torch", "import ctypes\nctypes.string_at(0)\n")


@case("error", "import-hangs", "importing torch .* after 12 s, at .*torch/__init__.py, line 2", "line named", *IMPORTS)
def torch_that_hangs(env):
    env.module("torch", "import time\ntime.sleep(1000)\n")
    env.hide("sklearn")  # nothing else that takes time
    return ("--timeout", "12")


@case(
    "warning",
    "import-failed",
    "importing pydicom fails: ZeroDivisionError: .*pydicom/__init__.py, line 1",
    "pydicom",
    *IMPORTS,
)
def pydicom_that_raises(env):
    env.module("pydicom", "1 / 0\n")
    lean(env, "torchvision", "mmengine", "cv2")


@case(
    "error",
    "registry",
    r"otcxr_mm\.evaluation does not resolve .*: NameError: .*evaluation/__init__.py",
    "module",
    *IMPORTS,
)
def our_package_broken(env):
    our_copy(env)
    env.write("otcxr_mm/evaluation/__init__.py", "nothing\n")


@case("warning", "pkg-resources", "there is no pkg_resources.*openmim 0.3.9", "setuptools<82")
def no_pkg_resources(env):
    for entry in ("pkg_resources", "setuptools"):
        (env.site / entry).unlink(missing_ok=True)
    env.distribution("openmim", "0.3.9") if ONEDL else None


@case("error", "shadowed", "<path> in the current folder hides .*mmengine", "rename it", *IMPORTS)
def a_folder_named_mmengine(env):
    (env.cwd / "mmengine").mkdir()
    (env.cwd / "mmengine" / "__init__.py").write_text("")


@case("error", "shadowed", r"<path> in the current folder hides .* torch", "rename it")
def a_script_named_torch(env):
    (env.cwd / "torch.py").write_text("")


@case("error", "shadowed", r"<path> in the current folder hides the standard module tokenize", "rename it")
def a_script_named_like_a_standard_module(env):
    (env.cwd / "tokenize.py").write_text("from _tokenize import *\n")


@case("warning", "shadowed", "PYTHONPATH makes Python import mmpretrain from <path>", "unset PYTHONPATH")
def a_clone_on_pythonpath(env):
    (env.home / "clone" / "mmpretrain").mkdir(parents=True)
    (env.home / "clone" / "mmpretrain" / "__init__.py").write_text("")
    env.env["PYTHONPATH"] = str(env.home / "clone")


@case("warning", "shadowed", "otcxr_mm is imported from .*, but pip installed .* from <path>", "pip install -e")
def otcxr_mm_from_elsewhere(env):
    shutil.rmtree(env.site / "otcxr_mm-0.1.0.dist-info")
    env.distribution("otcxr_mm", "0.1.0", source=Path("/elsewhere"))


@case("warning", "mim-folder", r"\.mim links to nothing: configs", "pip install -e")
def broken_links_in_mim(env):
    our_copy(env)
    (env.site / "otcxr_mm" / ".mim").unlink(missing_ok=True)
    (env.site / "otcxr_mm" / ".mim").mkdir()
    for name in ("configs", "tools", "model-index.yml"):
        (env.site / "otcxr_mm" / ".mim" / name).symlink_to("../../nowhere")


def our_copy(env):
    """A package of ours in site-packages, as from a wheel."""
    (env.site / "otcxr.pth").unlink()
    (env.site / "otcxr_mm").symlink_to(ROOT / "otcxr_mm")
    env.own("otcxr_mm")
    shutil.rmtree(env.site / "otcxr_mm-0.1.0.dist-info")
    env.distribution("otcxr_mm", "0.1.0")


# --- configs


def base(name):
    return f"_base_ = [{str(ROOT / 'configs' / name)!r}]\n"


MODEL_ALONE = 'default_scope = "mmpretrain"\n'


@case("error", "needs-package", "<path> needs mmseg, .*MaskSegmentor", "onedl-mmsegmentation", *IMPORTS, "my.py")
def segmentation_without_mmseg(env):
    lean(env)
    if ONEDL:
        env.hide("mmseg")
        env.forget("onedl-mmsegmentation")
    env.config("my.py", base("benchmarks/segmentation/otcxr_fcn_r18_lungs.py"))


@case(
    "error",
    "mmseg-tokeniser",
    "mmseg is a Chinese tokeniser.*mmseg.registry",
    "pip uninstall -y mmseg",
    *IMPORTS,
    "my.py",
)
def the_tokeniser_in_place_of_mmseg(env):
    lean(env)
    if ONEDL:
        env.forget("onedl-mmsegmentation")
    env.module("mmseg", "def cut(text):\n    return text.split()\n")
    env.distribution("mmseg", "1.3.0")
    env.config("my.py", MODEL_ALONE + 'model = dict(type="mmseg.EncoderDecoder")\n')


@case("error", "mmseg-mmcv", "AssertionError: MMCV==2.2.0", "OneDL line", *IMPORTS, "my.py")
def upstream_mmseg_on_mmcv_lite(env):
    lean(env)
    if ONEDL:
        env.forget("onedl-mmsegmentation")
    # upstream's check of versions, in its words
    lines = "import mmcv\nassert mmcv.__version__ < '2.2.0', f'MMCV=={mmcv.__version__} is used but incompatible.'\n"
    env.module("mmseg", lines)
    env.distribution("mmsegmentation", "1.2.2")
    env.config("my.py", MODEL_ALONE + 'model = dict(type="mmseg.EncoderDecoder")\n')


@case("error", "needs-package", "holds DICOM, and pydicom is not installed", "pydicom>=3.0", *IMPORTS, "my.py")
def dicom_without_pydicom(env):
    lean(env)
    env.hide("pydicom")
    env.forget("pydicom")
    (env.cwd / "films").mkdir()
    (env.cwd / "films" / "a.dcm").write_bytes(b"\0" * 128 + b"DICM")
    dataset = 'dict(type="otcxr_mm.UnlabeledCXR", data_root="films")'
    env.config("my.py", MODEL_ALONE + f"train_dataloader = dict(dataset={dataset})\n")


@case(
    "error",
    "needs-package",
    "<path> needs timm, .*model.backbone is of type TIMMBackbone",
    "pip install timm",
    *IMPORTS,
    "my.py",
)
def timm_backbone_without_timm(env):
    lean(env)
    env.hide("timm")
    env.forget("timm")
    env.config("my.py", base("otcxr_r18_cpu.py") + "model = dict(backbone=dict(_delete_=True, type='TIMMBackbone'))\n")


@case(
    "error",
    "unknown-type",
    r"custom_hooks.0: type='otcxr_mm.LeekAuditHook' is unknown",
    "LeakAuditHook",
    *IMPORTS,
    "my.py",
)
def misspelt_names_missing_data_and_checkpoint(env):
    hooks = '[dict(type="otcxr_mm.LeekAuditHook"), dict(type="CVSIM")]'
    loader = "train_dataloader = dict(dataset=dict(type='otcxr_mm.UnlabeledCXR', data_root='nowhere'))\n"
    env.config("my.py", MODEL_ALONE + f"custom_hooks = {hooks}\nload_from = 'gone.pth'\n{loader}")


@case("error", "config-unreadable", "SyntaxError: .*<path>, line 2", "correct the line named", *IMPORTS, "my.py")
def config_with_a_syntax_error(env):
    lean(env)
    env.config("my.py", "a = 1\nb = = 2\n")


@case(
    "error", "config-unreadable", "reading <path> ended the process with exit status 3$", "os._exit", *IMPORTS, "my.py"
)
def config_that_ends_the_process(env):
    lean(env)
    env.config("my.py", "print('a line of the log', flush=True)\n__import__('os')._exit(3)\n")


@case("error", "model-fails", "building the model .* SIGSEGV, at .*, line 7, in", "line named", *IMPORTS, "my.py")
def model_that_crashes(env):
    (env.cwd / "crashing.py").write_text(
        "import faulthandler\nfrom mmpretrain.registry import MODELS\n\n\n@MODELS.register_module()\n"
        "def Crashing(**kwargs):\n    faulthandler._sigsegv()\n"
    )
    imports = "custom_imports = dict(imports=['crashing'], allow_failed_imports=False)\n"
    env.config("my.py", MODEL_ALONE + imports + "model = dict(type='Crashing')\n")


@case("error", "config-missing", "<path>: no such config", "did you mean otcxr_r50_.*otcxr list-cfg")
def no_such_config(env):
    return ("--quick", "otcxr_r50.py")


# --- machine


@case(
    "error",
    "work-dir",
    "<path> cannot be written to",
    "--work-dir DIR",
    "--quick",
    "--work-dir",
    "/proc/otcxr_runs/a",
)
def work_dir_on_a_file_system_that_refuses(env):
    pass


@case("error", "work-dir", "<path> is a file", "--work-dir DIR", "--quick", "--work-dir", "runs/first")
def work_dir_below_a_file(env):
    (env.cwd / "runs").write_text("")


@case("warning", "tmpdir", "TMPDIR=<path> cannot", "set TMPDIR")
def tmpdir_that_is_not_there(env):
    env.env["TMPDIR"] = "/nowhere"


@case("error", "nvidia-smi-fails", "couldn't communicate with the NVIDIA driver", "restart the machine")
def driver_not_loaded(env):
    env.program(
        "nvidia-smi", 'echo "NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver."; exit 9'
    )


def gpu(env, driver):
    env.program("nvidia-smi", f"echo '0, NVIDIA A100-SXM4-40GB, 40000, 40960, {driver}, 8.0'")


@case("error", "driver-old", "driver 470.57.02 is too old for torch's CUDA 1", "driver updated", *IMPORTS)
def driver_too_old(env):
    lean(env, "torchvision", "mmengine", "cv2")
    gpu(env, "470.57.02")


@case("warning", "gpu-busy", "at most 512.0 MiB", "nvidia-smi shows who")
def gpu_taken_by_others(env):
    env.program("nvidia-smi", "echo '0, NVIDIA A100-SXM4-40GB, 512, 40960, 999.0, 8.0'")


@case("warning", "torchrun-elsewhere", "torchrun on PATH is <path>, of another Python", "torch.distributed.run")
def torchrun_of_another_environment(env):
    (env.home / "other").mkdir()
    env.program("torchrun", "true")
    (env.bin / "torchrun").rename(env.home / "other" / "torchrun")
    env.env["PATH"] = f"{env.home / 'other'}:{env.env['PATH']}"


# --- Python


OLD_PYTHON = next(iter(sorted(Path.home().glob(".pyenv/versions/3.[89].*/bin/python"))), None)


@case(
    "error", "python-version", r"Python 3\.[89]\.\d+ .* is too old", "python3.11 -m venv", only=OLD_PYTHON is not None
)
def python_too_old(env):
    env.env["PYTHONPATH"] = str(ROOT)
    return ("old-python",)


def healthy(env):
    env.config("my.py", base("otcxr_r18_cpu.py"))
    for name in ("kermany", "nih"):
        (env.cwd / "data" / name / "images").mkdir(parents=True)
        (env.cwd / "data" / name / {"kermany": "labels.csv", "nih": "patient_split.csv"}[name]).write_text("")
    return ("--timeout", "120", "my.py")


@pytest.fixture(scope="module")
def report(tmp_path_factory, request):
    """What the doctor says in the environment of a name.

    Two processes at a time look at all that the session asks for; a worker of parallel tests, which does not know what
    the others take, looks at each when it is asked.
    """

    def look(name: str) -> dict:
        env = Environment(tmp_path_factory.mktemp(name))
        args = healthy(env) if name == "healthy" else CASES[name].break_it(env) or CASES[name].args
        if args == ("old-python",):
            return env.doctor(python=str(OLD_PYTHON))
        return env.doctor(*args)

    with ThreadPoolExecutor(2) as pool:
        jobs = {}
        if "PYTEST_XDIST_WORKER" not in os.environ:
            names = (item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec"))
            jobs = {name: pool.submit(look, name) for name in dict.fromkeys(names) if name in CASES}

        def of(name: str) -> dict:
            if name not in jobs:
                jobs[name] = pool.submit(look, name)
            return jobs[name].result()

        yield of
        pool.shutdown(cancel_futures=True)


# what the same break is, too
ALSO = {
    "torch_too_old": {"torchvision-pair", "torchvision-build", "numpy-torch"},
    "numpy_2_with_an_old_torch": {"torchvision-pair", "torchvision-build"},
    "torchvision_of_another_release": {"changed-files"},
    "torch_for_the_cpu_beside_torchvision_for_cuda": {"changed-files"},
    "torch_of_two_releases": {"torchvision-pair", "torchvision-build"},
    "both_lines_of_mmengine": {"pkg-resources"},
    "mmengine_too_old": {"changed-files"},
    "mixed_lines": {"too-old"},
    "metadata_of_two_versions": {"too-old"},
    "no_pkg_resources": {"both-lines"},
}


@pytest.mark.parametrize("name", CASES)
def test_the_culprit_is_named_with_a_way_out(report, name):
    expected, given = CASES[name], report(name)
    matching = [f for f in given["findings"] if (f["level"], f["code"]) == (expected.level, expected.code)]
    assert matching, given["findings"]
    assert any(re.search(expected.message, f["message"], re.DOTALL) for f in matching), matching
    assert any(re.search(expected.advice, f["advice"]) for f in matching), matching
    assert given["status"] == int(given["errors"] > 0)
    if expected.level == "error":
        assert given["status"] == 1
    if expected.args[0] == "--quick":
        # a doctor that finds everything everywhere would have passed so far
        problems = {f["code"] for f in given["findings"] if f["level"] in ("warning", "error")}
        assert problems - ALSO.get(name, set()) - set(MACHINE) <= {expected.code}


def test_a_healthy_environment_has_no_problem(report):
    given = report("healthy")
    assert not [f for f in given["findings"] if f["level"] in ("warning", "error") and f["code"] not in MACHINE]
    lines = {f["code"]: f["message"] for f in given["findings"] if f["level"] == "ok"}
    assert re.match(r"\d+ names of otcxr_mm and MMPretrain resolve", lines["registry"])
    assert int(lines["registry"].split()[0]) > 60
    assert re.match(r"all \d\d names of the config resolve", lines["types"])
    assert lines["model"].startswith("3.4 million weights")
    # 3.36 million weights in float32 with AdamW's two states, three kept and one being written
    assert "checkpoints: 4 of 39.4 MiB" in lines["work-dir"]
    assert lines["mmengine"].endswith(f"({OURS}mmengine)" if ONEDL else "0.10.7")


def test_one_report_names_all_problems(report):
    found = report("misspelt_names_missing_data_and_checkpoint")["findings"]
    assert {f["code"] for f in found if f["level"] in ("warning", "error")} - set(MACHINE) == {
        "unknown-type",
        "data-missing",
        "checkpoint-missing",
    }
    assert any("type='CVSIM' is unknown" in f["message"] and "otcxr_mm.CVSIM" in f["advice"] for f in found)


def test_what_a_crash_hides_is_looked_at_too(report):
    found = report("torch_that_crashes")["findings"]
    note = next(f for f in found if f["code"] == "imports" and f["level"] == "note")
    assert "not looked at" in note["message"] and "mmengine" in note["message"]
    assert sum(f["level"] == "error" for f in found) == 1, found


def test_no_folder_of_the_user_is_in_the_json(report):
    given = report("a_clone_on_pythonpath")
    assert "from <path>" in str(given) and "home/clone" not in str(given)
    assert "/cwd" not in str(report("misspelt_names_missing_data_and_checkpoint"))


def test_there_are_enough_environments():
    assert len(CASES) >= 20 and sys.version_info >= (3, 10)
