import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

import otcxr_mm.utils.patches  # noqa: F401  for bases of the package
from otcxr_mm.cli import COMMANDS
from otcxr_mm.utils.configs import config_folder, find_config, list_configs
from tests.conftest import ROOT

SHIPPED = [path for path, _ in list_configs()]


@pytest.mark.parametrize("arguments", [[], ["train"], ["test"]])
def test_help_imports_nothing_heavy(arguments):
    script = (
        f"import sys\nfrom otcxr_mm.cli import main\ntry: main([*{arguments}, '--help'])\nexcept SystemExit: pass\n"
    )
    script += "print([m for m in ('torch', 'numpy', 'mmengine', 'mmpretrain', 'cv2') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.startswith("usage: otcxr") and out.endswith("[]\n")


def test_help_lists_the_commands(otcxr):
    ended = otcxr("--help")
    assert ended.status == 0
    assert all(f"\n  {name} " in ended.text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_own_help(name, otcxr):
    ended = otcxr(name, "--help")
    assert ended.status == 0
    assert ended.text.startswith(f"usage: otcxr {name} ")


def test_scripts_are_the_commands(python):
    assert python("tools/dataset_converters/prepare_cxr.py", "--help").stdout.startswith("usage: prepare_cxr.py ")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ("trian x", 2, "no command 'trian'; did you mean train?"),
        ("train", 2, "the following arguments are required: config"),
        ("train tests/tiny.py --resmue", 2, "unrecognized arguments: --resmue; did you mean --resume?"),
        ("train tests/tiny.py --overwrite --resume", 2, "--overwrite starts over"),
        ("train tests/tiny.py --estimate --resume", 2, "choose one of them"),
        ("train otcxr_r50_nhi", 1, "did you mean otcxr_r50_nih.py?"),
        ("train tests/tiny.py --resume gone.pth", 1, "--resume gone.pth: no such checkpoint"),
        ("train tests/tiny.py --work-dir /proc/x", 1, "the work dir cannot be written to"),
        ("train _base_/models/otcxr_r50.py", 1, "has no train_dataloader"),
        ("train linear_r18_synthetic --auto-scale-lr", 1, "has no auto_scale_lr = dict(base_batch_size=...)"),
        ("train otcxr_r18_cpu --cfg-options max_epochs=1", 1, "set train_cfg.max_epochs"),
        ("test gone", 1, "gone: no such config"),
        ("test docs/pictures", 1, "expected one config (*.py) in this folder, found 0"),
        ("test tests/tiny.py gone.pth", 1, "gone.pth: no such checkpoint"),
        ("test tests/tiny.py --work-dir docs", 1, "docs has no checkpoint"),
        ("test tests/tiny.py README.md", 1, "has no test_dataloader: pre-training has nothing to test"),
        ("audit gone.py", 2, "gone.py: no such config"),
        ("prepare otcxr_r50_nih out", 1, "data_root='data/nih' is not a folder"),
        ("prepare otcxr_r50_nih out --size 1 2 3", 2, "--size takes"),
        ("prepare _base_/models/otcxr_r50.py out", 1, "has no train_dataloader"),
        ("table gone", 1, "no results.json"),
        ("compare gone gone", 1, "no results.json"),
        ("list-cfg no-such", 1, "no config has 'no-such'"),
        ("copy-cfg no-such", 1, "no config of otcxr_mm has this name"),
        ("export gone", 1, "gone: neither a checkpoint nor a folder with one"),
        ("export gone --out x.pt2", 1, "gone: no weights here"),
        ("export gone --out x", 1, "gone: neither a checkpoint nor a folder with one"),
        ("export gone --out x --format timm", 2, "--format and --channels are for files of weights"),
    ],
)
def test_every_failure_has_a_status_and_a_line(arguments, status, message, otcxr, monkeypatch):
    monkeypatch.chdir(ROOT)
    for variable in ("OTCXR_NIH", "OTCXR_DATA"):
        monkeypatch.delenv(variable, raising=False)
    ended = otcxr(*arguments.split())
    assert ended.status == status
    assert message in ended.text
    assert len(ended.text.splitlines()) <= 3


def test_configs_are_found_by_name():
    folder = config_folder()
    for name in ("otcxr_r50_nih", "otcxr_r50_nih.py", "otcxr_mm::otcxr_r50_nih.py", "configs/otcxr_r50_nih.py"):
        assert find_config(name) == folder / "otcxr_r50_nih.py"
    assert find_config("linear_r50_nih") == folder / "downstream" / "linear" / "linear_r50_nih.py"
    assert find_config("otcxr_mm::_base_/models/otcxr_r50.py") == folder / "_base_" / "models" / "otcxr_r50.py"


@pytest.mark.parametrize("name", ["../setup.py", "/etc/passwd", ""])
def test_only_configs_are_found(name):
    with pytest.raises(FileNotFoundError, match="no config of otcxr_mm"):
        find_config(name)


def test_the_list_names_each_with_what_it_is_for(otcxr):
    out = otcxr("list-cfg").text
    assert all(name in out for name in SHIPPED)
    assert len(SHIPPED) == len({Path(name).name for name in SHIPPED})
    assert all(text.endswith((".", ":")) for _, text in list_configs()), list_configs()
    only = otcxr("list-cfg", "RSNA").text
    assert "linear_r50_rsna.py" in only
    assert "linear_r50_nih.py" not in only


@pytest.mark.parametrize("name", SHIPPED)
def test_a_copy_elsewhere_is_the_same_config(name, otcxr, tmp_path):
    original = Config.fromfile(config_folder() / name)._cfg_dict
    copied, flat = tmp_path / "copy.py", tmp_path / "new" / "flat.py"
    assert f"{copied}: written. Train with `otcxr train {copied}`\n" in otcxr("copy-cfg", name, copied).text
    assert Config.fromfile(copied)._cfg_dict == original
    assert "tools/" not in copied.read_text().partition("_base_")[0], "commands at the head are for a checkout"
    assert otcxr("copy-cfg", copied, flat, "--flat").status == 0
    assert "_base_" not in flat.read_text()
    assert Config.fromfile(flat)._cfg_dict == original


def test_odd_names_of_files_stay_as_they_are(otcxr, tmp_path):
    target = tmp_path / "back\\1slash and space" / "mine.py"
    assert f"otcxr train '{target}'" in otcxr("copy-cfg", "otcxr_r18_cpu", target).text
    assert f"otcxr train '{target}'" in target.read_text()


def test_a_copy_overwrites_nothing_unless_forced(otcxr, tmp_path):
    target = tmp_path / "otcxr_r50_nih.py"
    target.write_text("# mine")
    ended = otcxr("copy-cfg", "otcxr_r50_nih", tmp_path)
    assert ended.status == 1 and "already exists" in ended.text
    assert target.read_text() == "# mine"
    assert otcxr("copy-cfg", "otcxr_r50_nih", tmp_path, "--force").status == 0
    assert "otcxr_mm::_base_/models/otcxr_r50.py" in target.read_text()
