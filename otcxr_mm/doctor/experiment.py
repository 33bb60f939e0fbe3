"""Findings about a config: what it names, what that needs, and how much a run takes."""

from __future__ import annotations

import os
import re

from . import files
from .child import Probe
from .finding import error, note, ok, size_text, warning
from .imports import told
from .installed import line_of, origin
from .supported import DICOM_SETS, NEEDS, how_to_install

# state that an optimiser keeps, in numbers a weight
_STATES = {"SGD": 0, "LARS": 1, "Lion": 1, "RMSprop": 1, "Adagrad": 1}
_BY_EPOCH = ("EpochBasedTrainLoop", "ResumableTrainLoop")
_LOOKED_AT = 400  # entries of a folder


def examine_config(config: str, probe: Probe, packages: dict) -> list:
    """All findings of this file.

    Args:
        config: Path of the config.
        probe: What the child process gave.
        packages: What is installed.
    """
    result = probe.steps.get("config", {})
    if "died" in result:
        return [_ended("config-unreadable", f"reading {config}", result)]
    if result.get("ok") is False:
        return [_unreadable(config, result["error"], packages)]
    read = probe.good("config")
    if read is None:
        return [note("config", f"{config} was not looked at, because of the errors above")]
    findings = [ok("config", f"{config}, scope {read['scope']}")]
    if "died" in probe.steps.get("types", {}):
        findings.append(_ended("config-unreadable", f"looking up the names of {config}", probe.steps["types"]))
    unknown, needed = _types(config, read, probe, packages)
    findings += unknown
    findings += data(read["data"], packages, probe.good("tables"))
    findings += checkpoints(read["checkpoints"])
    model = probe.steps.get("model", {})
    if model.get("ok"):
        count = model["parameters"] / 1e6
        findings.append(ok("model", f"{count:.1f} million weights; otcxr train --estimate {config} measures a run"))
    elif "died" in model:
        findings.append(_ended("model-fails", "building the model", model))
    elif model.get("error") and not needed:
        findings.append(_model_fails(model["error"], packages))
    return findings


def _ended(code: str, what: str, result: dict) -> object:
    """The finding for a step with the config that ended the process, or did not end."""
    where = f", at {result['frame']}" if result["frame"] else ""
    if result.get("hung"):
        return error(
            code,
            f"{what} had not ended after {result['timeout']:.0f} s{where}",
            "look at the line named, or for a loop, a download or a question in the config and in what it imports",
        )
    if not result["died"].startswith("SIG"):
        way = "take os._exit, exec and the like out of the config and of the modules that it imports"
    elif result["died"] == "SIGKILL":
        way = "most likely memory did not suffice: see memory-low, or a smaller model"
    else:
        way = "the line named is the last one that Python ran: look at the compiled module that it calls"
    return error(code, f"{what} ended the process with {result['died']}{where}", way)


def missing_config(config: str, near: str = "") -> object:
    """The finding for a path that is no file.

    Args:
        config: What was asked for.
        near: A config of the package with a name like it.
    """
    return error(
        "config-missing",
        f"{config}: no such config (looked from {os.getcwd()})",
        (f"did you mean {near}? " if near else "")
        + "otcxr list-cfg names those of the package; a path is relative to the current folder",
    )


def needed_modules(probe: Probe) -> set:
    """Optional modules that the config cannot do without."""
    read = probe.good("config")
    if read is None:
        return set()
    modules = {NEEDS[name.split(".")[-1]] for _, name, _ in read["names"] if name.split(".")[-1] in NEEDS}
    if read["scope"] == "mmseg" or any(name.startswith("mmseg.") for _, name, _ in read["names"]):
        modules.add("mmseg")
    return modules


def _unreadable(config: str, problem: dict, packages: dict) -> object:
    missing = (problem.get("missing") or "").split(".")[0]
    text = problem["message"]
    if missing == "pkg_resources":
        way = 'pip install "setuptools<82": upstream MMEngine needs it for bases of another package'
    elif missing:
        way = how_to_install(missing, line_of(packages))
    elif "os.environ" in text or "environment" in text:
        name = re.search(r"`(\w+)`", text)
        way = f"export {name.group(1) if name else 'NAME'}=FOLDER; the head of the config says what it is"
    elif problem["type"] in ("FileNotFoundError", "ConfigParsingError"):
        way = "a base is relative to the config that names it: correct `_base_`, or copy the configs with their _base_"
    elif problem["type"] in ("SyntaxError", "IndentationError"):
        way = "correct the line named"
    else:
        way = "correct the config; it is Python, and its bases are read first"
    return error("config-unreadable", f"{config} cannot be read: {told(problem)}", way)


def _types(config: str, read: dict, probe: Probe, packages: dict) -> tuple:
    """Findings about names, and the modules that are missing."""
    findings, line = [], line_of(packages)
    lacking = {module for module in needed_modules(probe) if not origin(module)}
    step = probe.steps.get("mmseg", {})
    users = {}
    for place, name, _ in read["names"]:
        module = NEEDS.get(name.split(".")[-1])
        if module is None and (name.startswith("mmseg.") or read["scope"] == "mmseg"):
            module = "mmseg"
        users.setdefault(module, []).append((place, name))
    for module in sorted(lacking):
        place, name = users.get(module, [("default_scope", read["scope"])])[0]
        findings.append(
            error(
                "needs-package",
                f"{config} needs {module}, which is not installed: {place} is of type {name}"
                if name != read["scope"]
                else f"{config} needs {module}, which is not installed",
                how_to_install(module, line),
            )
        )
    result = probe.good("types")
    if result is None:
        return findings, lacking
    broken = lacking | ({"mmseg"} if step.get("ok") is False else set())
    groups = {}
    for failure in result["failures"]:
        if "mmseg" in broken and (failure["name"].startswith("mmseg.") or read["scope"] == "mmseg"):
            continue  # said with mmseg
        groups.setdefault(failure["name"], []).append(failure)
    for name, failures in groups.items():
        found = failures[0]
        problem = found["error"]
        reason = "" if problem["message"].startswith(("Failed to get", f"{name} is in")) else f": {told(problem)}"
        scope = found["scope"] or read["scope"]
        findings.append(
            error(
                "unknown-type",
                f"{found['place']}: type={name!r} is unknown"
                + ("" if "." in name else f" in the scope {scope}")
                + reason,
                _way_to(name, problem, packages),
            )
        )
    if not result["failures"]:
        findings.append(ok("types", f"all {result['count']} names of the config resolve"))
    return findings, broken


def _way_to(name: str, problem: dict, packages: dict) -> str:
    scope, _, bare = name.rpartition(".")
    missing = (problem.get("missing") or "").split(".")[0]
    if missing:
        return how_to_install(missing, line_of(packages))
    if scope == "otcxr_mm":
        from difflib import get_close_matches

        import otcxr_mm

        near = get_close_matches(bare, otcxr_mm.__all__, n=1)
        return f"did you mean otcxr_mm.{near[0]}?" if near else "a newer otcxr_mm, or another name: see its __all__"
    import otcxr_mm

    if not scope and bare in otcxr_mm.__all__:
        return f"write otcxr_mm.{bare}: the names of this package have its prefix"
    if scope and not origin(scope):
        return f"install {scope}, or name the module in custom_imports"
    return "correct the name, or name the module that registers it: custom_imports = dict(imports=['my_module'])"


def _model_fails(problem: dict, packages: dict) -> object:
    missing = (problem.get("missing") or "").split(".")[0]
    if not missing:
        named = re.search(r"(?:install|pip install)\s+`?([A-Za-z][\w-]+)", problem["message"])
        missing = named.group(1) if named and "Import" in problem["type"] else ""
    if missing:
        return error(
            "needs-package",
            f"the model needs {missing}, which is not installed: {told(problem)}",
            how_to_install(missing, line_of(packages)),
        )
    return error("model-fails", f"the model cannot be built: {told(problem)}", "correct `model` in the config")


def data(entries: list, packages: dict, tables: dict | None = None) -> list:
    """Whether folders and tables of the data sets are there, and what reads their images.

    Args:
        entries: What the config names: a dict for each data set.
        packages: What is installed.
        tables: What reading the tables gave; None if they were not read.
    """
    findings, seen, dicom = [], set(), ""
    for entry in entries:
        root = os.path.expanduser(str(entry.get("data_root") or ""))
        kind = entry["type"].split(".")[-1]
        key = tuple(sorted((k, str(v)) for k, v in entry.items() if k != "place"))
        if key in seen:
            continue
        seen.add(key)
        if root and not os.path.isdir(root):
            if kind == "SyntheticCXR":
                findings.append(note("data", f"{entry['place']}: {root!r} is made at first use"))
                continue
            findings.append(
                error(
                    "data-missing",
                    f"{entry['place']}: data_root {root!r} is no folder (looked at {os.path.abspath(root)})",
                    "set the environment variable that the head of the config names, or "
                    f"--cfg-options {entry['place']}.data_root=FOLDER",
                )
            )
            dicom = dicom or (kind if kind in DICOM_SETS else "")
            continue
        for name, path in _inside(entry, root):
            if not os.path.exists(path):
                findings.append(
                    error(
                        "data-missing",
                        f"{entry['place']}: {name} {path!r} is not there",
                        f"correct {name} in the config; it is relative to data_root",
                    )
                )
        if not entry.get("packed"):
            dicom = dicom or (_holds_dicom(entry, root) and (root or "the data"))
    named = "\n".join(f.message for f in findings)
    for place, message in (tables or {"missing": {}})["missing"].items():
        if f"{place}: " not in named:
            findings.append(error("data-missing", f"{place}: {message}", "complete the folder of the data set"))
    if dicom and not origin("pydicom"):
        findings.append(
            error(
                "needs-package",
                f"{dicom} is published as DICOM, and pydicom is not installed"
                if dicom in DICOM_SETS
                else f"{dicom} holds DICOM, and pydicom is not installed",
                how_to_install("pydicom"),
            )
        )
    elif dicom and not origin("gdcm"):
        findings.append(note("data", f"{dicom}: DICOM; compressed files need gdcm", how_to_install("gdcm")))
    if findings or not entries:
        return findings
    if tables is None:
        return [note("data", "folders and files that the config names are there; tables were not read")]
    return [ok("data", "folders and tables of the data sets are there")]


def _inside(entry: dict, root: str) -> object:
    """Names and full paths of what the entry names besides its root."""
    for name in ("ann_file", "split_file", "img_prefix", "mask_prefix", "data_prefix", "packed", "header_file"):
        values = entry.get(name) or ()
        for value in values.values() if isinstance(values, dict) else [values]:
            if isinstance(value, str) and value:
                path = os.path.expanduser(value)
                # a folder of packed images stands by itself
                yield name, path if name == "packed" else os.path.join(root, path)


def _holds_dicom(entry: dict, root: str) -> bool:
    """Whether the first files of a data set, or the first lines of its table, are DICOM by name."""
    suffixes = (".dcm", ".dicom")
    for name, path in _inside(entry, root):
        if name == "ann_file" and os.path.isfile(path):
            with open(path, "rb") as stream:
                if any(suffix.encode() in stream.read(65536).lower() for suffix in suffixes):
                    return True
    prefixes = [path for name, path in _inside(entry, root) if name.endswith("prefix")] or [root]
    for prefix in prefixes:
        looked, folders = 0, [prefix]
        while folders and looked < _LOOKED_AT:
            try:
                with os.scandir(folders.pop(0)) as entries:
                    for item in entries:
                        looked += 1
                        if item.name.lower().endswith(suffixes):
                            return True
                        if looked >= _LOOKED_AT:
                            break
                        if item.is_dir():
                            folders.append(item.path)
            except OSError:
                continue
    return False


def checkpoints(entries: list) -> list:
    """Whether the checkpoints that the config starts from are there."""
    return [
        warning(
            "checkpoint-missing",
            f"{place}: {path!r} is not there",
            f"train it first, or name another: --cfg-options {place}=FILE (None: start from random weights)",
        )
        for place, path in entries
        if "://" not in path and not os.path.isfile(os.path.expanduser(path))
    ]


def bytes_to_train(probe: Probe) -> int:
    """What weights, gradients and the optimiser's state take, at least; 0 if not known."""
    read, model = probe.good("config"), probe.good("model")
    if not read or not model or not model["parameters"]:
        return 0
    return model["bytes"] + model["trained_bytes"] * (1 + _states(read))


def bytes_of_checkpoints(probe: Probe) -> tuple:
    """What the files of a run take at most, counted as the estimate counts them: (bytes, how it was counted).

    Where that depends on the number of images, or the loop is not one that is known: 0, and what one checkpoint takes.
    """
    read, model = probe.good("config"), probe.good("model")
    if not read or not model or not model["parameters"]:
        return 0, ""
    one = model["bytes"] + model["trained_bytes"] * _states(read) * read["hook"].get("save_optimizer", True)
    epochs, iterations = _length(read)
    hook, by_epoch = read["hook"], read["loop"] in _BY_EPOCH
    units = files.units_of(hook, epochs, iterations)
    length = epochs if by_epoch else iterations
    train = read["train"]
    if read["loop"] not in (*_BY_EPOCH, "IterBasedTrainLoop") or units is None or length is None:
        return 0, f"a checkpoint takes {size_text(one)}; otcxr train --estimate tells what all of them take"
    interval = train.get("val_interval", 1 if by_epoch else 1000)
    validated = files.validations(length, train.get("val_begin", 1), interval) if read["validated"] else 0
    backbone = model["backbone_bytes"] if read["exports"] else 0
    found, count = files.bytes_of_files(hook, units, validated, one, model["bytes"], backbone)
    others = [f"{name} {size_text(size)}" for name, size in found.items() if name != "checkpoints"]
    return sum(found.values()), ", ".join([f"checkpoints: {count} of {size_text(one)}", *others])


def _length(read: dict) -> tuple:
    """Epochs and iterations of a training, as far as its config alone tells."""
    epochs, iterations = (read["train"].get(name) for name in ("max_epochs", "max_iters"))
    return (None, iterations) if iterations is not None else (epochs, None)


def _states(read: dict) -> int:
    kept = _STATES.get(read["optimizer"], 2)
    return max(kept, 1) if read["optimizer"] == "SGD" and read["momentum"] else kept
