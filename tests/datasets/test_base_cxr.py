import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import ConcatDataset, default_collate
from torch.utils.data import DataLoader

import otcxr_mm
from tests.conftest import write_image

PIPELINE = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.TwoViewCrop", size=24),
    dict(type="otcxr_mm.PhotometricCXR"),
    dict(type="otcxr_mm.PackViews"),
]


@pytest.fixture
def data(tmp_path):
    for i in range(11):
        write_image(tmp_path / f"{i:02d}.png", (40, 40))
    return otcxr_mm.UnlabeledCXR(tmp_path, pipeline=PIPELINE)


def epoch_of(loader):
    batches = list(loader)
    views = [torch.cat([b["inputs"][v] for b in batches]) for v in range(2)]
    matrices = np.stack([s.view_to_image for b in batches for s in b["data_samples"]])
    return torch.stack(views), matrices


@pytest.mark.parametrize("persistent", [False, True])
def test_views_are_the_same_for_any_number_of_workers(data, persistent):
    seen = {}
    for workers in (0, 1, 2):
        loader = DataLoader(
            data,
            4,
            num_workers=workers,
            collate_fn=default_collate,
            persistent_workers=persistent and workers > 0,
        )
        for epoch in (0, 1):
            data.set_epoch(seed=3, epoch=epoch)
            views, matrices = epoch_of(loader)
            first = seen.setdefault(epoch, (views, matrices))
            assert torch.equal(first[0], views)
            assert np.array_equal(first[1], matrices)
    assert not torch.equal(seen[0][0], seen[1][0])


def test_draws_depend_on_seed_epoch_and_index(data):
    def views(seed, epoch, index):
        data.set_epoch(seed, epoch)
        return data[index]["data_samples"].view_to_image

    base = views(0, 0, 0)
    assert np.array_equal(base, views(0, 0, 0))
    for other in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        assert not np.array_equal(base, views(*other))


def test_the_process_keeps_its_own_generators(data):
    data.set_epoch(0, 0)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    data[0]
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected


def test_without_the_hook_draws_are_free(data):
    assert not np.array_equal(data[0]["data_samples"].view_to_image, data[0]["data_samples"].view_to_image)


def test_the_clock_survives_a_copy_made_before_the_first_epoch(data):
    copied = pickle.loads(pickle.dumps(data))  # as spawned workers get it
    copied.set_epoch(0, 5)
    data.set_epoch(0, 5)
    assert np.array_equal(copied[2]["data_samples"].view_to_image, data[2]["data_samples"].view_to_image)


def test_sets_concatenate_and_draw_differently(data):
    from otcxr_mm.datasets.inspection import leaves

    other = pickle.loads(pickle.dumps(data))
    both = ConcatDataset([data, other])
    assert len(both) == 22
    for stream, leaf in enumerate(leaves(both)):
        leaf.set_epoch(0, 0, stream)
    assert not np.array_equal(both[0]["data_samples"].view_to_image, both[11]["data_samples"].view_to_image)
