import os
import random
import tracemalloc
import zipfile

import pytest
import torch

from otcxr_mm.utils.checkpoints import latest_checkpoint, load_checkpoint


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "iter_2.pth"
    torch.save({"meta": {"iter": 2}, "state_dict": {"w": torch.arange(300.0), "b": torch.ones(3)}}, path)
    return path


def same(a, b):
    return str(a["meta"]) == str(b["meta"]) and all(
        torch.equal(x, b["state_dict"][n]) for n, x in a["state_dict"].items()
    )


def test_a_flipped_bit_is_refused_or_changes_nothing(file):
    whole, good = file.read_bytes(), load_checkpoint(file)
    draw, refused = random.Random(0), 0
    for _ in range(300):
        at, bit = draw.randrange(len(whole)), draw.randrange(8)
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        try:
            assert same(load_checkpoint(file), good), (at, bit)
        except ValueError as error:
            refused += str(error).startswith(f"{file}: ")
    assert refused > 200  # the rest is padding, dates and the like


@pytest.mark.parametrize("cut", [0, 1, 3, 0.5, -1])
def test_what_is_cut_off_is_refused_and_the_newest_whole_one_is_named(file, cut):
    whole = file.read_bytes()
    for time, (name, content) in enumerate({"iter_4": whole, "iter_6": whole, "iter_8": whole[:-9]}.items()):
        file.with_name(f"{name}.pth").write_bytes(content)
        os.utime(file.with_name(f"{name}.pth"), (time, time))
    file.write_bytes(whole[: int(cut * len(whole)) if isinstance(cut, float) else cut])
    with pytest.raises(
        ValueError, match=r"iter_2.pth: .*not a checkpoint.*or take .*iter_6.pth, the newest whole checkpoint beside it"
    ):
        load_checkpoint(file)


@pytest.mark.parametrize("content", [b"hello", b"\x80\x02]q\x00.", bytes(1000), "é\n".encode()])
def test_what_is_no_checkpoint(file, content):
    file.write_bytes(content)
    with pytest.raises(ValueError, match="iter_2.pth: not a checkpoint.*copy it again, or name another file"):
        load_checkpoint(file)


@pytest.mark.parametrize("content", [[1], torch.ones(1), {"meta": [1]}, {"state_dict": 3}, {"message_hub": "a"}])
def test_data_of_another_kind(file, content):
    torch.save(content, file)
    with pytest.raises(ValueError, match="iter_2.pth: not a checkpoint"):
        load_checkpoint(file)


def test_a_file_does_not_become_larger_in_memory(file):
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data + (bytes(200_000_000) if name.endswith("data/0") else b""))
    assert file.stat().st_size < 1_000_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="compressed entries, which torch.save does not write"):
        load_checkpoint(file)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_what_others_declare_safe_stays_so_for_them(file):
    class Mine:
        pass

    with torch.serialization.safe_globals([Mine, (Mine, "another.Name")]):
        before = set(torch.serialization.get_safe_globals())
        load_checkpoint(file)
        file.write_bytes(b"")
        with pytest.raises(ValueError, match="the file is empty"):
            load_checkpoint(file)
        assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize("note", [b"\xff\xfe\x00", b"", b"\0", b"a\nb", b"x" * 5000, "ä".encode("latin-1")])
def test_a_damaged_note_of_the_last_checkpoint_is_ignored(file, note):
    (file.parent / "last_checkpoint").write_bytes(note)
    assert latest_checkpoint(str(file.parent)) == str(file)


def test_a_path_in_other_bytes_than_utf_8(file):
    folder = os.fsencode(file.parent) + b"/\xe4"
    os.mkdir(folder)
    os.rename(file, folder + b"/epoch_1.pth")
    (file.parent / "last_checkpoint").write_bytes(folder + b"/epoch_1.pth")
    found = latest_checkpoint(str(file.parent))
    assert os.fsencode(found) == folder + b"/epoch_1.pth"
