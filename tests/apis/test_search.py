"""Nearest images: a plain loop says the same, and what is no archive is refused."""

import numpy as np
import pytest
import torch

from otcxr_mm.apis.search import Archive, nearest


def test_neighbours_are_those_of_a_plain_loop():
    archive, queries = torch.randn(300, 16) + 5, torch.randn(700, 16) + 5
    rows, cosines = nearest(queries, archive, 4)
    assert rows.shape == cosines.shape == (700, 4)
    a, q = ((x - archive.mean(0)).double().numpy() for x in (archive, queries))
    for i in (0, 255, 256, 699):
        cosine = a @ q[i] / np.linalg.norm(a, axis=1) / np.linalg.norm(q[i])
        order = np.argsort(-cosine)[:4]
        assert rows[i].tolist() == order.tolist()
        np.testing.assert_allclose(cosines[i], cosine[order], atol=1e-5)
    assert nearest(archive, archive, 1)[0][:, 0].tolist() == list(range(300))
    assert nearest(queries, archive[:2], 5)[0].shape == (700, 2)


def test_what_is_no_archive_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such archive: write one with otcxr embed"):
        Archive.read(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", path=np.array(["x"]), embedding=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"1 paths, but features of the shape \(2, 3\)"):
        Archive.read(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", path=np.array(["x", "y"], dtype=object), embedding=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="not an .npz that otcxr embed wrote"):
        Archive.read(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"text")
    with pytest.raises(ValueError, match="not an .npz that otcxr embed wrote"):
        Archive.read(tmp_path / "a.npz")
