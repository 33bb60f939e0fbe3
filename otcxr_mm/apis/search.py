"""Images that look alike to a backbone: exact search by the cosine of their features."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize


@dataclass(frozen=True)
class Archive:
    """What `otcxr embed` wrote: paths, features (n, D), and the SHA-256 of the weights, or "" if it is not recorded."""

    paths: list[str]
    features: Tensor
    weights: str

    @classmethod
    def read(cls, file: Path) -> "Archive":
        """Reads an `.npz`, and the JSON beside it.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not what `otcxr embed` writes.
        """
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such archive: write one with otcxr embed SOURCE IMAGES --out {file}")
        try:
            with np.load(file, allow_pickle=False) as arrays:
                paths, features = arrays["path"].tolist(), torch.from_numpy(arrays["embedding"])
            record = file.with_suffix(".json")
            weights = json.loads(record.read_text())["weights"]["sha256"] if record.is_file() else ""
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ValueError(f"{file}: not an .npz that otcxr embed wrote ({type(error).__name__}: {error})") from None
        if features.dim() != 2 or len(features) != len(paths) or not len(paths):
            raise ValueError(f"{file}: {len(paths)} paths, but features of the shape {tuple(features.shape)}")
        return cls(paths, features, weights)


def nearest(queries: Tensor, archive: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest features of an archive by cosine, after centring at the archive's mean.

    Without the centring, all radiographs look alike: they have much in common.

    Args:
        queries: Features, (m, D).
        archive: Features, (n, D).
        k: How many; at most n.

    Returns:
        Rows of the archive, (m, k), nearest first, and their cosines, (m, k).
    """
    centre = archive.float().mean(0)
    bank = normalize(archive.float() - centre, dim=1)
    # in blocks, so that the matrix of cosines stays small
    found = [
        (block @ bank.T).topk(min(k, len(bank))) for block in normalize(queries.float() - centre, dim=1).split(256)
    ]
    return torch.cat([rows for _, rows in found]), torch.cat([cosine for cosine, _ in found])
