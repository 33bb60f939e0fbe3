import os
import sys
from pathlib import Path

# Tests run on the CPU, whose results are the same to the bit, also where there is a GPU; tests/test_cuda.py is for it:
#   OTCXR_TEST_GPU=1 python -m pytest tests/test_cuda.py
if not os.environ.get("OTCXR_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
# threads that wait do not spin: on a busy machine spinning costs more than all the work
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
# tests that run another process find the package and the tools from anywhere
os.environ.setdefault("PYTHONWARNINGS", "ignore")


def pytest_collection_modifyitems(items):
    """Groups first: one process runs each, and the others would wait for the last one."""
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@pytest.fixture(scope="session")
def real_data():
    """Folder with real radiographs; without it the tests that need them are skipped, in CI they fail."""
    folder = Path(os.environ.get("OTCXR_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder}: no real radiographs; CI must have them")
        pytest.skip("no real radiographs: set OTCXR_DATA")
    return folder.resolve()


@pytest.fixture(autouse=True)
def _same_draws():
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture
def python():
    """Runs a Python script in a process of its own, from the repository, and returns its output."""
    import subprocess

    def run(*args, check=True, **kwargs):
        result = subprocess.run(
            [sys.executable, *map(str, args)], cwd=ROOT, capture_output=True, text=True, timeout=300, **kwargs
        )
        if check and result.returncode:
            raise AssertionError(
                f"{args} ended with {result.returncode}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
            )
        return result

    return run


@pytest.fixture
def log(caplog):
    """What MMEngine's current logger says."""
    from mmengine.logging import MMLogger

    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def write_image(path, size=(40, 48), value=None):
    """A small grey PNG or JPEG."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    img = np.random.randint(0, 256, size, dtype=np.uint8) if value is None else np.full(size, value, np.uint8)
    assert cv2.imwrite(str(path), img)
    return img


@pytest.fixture
def nih_folder(tmp_path):
    """A small folder as NIH ships it: two patients for training, one for testing."""
    rows = [
        ("00000001_000.png", "Cardiomegaly|Effusion", 1, "PA"),
        ("00000001_001.png", "No Finding", 1, "AP"),
        ("00000002_000.png", "Hernia", 2, "PA"),
        ("00000003_000.png", "Pleural_Thickening", 3, "PA"),
    ]
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    header += "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    lines = [f"{image},{found},0,{patient},50,F,{view},2000,2000,0.1,0.1" for image, found, patient, view in rows]
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text("\n".join([header, *lines]) + "\n")
    (tmp_path / "train_val_list.txt").write_text("\n".join(r[0] for r in rows[:3]) + "\n")
    (tmp_path / "test_list.txt").write_text(rows[3][0] + "\n")
    for row in rows:
        write_image(tmp_path / "images" / row[0])
    return tmp_path
