"""Rows on disk: a killed process loses little, and what the rows depend on is compared."""

import multiprocessing
import os
import signal

import numpy as np
import pytest

import otcxr_mm
from otcxr_mm.apis import rows as rows_module
from otcxr_mm.apis.images import find_images
from otcxr_mm.apis.rows import Rows, compute, key_of
from tests.apis.weights import write_classifier
from tests.conftest import write_image


@pytest.fixture
def images(tmp_path):
    for i in range(12):
        write_image(tmp_path / "in" / f"{i:02d}.png", (40, 40))
    (tmp_path / "in" / "05.png").write_bytes(b"")
    return find_images(tmp_path / "in")


def killed(folder, whole, places):
    """Puts rows that were computed before: a fork of a process whose threads have computed must not compute itself."""
    rows_module.SECONDS = 0  # in this process only: every row reaches the disk
    rows = Rows(folder, "key", len(whole.done))
    for place in places:
        rows.put(place, whole.values[place])
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_resumes_where_it_stopped(tmp_path, images):
    write_classifier(tmp_path)
    inferencer = otcxr_mm.CXRClassifierInferencer(tmp_path, device="cpu")
    whole = Rows(tmp_path / "whole", "key", len(images))
    reasons = {}
    for found in compute(inferencer, images, whole, 5, 0):
        reasons |= found
    assert [place for place, reason in reasons.items() if reason] == [5]
    process = multiprocessing.get_context("fork").Process(
        target=killed, args=(tmp_path / "killed", whole, [0, 1, 2, 3, 4, 6, 7])
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    rows = Rows(tmp_path / "killed", "key", len(images))
    assert rows.done.tolist() == [True] * 5 + [False] + [True] * 2 + [False] * 4
    again = {}
    for found in compute(inferencer, images, rows, 5, 0):
        again |= found
    assert list(again) == [5, 8, 9, 10, 11]  # the broken one is read again
    assert np.array_equal(rows.values[rows.done], whole.values[whole.done])
    rows.remove()
    assert not (tmp_path / "killed").exists()


def test_rows_of_other_weights_images_or_settings_are_dropped(tmp_path, images):
    rows = Rows(tmp_path / "rows", key_of("weights", images, None), len(images))
    rows.put(3, np.ones(2))
    rows.flush()
    assert Rows(tmp_path / "rows", key_of("weights", images, None), len(images)).done.sum() == 1
    write_image(tmp_path / "in" / "03.png", (41, 40))
    changed = [
        key_of("weights", images, None),
        key_of("other", images, None),
        key_of("weights", images[::-1], None),
        key_of("weights", images, 4095),
    ]
    assert len({*changed}) == 4
    assert not Rows(tmp_path / "rows", changed[0], len(images)).done.any()


def test_a_damaged_folder_is_started_anew(tmp_path):
    rows = Rows(tmp_path / "rows", "key", 4)
    rows.put(0, np.ones(2))
    rows.flush()
    (tmp_path / "rows" / "values.npy").write_bytes(b"x")
    assert not Rows(tmp_path / "rows", "key", 4).done.any()
