"""Tables of what `otcxr test` found, with its own intervals."""

from collections.abc import Mapping, Sequence

from ..evaluation.statistics.bootstrap import FEWEST
from .draws import MACRO, METRICS, NAMES
from .facts import Grid
from .runs import Run, short
from .text import MISSING
from .training import Training


def test_grids(trainings: Sequence[Training]) -> list[Grid]:
    """Metrics of the tests with their intervals: a table per test set and metric, a column per run."""
    groups: dict[tuple, list[tuple[str, Run]]] = {}
    for run in trainings:
        if tested := run.tested:
            key = (tested.task, *(str(tested.test[name]) for name in ("type", "split", "sha256", "classes")))
            groups.setdefault(key, []).append((run.name, tested))
    return [_test_grid(group, metric) for (task, *_), group in groups.items() for metric in METRICS[task]]


def _test_grid(group: Sequence[tuple[str, Run]], metric: str) -> Grid:
    runs = [run for _, run in group]
    test, details, unit = runs[0].test, runs[0].details, runs[0].details.get("hd95_unit")
    name = NAMES[metric] + (f" ({unit})" if metric == "hd95" else "")
    of = " of ".join(text for text in (test["split"], test["type"]) if text)
    caption = (
        f"{name} on {of}: {test['images']} images, {test['patients']} patients, SHA-256 {short(test['sha256'])}. "
        f"Brackets: 95 % interval over {details.get('draws') or 'no'} bootstrap draws of patients; "
        f"[{MISSING}]: none, a class has fewer than {FEWEST} patients with the finding, or without it."
    )
    macro = [run.details.get("macro") or run.details.get("mean") or {} for run in runs]
    classes = [{entry["name"]: entry for entry in run.details.get("classes", ())} for run in runs]
    digits = 2 if metric == "hd95" else 3
    rows = [[MACRO, *(_figure(entry, metric, digits) for entry in macro)]]
    rows += [[k, *(_figure(entries.get(k, {}), metric, digits) for entries in classes)] for k in runs[0].classes]
    return Grid(caption, ["Class", *(name for name, _ in group)], rows)


def _figure(entry: Mapping, metric: str, digits: int) -> str:
    """A metric with its interval, of a class or of the mean over classes."""
    found = entry.get(metric)
    if not isinstance(found, Mapping):  # a mask's metrics have theirs inside
        found = {"mean": found, "interval": entry.get(f"{metric}_interval")}
    value, ends = found["mean"], found["interval"]
    if value is None:
        return MISSING
    return f"{value:.{digits}f} [" + (", ".join(f"{end:.{digits}f}" for end in ends) if ends else MISSING) + "]"
