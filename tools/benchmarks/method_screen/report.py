"""Tables and pictures of the recorded runs, and comparisons of methods over seeds."""

import json
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from otcxr_mm.utils.files import write_whole

from . import records
from .compare import BASELINES, METRICS, bootstrap, interval, text_of
from .queues import QUEUES, REFERENCES

COLUMNS = (
    "kermany_linear",
    "kermany_knn",
    "nih_linear",
    "nih_knn",
    "nih_cv",
    "nih_followup_linear",
    "nih_followup_knn",
    "lung_r2",
    "lung_dice",
    "carried_dice",
    "correspondence",
    "kermany_rank",
)


def table(queue: str, split: str) -> str:
    """The recorded runs of a queue as Markdown, each with the commit of its code or at which it was recorded."""
    lines = ["| run | commit | epochs | " + " | ".join(COLUMNS) + " |", "| --- " * (len(COLUMNS) + 3) + "|"]
    for name, record in records.recorded(queue).items():
        values = record.get(split, {})
        cells = ["" if c not in values else f"{values[c]:{'.1f' if 'rank' in c else '.3f'}}" for c in COLUMNS]
        commit = record.get("commit") or record["recorded_at"]
        lines.append("| " + " | ".join([name, commit[:7], str(record["epochs"]), *cells]) + " |")
    return "\n".join(lines)


def comparison_file(queue: str) -> Path:
    """Where the comparison of a queue is kept."""
    return records.ROOT / "docs" / "results" / f"{queue}.json"


def compare(queue: str) -> None:
    """Intervals of every method of a queue and of its difference from its reference, to docs/results/QUEUE.json."""
    groups: dict[str, list[dict[str, np.ndarray]]] = {}
    values: dict[str, dict[str, list[float]]] = {}
    commits = set()
    for name in QUEUES[queue]:
        method = name.rsplit("_seed", 1)[0]
        record, arrays = records.predictions(queue, name)
        commits.add(record.get("commit"))
        groups.setdefault(method, []).append(arrays)
        for metric, value in record["test"].items():
            values.setdefault(method, {}).setdefault(metric, []).append(value)
    if len(commits) > 1:
        raise SystemExit(
            f"the runs were made by different code, {', '.join(map(str, commits))}: run them again at one commit"
        )
    everyone = [arrays for seeds in groups.values() for arrays in seeds]
    for key in everyone[0]:
        if key.endswith(("labels", "patients")) and any((a[key] != everyone[0][key]).any() for a in everyone):
            raise SystemExit(f"{key} differs between runs: they were evaluated on different data")
    draws = {
        method: {metric: bootstrap(metric, seeds, "test") for metric in (*METRICS, *BASELINES)}
        for method, seeds in groups.items()
    }
    for method, metrics in draws.items():
        for metric, drawn in metrics.items():
            if abs(drawn[0] - np.mean(values[method][metric])) > 1e-4:
                raise SystemExit(f"{method}: {metric} of the predictions is not that of the records: evaluate it again")
    result = {
        "methods": {
            method: {metric: {**interval(drawn), "seeds": values[method][metric]} for metric, drawn in metrics.items()}
            for method, metrics in draws.items()
        },
        "differences": [
            {"method": method, "minus": other}
            | {metric: interval(draws[method][metric] - drawn) for metric, drawn in draws[other].items()}
            for method, other in pairs(list(draws))
        ],
    }
    path = comparison_file(queue)
    write_whole(path, (json.dumps(records.rounded(result), indent=1) + "\n").encode())
    draw_comparison(path)
    print(comparison_tables(queue))


def pairs(methods: list[str]) -> list[tuple[str, str]]:
    """Whose difference is tabled: each method is subtracted from its reference, OTCXR where none is named."""
    return [(REFERENCES.get(m, "otcxr"), m) for m in methods if m != "otcxr"]


def comparison_tables(queue: str) -> str:
    """docs/results/QUEUE.json as two Markdown tables."""
    found = json.loads(comparison_file(queue).read_text())

    # those that were measured
    columns = [metric for metric in METRICS if metric in found["methods"]["otcxr"]]
    rows = [[method, *(text_of(metrics[m]) for m in columns)] for method, metrics in found["methods"].items()]
    differences = [
        [f"{row['method']} minus {row['minus']}", *(text_of(row[m], "+") for m in columns)]
        for row in found["differences"]
    ]
    return "\n\n".join(_markdown(["method", *columns], part) for part in (rows, differences))


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def draw_comparison(path: Path) -> None:
    """A comparison as a picture beside its file: one panel per metric, one line per method."""
    methods = json.loads(path.read_text())["methods"]
    names = list(methods)[::-1]
    columns = (len(METRICS) + 1) // 2
    figure, axes = plt.subplots(2, columns, figsize=(3.1 * columns, 0.5 * len(names) + 1.6), sharey=True)
    for axis, metric in zip(axes.flat, METRICS, strict=False):
        for y, name in enumerate(names):
            x = methods[name][metric]
            colour = "tab:red" if name == "otcxr" else "tab:orange" if name.startswith("otcxr") else "tab:blue"
            axis.plot([x["low"], x["high"]], [y, y], color=colour, linewidth=1.5)
            axis.plot(x["value"], y, "o", color=colour, markersize=5)
            axis.plot(x["seeds"], [y] * len(x["seeds"]), "|", color="black", markersize=8)
        axis.set_title(metric.replace("_", " "), fontsize=10)
        axis.grid(axis="x", alpha=0.3)
        axis.locator_params(axis="x", nbins=5)
    for axis in axes.flat[len(METRICS) :]:
        axis.set_axis_off()
        axis.text(0, 0.5, "point: mean of the seeds\nline: 95 % interval over patients\nticks: seeds", fontsize=9)
    axes[0, 0].set_yticks(range(len(names)), names)
    figure.tight_layout()
    figure.savefig(path.with_suffix(".png"), dpi=120)
    plt.close(figure)
