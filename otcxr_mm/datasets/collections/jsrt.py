"""JSRT (Shiraishi et al., American Journal of Roentgenology 2000) as the Japanese society ships it."""

import re
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from ...registry import DATASETS
from ..base import BaseCXRDataset
from ..image_files import find_by_stem
from ..records import Records, parse_ages, parse_sexes

# images with a nodule (LN) and without (NN)
COUNTS = {"LN": 154, "NN": 93}
IMAGES = tuple(f"JPC{kind}{i:03d}" for kind, count in COUNTS.items() for i in range(1, count + 1))
LISTS = ("clndat_en.txt", "cnndat_en.txt")
# an entry begins with a file name; lines end with a carriage return alone, which some programs lose
ENTRY = re.compile(r"(JPC(LN|NN)\d{3})\.IMG(.*?)(?=JPC[LN]N\d{3}\.IMG|\Z)", re.S | re.I)
UNKNOWN_AGE = "?"


@DATASETS.register_module()
class JSRT(BaseCXRDataset):
    """247 digitised films, 154 with a lung nodule (100 malignant, 54 benign) and 93 without.

    The images as downloaded (`JPCLN001.IMG` to `JPCLN154.IMG`, `JPCNN001.IMG` to `JPCNN093.IMG`: 2048 x 2048 values of
    12 bits, big-endian, without a header, the lungs brighter than the bones, which LoadCXR inverts), in any folder
    below `img_prefix`; or conversions with the same names. The lists `CLNDAT_EN.txt` and `CNNDAT_EN.TXT`, in the folder
    or one below, give ages, sexes and which nodules are malignant; without them, these are unknown. Nodules have been
    confirmed by CT. No splits and no patient ids are published: each image counts as a patient of its own.

    Args:
        data_root: Folder of the images and lists.
        img_prefix: Folder of the images, searched with its subfolders.
        **kwargs: See :class:`BaseCXRDataset`, also for errors.
    """

    METAINFO = {"classes": ("Nodule", "Malignant nodule")}
    collection = "JSRT"

    def __init__(self, data_root: str, img_prefix: str = "", **kwargs: object) -> None:
        self.img_prefix = img_prefix
        super().__init__(data_root, **kwargs)

    def load_records(self) -> Records:
        """Finds the images, and reads the lists."""
        names, entries = np.array(IMAGES), self._entries()
        fields = [entries.get(name, ("", "", "")) for name in IMAGES]
        age, sex, diagnosis = (np.array(column) for column in zip(*fields, strict=True))
        nodule = np.char.startswith(names, "JPCLN")
        malignant = np.where(nodule & (diagnosis == ""), np.nan, diagnosis == "malignant")
        return Records(
            path=find_by_stem(self.root, self.img_prefix, names, ".IMG"),
            patient=names,
            view=np.full(len(names), "PA"),
            labels=np.stack([nodule, malignant], 1).astype(np.float32),
            age=parse_ages(age, self.root),
            sex=parse_sexes(sex, self.root),
        )

    def _entries(self) -> dict[str, tuple[str, str, str]]:
        """Age, sex and diagnosis of each image that a list names."""
        files = [file for file in (*self.root.glob("*.*"), *self.root.glob("*/*.*")) if self._is_list(file)]
        found: dict[str, tuple[str, str, str]] = {}
        for file in sorted(files):
            for name, entry in self._read(file):
                if found.setdefault(name, entry) != entry:
                    raise ValueError(f"{file}: {name} is in several entries: keep one of them")
        if len(found) < len(IMAGES):
            print_log(
                f"{self.root}: CLNDAT_EN.txt and CNNDAT_EN.TXT name {len(found)} of {len(IMAGES)} images; age, sex and "
                "'Malignant nodule' of the others are unknown",
                "current",
            )
        return found

    @staticmethod
    def _is_list(file: Path) -> bool:
        return file.name.lower() in LISTS and file.is_file()

    @staticmethod
    def _read(file: Path) -> list[tuple[str, tuple[str, str, str]]]:
        """Names of a list, each with age, sex and diagnosis.

        An entry of the first list holds, separated by tabs, subtlety, size, age, sex, x, y, diagnosis and more; one of
        the second, separated by spaces, age, sex and 'non-nodule'.
        """
        entries = []
        for match in ENTRY.finditer(file.read_text(encoding="latin-1")):
            name, kind = match[1].upper(), match[2].upper()
            fields = re.split(r"[\s,]+", match[3].strip(" ,\t\r\n"))
            place, allowed = ((2, 3, 6), ("malignant", "benign")) if kind == "LN" else ((0, 1, 2), ("non-nodule",))
            if len(fields) <= place[-1] or fields[place[-1]].lower() not in allowed:
                raise ValueError(
                    f"{file}: {name}: {' '.join(fields)[:60]!r} does not have {' or '.join(allowed)} as field "
                    f"{place[-1] + 2}: download the list again"
                )
            age, sex, diagnosis = (fields[i].lower() for i in place)
            entries.append((name, ("" if age == UNKNOWN_AGE else age, sex, diagnosis)))
        if not entries:
            raise ValueError(f"{file}: no entry begins with a name such as JPCLN001.IMG: download the list again")
        return entries
