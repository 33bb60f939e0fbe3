"""What belongs together: versions, the two lines of OpenMMLab, drivers, and what installs each."""

from __future__ import annotations

import re

PYTHON_OLDEST = (3, 10)
PYTHON_TESTED = ((3, 11), (3, 12))

# import name -> distributions that bring it; the first is the one we name
DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "sklearn": ("scikit-learn",),
    "cv2": (
        "opencv-python-headless",
        "opencv-python",
        "opencv-contrib-python-headless",
        "opencv-contrib-python",
    ),
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "mmengine": ("onedl-mmengine", "mmengine", "mmengine-lite"),
    "mmcv": ("onedl-mmcv", "mmcv-lite", "mmcv", "mmcv-full"),
    "mmpretrain": ("onedl-mmpretrain", "mmpretrain"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
    "mim": ("onedl-mim", "openmim"),
    "timm": ("timm",),
    "pydicom": ("pydicom",),
    "gdcm": ("python-gdcm",),
    "ot": ("pot",),
    "monai": ("monai",),
}
REQUIRED = ("numpy", "sklearn", "cv2", "torch", "torchvision", "mmengine", "mmcv", "mmpretrain")
OPTIONAL = {
    "mmseg": "segmentation with MMSegmentation's parts",
    "mim": "`mim train otcxr_mm CONFIG`",
    "timm": "TIMMBackbone and timm's models",
    "pydicom": "reading DICOM",
    "gdcm": "compressed DICOM",
    "ot": "comparing the transport with POT",
    "monai": "the package's own tests",
}
# oldest releases that work; setup.py asks for the same
OLDEST = {
    "torch": "2.1",
    "onedl-mmengine": "0.10.12",
    "onedl-mmpretrain": "1.3.6",
    "onedl-mmsegmentation": "1.4.2",
    "mmengine": "0.10.7",
    "mmcv-lite": "2.2.0",
    "mmpretrain": "1.2.0",
    "pydicom": "3.0",
}
# not ours to ask for: MMPretrain refuses an older one when it is imported
OLDEST_OTHER = {"mmengine-lite": "0.10.7", "mmcv": "2.0.0", "mmcv-full": "2.0.0", "onedl-mmcv": "2.0.0"}
# torch 2.N goes with torchvision 0.(N + 15)
TORCHVISION_AHEAD = 15
# the first torch that was compiled against NumPy 2
NUMPY_2_TORCH = (2, 3)
# upstream MMSegmentation refuses this MMCV and newer ones
UPSTREAM_MMSEG_BELOW_MMCV = (2, 2)
# setuptools without pkg_resources
NO_PKG_RESOURCES = (82,)
# works on Python 3.12, and stands in for its distutils
SETUPTOOLS_FOR_3_12 = "66.1"
# CUDA's major version -> oldest Linux driver that runs it (minor versions are compatible)
OLDEST_DRIVER = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
# names in a config that are registered whether or not what they need is installed
NEEDS = {
    "TIMMBackbone": "timm",
    "HuggingFaceClassifier": "transformers",
}
# data sets that are published as DICOM
DICOM_SETS = ("RSNAPneumonia", "SIIMPneumothorax", "VinBigCXR", "VinDrCXR")

_INSTALL = {
    "numpy": "pip install numpy",
    "sklearn": "pip install scikit-learn",
    "cv2": "pip install opencv-python-headless",
    "torch": "pip install torch torchvision (for a GPU: the pair of wheels for its CUDA version)",
    "torchvision": "pip install torchvision{pair}, from where torch came from",
    "timm": "pip install timm",
    "pydicom": 'pip install "pydicom>=3.0" python-gdcm (the extra otcxr_mm[dicom])',
    "gdcm": "pip install python-gdcm",
    "ot": "pip install pot",
    "monai": "pip install monai",
}
_INSTALL_LINE = {
    "onedl": {
        "mmengine": 'pip install "onedl-mmengine>=0.10.12"',
        "mmcv": "pip install --no-deps mmcv-lite==2.2.0 (without --no-deps it brings the other line's mmengine)",
        "mmpretrain": 'pip install "onedl-mmpretrain>=1.3.6"',
        "mmseg": "pip install --no-deps onedl-mmsegmentation==1.4.2 ftfy prettytable regex wcwidth",
        "mim": "pip install onedl-mim",
    },
    "upstream": {
        "mmengine": 'pip install "mmengine>=0.10.7"',
        "mmcv": 'pip install "mmcv-lite>=2.2.0"',
        "mmpretrain": 'pip install "mmpretrain>=1.2.0"',
        "mmseg": "an environment of the OneDL line, where onedl-mmsegmentation runs on mmcv-lite (upstream's needs a "
        "compiled mmcv older than 2.2)",
        "mim": 'pip install openmim && pip install "setuptools>=77,<82"',
    },
}


def release(version: str) -> tuple:
    """Leading numbers of a version: ``"2.14.0+cu130"`` is (2, 14, 0)."""
    found = re.match(r"\d+(\.\d+)*", version or "")
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def is_older(version: str, oldest: str) -> bool:
    """Whether a version is older than another; a version that cannot be read is not."""
    mine, other = release(version), release(oldest)
    length = max(len(mine), len(other))
    return bool(mine) and mine + (0,) * (length - len(mine)) < other + (0,) * (length - len(other))


def torchvision_of(torch: str) -> str:
    """Release of torchvision that goes with a torch 2: ``"0.29"`` for 2.14."""
    numbers = release(torch)
    return f"0.{numbers[1] + TORCHVISION_AHEAD}" if len(numbers) > 1 and numbers[0] == 2 else ""


def torch_of(torchvision: str) -> str:
    """Release of torch 2 that a torchvision goes with."""
    numbers = release(torchvision)
    known = len(numbers) > 1 and numbers[0] == 0 and numbers[1] >= TORCHVISION_AHEAD
    return f"2.{numbers[1] - TORCHVISION_AHEAD}" if known else ""


def how_to_install(module: str, line: str = "onedl", torch: str = "") -> str:
    """Command that brings a module.

    Args:
        module: Import name.
        line: ``"onedl"`` or ``"upstream"``, the line of OpenMMLab that the environment has.
        torch: Version of torch, which torchvision follows.
    """
    command = _INSTALL_LINE[line].get(module) or _INSTALL.get(module) or f"pip install {module}"
    pair = torchvision_of(torch)
    return command.format(pair=f"=={pair}.*" if pair else "")
