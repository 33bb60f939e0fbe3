"""Label spaces that several data sets share, and what each set calls their findings."""

from collections.abc import Sequence

from .labels import normal_form

_CHEXPERT5 = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
LABEL_SPACES: dict[str, tuple[str, ...]] = {
    # the findings that CheXpert's competition is scored by (Irvin et al., AAAI 2019)
    "chexpert5": _CHEXPERT5,
    "chexpert14": (
        *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
        *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other"),
        *("Fracture", "Support Devices"),
    ),
    # NIH ChestX-ray14's, in its order
    "nih14": (
        *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax"),
        *("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
    ),
    # the same 14 (those of CheXNet, Rajpurkar et al. 2017) in PadChest's words
    "padchest_chexnet": (
        *("atelectasis", "cardiomegaly", "pleural effusion", "infiltrates", "mass", "nodule", "pneumonia"),
        *("pneumothorax", "consolidation", "pulmonary edema", "emphysema", "pulmonary fibrosis"),
        *("pleural thickening", "hiatal hernia"),
    ),
    # what NIH, CheXpert, BRAX, MIMIC-CXR and PadChest all label
    "common7": (*_CHEXPERT5, "Pneumonia", "Pneumothorax"),
}
# one finding under several names
_SYNONYMS = (
    ("effusion", "pleural effusion"),
    ("infiltration", "infiltrates"),
    ("edema", "pulmonary edema"),
    ("fibrosis", "pulmonary fibrosis"),
    ("hernia", "hiatal hernia"),
)


def _names_of(finding: str) -> Sequence[str]:
    form = normal_form(finding)
    return (form, *next((names for names in _SYNONYMS if form in names), ()))


def label_space(name: str, own: Sequence[str], source: str) -> dict[str, str | None]:
    """Finds the findings of a label space among a data set's classes.

    Args:
        name: One of `LABEL_SPACES`.
        own: Classes of the data set; none for a data set without labels.
        source: The data set, named in errors.

    Returns:
        The data set's own name of each finding, None where it has none: a value for `classes` of
        :class:`.base.BaseCXRDataset`.

    Raises:
        ValueError: If there is no such label space, or the data set has labels but none of these.
    """
    if name not in LABEL_SPACES:
        raise ValueError(f"{source}: classes={name!r} must be a list of names or one of {list(LABEL_SPACES)}")
    own_of = {normal_form(one): one for one in own}
    found = {
        finding: next((own_of[form] for form in _names_of(finding) if form in own_of), None)
        for finding in LABEL_SPACES[name]
    }
    if own and not any(found.values()):
        raise ValueError(f"{source}: none of the findings of {name!r} is among its classes {list(own)}")
    return found
