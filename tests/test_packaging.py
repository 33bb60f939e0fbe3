import ast
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email import message_from_bytes
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.journeys import options, own, publishers
from tests.journeys.figures import assert_learnt

pytestmark = pytest.mark.xdist_group("wheel")
# the first second of 1980, in which zip's time begins
DATE = 315532800


def tracked(*folders):
    """Files that git knows, below the folders or anywhere."""
    command = ["git", "ls-files", "--", *folders]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def build(folder, *kinds, **kwargs):
    """Builds in a folder, and returns the paths of the 'wheel' or the 'sdist'."""
    calls = ", ".join(f"build_meta.build_{kind}('dist')" for kind in kinds)
    script = f"from setuptools import build_meta; print({calls}, sep='/')"
    command = [sys.executable, "-c", script]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **kwargs)
    assert built.returncode == 0, built.stderr[-3000:]
    return [folder / "dist" / name for name in built.stdout.strip().split("\n")[-1].split("/")]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist of the tracked files, built in a copy."""
    folder = tmp_path_factory.mktemp("build")
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    return build(folder, "wheel", "sdist")


@pytest.fixture(scope="module")
def wheel(built):
    return built[0]


def test_the_sdist_builds_the_same_wheel_to_the_byte(built, tmp_path):
    with tarfile.open(built[1]) as archive:
        assert {(member.mtime, member.uid, member.uname) for member in archive} == {(DATE, 0, "")}
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    for path in folder.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    (again,) = build(folder, "wheel", umask=0o077, env={**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"})
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(built[0].read_bytes()).digest()


def test_wheel_holds_the_package_and_what_mim_needs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert set(tracked("otcxr_mm")) <= names
    assert {f"otcxr_mm/.mim/{name}" for name in tracked("configs", "tools", "model-index.yml")} <= names
    assert not [name for name in names if name.startswith("tests/") or "__pycache__" in name]


@pytest.fixture(scope="module")
def requirements(wheel):
    """What the wheel asks for, with its extras."""
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("METADATA")]
    return [*map(Requirement, message_from_bytes(archive.read(name)).get_all("Requires-Dist"))]


def test_wheel_asks_for_neither_line_of_openmmlab(requirements):
    needed = {one.name for one in requirements if "extra" not in str(one.marker)}
    assert "pot" in needed
    assert not [name for name in needed if "mm" in name]


def test_what_the_package_imports_is_declared(requirements):
    nodes = [node for file in (ROOT / "otcxr_mm").rglob("*.py") for node in ast.walk(ast.parse(file.read_text()))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    declared, distributions = {one.name for one in requirements}, packages_distributions()
    for module in {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) - {"otcxr_mm"}:
        assert declared & {*map(canonicalize_name, distributions.get(module, [module]))}, module


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder `bin` of an environment with the wheel installed, and all else from the one that runs the tests."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, symlinks=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    others = Path(sysconfig.get_path("purelib"))
    # from Python 3.12 on, distutils comes from setuptools, by a file of its own
    lines = [str(others), *(path.read_text() for path in others.glob("distutils-precedence.pth"))]
    (site / "others.pth").write_text("\n".join(lines))
    command = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet", "--no-deps"]
    subprocess.run([*map(str, command), str(wheel)], check=True)
    return folder / "bin"


def test_mim_and_otcxr_work_from_an_installed_wheel(installed, real_data, tmp_path):
    publishers.nih(tmp_path / "data" / "nih", real_data, dict.fromkeys(("train", "val", "test"), 16))
    planted = own.kermany(tmp_path / "data" / "kermany", real_data)

    def run(name, *arguments):
        result = subprocess.run(
            [installed / name, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "OTCXR_DATA": str(tmp_path / "data"), "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout

    where = run("python", "-c", "import otcxr_mm; print(otcxr_mm.__file__)")
    assert where.startswith(str(installed.parent)), "the package of the checkout is what would be tested"
    # with MMPretrain's own script, which knows no bases in this package
    run("otcxr", "copy-cfg", "otcxr_r18_cpu", "flat.py", "--flat")
    mim, short = ("python", "-m", "mim"), options.cfg(options.loaders(4, "train"), options.ONE_EPOCH)
    run(*mim, "train", "mmpretrain", "flat.py", "--work-dir", "work_dirs/otcxr_r18_cpu", *short)
    # a user's config of the wheel's bases
    (tmp_path / "mine.py").write_text("_base_ = ['otcxr_mm::linear_r18_kermany.py']\n")
    few = ["--work-dir", "work_dirs/mine", "--cfg-options", *options.loaders(16)]
    run(*mim, "train", "otcxr_mm", "mine.py", *few)
    run(*mim, "test", "otcxr_mm", "linear_r18_kermany.py", "--checkpoint", "work_dirs/mine/linear.pth", *few)
    assert list(assert_learnt(tmp_path / "work_dirs" / "mine", planted)) == ["normal", "bacteria", "virus"]


def test_every_module_imports_without_optional_packages(python):
    script = (
        "import sys, pkgutil, importlib\n"
        "for name in ('mmseg', 'pydicom', 'timm'): sys.modules[name] = None\n"
        "import otcxr_mm\n"
        "for m in pkgutil.walk_packages(otcxr_mm.__path__, 'otcxr_mm.'): importlib.import_module(m.name)\n"
    )
    python("-c", script)


def test_versions_agree():
    import otcxr_mm

    assert re.search(rf"^## \[?{re.escape(otcxr_mm.__version__)}", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert f"version: {otcxr_mm.__version__}" in (ROOT / "CITATION.cff").read_text()
