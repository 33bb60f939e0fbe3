"""NIH ChestX-ray14: the README's order, from pre-training to the table."""

import csv

import pytest

from . import options, publishers
from .figures import assert_learnt, recorded


@pytest.fixture(scope="module")
def planted(tmp_path_factory, real_data):
    return publishers.nih(tmp_path_factory.mktemp("nih") / "nih", real_data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, otcxr, planted):
    """Where the commands run; pre-training is over."""
    folder = tmp_path_factory.mktemp("journey")
    small = options.cfg(options.pretraining(96))
    otcxr("train", "otcxr_r50_nih.py", *small, cwd=folder, env={"OTCXR_NIH": planted.root}, check=True)
    assert (folder / "work_dirs" / "otcxr_r50_nih" / "backbone.json").is_file()
    return folder


def run(otcxr, folder, planted, config, *more):
    small = options.cfg(options.loaders(16), options.size(112), *more)
    env = {"OTCXR_NIH": planted.root}
    otcxr("train", config, *small, cwd=folder, env=env, check=True)
    otcxr("test", f"work_dirs/{config.removesuffix('.py')}", cwd=folder, env=env, check=True)
    return folder / "work_dirs" / config.removesuffix(".py")


def test_from_pretraining_to_a_table(otcxr, folder, planted):
    linear = run(otcxr, folder, planted, "otcxr_linear_r50_nih.py")
    assert_learnt(linear, planted)
    knn = run(otcxr, folder, planted, "otcxr_knn_r50_nih.py", [f"train_cfg.cache={linear / 'features'}"])
    assert_learnt(knn, planted, 0.7)
