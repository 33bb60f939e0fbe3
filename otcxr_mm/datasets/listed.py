"""The images that published weights were trained on, by name, for whoever does not have the files."""

import csv
import gzip
import io
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..utils.files import write_whole
from .base import BaseCXRDataset
from .records import Records
from .tables import read_csv

IMAGES = "images.csv.gz"
COLUMNS = ("collection", "image", "patient")


class ListedCXR(BaseCXRDataset):
    """Images of a published collection that a list names: for :func:`.audit.audit`, not to be read.

    Args:
        file: A list, as :func:`write_list` writes it.
        collection: The collection whose images are taken.
    """

    def __init__(self, file: Path, collection: str) -> None:
        self.collection = collection
        super().__init__(str(file.parent), file.name, check_files=False)

    def load_records(self) -> Records:
        """Names and patients of the images of the collection."""
        table = read_csv(self.root / self.ann_file, COLUMNS)
        own = table["collection"] == self.collection
        return Records(table["image"][own], table["patient"][own])


def listed_images(folder: Path) -> list[ListedCXR]:
    """The images that the weights in a folder were trained on, a data set per collection; none without a list."""
    file = folder / IMAGES
    if not file.is_file():
        return []
    return [ListedCXR(file, str(name)) for name in np.unique(read_csv(file, COLUMNS)["collection"])]


def write_list(folder: Path, images: Iterable[tuple[str, str, str]]) -> None:
    """Writes collection, file name and patient of each image beside weights; the same images give the same bytes."""
    text, data = io.StringIO(), io.BytesIO()
    rows = sorted({(collection, os.path.basename(image), patient) for collection, image, patient in images})
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    with gzip.GzipFile(fileobj=data, mode="wb", mtime=0) as stream:
        stream.write(text.getvalue().encode())
    write_whole(folder / IMAGES, data.getvalue())
