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
        folder: Where the list lies.
        collection: The collection.
        listed: Names and patients of the images.
    """

    def __init__(self, folder: Path, collection: str, listed: Records) -> None:
        self.collection, self.listed = collection, listed
        super().__init__(str(folder), IMAGES, check_files=False)

    def load_records(self) -> Records:
        """Names and patients of the images."""
        return self.listed


def listed_images(folder: Path) -> list[ListedCXR]:
    """The images that the weights in a folder were trained on, a data set per collection; none without a list."""
    file = folder / IMAGES
    if not file.is_file():
        return []
    table = read_csv(file, COLUMNS)
    images = Records(table["image"], table["patient"])
    collections = table["collection"]
    return [ListedCXR(folder, str(name), images.take(collections == name)) for name in np.unique(collections)]


def write_list(folder: Path, images: Iterable[tuple[str, str, str]]) -> None:
    """Writes collection, file name and patient of each image beside weights; the same images give the same bytes."""
    text, data = io.StringIO(), io.BytesIO()
    rows = sorted({(collection, os.path.basename(image), patient) for collection, image, patient in images})
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    with gzip.GzipFile(fileobj=data, mode="wb", mtime=0) as stream:
        stream.write(text.getvalue().encode())
    write_whole(folder / IMAGES, data.getvalue())
