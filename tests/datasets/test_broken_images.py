"""Broken images while training: skipped, counted, logged once, and the end of the run if they are many."""

import pytest
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader

import otcxr_mm
from otcxr_mm.datasets.broken import TooManyBrokenImages
from tests.conftest import write_image

PIPELINE = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.TwoViewCrop", size=8),
    dict(type="otcxr_mm.PackViews"),
]


@pytest.fixture
def folder(tmp_path):
    for i in range(20):
        write_image(tmp_path / f"{i:02d}.png", (20, 20))
    (tmp_path / "03.png").write_bytes(b"")
    (tmp_path / "11.png").write_bytes((tmp_path / "11.png").read_bytes()[:100])
    return tmp_path


def indices(data, workers, epochs=(0,)):
    seen = []
    loader = DataLoader(data, 4, num_workers=workers, collate_fn=default_collate)
    for epoch in epochs:
        data.set_epoch(seed=1, epoch=epoch)
        seen.append([s.sample_idx for batch in loader for s in batch["data_samples"]])
    return seen


def test_another_image_takes_its_place_the_same_for_any_number_of_workers(folder):
    def fresh():
        return otcxr_mm.UnlabeledCXR(folder, pipeline=PIPELINE, max_broken=0.1)

    seen = {workers: indices(fresh(), workers, epochs=(0, 1)) for workers in (0, 2)}
    assert seen[0] == seen[2]
    for epoch in seen[0]:
        assert len(epoch) == 20
        assert not {3, 11} & set(epoch)
        assert all(epoch[i] == i for i in range(20) if i not in (3, 11))
    assert seen[0][0][3] != seen[0][1][3]  # epochs draw differently


def test_each_is_logged_once_with_its_path_and_workers_share_the_count(folder, log):
    data = otcxr_mm.UnlabeledCXR(folder, pipeline=PIPELINE, max_broken=0.1)
    indices(data, 0, epochs=(0, 1))
    lines = [r.getMessage() for r in log.records if "broken image" in r.getMessage()]
    assert len(lines) == 2
    assert "(1 so far, at most 2 of 20)" in lines[0]
    assert "03.png: the file is empty" in lines[0]
    assert "11.png: truncated" in lines[1]
    fresh = otcxr_mm.UnlabeledCXR(folder, pipeline=PIPELINE, max_broken=0.1)
    indices(fresh, 2)
    assert len(fresh.broken) == 2


@pytest.mark.parametrize(
    ("workers", "kwargs", "message"),
    [
        (0, dict(max_broken=0.09), r"2 of 20 images are broken, more than max_broken=0.09[\s\S]*03.png[\s\S]*11.png"),
        (1, dict(max_broken=0.09), r"2 of 20 images are broken, more than max_broken=0.09[\s\S]*03.png[\s\S]*11.png"),
    ],
)
def test_too_many_end_the_run_with_their_list(folder, workers, kwargs, message):
    with pytest.raises(TooManyBrokenImages, match=message):
        indices(otcxr_mm.UnlabeledCXR(folder, pipeline=PIPELINE, **kwargs), workers)


def test_images_that_vanish_while_training(folder):
    data = otcxr_mm.UnlabeledCXR(folder, pipeline=PIPELINE, max_broken=0.2)
    (folder / "05.png").unlink()
    (folder / "06.png").unlink(), (folder / "06.png").mkdir()
    indices(data, 0)
    assert len(data.broken) == 4
    assert "06.png: no such image file" in data.broken.reasons[6]


def test_other_errors_are_not_swallowed(folder):
    class Fails:
        def __call__(self, results):
            raise ValueError("a mistake in a transform")

    with pytest.raises(ValueError, match="a mistake in a transform"):
        otcxr_mm.UnlabeledCXR(folder, pipeline=[Fails()], max_broken=1)[0]


def test_when_all_are_broken_it_ends(folder):
    for path in folder.iterdir():
        path.write_bytes(b"")
    data = otcxr_mm.UnlabeledCXR(folder, pipeline=PIPELINE, max_broken=1)
    with pytest.raises(RuntimeError, match="the pipeline returned nothing for 1001 images in a row"):
        data[0]
