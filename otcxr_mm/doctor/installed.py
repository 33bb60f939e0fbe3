"""What is installed, read from metadata: nothing of it is imported."""

import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from . import Finding

# distributions that write the same folder
PROVIDERS = {
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python"),
    "mmengine": ("onedl-mmengine", "mmengine", "mmengine-lite"),
    "mmcv": ("mmcv-lite", "mmcv", "mmcv-full", "onedl-mmcv"),
    "mmpretrain": ("onedl-mmpretrain", "mmpretrain"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
    "mim": ("onedl-mim", "openmim"),
}
OPTIONAL = {"dicom": "to read DICOM", "seg": "for segmentation, on the OneDL line"}  # extras of setup.py


def examine_packages() -> tuple[dict[str, str], list[Finding]]:
    """Versions of what otcxr_mm needs and can use, and what is wrong with them."""
    found = reversed(list(metadata.distributions()))  # of two copies the first is imported
    installed = {canonicalize_name(dist.metadata["Name"] or ""): dist.version for dist in found}
    if "otcxr-mm" not in installed:
        problem = "otcxr_mm is not installed: Python finds it in the current folder or on PYTHONPATH"
        return {}, [Finding("missing-package", problem, "pip install -e . in its folder")]
    requirements = [Requirement(text) for text in metadata.requires("otcxr_mm") or ()]
    onedl = "onedl-mmengine" in installed or "mmengine" not in installed
    needed = [r for r in requirements if r.marker is None or _for(r, "onedl" if onedl else "mm")]
    if onedl:
        needed.append(Requirement("mmcv-lite>=2.2.0"))  # not in the extra, since it would bring upstream's mmengine
    versions, findings = {}, []
    for requirement in needed:
        findings += _examine(requirement, installed, "--no-deps " if onedl and requirement.name == "mmcv-lite" else "")
        name = _provider(requirement, installed)
        versions[name or requirement.name] = installed.get(name, "not installed")
    for requirement, purpose in ((r, text) for r in requirements for extra, text in OPTIONAL.items() if _for(r, extra)):
        name, command = _provider(requirement, installed), f'pip install "{requirement.name}{requirement.specifier}"'
        versions[name or requirement.name] = installed.get(name, f"not installed; {purpose}: {command}")
    return versions, [*findings, *_conflicts(installed)]


def _for(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _provider(requirement: Requirement, installed: dict[str, str]) -> str | None:
    """The installed distribution that brings what is required, which may have another name."""
    alike = next((names for names in PROVIDERS.values() if requirement.name in names), ())
    return next((name for name in (canonicalize_name(requirement.name), *alike) if name in installed), None)


def _examine(requirement: Requirement, installed: dict[str, str], option: str) -> Iterator[Finding]:
    name, line = _provider(requirement, installed), f"{requirement.name}{requirement.specifier}"
    command = f'pip install {option}"{line}"'
    if name is None:
        yield Finding("missing-package", f"{requirement.name} is not installed", command)
    elif name == requirement.name and not requirement.specifier.contains(installed[name], prereleases=True):
        yield Finding("wrong-version", f"{name} {installed[name]} is installed, {line} is needed", command)


def _conflicts(installed: dict[str, str]) -> Iterator[Finding]:
    """Packages that do not go together."""
    for module, names in PROVIDERS.items():
        both = [f"{name}=={installed[name]}" for name in names if name in installed]
        if len(both) > 1 and module != "cv2":  # builds of OpenCV are alike
            problem = f"{' and '.join(both)} are installed over each other in the folder {module}/"
            remedy = f"pip uninstall -y {' '.join(name for name in names if name in installed)}, then one of them: "
            yield Finding("both-lines", problem, remedy + f"pip install --no-deps {' or '.join(both)}")
    if "mmengine" in installed and sys.version_info[:2] >= (3, 14):
        problem = f"upstream's mmengine {installed['mmengine']} calls pkgutil.find_loader, which Python 3.14 removed"
        yield Finding("python-version", problem, "use Python 3.10 to 3.13, or the OneDL line")
    if "mmseg" in installed:
        problem = f"the distribution mmseg {installed['mmseg']} is a Chinese tokeniser, not MMSegmentation"
        yield Finding("mmseg-other", problem, "pip uninstall -y mmseg; MMSegmentation is onedl-mmsegmentation")
    for text in (metadata.requires("torchvision") or ()) if {"torchvision", "torch"} <= set(installed) else ():
        wanted = Requirement(text)
        if wanted.name == "torch" and not wanted.specifier.contains(installed["torch"], prereleases=True):
            problem = f"torchvision {installed['torchvision']} needs torch{wanted.specifier}, this is torch"
            remedy = "install both in one command, from one index: pip install --upgrade torch torchvision"
            yield Finding("torchvision-pair", f"{problem} {installed['torch']}", remedy)
