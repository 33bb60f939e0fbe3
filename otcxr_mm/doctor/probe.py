"""The child process of the doctor: imports the packages, looks for the GPU, and reads a config with its data.

It writes a line of JSON for each step and what was found; a step that ends the process is the last one written.
"""

import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module, metadata, util

# in the order in which they need one another; compiled operators only where there are some
MODULES = ["numpy", "cv2", "torch", "torchvision", "mmengine.runner", "mmcv.transforms", "mmcv.ops"]
MODULES += ["mmpretrain.models", "otcxr_mm.models", "otcxr_mm.datasets", "otcxr_mm.engine", "otcxr_mm.evaluation"]
TOGETHER = "install both in one command, from one index: pip install --force-reinstall torch torchvision"
MMCV = "pip uninstall -y mmcv mmcv-full mmcv-lite; pip install --no-deps mmcv-lite==2.2.0, which has no operators"
# part of "module: exception", the name of the finding, the remedy
REMEDIES = (
    ("mmcv.ops: ", "mmcv-broken", MMCV),
    ("MMCV==", "mmcv-broken", MMCV),
    ("torchvision::", "torchvision-pair", TOGETHER),
    ("pkg_resources", "setuptools", 'pip install "setuptools>=77,<82"'),
    ("distutils", "setuptools", 'pip install "setuptools>=77,<82"'),
    ("libGL", "import-failed", "pip uninstall -y opencv-python; pip install --force-reinstall opencv-python-headless"),
)


class _Out:
    """Writes what is done and what is found, a line of JSON each."""

    def __init__(self) -> None:
        self.stream = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)  # what packages print goes elsewhere

    def step(self, text: str) -> None:
        self.stream.write(json.dumps({"step": text}) + "\n")

    def facts(self, facts: dict[str, str]) -> None:
        self.stream.write(json.dumps({"facts": facts}) + "\n")

    def find(self, name: str, problem: str, remedy: str) -> None:
        self.stream.write(json.dumps({"finding": (name, problem, remedy)}) + "\n")


def main(config: str) -> None:
    """Imports everything, up to an import that fails, and looks at a config; '' for none."""
    out = _Out()
    if all(_import(module, out) for module in MODULES):
        _gpu(out)
        if config:
            _config(config, out)
    out.step("end")
    os._exit(0)  # what was imported may hang or crash at exit


def _import(module: str, out: _Out) -> bool:
    if module == "mmcv.ops" and util.find_spec("mmcv._ext") is None:
        return True  # mmcv-lite
    out.step(f"importing {module}")
    try:
        import_module(module)
    except BaseException as error:  # packages call sys.exit, too
        problem, package = f"{module}: {_told(error)}", module.split(".")[0]
        missing = (getattr(error, "name", None) or package).split(".")[0]
        name = metadata.packages_distributions().get(package, [package])[0]
        command = f"pip install {missing}" if missing != package else f"pip install --force-reinstall --no-deps {name}"
        known = next((remedy for remedy in REMEDIES if remedy[0] in problem), ("", "import-failed", command))
        out.find(known[1], f"importing {problem}", known[2])
        return False
    return True


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"


def _gpu(out: _Out) -> None:
    """Whether torch uses the GPU that the machine has."""
    import torch
    from mmengine.utils.dl_utils import collect_env

    out.step("looking for a GPU")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    out.facts({name: str(fact) for name, fact in collect_env().items() if name.startswith(("CUDA available", "GPU"))})
    program, visible = shutil.which("nvidia-smi"), os.environ.get("CUDA_VISIBLE_DEVICES")
    if available or program is None:
        return
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=60, check=False)
    if listed.returncode:
        problem = f"nvidia-smi fails: {listed.stdout.strip()} {listed.stderr.strip()}"
        remedy = "restart the machine if the driver was updated; in a container: docker run --gpus all"
    elif torch.version.cuda is None:
        problem, remedy = f"torch {torch.__version__} is built for the CPU", "install torch and torchvision for CUDA"
    elif visible is not None:
        problem, remedy = f"CUDA_VISIBLE_DEVICES={visible} hides the GPUs", "unset CUDA_VISIBLE_DEVICES"
    else:
        problem = " ".join(["torch cannot use the GPUs:", *(str(warning.message) for warning in said)])
        remedy = f"update the driver, or install torch and torchvision for a CUDA older than {torch.version.cuda}"
    out.find("gpu-unused", f"{problem}; training would run on the CPU", remedy)


def _config(path: str, out: _Out) -> None:
    """Whether a config can be read, and all that it names exists."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import otcxr_mm.utils.patches  # noqa: F401  knows bases that are named otcxr_mm::X.py

    out.step(f"reading {path}")
    try:
        cfg = Config.fromfile(path)
    except Exception as error:
        remedy = "correct the line or the base named; a base is relative to the config that names it"
        out.find("config-unreadable", f"{path} cannot be read: {_told(error)}", remedy)
        return
    name = os.path.splitext(os.path.basename(path))[0]
    out.facts({"work_dir": cfg.get("work_dir") or os.path.join("work_dirs", name)})
    init_default_scope(cfg.get("default_scope") or "mmengine")
    dicts = list(_dicts(dict(cfg.items()), "", cfg.get("default_scope") or "mmengine"))
    for found, place, _ in [({"checkpoint": cfg.get("load_from")}, "load_from", ""), *dicts]:
        file = found.get("checkpoint")
        if isinstance(file, str) and "://" not in file and not os.path.isfile(os.path.expanduser(file)):
            out.find("checkpoint-missing", f"{place}: {file} does not exist", "train it first, or name another file")
    out.step(f"looking up the types in {path}")
    unknown = [place for found, place, scope in dicts if not _resolves(found.get("type"), place, scope, out)]
    reported = set()
    for key in () if unknown else ("train_dataloader", "val_dataloader", "test_dataloader"):
        out.step(f"reading the data of {key}")
        found = _data((cfg.get(key) or {}).get("dataset"))
        if found is not None and found not in reported:
            out.find(found[0], f"{key}: {found[1]}", found[2])
            reported.add(found)


def _dicts(value: object, place: str, scope: str) -> Iterator[tuple[dict, str, str]]:
    """Every dict in a config, its key, and the scope that holds there."""
    if isinstance(value, dict):
        scope = value.get("_scope_") or scope
        yield value, place, scope
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, child in pairs:
        yield from _dicts(child, f"{place}.{key}" if place else str(key), scope)


def _resolves(kind: object, place: str, scope: str, out: _Out) -> bool:
    """Whether a `type=` is registered; if not, says which name is meant."""
    import mmengine.registry as roots

    import otcxr_mm

    if not isinstance(kind, str):
        return True
    names: dict[str, str] = {name: f"otcxr_mm.{name}" for name in otcxr_mm.__all__}
    for root in vars(roots).values():
        if isinstance(root, roots.Registry):
            with root.switch_scope_and_registry(scope) as registry:
                if registry.get(kind) is not None:
                    return True
                names = {**dict.fromkeys(registry.module_dict), **names}
    prefix, _, bare = kind.rpartition(".")
    needed = prefix or scope
    if util.find_spec(needed.split(".")[0]) is None:
        package = "onedl-mmsegmentation" if needed == "mmseg" else needed
        out.find("missing-package", f"{place}: type={kind!r} needs {needed}, not installed", f"pip install {package}")
    else:
        near = [names[name] or name for name in get_close_matches(bare, names, n=1)]
        remedy = f"did you mean {near[0]}?" if near else "name the module that registers it in custom_imports"
        out.find("unknown-type", f"{place}: type={kind!r} is not registered (scope {scope})", remedy)
    return False


def _data(dataset: dict | None) -> tuple[str, str, str] | None:
    """What is wrong with the tables and the first image of a data set, read as training reads them."""
    from mmengine.registry import DATASETS

    if dataset is None or "SyntheticCXR" in str(dataset):  # its images are drawn at first use
        return None
    try:
        built = DATASETS.build(dataset)
        getattr(built, "full_init", lambda: None)()
        built[0]
    except ImportError as error:
        return "missing-package", _told(error), "install the package named"
    except OSError as error:
        remedy = "set the environment variable that the head of the config names, or correct the path in the config"
        return "data-missing", _told(error), remedy
    except Exception as error:
        return "data-invalid", _told(error), "correct the file or the setting named"
    return None
