"""Labels mined from reports as CheXpert's labeler writes them: 1, 0, -1 for uncertain, blank for not mentioned."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..utils.markdown import markdown
from .labels import normal_form

# what tables write: as integers, as floats, or as pandas writes a blank
MARKS = {"1.0": 1.0, "1": 1.0, "0.0": 0.0, "0": 0.0, "-1.0": -1.0, "-1": -1.0, "": np.nan, "nan": np.nan}
RULES = {"one": 1.0, "zero": 0.0, "ignore": np.nan}
BLANKS = {"negative": 0.0, "unknown": np.nan}
POLICIES: dict[str, dict[str, str]] = {
    # Irvin et al., CheXpert, AAAI 2019
    "U-Ones": {"default": "one"},
    "U-Zeros": {"default": "zero"},
    "U-Ignore": {"default": "ignore"},
    # the better of ones and zeros for each finding in that paper's comparison, as GLoRIA (Huang et al., ICCV 2021)
    # trains; it compared these five
    "U-Mixed": {
        "default": "ignore",
        **dict.fromkeys(("Atelectasis", "Edema", "Pleural Effusion"), "one"),
        **dict.fromkeys(("Cardiomegaly", "Consolidation"), "zero"),
    },
}


def uncertain_labels(policy: str | Mapping[str, str], classes: Sequence[str], source: str) -> np.ndarray:
    """The label that an uncertain mark of each class becomes, float32 (C,).

    Args:
        policy: The name of one of `POLICIES`; or ``'one'``, ``'zero'`` or ``'ignore'`` by class, and by ``'default'``
            for the classes that are not named.
        classes: Classes of the data set.
        source: The data set, named in errors.

    Raises:
        ValueError: If there is no such policy, rule or class.
    """
    if isinstance(policy, str):
        if policy not in POLICIES:
            raise ValueError(
                f"{source}: uncertain={policy!r} must be one of {list(POLICIES)}, or a rule per finding such as "
                "dict(default='ignore', Edema='one')"
            )
        policy = POLICIES[policy]
    rule_of = {normal_form(name): rule for name, rule in policy.items()}
    places = {normal_form(name) for name in classes}
    for name, rule in policy.items():
        if normal_form(name) not in {*places, "default"}:
            raise ValueError(
                f"{source}: uncertain names {name!r}, which is neither 'default' nor among {list(classes)}"
            )
        if rule not in RULES:
            raise ValueError(f"{source}: uncertain[{name!r}] must be one of {list(RULES)}, got {rule!r}")
    default = rule_of.get("default", "ignore")
    return np.array([RULES[rule_of.get(normal_form(name), default)] for name in classes], np.float32)


def labels_of(marks: np.ndarray, uncertain: float, blank: float) -> np.ndarray:
    """Labels of a class, float32 (n,), from its marks: 1, 0, -1 for uncertain, NaN for blank."""
    return np.where(np.isnan(marks), blank, np.where(marks == -1, uncertain, marks)).astype(np.float32)


def count_marks(marks: np.ndarray) -> tuple[int, int, int, int]:
    """How many marks of a class are positive, negative, uncertain and blank."""
    return tuple(int(kind.sum()) for kind in (marks == 1, marks == 0, marks == -1, np.isnan(marks)))


def policy_table(counts: np.ndarray, classes: Sequence[str], blank: str) -> str:
    """A Markdown table of what each policy makes of the marks.

    Args:
        counts: Of :func:`count_marks`, for each class, (C, 4).
        classes: Names of the classes.
        blank: ``'negative'`` or ``'unknown'``: what becomes of blanks.
    """
    rows = []
    for i, (name, (positive, negative, uncertain, blanks)) in enumerate(zip(classes, counts.tolist(), strict=True)):
        known = negative + (blanks if blank == "negative" else 0)
        row = [name, positive, negative, uncertain, blanks]
        for policy in POLICIES:
            label = uncertain_labels(policy, classes, "")[i]
            row.append(f"{positive + uncertain * (label == 1):.0f} / {known + uncertain * (label == 0):.0f}")
        rows.append(row)
    head = ("finding", "positive", "negative", "uncertain", "blank", *(f"{name}: 1 / 0" for name in POLICIES))
    return "\n".join(markdown(head, rows))
