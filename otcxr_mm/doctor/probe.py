"""The child process of the doctor: imports the packages, looks for the GPU, and reads a config with its data.

It writes a line of JSON for each step and each finding; a step that ends the process is the last one written.
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
    ("pkg_resources", "import-failed", 'pip install "setuptools>=77,<82"'),
    ("distutils", "import-failed", 'pip install "setuptools>=77,<82"'),
    ("libGL", "import-failed", "pip uninstall -y opencv-python; pip install --force-reinstall opencv-python-headless"),
)


def main(config: str) -> None:
    """Imports everything, up to an import that fails, and looks at a config; '' for none."""
    stream = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what packages print goes elsewhere
    for said in _examine(config):
        stream.write(json.dumps(said) + "\n")
    os._exit(0)  # what was imported may hang or crash at exit


def _examine(config: str) -> Iterator[dict]:
    """Says `step` before each step, and then the `facts` or the `finding`."""
    for module in MODULES:
        if module == "mmcv.ops" and util.find_spec("mmcv._ext") is None:
            continue  # mmcv-lite
        yield {"step": f"importing {module}"}
        try:
            import_module(module)
        except BaseException as error:  # packages call sys.exit, too
            yield _cannot_import(module, error)
            break
    else:
        yield from examine_gpu()
        yield from examine_config(config) if config else ()
    yield {"step": "end"}


def _cannot_import(module: str, error: BaseException) -> dict:
    problem, package = f"{module}: {_told(error)}", module.split(".")[0]
    missing = (getattr(error, "name", None) or package).split(".")[0]
    name = metadata.packages_distributions().get(package, [package])[0]
    command = f"pip install {missing}" if missing != package else f"pip install --force-reinstall --no-deps {name}"
    known = next((remedy for remedy in REMEDIES if remedy[0] in problem), ("", "import-failed", command))
    return _found(known[1], f"importing {problem}", known[2])


def _found(name: str, problem: str, remedy: str) -> dict:
    return {"finding": (name, problem, remedy)}


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"


def examine_gpu() -> Iterator[dict]:
    """Whether torch uses the GPU that the machine has."""
    import torch
    from mmengine.utils.dl_utils import collect_env

    yield {"step": "looking for a GPU"}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    yield {
        "facts": {name: str(fact) for name, fact in collect_env().items() if name.startswith(("CUDA available", "GPU"))}
    }
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
    yield _found("gpu-unused", f"{problem}; training would run on the CPU", remedy)


def examine_config(path: str) -> Iterator[dict]:
    """Whether a config can be read, and all that it names exists."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    import otcxr_mm.utils.patches  # noqa: F401  knows bases that are named otcxr_mm::X.py
    from otcxr_mm.utils.configs import find_config

    yield {"step": f"reading {path}"}
    try:
        cfg = Config.fromfile(path if os.path.isfile(path) else str(find_config(path)))
    except Exception as error:
        remedy = "correct the line or the base named; a base is relative to the config that names it"
        yield _found("config-unreadable", f"{path} cannot be read: {_told(error)}", remedy)
        return
    yield {"facts": {"work_dir": cfg.get("work_dir") or "work_dirs"}}
    init_default_scope(cfg.get("default_scope") or "mmengine")
    dicts = list(_dicts(dict(cfg.items()), "", cfg.get("default_scope") or "mmengine"))
    for found, place, _ in [({"checkpoint": cfg.get("load_from")}, "load_from", ""), *dicts]:
        file = found.get("checkpoint")
        if isinstance(file, str) and "://" not in file and not os.path.isfile(os.path.expanduser(file)):
            yield _found(
                "checkpoint-missing", f"{place}: {file} does not exist", "train it first, or name another file"
            )
    yield {"step": f"looking up the types in {path}"}
    unknown = [found for part, place, scope in dicts if (found := _unknown(part.get("type"), place, scope))]
    yield from unknown
    for key in () if unknown else ("train_dataloader", "val_dataloader", "test_dataloader"):
        yield {"step": f"reading the data of {key}"}
        if found := _data(key, (cfg.get(key) or {}).get("dataset")):
            yield found
            break  # the others have the same problem, as a rule


def _dicts(value: object, place: str, scope: str) -> Iterator[tuple[dict, str, str]]:
    """Every dict in a config, its key, and the scope that holds there."""
    if isinstance(value, dict):
        scope = value.get("_scope_") or scope
        yield value, place, scope
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, child in pairs:
        yield from _dicts(child, f"{place}.{key}" if place else str(key), scope)


def _unknown(kind: object, place: str, scope: str) -> dict | None:
    """The finding for a `type=` that is not registered; suggests which name is meant."""
    import mmengine.registry as roots

    import otcxr_mm

    if not isinstance(kind, str):
        return None
    names: dict[str, str] = {name: f"otcxr_mm.{name}" for name in dir(otcxr_mm)}
    for root in vars(roots).values():
        if isinstance(root, roots.Registry):
            with root.switch_scope_and_registry(scope) as registry:
                if registry.get(kind) is not None:
                    return None
                names = {**dict.fromkeys(registry.module_dict), **names}
    prefix, _, bare = kind.rpartition(".")
    needed = prefix or scope
    if util.find_spec(needed.split(".")[0]) is None:
        package = "onedl-mmsegmentation" if needed == "mmseg" else needed
        return _found(
            "missing-package", f"{place}: type={kind!r} needs {needed}, not installed", f"pip install {package}"
        )
    near = [names[name] or name for name in get_close_matches(bare, names, n=1)]
    remedy = f"did you mean {near[0]}?" if near else "name the module that registers it in custom_imports"
    return _found("unknown-type", f"{place}: type={kind!r} is not registered (scope {scope})", remedy)


def _data(key: str, dataset: dict | None) -> dict | None:
    """What is wrong with the tables and the first image of a data set, read as training reads them."""
    from mmengine.registry import DATASETS

    if dataset is None or "SyntheticCXR" in str(dataset):  # its images are drawn at first use
        return None
    try:
        built = DATASETS.build(dataset)
        getattr(built, "full_init", lambda: None)()
        built[0]
    except ImportError as error:
        return _found("missing-package", f"{key}: {_told(error)}", "install the package named")
    except OSError as error:
        remedy = "set the environment variable that the head of the config names, or correct the path in the config"
        return _found("data-missing", f"{key}: {_told(error)}", remedy)
    except Exception as error:
        return _found("data-invalid", f"{key}: {_told(error)}", "correct the file or the setting named")
    return None
