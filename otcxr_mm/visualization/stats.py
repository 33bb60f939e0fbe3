"""What data sets hold, as a report and a picture."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..utils.escape import plain_text
from ..utils.markdown import markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#3366aa", "#e08214", "#3a9a5b", "#b2447c", "#7a68ae", "#8c6d31")


def report(found: dict) -> str:
    """Formats what :func:`otcxr_mm.datasets.summary.statistics` returned as tables in Markdown."""
    sets = found["sets"]
    table = pd.json_normalize(list(sets.values()), max_level=1)
    table = table.loc[:, ~table.columns.str.contains("histogram|labels|cooccurrence")]
    rows = [(name.replace(".", ": "), *map(_text, values)) for name, values in table.items()]
    config = f"For the config: `model.data_preprocessor` with `mean=[{found['mean']:.1f}], std=[{found['std']:.1f}]`"
    lines = ["## Data sets", "", *markdown(("", *sets), rows), "", config]
    for name, r in sets.items():
        numbered = enumerate(r.get("labels", {}).items(), 1)
        rows = [(f"{i} {label}", *counts.values(), *r["cooccurrence"][i - 1]) for i, (label, counts) in numbered]
        head = ("label", "positive", "negative", "unknown", *map(str, range(1, len(rows) + 1)))
        title = f"## Labels: {name} (numbered columns: images positive for both)"
        lines += ["", title, "", *markdown(head, rows)] if rows else []
    return "\n".join(lines) + "\n"


def _text(value: str | float) -> str:
    if pd.isna(value):
        return "-"
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)


@plain_text
def picture(found: dict) -> "Figure":
    """Draws grey values and known ages from what :func:`otcxr_mm.datasets.summary.statistics` returned."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    grey, age = figure.subplots(1, 2)
    highest = 1e-9
    for i, (name, r) in enumerate(found["sets"].items()):
        colour = COLOURS[i % len(COLOURS)]
        shares = 100 * np.array(r["intensity"]["histogram"])
        grey.plot(shares, color=colour, label=name)
        # black borders would hide all the rest
        highest = max(highest, np.sort(shares)[-4])
        if "age" in r:
            shares = 100 * np.array(r["age"]["histogram"]) / r["age"]["known"]
            age.plot(np.arange(len(shares)) * 10 + 5, shares, ".-", color=colour)
    grey.set(xlabel="grey value", ylabel="% of the pixels", xlim=(0, 255), ylim=(0, 1.6 * highest))
    age.set(xlabel="age in years, by decade", ylabel="% of the images")
    figure.legend(loc="outside right upper")
    return figure
