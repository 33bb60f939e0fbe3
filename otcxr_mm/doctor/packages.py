"""Findings about what is installed, from metadata and files alone."""

from __future__ import annotations

import os
import re
import sys

from .finding import error, note, ok, warning
from .installed import Distribution, constant, first, line_of, origin
from .supported import (
    DISTRIBUTIONS,
    NO_PKG_RESOURCES,
    NUMPY_2_TORCH,
    OLDEST,
    OLDEST_OTHER,
    OPTIONAL,
    REQUIRED,
    SETUPTOOLS_FOR_3_12,
    UPSTREAM_MMSEG_BELOW_MMCV,
    how_to_install,
    is_older,
    release,
    torch_of,
    torchvision_of,
)

# the same files by the OneDL line and by upstream
LINES = (
    ("mmengine", "onedl-mmengine", ("mmengine", "mmengine-lite")),
    ("mmcv", "onedl-mmcv", ("mmcv", "mmcv-lite", "mmcv-full")),
    ("mmpretrain", "onedl-mmpretrain", ("mmpretrain",)),
    ("mmseg", "onedl-mmsegmentation", ("mmsegmentation",)),
    ("mim", "onedl-mim", ("openmim",)),
)
# small enough to compare every file
_WHOLE = ("mmengine", "mmcv", "mmpretrain", "mmseg", "mim")


def examine_packages(packages: dict) -> list:
    """All findings of this file.

    Args:
        packages: What :func:`otcxr_mm.doctor.installed.installed` gives.
    """
    lines = both_lines(packages)
    return [
        *present(packages),
        *lines,
        *mixed_lines(packages),
        *twice(packages),
        *copies(packages),
        *changed(packages, {f.code for f in lines}),
        *versions(packages),
        *torch_pair(packages),
        *mmseg(packages),
        *pkg_resources(packages),
    ]


def present(packages: dict) -> list:
    """A line for each package that we need, with version and distribution."""
    findings, line = [], line_of(packages)
    torch = packages["torch"][0].version if "torch" in packages else ""
    for module in (*REQUIRED, *OPTIONAL):
        dist, place = first(packages, module), origin(module)
        if place:
            version = dist.version if dist else "of unknown version (no metadata)"
            name = f" ({dist.name})" if dist and dist.name != module else ""
            findings.append(ok(module, version + name))
        elif module in OPTIONAL:
            findings.append(note(module, f"not installed; for {OPTIONAL[module]}", how_to_install(module, line)))
        elif dist:
            findings.append(
                error(
                    "missing-package",
                    f"pip lists {dist}, but there is no module {module}: its files are gone, as after the removal of "
                    "another package that shared them",
                    reinstall(dist),
                )
            )
        else:
            names = " or ".join(name for name in DISTRIBUTIONS[module][:2] if name != module)
            what = f"{module} is not installed" + (f" ({names})" if names else "")
            findings.append(error("missing-package", what, how_to_install(module, line, torch)))
    return findings


def reinstall(dist: Distribution) -> str:
    """Command that lays the files of a distribution down again."""
    return f"pip install --force-reinstall --no-deps {dist.name}=={dist.version}"


def _owned(dist: Distribution) -> str:
    missing, changed, count = dist.changed_files()
    return f"{count - len(missing) - len(changed)} of {count} files are those of {dist}" if count else ""


def both_lines(packages: dict) -> list:
    """OneDL's and upstream's packages installed over each other."""
    pairs = [
        (module, packages[ours][0], packages[name][0])
        for module, ours, theirs in LINES
        for name in theirs
        if packages.get(ours) and packages.get(name)
    ]
    if not pairs:
        return []
    said = []
    for module, onedl, upstream in pairs:
        owned = [text for text in map(_owned, (onedl, upstream)) if text]
        said.append(
            f"{onedl} and {upstream} are both installed and write the same folder {module}/"
            + (f" ({'; '.join(owned)})" if owned else "")
        )
    names = " ".join(d.name for _, *pair in pairs for d in pair)
    again = [" ".join(f"{pair[side]}".replace(" ", "==") for pair in pairs) for side in (1, 2)]
    commands = [f"pip uninstall -y {names} && pip install --force-reinstall --no-deps {line}" for line in again]
    return [
        error(
            "both-lines",
            ". ".join(said),
            f"keep one line. OneDL: {commands[0]}. Or upstream: {commands[1]}. "
            "(mmcv-lite asks for mmengine: beside OneDL it is installed with --no-deps.)",
        )
    ]


def mixed_lines(packages: dict) -> list:
    """One line's package on the other line's MMEngine."""
    engine = first(packages, "mmengine")
    if engine is None or ("onedl-mmengine" in packages and set(LINES[0][2]) & set(packages)):
        return []  # both: said already
    onedl = engine.name.startswith("onedl-")
    strangers = [
        packages[name][0]
        for module, ours, theirs in LINES
        if module in ("mmpretrain", "mmseg") and not (packages.get(ours) and any(packages.get(n) for n in theirs))
        for name in (theirs if onedl else (ours,))
        if packages.get(name)
    ]
    if not strangers:
        return []
    names = " and ".join(map(str, strangers))
    return [
        warning(
            "mixed-lines",
            f"{names} of {'upstream OpenMMLab' if onedl else 'the OneDL line'} on {engine} of the other line: nobody "
            "tests this pair",
            "take one line: "
            + "; ".join(
                [f"pip uninstall -y {' '.join(d.name for d in strangers)}"]
                + [how_to_install(_module_of(d.name), "onedl" if onedl else "upstream") for d in strangers]
            ),
        )
    ]


def _module_of(name: str) -> str:
    return next(module for module, names in DISTRIBUTIONS.items() if name in names)


def twice(packages: dict) -> list:
    """Distributions that bring the same module: MMCV's two builds, OpenCV's four."""
    findings = []
    builds = [packages[n][0] for n in ("mmcv", "mmcv-full", "mmcv-lite") if n in packages]
    if len(builds) > 1:
        names = " beside ".join(map(str, builds))
        same = len({d.version for d in builds}) == 1
        findings.append(
            (warning if same else error)(
                "mmcv-twice",
                f"{names}: both write the folder mmcv/, and removing one breaks the other",
                f"pip uninstall -y {' '.join(d.name for d in builds)}, then install one: mmcv-lite is enough here",
            )
        )
    builds = [packages[n][0] for n in DISTRIBUTIONS["cv2"] if n in packages]
    if len(builds) > 1:
        names = " beside ".join(map(str, builds))
        if len({d.version for d in builds}) == 1:
            findings.append(note("opencv-twice", f"{names}: both write the folder cv2/; of one version, it works"))
        else:
            findings.append(
                warning(
                    "opencv-twice",
                    f"{names}: both write the folder cv2/, of different versions",
                    f"pip uninstall -y {' '.join(d.name for d in builds)} && pip install opencv-python-headless",
                )
            )
    return findings


def copies(packages: dict) -> list:
    """The same distribution twice, in two folders or with the metadata of two versions."""
    findings = []
    for name, found in packages.items():
        if len(found) < 2:
            continue
        places = ", ".join(f"{d.version} in {d.root}" for d in found)
        user = any(os.path.realpath(d.root).startswith(_user_site()) for d in found) if _user_site() else False
        findings.append(
            warning(
                "two-copies",
                f"{name} is installed {len(found)} times: {places}; the first one is imported",
                "PYTHONNOUSERSITE=1 leaves the packages in your home directory out"
                if user
                else f"pip uninstall -y {name}, as often as it takes, and install it once",
            )
        )
    return findings


def _user_site() -> str:
    import site

    try:
        return os.path.realpath(site.getusersitepackages()) + os.sep
    except (AttributeError, OSError):
        return ""


def changed(packages: dict, said: set) -> list:
    """Files that are not those that were installed.

    Args:
        packages: As in :func:`examine_packages`.
        said: Codes of findings that explain it already.
    """
    findings = []
    for module in _WHOLE:
        dist = first(packages, module)
        if dist is None or "both-lines" in said or not origin(module):
            continue
        missing, edited, count = dist.changed_files()
        if missing:
            findings.append(
                error(
                    "changed-files",
                    f"{len(missing)} of the {count} Python files of {dist} are gone, such as {missing[0]}",
                    reinstall(dist),
                )
            )
        if edited:
            findings.append(
                warning(
                    "changed-files",
                    f"{len(edited)} of the {count} Python files of {dist} are not those that were installed, such as "
                    f"{edited[0]}: edited by hand, or overwritten by another package",
                    f"if it was not you: {reinstall(dist)}",
                )
            )
    for module in ("torch", "torchvision"):
        dist, place = first(packages, module), origin(module)
        written = constant(place, "__version__") if place else None
        if dist and written and release(written) != release(dist.version):
            findings.append(
                error(
                    "changed-files",
                    f"pip lists {dist}, but the files are of {module} {written}",
                    f"pip uninstall -y {module}, until it says that it is not installed, and install it once",
                )
            )
    return findings


def versions(packages: dict) -> list:
    """Releases that are too old."""
    findings = []
    for name, oldest in {**OLDEST, **OLDEST_OTHER}.items():
        if packages.get(name) and is_older(packages[name][0].version, oldest):
            if name in ("torch", "pydicom"):
                way = how_to_install(name)
            else:
                way = how_to_install(_module_of(name), "onedl" if name.startswith("onedl-") else "upstream")
            findings.append(error("too-old", f"{packages[name][0]}: {oldest} is the oldest that works", way))
    return findings


def torch_pair(packages: dict) -> list:
    """Torch, torchvision and NumPy of releases or builds that do not go together."""
    findings = []
    place, beside = origin("torch"), origin("torchvision")
    torch = (constant(place, "__version__") if place else None) or _version(packages, "torch")
    vision = (constant(beside, "__version__") if beside else None) or _version(packages, "torchvision")
    if place and beside and torch and vision:
        wanted = torchvision_of(torch)
        if wanted and release(vision)[:2] != release(wanted) and not _asks_for_no_more(packages, torch):
            other = torch_of(vision)
            findings.append(
                error(
                    "torchvision-pair",
                    f"torchvision {vision} does not go with torch {torch}, which needs torchvision {wanted}"
                    + (f"; this torchvision is for torch {other}" if other else ""),
                    f"pip install torchvision=={wanted}.*, from where torch came from",
                )
            )
        cuda = constant(place, "cuda")
        build = vision.partition("+")[2] if constant(place, "__version__") else ""
        if (build.startswith("cu") and cuda is None and constant(place, "hip") is None) or (build == "cpu" and cuda):
            findings.append(
                error(
                    "torchvision-build",
                    f"torch {torch} is built {f'for CUDA {cuda}' if cuda else 'without CUDA'}, but torchvision "
                    f"{vision} {'without it' if cuda else 'for CUDA'}",
                    "install both in one command, from one index: pip install --force-reinstall torch torchvision",
                )
            )
    numpy = _version(packages, "numpy")
    if place and torch and release(torch) < NUMPY_2_TORCH and release(numpy) >= (2,):
        findings.append(
            error(
                "numpy-torch",
                f"torch {torch} was compiled against NumPy 1 and cannot use NumPy {numpy}",
                'pip install "numpy<2", or a torch of 2.3 or newer with its torchvision',
            )
        )
    return findings


def _asks_for_no_more(packages: dict, torch: str) -> bool:
    """Whether this torchvision asks for any torch from a release on, and this one is newer: from 0.29 on they do."""
    vision = first(packages, "torchvision")
    for line in vision.requires if vision else ():
        found = re.match(r"torch\s*\(?\s*>=\s*([\d.]+)\s*\)?\s*(;|$)", line)
        if found:
            return not is_older(torch, found.group(1))
    return False


def _version(packages: dict, module: str) -> str:
    dist = first(packages, module)
    return dist.version if dist else ""


def mmseg(packages: dict) -> list:
    """The package named `mmseg`, which is another one; upstream's MMSegmentation on an MMCV that it refuses."""
    findings, line = [], line_of(packages)
    if packages.get("mmseg"):
        findings.append(
            warning(
                "mmseg-tokeniser",
                f"{packages['mmseg'][0]} is a Chinese tokeniser, not MMSegmentation, and takes its import name",
                f"pip uninstall -y mmseg; for segmentation: {how_to_install('mmseg', line)}",
            )
        )
    mmcv = first(packages, "mmcv")
    theirs = packages.get("mmsegmentation")
    alone = theirs and mmcv and "onedl-mmsegmentation" not in packages
    if alone and (release(mmcv.version) >= UPSTREAM_MMSEG_BELOW_MMCV or mmcv.name == "mmcv-lite"):
        findings.append(
            warning(
                "mmseg-mmcv",
                f"upstream's {theirs[0]} needs a compiled mmcv older than 2.2, here is {mmcv}",
                "pip uninstall -y mmsegmentation; for segmentation an environment of the OneDL line: "
                + how_to_install("mmseg", "onedl"),
            )
        )
    return findings


def pkg_resources(packages: dict) -> list:
    """What upstream's tools still need of old setuptools."""
    needing = [packages[name][0] for name in ("openmim", "mmengine") if packages.get(name)]
    setuptools = _version(packages, "setuptools")
    if needing and sys.version_info >= (3, 12) and is_older(setuptools or "0", SETUPTOOLS_FOR_3_12):
        return [
            error(
                "pkg-resources",
                f"{needing[0]} needs distutils, which Python 3.12 has from setuptools {SETUPTOOLS_FOR_3_12} only; "
                f"here is {'setuptools ' + setuptools if setuptools else 'none'} (openmim brings an old one)",
                'pip install "setuptools>=77,<82", after openmim',
            )
        ]
    if not needing or origin("pkg_resources"):
        return []
    newer = f" (setuptools {setuptools}; it went with {NO_PKG_RESOURCES[0]})" if setuptools else ""
    needs = {"openmim": "`mim` does not start", "mmengine": "`_base_` of another package (mmpretrain::...) fails"}
    return [
        warning(
            "pkg-resources",
            f"there is no pkg_resources{newer}: " + "; ".join(f"with {dist} {needs[dist.name]}" for dist in needing),
            'pip install "setuptools<82"; otcxr_mm itself does not need it',
        )
    ]
