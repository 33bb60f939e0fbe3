"""Package metadata, and the `.mim` folder that `mim train otcxr_mm CONFIG` looks for."""

import gzip
import os
import shutil
import tarfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
MIM = ("configs", "tools", "model-index.yml")
# onedl-mim takes the first folder of RECORD, which installers sort, for the package. Of a package with a command it is
# `../../../bin`, of others `otcxr_mm-VERSION.dist-info`. "+" sorts before both. openmim looks in the package itself.
FIRST_IN_RECORD = "+otcxr_mm"
# Two builds have the same bytes: all files are dated 1980, the first year that a zip archive can hold.
DATE = int(os.environ.setdefault("SOURCE_DATE_EPOCH", "315532800"))


class BuildWithMim(build_py):
    """Copies configs and tools into the wheel; an editable install links them instead."""

    def run(self):
        super().run()
        if getattr(self, "editable_mode", False):
            target, place = ROOT / "otcxr_mm" / ".mim", link
        else:
            target, place = Path(self.build_lib) / "otcxr_mm" / ".mim", copy
        fill(target, place)
        if place is copy:
            first = Path(self.build_lib) / FIRST_IN_RECORD / ".mim"
            fill(first, place)
            shutil.rmtree(first / "tools" / "benchmarks")


class ReproducibleWheel(bdist_wheel):
    """Gives the files the same modes whatever the umask; the dates come from SOURCE_DATE_EPOCH."""

    def write_wheelfile(self, *args, **kwargs):
        super().write_wheelfile(*args, **kwargs)
        for path in filter(Path.is_file, Path(self.bdist_dir).rglob("*")):
            path.chmod(mode(path.stat().st_mode))


class ReproducibleSdist(sdist):
    """A `.tar.gz` with the same dates, owners and modes everywhere."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        path = f"{base_name}.tar.gz"
        with (
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=DATE) as packed,
            tarfile.open(fileobj=packed, mode="w") as archive,
        ):
            archive.add(base_dir, filter=anonymous)
        return path


def anonymous(member):
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime, member.mode = DATE, mode(member.mode)
    return member


def mode(of):
    return 0o755 if of & 0o100 else 0o644


def fill(target, place):
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in MIM:
        place(ROOT / name, target / name)


def link(source, target):
    os.symlink(os.path.relpath(source, target.parent), target)


def copy(source, target):
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(source, target)


def version():
    scope = {}
    exec((ROOT / "otcxr_mm" / "version.py").read_text(), scope)
    return scope["__version__"]


setup(
    name="otcxr_mm",
    version=version(),
    description="Optimal-transport self-supervised pre-training on chest radiographs for the MMPretrain ecosystem",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords="chest radiographs, self-supervised learning, optimal transport, OpenMMLab, MMPretrain",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["otcxr_mm", "otcxr_mm.*"]),
    package_data={
        "otcxr_mm.reports": ["charts.js", "report.html"],
        # weights by name: docs/model_zoo.md
        "otcxr_mm": ["zoo/*/*"],
    },
    cmdclass={"build_py": BuildWithMim, "bdist_wheel": ReproducibleWheel, "sdist": ReproducibleSdist},
    # Neither line of OpenMMLab is named here, so that an existing environment is left alone:
    # the extras name them. The two lines overwrite each other's files: take one. cv2 comes with either.
    install_requires=[
        "filelock",
        "jinja2",  # of reports, and of pandas' to_latex
        "matplotlib",
        "numpy",
        "packaging",
        "pandas>=2.1",
        "pillow",
        "pot",
        "rich",
        "safetensors",
        "scikit-learn",
        "scipy",
        "torch>=2.6",
        "torchvision",
    ],
    extras_require={
        # mmcv-lite goes beside it with --no-deps: it would bring upstream's mmengine
        "onedl": ["onedl-mmengine>=0.10.12", "onedl-mmpretrain>=1.3.6", "opencv-python-headless", "setuptools>=77"],
        "mm": ["mmengine>=0.10.7", "mmcv-lite>=2.2.0", "mmpretrain>=1.2.0", "setuptools>=77,<82"],
        # gdcm decodes every compressed transfer syntax that public collections use
        "dicom": ["pydicom>=3.0", "python-gdcm"],
        # onedl only: upstream MMSegmentation refuses mmcv-lite 2.2; `pip install mmseg` is another package
        "seg": ["onedl-mmsegmentation>=1.4.2"],
        # weights for other libraries
        "export": ["timm", "onnx", "onnxscript"],
        # curves of otcxr report: Vega, which goes into the page
        "report": ["vl-convert-python>=1.9"],
        # the fused transport kernel; torch for NVIDIA GPUs brings it on Linux
        "fused": ["triton>=3"],
        # docs/tracking.md
        "trackers": ["tensorboard", "wandb>=0.20", "mlflow-skinny>=3"],
        "test": [
            *("pytest", "monai", "timm", "torchmetrics", "pydicom>=3.0", "python-gdcm"),
            *("vl-convert-python>=1.9", "axe-playwright-python"),
        ],
    },
    entry_points={"console_scripts": ["otcxr = otcxr_mm.cli:main"]},
    zip_safe=False,
)
