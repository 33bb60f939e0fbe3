"""Finding the image files of a table that names images without folder or extension."""

import os
from pathlib import Path

import numpy as np

DICOM_SUFFIXES = (".dcm", ".dicom")
# .img: JSRT's, see transforms.loading.read_jsrt
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".img", *DICOM_SUFFIXES)


def walk_images(root: Path, prefix: str = "") -> list[str]:
    """Image files below `root / prefix`, sorted, as paths relative to `root`.

    Hidden files and what archives leave behind are skipped; links are followed, each folder once.
    """
    found, visited = [], set()
    for folder, subfolders, names in os.walk(root / prefix, followlinks=True):
        real = os.path.realpath(folder)
        # a link may lead back up; macOS archives leave __MACOSX behind
        subfolders[:] = [] if real in visited else [s for s in subfolders if not s.startswith((".", "__MACOSX"))]
        names = [] if real in visited else [n for n in names if not n.startswith(".")]
        visited.add(real)
        relative = os.path.relpath(folder, root)
        found += [os.path.normpath(os.path.join(relative, n)) for n in names if n.lower().endswith(SUFFIXES)]
    return sorted(found)


def stem(path: str) -> str:
    """File name without the extension of an image; a dot in the name stays."""
    name = os.path.basename(path)
    base, suffix = os.path.splitext(name)
    return base if suffix.lower() in SUFFIXES else name


def find_by_stem(root: Path, prefix: str, stems: np.ndarray, suffix: str) -> np.ndarray:
    """Paths relative to `root`, (n,), of images that a table names by their stems, (n,).

    `suffix` completes the path of an image that does not exist.
    """
    wanted = set(stems.tolist())
    path_of: dict[str, str] = {}
    for path in walk_images(root, prefix):
        name = stem(path)
        if name in wanted and path_of.setdefault(name, path) != path:
            raise ValueError(f"{root / path}: {name} is there as {path_of[name]} too: set the folder with img_prefix")
    return np.array([path_of.get(name) or os.path.join(prefix, name + suffix) for name in stems.tolist()])
