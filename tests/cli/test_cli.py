import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from otcxr_mm.cli import COMMANDS, main
from otcxr_mm.cli.copy_cfg import copy_config
from otcxr_mm.utils.configs import config_folder, find_config, list_configs
from tests.conftest import ROOT, write_image

SHIPPED = [path for path, _ in list_configs()]


def invoke(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="otcxr")


def test_help_imports_nothing_heavy():
    script = "import sys\nfrom otcxr_mm.cli import main\n"
    script += "try: main(['--help'])\nexcept SystemExit as end: assert end.code == 0\n"
    script += "print([m for m in ('torch', 'numpy', 'mmengine', 'mmpretrain', 'cv2') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.endswith("[]\n")
    for name in (*COMMANDS, "list-cfg", "copy-cfg", "export"):
        assert f"  {name} " in out


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_scripts_own_help(name, python):
    out = python("-m", "otcxr_mm", name, "--help").stdout
    assert out.startswith(f"usage: otcxr {name} ")
    assert "%%" not in out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["no-such"], 2, "No such command 'no-such'"),
        (["train"], 2, "the following arguments are required: config"),
        (["train", "otcxr_r50_nhi"], 1, "did you mean otcxr_r50_nih.py?"),
        (["train", "tests/tiny.py", "--resume", "gone.pth"], 1, "gone.pth: no such checkpoint"),
        (["train", "_base_/models/otcxr_r50.py"], 1, "has no train_dataloader"),
        (["prepare", "otcxr_r50_nih", "out"], 1, "data_root='data/nih' is not a folder"),
        (["train", "otcxr_r18_cpu", "--cfg-options", "max_epochs=1"], 1, "set train_cfg.max_epochs"),
        (["test", "gone"], 1, "gone: no such config"),
        (["audit", "gone.py"], 1, "gone.py: no such config"),
        (["table", "gone"], 2, "no results.json"),
        (["compare", "gone", "gone"], 2, "no results.json"),
        (["prepare", "otcxr_mm.UnlabeledCXR", "out"], 1, "needs --data-root"),
        (["list-cfg", "no-such"], 1, "no config has 'no-such'"),
        (["copy-cfg", "no-such"], 1, "no config of otcxr_mm has this name"),
        (["export", "gone"], 1, "gone: no such file or folder"),
        (["doctor", "gone.py"], 1, "gone.py: no config"),
        (["doctor", "--work-dir", "/proc/x"], 1, "PROBLEM work-dir"),
    ],
)
def test_every_failure_has_a_status_and_a_line(arguments, status, message):
    result = subprocess.run(
        [sys.executable, "-m", "otcxr_mm", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == status, result.stderr
    assert message in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_configs_are_found_by_name():
    folder = config_folder()
    for name in (
        "otcxr_r50_nih",
        "otcxr_r50_nih.py",
        "otcxr_mm::otcxr_r50_nih.py",
        "configs/otcxr_r50_nih.py",
    ):
        assert find_config(name) == folder / "otcxr_r50_nih.py"
    assert find_config("linear_r50_nih") == folder / "downstream" / "linear" / "linear_r50_nih.py"
    assert find_config("otcxr_mm::_base_/models/otcxr_r50.py") == folder / "_base_" / "models" / "otcxr_r50.py"
    for name in ("../setup.py", "/etc/passwd", ""):
        with pytest.raises(FileNotFoundError, match="no config of otcxr_mm"):
            find_config(name)


def test_the_list_names_each_with_what_it_is_for():
    out = invoke("list-cfg").output
    assert all(Path(name).name in out for name in SHIPPED)
    assert len(SHIPPED) == len({Path(name).name for name in SHIPPED})
    assert all(text.endswith(".") or text.endswith(":") for _, text in list_configs()), list_configs()
    only = invoke("list-cfg", "RSNA").output
    assert "linear_r50_rsna.py" in only
    assert "linear_r50_nih.py" not in only


@pytest.mark.parametrize("name", SHIPPED)
def test_a_copy_elsewhere_is_the_same_config(name, tmp_path):
    import otcxr_mm.utils.patches  # noqa: F401  for bases of the package

    from mmengine.config import Config  # isort: skip

    original = Config.fromfile(str(config_folder() / name))
    copied = copy_config(name, tmp_path)
    assert Config.fromfile(str(copied))._cfg_dict == original._cfg_dict
    assert "tools/" not in copied.read_text().partition("_base_")[0], "commands at the head are for a checkout"
    (tmp_path / "mine.py").write_text(f"_base_ = ['otcxr_mm::{Path(name).name}']\nwork_dir = 'here'\n")
    mine = Config.fromfile(str(tmp_path / "mine.py"))
    assert mine.pop("work_dir") == "here"
    original.pop("work_dir", None)
    assert mine._cfg_dict == original._cfg_dict


def test_odd_names_of_files_stay_as_they_are(tmp_path):
    target = tmp_path / "back\\1slash and space" / "mine.py"
    result = invoke("copy-cfg", "otcxr_r18_cpu", target)
    assert result.exit_code == 0, result.output
    assert f"otcxr train '{target}'" in result.output
    assert f"otcxr train '{target}'" in target.read_text()


def test_a_config_that_cannot_be_read_is_one_line(tmp_path):
    for text, message in (
        ("_base_ = 'otcxr_mm::nope.py'", "nope.py"),
        ("a = (", "never closed"),
        ("a = '\xe9'", "utf-8"),
    ):
        (tmp_path / "c.py").write_text(text, encoding="latin-1")
        result = subprocess.run(
            [sys.executable, "-m", "otcxr_mm", "train", str(tmp_path / "c.py")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
        assert re.search(r"c\.py(, line \d)?: this config cannot be read", result.stderr)
        assert message in result.stderr


def test_a_flat_copy_has_no_bases_and_nothing_is_overwritten(tmp_path):
    from mmengine.config import Config

    target = tmp_path / "new" / "mine.py"
    result = invoke("copy-cfg", "otcxr_r50_nih", target, "--flat")
    assert result.exit_code == 0, result.output
    assert f"otcxr train {target}" in result.output
    assert "_base_" not in target.read_text()
    original = Config.fromfile(str(config_folder() / "otcxr_r50_nih.py"))
    assert Config.fromfile(str(target))._cfg_dict == original._cfg_dict
    (tmp_path / "own.py").write_text("_base_ = ['otcxr_mm::otcxr_r50_nih.py']\nwork_dir = 'here'\n")
    assert invoke("copy-cfg", tmp_path / "own.py", tmp_path / "own_flat.py", "--flat").exit_code == 0
    assert Config.fromfile(str(tmp_path / "own_flat.py")).work_dir == "here"
    assert Config.fromfile(str(tmp_path / "own_flat.py")).model == original.model
    target.write_text("# mine")
    result = invoke("copy-cfg", "otcxr_r50_nih", target)
    assert result.exit_code == 1
    assert "already exists" in result.output
    assert target.read_text() == "# mine"
    assert invoke("copy-cfg", "otcxr_r50_nih", target, "--force").exit_code == 0
    assert "otcxr_mm::_base_/models/otcxr_r50.py" in target.read_text()


MINE = """
_base_ = ["otcxr_mm::otcxr_r18_cpu.py"]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(_delete_=True, type="otcxr_mm.UnlabeledCXR", data_root="images", pipeline=_base_.train_pipeline),
)
train_cfg = dict(max_epochs=1)
"""


def test_from_a_config_of_ones_own_to_an_exported_backbone(tmp_path):
    """In another folder, as with an installed wheel."""

    def run(*arguments):
        command = [sys.executable, "-m", "otcxr_mm", *map(str, arguments)]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    for i in range(4):
        write_image(tmp_path / "images" / f"{i}.png", (110, 120))
    (tmp_path / "mine.py").write_text(MINE)
    run("train", "mine.py", "--cfg-options", "param_scheduler=[]")
    work_dir = tmp_path / "work_dirs" / "mine"
    assert "backbone_mmpretrain.pth and backbone_mmpretrain.json: written" in run("export", work_dir)
    first, second = (json.loads((work_dir / f"backbone{name}.json").read_text()) for name in ("", "_mmpretrain"))
    assert second.pop("layout") == "mmpretrain"
    assert second == {key: first[key] for key in second}
