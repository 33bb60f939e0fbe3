"""Tables of runs: means over runs, intervals over patients, paired differences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..evaluation.statistics.bootstrap import DRAWS
from .draws import MACRO, METRICS, NAMES, patient_draws, run_draws, with_interval
from .runs import Run

PROTOCOLS = ("linear", "knn", "frozen", "finetune")
RANDOM_INIT = "random init"


@dataclass
class Table:
    """Figures of one task.

    Attributes:
        runs: Its runs.
        metric: One of :data:`METRICS`.
        by: What the columns are: fraction or class.
        draws: Bootstrap draws.
        reference: Method that the differences are to; None if there are no differences.
        cells: A row per figure: protocol, method, fraction, class, metric; value (mean over the runs), low and high
            (95 % interval), sd (of the runs' values), runs (how many), draws, seeds, configs; reference, difference,
            difference_low, difference_high, difference_runs; best (1 if none in its column and protocol is better).
            NaN for what is not defined.
    """

    runs: list[Run]
    metric: str
    by: str
    draws: int
    reference: str | None
    cells: pd.DataFrame

    @property
    def name(self) -> str:
        """The metric's name and unit."""
        return NAMES[self.metric] + (f" ({self.runs[0].details['hd95_unit']})" if self.metric == "hd95" else "")

    @property
    def digits(self) -> int:
        """Printed decimals."""
        return 2 if self.metric == "hd95" else 3

    @property
    def columns(self) -> list[float] | list[str]:
        """Fractions, or "macro" and the names of the classes."""
        found = self.cells[self.by].unique().tolist()
        return sorted(found) if self.by == "fraction" else found


def build_tables(
    groups: Sequence[Sequence[Run]],
    metric: str | None = None,
    by: str = "fraction",
    reference: str | None = None,
    draws: int = DRAWS,
) -> list[Table]:
    """Builds one table per task, or per task and fraction.

    Args:
        groups: From :func:`tasks`.
        metric: One of :data:`METRICS`; tasks without it are left out. None: auroc for classification, dice for
            segmentation.
        by: Columns: fraction (of the training patients; figures are means over classes), or class (one table per
            fraction).
        reference: Method that differences are to; None: "random init" if there is one, or else the first.
        draws: Bootstrap draws of patients.

    Raises:
        ValueError: If no task has the metric, no run is of the reference, or units differ.
    """
    chosen = [group for group in groups if metric is None or metric in METRICS[group[0].task]]
    if not chosen:
        raise ValueError(f"--metric {metric}: these runs are of {', '.join({group[0].task: 0 for group in groups})}")
    methods = list(dict.fromkeys(run.method for group in chosen for run in group))
    if reference not in (None, *methods):
        raise ValueError(f"--reference {reference}: no such method; there are {', '.join(methods)}")
    tables = []
    for group in chosen:
        of_task = metric or METRICS[group[0].task][0]
        if of_task == "hd95" and len(units := {run.details["hd95_unit"]: str(run.folder) for run in group}) > 1:
            raise ValueError(f"HD95 has different units: {units}. Test all runs with the same pixel_spacing")
        counts = patient_draws(group[0], draws)
        drawn = {run: run_draws(run, of_task, counts) for run in group}
        fractions = sorted({run.fraction for run in group})
        for shown in [[fraction] for fraction in fractions] if by == "class" else [fractions]:
            runs = [run for run in group if run.fraction in shown]
            cells = _cells(runs, [MACRO, *runs[0].classes] if by == "class" else [MACRO], of_task, reference, drawn)
            against = cells["reference"].dropna()
            tables.append(Table(runs, of_task, by, draws, None if against.empty else against.iloc[0], cells))
            cells["best"] = _best(cells, tables[-1].digits, "min" if of_task == "hd95" else "max")
    return tables


def _cells(
    runs: Sequence[Run], names: Sequence[str], metric: str, reference: str | None, drawn: Mapping[Run, np.ndarray]
) -> pd.DataFrame:
    methods = list(dict.fromkeys(run.method for run in runs))
    reference = reference or (RANDOM_INIT if RANDOM_INIT in methods else methods[0])
    ranks = {name: i for i, name in enumerate(PROTOCOLS)}
    groups: dict[tuple, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (ranks.get(run.protocol, 9), run.protocol, methods.index(run.method))):
        groups.setdefault((run.protocol, run.method, run.fraction), []).append(run)
    cells = []
    for (protocol, method, fraction), ours in groups.items():
        theirs = groups.get((protocol, reference, fraction), []) if method != reference else []
        for k, name in enumerate(names):
            what = {"protocol": protocol, "method": method, "fraction": fraction, "class": name, "metric": metric}
            cells.append({**what, **_figure(ours, drawn, k), **_difference(ours, theirs, drawn, k)})
    return pd.DataFrame(cells)


def _figure(runs: Sequence[Run], drawn: Mapping[Run, np.ndarray], k: int) -> dict:
    value, low, high = with_interval(_mean(runs, drawn, k))
    sd = np.std([drawn[run][0, k] for run in runs], ddof=1) if len(runs) > 1 else np.nan
    used = {f"{key}s": joined((getattr(run, key) for run in runs), " ") for key in ("draw", "seed", "config")}
    return {"value": value, "low": low, "high": high, "sd": sd, "runs": len(runs), **used}


def _difference(ours: Sequence[Run], theirs: Sequence[Run], drawn: Mapping[Run, np.ndarray], k: int) -> dict:
    """The difference over the draws of training patients that both have."""
    common = {run.draw for run in ours} & {run.draw for run in theirs}
    names = ("difference", "difference_low", "difference_high")
    if not common:
        return dict.fromkeys(("reference", *names, "difference_runs"))
    ours, theirs = ([run for run in runs if run.draw in common] for runs in (ours, theirs))
    values = with_interval(_mean(ours, drawn, k) - _mean(theirs, drawn, k))
    return {"reference": theirs[0].method, **dict(zip(names, values, strict=True)), "difference_runs": len(ours)}


def _mean(runs: Sequence[Run], drawn: Mapping[Run, np.ndarray], k: int) -> np.ndarray:
    """Mean over the runs in each draw, (1 + draws,); several runs are resampled with replacement, as patients are.

    Runs with the same draw of training patients stay together, and all methods get the same draws of runs.
    """
    by_draw: dict[int, list[np.ndarray]] = {}
    for run in runs:
        by_draw.setdefault(run.draw, []).append(drawn[run][:, k])
    single = np.stack([np.mean(by_draw[draw], axis=0) for draw in sorted(by_draw)])
    count = len(single)
    times = np.random.default_rng(count).multinomial(count, np.full(count, 1 / count), size=single.shape[1]).T / count
    times[:, 0] = 1 / count  # the test set itself
    return (times * single).sum(0)


def _best(cells: pd.DataFrame, digits: int, best: str) -> pd.Series:
    """1 where no other cell of the column and protocol prints a better value; 0 where there is no other."""
    printed = cells["value"].map(lambda value: round(value, digits))
    rivals = printed.groupby([cells[key] for key in ("protocol", "fraction", "class")])
    return ((printed == rivals.transform(best)) & (rivals.transform("count") > 1)).astype(int)


def joined(values: Iterable[object], separator: str = ", ") -> str:
    """Distinct values as text, in order of first appearance."""
    return separator.join(dict.fromkeys(map(str, values)))
