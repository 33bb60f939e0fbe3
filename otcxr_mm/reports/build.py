"""From runs to tables: mean over runs, intervals over patients, differences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..evaluation.statistics.bootstrap import FEWEST
from .draws import DRAWS, patient_draws, point_and_interval, run_draws
from .runs import Run, short

METRICS = {"classification": ("auroc", "auprc"), "segmentation": ("dice", "iou", "hd95")}
NAMES = {"auroc": "AUROC", "auprc": "AUPRC", "dice": "Dice", "iou": "IoU", "hd95": "HD95"}
LOWER_IS_BETTER = ("hd95",)
PROTOCOLS = ("linear", "knn", "frozen", "finetune")
MACRO = "macro"
RANDOM_INIT = "random init"


@dataclass(frozen=True)
class Cell:
    """A figure with its 95 % interval; None for what is not defined.

    Attributes:
        value: On the test set, mean over the runs.
        low: Lower end.
        high: Upper end.
        sd: Standard deviation of the runs' values; None for a single run.
        runs: The runs.
        best: Whether no other of its column, within its protocol, is better.
    """

    value: float | None
    low: float | None
    high: float | None
    sd: float | None
    runs: tuple[Run, ...]
    best: bool = False

    @property
    def differs(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and (self.low > 0 or self.high < 0)


@dataclass
class Table:
    """Figures of one task.

    Attributes:
        task: classification or segmentation.
        metric: Key of :data:`METRICS`.
        by: What the columns are: fraction or class.
        fraction: Of all runs, where the columns are classes.
        runs: All of them.
        rows: (protocol, method).
        columns: Fractions, or names of classes.
        cells: (protocol, method, column) to figure.
        reference: Method that the differences are to; None if there are none.
        differences: As `cells`.
        warnings: To print under the table.
    """

    task: str
    metric: str
    by: str
    fraction: float | None
    runs: list[Run]
    rows: list[tuple[str, str]]
    columns: list[float] | list[str]
    draws: int
    cells: dict[tuple, Cell] = field(default_factory=dict)
    reference: str | None = None
    differences: dict[tuple, Cell] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """One line."""
        test = self.runs[0].test
        which = self.name + (f" by {self.by}" if self.by == "class" else "")
        share = "" if self.fraction is None else f", {percent(self.fraction)} of the training patients"
        name = self.runs[0].test_name or test["type"]
        return f"{which}: {name}" + (f", {test['split']}" if test["split"] else "") + share

    @property
    def name(self) -> str:
        """The metric's name, with its unit."""
        unit = self.runs[0].record["details"].get("hd95_unit") if self.metric == "hd95" else None
        return NAMES[self.metric] + (f" ({unit})" if unit else "")

    @property
    def digits(self) -> int:
        """Decimals that are printed."""
        return 2 if self.metric == "hd95" else 3

    def head(self, column: float | str) -> str:
        """A column's title."""
        return percent(column) if self.by == "fraction" else str(column)

    def notes(self) -> list[str]:
        """What stands under the table."""
        test, classes = self.runs[0].test, self.runs[0].classes
        patients = len(np.unique(self.runs[0].arrays["patient"]))
        known = f"{test['patients']} patients" if test["patients"] else "patients unknown"
        if test["patients"] and patients != test["patients"]:
            known += f", {patients} units drawn (an image without a patient is one)"
        lower = ", lower is better" if self.metric in LOWER_IS_BETTER else ""
        lines = [
            f"Test set: {test['images']} images, {known}, {len(classes)} classes, SHA-256 {short(test['sha256'])}.",
            f"{self.name}{lower}; "
            + ("mean over the classes that are defined. " if self.by == "fraction" else "")
            + f"Brackets: 95 % interval over {self.draws} bootstrap draws of patients, the same for all runs; where a "
            "cell is the mean of several runs (xN), of these runs, too, so that it says how sure a figure is for other "
            "patients and other draws of training patients and seeds (of few runs a little too narrow).",
        ]
        bare = any(cell.low is None and cell.value is not None for cell in self.cells.values())
        if bare and self.task == "classification":
            lines.append(f"[–]: no interval, a class has fewer than {FEWEST} patients with the finding, or without it.")
        lines.append(
            "Bold: the best of a column within its protocol."
            + " In the differences: the interval excludes zero; not corrected for their number." * bool(self.reference)
        )
        values = {key: _unique(r.record[key] for r in self.runs) for key in ("config", "seed", "draw")}
        lines.append("; ".join(f"{key}s: {', '.join(map(str, found))}" for key, found in values.items()) + ".")
        return lines + [f"Warning: {line}" for line in self.warnings]


def percent(fraction: float) -> str:
    """A fraction as it is printed."""
    return f"{100 * fraction:g} %"


def build_tables(
    groups: Sequence[Sequence[Run]],
    metric: str | None = None,
    by: str = "fraction",
    reference: str | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Table]:
    """Tables of runs.

    Args:
        groups: What :func:`tasks` gave.
        metric: Of :data:`METRICS`; None: auroc for classification, dice for segmentation. Tasks without it are left
            out.
        by: Columns: fraction (of the training patients; figures are means over classes), or class (a table for each
            fraction).
        reference: Method that differences are to; None: "random init" if there is one, else the first.
        draws: Bootstrap draws of patients.
        seed: Of the draws.

    Raises:
        ValueError: If no task has the metric, or no run is of the reference.
    """
    chosen = [g for g in groups if metric is None or metric in METRICS[g[0].task]]
    if not chosen:
        raise ValueError(f"--metric {metric}: these runs are of {', '.join(_unique(g[0].task for g in groups))}")
    methods = _unique(run.method for group in chosen for run in group)
    if reference is not None and reference not in methods:
        raise ValueError(f"--reference {reference}: no such method; there are {', '.join(methods)}")
    tables = []
    for group in chosen:
        of_task = metric or METRICS[group[0].task][0]
        counts = patient_draws(group[0], draws, seed)
        values = {id(run): run_draws(run, of_task, counts) for run in group}
        if of_task == "hd95":
            _check_units(group)
        fractions = sorted({run.record["fraction"] for run in group})
        for fraction in [None] if by == "fraction" else fractions:
            runs = [run for run in group if fraction is None or run.record["fraction"] == fraction]
            table = Table(
                task=group[0].task,
                metric=of_task,
                by=by,
                fraction=fraction,
                runs=runs,
                rows=_rows(runs),
                columns=fractions if by == "fraction" else [MACRO, *group[0].classes],
                draws=draws,
                warnings=[*_training_warnings(runs), *_defined_warnings(runs, of_task)],
            )
            _fill(table, values)
            _subtract(table, values, reference)
            tables.append(table)
    return tables


def _unique(values: Iterable) -> list:
    """In order of first appearance."""
    return list(dict.fromkeys(values))


def _rows(runs: Sequence[Run]) -> list[tuple[str, str]]:
    found = _unique((run.record["protocol"], run.method) for run in runs)
    methods = _unique(run.method for run in runs)
    known = {name: i for i, name in enumerate(PROTOCOLS)}
    return sorted(found, key=lambda row: (known.get(row[0], len(known)), row[0], methods.index(row[1])))


def _training_warnings(runs: Sequence[Run]) -> list[str]:
    first: dict[tuple, Run] = {}
    lines = []
    for run in runs:
        digest, key = run.record["train"]["sha256"], (run.record["fraction"], run.record["draw"])
        if digest is None:
            continue
        other = first.setdefault(key, run)
        if other.record["train"]["sha256"] != digest:
            lines.append(
                f"{other.folder} and {run.folder} were trained on different images, though fraction {key[0]:g} and "
                f"draw {key[1]} are the same: {short(other.record['train']['sha256'])} and {short(digest)}"
            )
    return lines


def _defined_warnings(runs: Sequence[Run], metric: str) -> list[str]:
    """A mean over the images that a method gets right enough to be measured flatters it."""
    if runs[0].task != "segmentation":
        return []
    known = {run.folder: int(np.isfinite(run.arrays[metric]).sum()) for run in runs}
    if len(set(known.values())) < 2:
        return []
    few, many = min(known, key=known.get), max(known, key=known.get)
    return [
        f"{NAMES[metric]} is not defined for as many masks in each run, {known[few]} in {few} and {known[many]} in "
        f"{many}: their means are not of the same images"
    ]


def _check_units(runs: Sequence[Run]) -> None:
    first = runs[0]
    for run in runs:
        units = [r.record["details"].get("hd95_unit") for r in (run, first)]
        if units[0] != units[1]:
            raise ValueError(
                f"{run.folder} has HD95 in {units[0]} and {first.folder} in {units[1]}: test both with the same "
                "pixel_spacing"
            )


def _of_cell(table: Table, protocol: str, method: str, column: float | str) -> list[Run]:
    return [
        run
        for run in table.runs
        if (run.record["protocol"], run.method) == (protocol, method)
        and (table.by == "class" or run.record["fraction"] == column)
    ]


def _mean(runs: Sequence[Run], values: Mapping[int, np.ndarray], k: int) -> np.ndarray:
    """Mean over the runs in each draw, (1 + draws,); several runs are drawn with replacement as the patients are.

    Runs of one number of draw of the training patients stay together, and the same numbers are drawn for all methods.
    """
    by_draw: dict[int, list[np.ndarray]] = {}
    for run in runs:
        by_draw.setdefault(run.record["draw"], []).append(values[id(run)][:, k])
    single = np.stack([np.mean(by_draw[draw], axis=0) for draw in sorted(by_draw)])
    count = len(single)
    times = np.random.default_rng(count).multinomial(count, np.full(count, 1 / count), size=single.shape[1]).T / count
    times[:, 0] = 1 / count  # the test set itself
    return (times * single).sum(0)


def _fill(table: Table, values: Mapping[int, np.ndarray]) -> None:
    for i, column in enumerate(table.columns):
        k = i if table.by == "class" else 0
        for protocol, method in table.rows:
            runs = _of_cell(table, protocol, method, column)
            if runs:
                single = [values[id(run)][0, k] for run in runs]
                sd = float(np.std(single, ddof=1)) if len(runs) > 1 and np.isfinite(single).all() else None
                cell = Cell(*point_and_interval(_mean(runs, values, k)), sd, tuple(runs))
                table.cells[protocol, method, column] = cell
        for protocol in {row[0] for row in table.rows}:
            _mark_best(table, protocol, column)


def _mark_best(table: Table, protocol: str, column: float | str) -> None:
    """Marks the best of a column, and all that print the same."""
    cells = {key: cell for key, cell in table.cells.items() if (key[0], key[2]) == (protocol, column)}
    printed = {key: round(cell.value, table.digits) for key, cell in cells.items() if cell.value is not None}
    if len(printed) < 2:
        return
    best = (min if table.metric in LOWER_IS_BETTER else max)(printed.values())
    for key, value in printed.items():
        if value == best:
            table.cells[key] = Cell(**{**vars(cells[key]), "best": True})


def _subtract(table: Table, values: Mapping[int, np.ndarray], reference: str | None) -> None:
    """Differences to the reference, over the draws of the training patients that both have."""
    methods = _unique(run.method for run in table.runs)
    if reference is None:
        reference = RANDOM_INIT if RANDOM_INIT in methods else methods[0]
    if reference not in methods or len(methods) < 2:
        return
    table.reference = reference
    for i, column in enumerate(table.columns):
        k = i if table.by == "class" else 0
        for protocol, method in table.rows:
            theirs = _of_cell(table, protocol, reference, column)
            ours = _of_cell(table, protocol, method, column)
            common = {r.record["draw"] for r in ours} & {r.record["draw"] for r in theirs}
            ours, theirs = ([r for r in runs if r.record["draw"] in common] for runs in (ours, theirs))
            if method == reference or not common:
                continue
            difference = _mean(ours, values, k) - _mean(theirs, values, k)
            table.differences[protocol, method, column] = Cell(*point_and_interval(difference), None, tuple(ours))
