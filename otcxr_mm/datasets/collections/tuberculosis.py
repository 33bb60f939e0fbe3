"""Tuberculosis in Shenzhen and Montgomery County (Jaeger et al., Quant Imaging Med Surg 2014) as NLM ships it."""

import re
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..base import BaseCXRDataset
from ..image_files import stem, walk_images
from ..records import Records, parse_ages, parse_sexes

READINGS = "ClinicalReadings"
NAME = re.compile(r"((?:CHN|MCU)CXR_\d{4})_([01])")
# "Patient's Sex: F" and "Patient's Age: 027Y"; "male 45yrs", "femal 32yrs", "male 16month", "female24yrs"
SEX = re.compile(r"(?:\A|sex:)\s*([fm])(?:emale?|ale)?(?![a-z])", re.I)
AGE = re.compile(r"(?:\A[^\n]*?|age:\s*)(\d+)\s*(y|month|day)", re.I)
REPEATED = re.compile(r"same pt as (\w+_\d{4})", re.I)
# its reading only mentions earlier views, of one and two months ago, of a patient of this age and sex
SAME = {"MCUCXR_0170": "MCUCXR_0162"}


@DATASETS.register_module()
class TuberculosisCXR(BaseCXRDataset):
    """Radiographs with and without tuberculosis: 662 of Shenzhen (336 with) and 138 of Montgomery County (58 with).

    The folder as downloaded, `ChinaSet_AllFiles` or `MontgomerySet`, or one that holds the images of both:
    `CXR_png/CHNCXR_0001_0.png` and `CXR_png/MCUCXR_0001_0.png`, whose names end with the label, and
    `ClinicalReadings/*.txt`, from which ages and sexes are taken. An image is a patient of its own, apart from five of
    Montgomery County that show two patients, as their readings say. No splits are published.

    The lung masks are read by :class:`otcxr_mm.CXRSegmentation`.

    Args:
        data_root: That folder.
        img_prefix: Folder of the images, searched with its subfolders.
        **kwargs: See :class:`BaseCXRDataset`, also for errors.
    """

    METAINFO = {"classes": ("Tuberculosis",)}
    collection = "NLM tuberculosis"

    def __init__(self, data_root: str, img_prefix: str = "CXR_png", **kwargs: object) -> None:
        self.img_prefix = img_prefix
        super().__init__(data_root, **kwargs)

    def load_records(self) -> Records:
        """Lists the images, and reads their readings."""
        paths = walk_images(self.root, self.img_prefix)
        if not paths:
            raise FileNotFoundError(
                f"{self.root / self.img_prefix}: no images in this folder or below it: unpack NLM's archive there, or "
                "name the folder with img_prefix"
            )
        names = [self._parse(path) for path in paths]
        texts = [self._reading(path) for path in paths]
        if not any(texts):
            print_log(f"{self.root / READINGS}: no readings, so ages and sexes are unknown", "current")
        repeated = [REPEATED.search(text) for text in texts]
        same = {**SAME, **{name: found[1] for (name, _), found in zip(names, repeated, strict=True) if found}}
        ages = [f"{found[1]}{found[2][0]}" if (found := AGE.search(text)) else "" for text in texts]
        sexes = [found[1] if (found := SEX.search(text)) else "" for text in texts]
        return Records(
            path=np.array(paths),
            patient=np.array([same.get(name, name) for name, _ in names]),
            view=np.full(len(paths), "PA"),
            labels=np.array([[float(label)] for _, label in names], np.float32),
            age=parse_ages(np.array(ages), self.root / READINGS),
            sex=parse_sexes(np.array(sexes), self.root / READINGS),
        )

    def _parse(self, path: str) -> tuple[str, str]:
        """Name without the label, and label of an image."""
        match = NAME.fullmatch(stem(path))
        if match is None:
            raise ValueError(
                f"{self.root / path}: not named like CHNCXR_0001_0.png or MCUCXR_0001_1.png: set img_prefix to the "
                "folder of the radiographs alone"
            )
        return match[1], match[2]

    def _reading(self, path: str) -> str:
        """What radiologists wrote about an image, '' if there is no such file."""
        file = Path(self.root, READINGS, f"{stem(path)}.txt")
        return file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else ""
