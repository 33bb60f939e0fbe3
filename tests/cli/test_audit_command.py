import importlib.util

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def main():
    """The command, within this process."""
    spec = importlib.util.spec_from_file_location("tools_audit", ROOT / "tools" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def config(nih_folder, tmp_path):
    """A config that trains on train_val and tests on the official list."""
    one = f"dict(type='otcxr_mm.NIHChestXray14', data_root={str(nih_folder)!r}, split="
    path = tmp_path / "mine.py"
    path.write_text(
        f"default_scope = 'mmpretrain'\ntrain_dataloader = dict(dataset={one}'train_val'))\n"
        f"test_dataloader = dict(dataset={one}'test'))\n"
    )
    return str(path)


def test_status_and_table(main, config, capsys):
    assert main([config]) == 0
    out = capsys.readouterr().out
    assert "| train | NIHChestXray14 | NIH ChestX-ray14 |      3 |        2 |          0 |" in out
    assert out.strip().endswith("no leak found")
    assert main([config, "--cfg-options", "train_dataloader.dataset.split=all"]) == 1
    assert "LEAK: train and test: 1 patients (1 and 1 images)\n" in capsys.readouterr().out


def test_ids_are_printed_only_when_asked_for(main, config, capsys, nih_folder):
    options = ["--cfg-options", "train_dataloader.dataset.split=all"]
    main([config, *options])
    hidden = capsys.readouterr().out
    assert "00000003" not in hidden
    assert str(nih_folder) not in hidden.replace(config, "")
    main([config, "--show-ids", *options])
    assert "LEAK: train and test: 1 patients (1 and 1 images): 3\n" in capsys.readouterr().out


def test_pretraining_is_compared(main, config, capsys, tmp_path):
    before = tmp_path / "before.py"
    before.write_text(f"_base_ = [{config!r}]\ntrain_dataloader = dict(dataset=dict(split='test'))\n")
    assert main([config, "--pretrain", str(before)]) == 1
    out = capsys.readouterr().out
    assert "LEAK: pretrain/train and test: 1 patients" in out
    assert "LEAK: train and test" not in out


def test_the_shipped_pretraining_and_evaluation_on_nih_hold_no_leak(main, real_data, monkeypatch, capsys):
    """The validation patients are a part of train_val, on which NIH's pre-training trains without labels."""
    monkeypatch.setenv("OTCXR_NIH", str(real_data / "nih"))
    assert main(["linear_r50_nih.py", "--pretrain", "otcxr_r50_nih.py"]) == 0
    out = capsys.readouterr().out
    assert "note: pretrain/train and val: 64 patients (85 and 85 images)" in out
    assert out.strip().endswith("no leak found, but pre-training has seen validation data: see the note")


def test_pixels(main, config, nih_folder, capsys):
    (nih_folder / "images/00000003_000.png").write_bytes((nih_folder / "images/00000002_000.png").read_bytes())
    assert main([config]) == 0
    for how in ([], ["decoded"], ["bytes"]):
        assert main([config, "--pixels", *how]) == 1
        assert "LEAK: train and test: 1 pairs of files with the same content" in capsys.readouterr().out


def test_a_config_without_data_is_a_wrong_command_line(main, tmp_path, capsys):
    (tmp_path / "empty.py").write_text("model = dict()\n")
    with pytest.raises(SystemExit) as status:
        main([str(tmp_path / "empty.py")])
    assert status.value.code == 2
    assert "has no train_dataloader, val_dataloader or test_dataloader" in capsys.readouterr().err


def test_only_a_leak_has_the_status_of_a_leak(main, config, capsys):
    for option in ("train_dataloader.dataset.data_root=/nowhere/at/all", "train_dataloader.dataset.fraction=7"):
        assert main([config, "--cfg-options", option]) == 2
        err = capsys.readouterr().err
        assert "error: " in err
        assert "nowhere" in err or "fraction must be above 0" in err
        assert "Traceback" not in err
    # what nobody thought of
    assert main([config, "--cfg-options", "train_dataloader.dataset.type=Unheard"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_images_that_are_no_files(main, real_data, tmp_path, capsys):
    one = f"dict(type='otcxr_mm.MedMNISTCXR', data_root={str(real_data / 'medmnist')!r}, "
    one += "ann_file='pneumoniamnist.npz', split="
    config = tmp_path / "mine.py"
    config.write_text(f"val_dataloader = dict(dataset={one}'val'))\ntest_dataloader = dict(dataset={one}'test'))\n")
    assert main([str(config), "--pixels"]) == 0
    assert "cannot be read" not in capsys.readouterr().out
    assert main([str(config), "--pixels", "bytes"]) == 0
    assert "val: all images in one file, no files to compare" in capsys.readouterr().out


def test_help_imports_nothing_heavy(python):
    script = "import sys, runpy; sys.argv = ['audit.py', '--help']\n"
    script += "try: runpy.run_path('tools/audit.py', run_name='__main__')\n"
    script += "except SystemExit: pass\n"
    script += "heavy = {'torch', 'mmengine', 'mmcv', 'mmpretrain', 'numpy'} & set(sys.modules)\nassert not heavy, heavy"
    output = python("-c", script).stdout
    for option in ("--pretrain", "--pixels", "--show-ids", "--cfg-options"):
        assert option in output
