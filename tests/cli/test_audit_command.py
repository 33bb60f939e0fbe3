import pytest

from otcxr_mm.cli.audit import main


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


LEAK = ("--cfg-options", "train_dataloader.dataset.split=all")


def test_a_leak_names_ids_only_when_asked_to(config, capsys, nih_folder):
    assert main([config, *LEAK]) == 1
    hidden = capsys.readouterr().out
    assert "LEAK: train and test: 1 patients (1 and 1 images)\n" in hidden
    assert "00000003" not in hidden
    assert str(nih_folder) not in hidden
    assert main([config, "--show-ids", *LEAK]) == 1
    assert "LEAK: train and test: 1 patients (1 and 1 images): 3\n" in capsys.readouterr().out


def test_the_shipped_pretraining_and_evaluation_on_nih_hold_no_leak(real_data, monkeypatch, capsys):
    """The validation patients are a part of train_val, on which NIH's pre-training trains without labels."""
    monkeypatch.setenv("OTCXR_NIH", str(real_data / "nih"))
    assert main(["linear_r50_nih.py", "--pretrain", "otcxr_r50_nih.py"]) == 0
    assert "note: pretrain/train and val: 64 patients (85 and 85 images)" in capsys.readouterr().out


def test_copies_are_found_with_the_option_pixels(config, nih_folder, capsys):
    (nih_folder / "images/00000003_000.png").write_bytes((nih_folder / "images/00000002_000.png").read_bytes())
    assert main([config]) == 0
    assert "| train | NIHChestXray14 | NIH ChestX-ray14 |      3 |        2 |          0 |" in capsys.readouterr().out
    assert main([config, "--pixels"]) == 1
    assert "LEAK: train and test: 1 pairs of files with the same content" in capsys.readouterr().out


@pytest.mark.parametrize("more", [(), ("--verbose",)])
def test_a_failure_has_not_the_status_of_a_leak(config, capsys, more):
    assert main([config, *more, "--cfg-options", "train_dataloader.dataset.fraction=7"]) == 2
    err = capsys.readouterr().err
    assert "fraction must be above 0" in err
    assert ("Traceback" in err) == bool(more)


def test_a_config_without_data_is_not_declared_clean(tmp_path):
    (tmp_path / "empty.py").write_text("model = dict()\n")
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path / "empty.py")])
