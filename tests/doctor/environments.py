"""Environments that are broken on purpose: a virtual environment whose packages are links to this one's.

Nothing is written through a link: what a test breaks is first made a folder of its own.
"""

import json
import os
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from tests.conftest import ROOT

ONEDL = any(d.metadata["Name"] == "onedl-mmengine" for d in metadata.distributions())


class Environment:
    """A virtual environment of links, with an empty folder to start from.

    Args:
        folder: Temporary folder.
    """

    def __init__(self, folder: Path) -> None:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.prefix, self.cwd, self.home = folder / "env", folder / "cwd", folder / "home"
        self.bin, self.site = self.prefix / "bin", self.prefix / "lib" / version / "site-packages"
        for path in (self.bin, self.site, self.cwd, self.home):
            path.mkdir(parents=True)
        base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
        (self.bin / "python").symlink_to(base)
        (self.prefix / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
        self.env = {
            "PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "HOME": str(self.home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        for source in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            for entry in Path(source).iterdir():
                if entry.name != "__pycache__" and "otcxr" not in entry.name:
                    (self.site / entry.name).symlink_to(entry)
        (self.site / "otcxr.pth").write_text(f"{ROOT}\n")
        self.distribution("otcxr_mm", "0.1.0", source=ROOT)

    def own(self, path: str) -> Path:
        """Makes a linked folder, and those above it, folders of this environment with links inside."""
        here = self.site
        for part in Path(path).parts:
            here = here / part
            if here.is_symlink():
                target = here.resolve()
                here.unlink()
                here.mkdir()
                for entry in target.iterdir():
                    if entry.name != "__pycache__":  # what is compiled must not be written there
                        (here / entry.name).symlink_to(entry)
            here.mkdir(exist_ok=True)
        return here

    def write(self, path: str, text: str = "") -> None:
        """Puts a file in the place of a link."""
        file = self.own(str(Path(path).parent)) / Path(path).name
        file.unlink(missing_ok=True)
        file.write_text(text)

    def hide(self, *patterns: str) -> None:
        """Takes links out of site-packages, or out of a folder in it."""
        for pattern in patterns:
            folder = self.own(str(Path(pattern).parent))
            found = list(folder.glob(Path(pattern).name))
            assert found, pattern
            for entry in found:
                assert entry.is_symlink(), entry
                entry.unlink()

    def module(self, name: str, init: str) -> None:
        """Puts a package of one file in the place of a module."""
        (self.site / name).unlink(missing_ok=True)
        (self.site / name).mkdir()
        (self.site / name / "__init__.py").write_text(init)

    def distribution(self, name: str, version: str, record: str = "", source: Path | None = None) -> None:
        """Writes metadata of a distribution, as pip leaves it."""
        folder = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        if folder.is_symlink():
            folder.unlink()
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: .\n")
        (folder / "RECORD").write_text(record + f"{folder.name}/METADATA,,\n{folder.name}/RECORD,,\n")
        (folder / "INSTALLER").write_text("pip\n")
        if source:
            url = {"url": f"file://{source}", "dir_info": {"editable": True}}
            (folder / "direct_url.json").write_text(json.dumps(url))

    def forget(self, *names: str) -> None:
        """Takes the metadata of distributions out."""
        self.hide(*(f"{name.replace('-', '_')}-[0-9]*.dist-info" for name in names))

    def config(self, name: str, text: str) -> str:
        """Writes a config to the current folder."""
        (self.cwd / name).write_text(text)
        return name

    def program(self, name: str, text: str) -> None:
        """Puts a shell script on PATH."""
        (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / name).chmod(0o755)

    def doctor(self, *args: str, python: str | None = None) -> dict:
        """What the doctor says in this environment, from its JSON, with its exit status as `status`."""
        result = subprocess.run(
            [python or str(self.bin / "python"), "-m", "otcxr_mm.doctor", "--json", *args],
            cwd=self.cwd,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert result.returncode in (0, 1) and result.stdout.startswith("{"), result.stdout + result.stderr
        return {**json.loads(result.stdout), "status": result.returncode}
