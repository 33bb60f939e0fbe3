"""What a data set holds: patients, labels, ages, grey values."""

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.base import BaseCXRDataset
from ..datasets.content import UNREADABLE, reader
from ..datasets.inspection import leaves
from ..datasets.records import OLDEST
from ..utils.markdown import markdown
from ..utils.threads import cores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# of the sets, and of what is no set
COLOURS = ("#3366aa", "#e08214", "#3a9a5b", "#b2447c", "#7a68ae", "#8c6d31")
SHADES = ("#4b5563", "#7c8798", "#1f6f78", "#5aa3a8", "#6b5b4b", "#a08c74")


def intensity(dataset: BaseCXRDataset, max_images: int = 500, seed: int = 0, jobs: int = 0) -> dict:
    """Mean, standard deviation and histogram of grey values on the scale 0 to 255, each image with the same weight.

    Args:
        dataset: Its images are read as its pipeline reads them, before any resizing.
        max_images: Images to read, drawn at random; 0 for all.
        seed: Of the draw.
        jobs: Threads; 0: one a core.

    Returns:
        images (read), unread (broken ones among those drawn), mean, std, histogram (shares of the values 0 to 255).

    Raises:
        ValueError: If none of them can be read.
    """
    n = len(dataset)
    count = min(max_images or n, n)
    rows = np.sort(np.random.default_rng(seed).permutation(n)[:count]).tolist()
    read = reader(dataset)

    def one(row: int) -> np.ndarray | Exception:
        try:
            img = read(row)
        except UNREADABLE as error:
            return error
        histogram = np.bincount(np.clip(np.rint(img), 0, 255).astype(np.uint8).ravel(), minlength=256) / img.size
        values = img.astype(np.float64)
        return np.concatenate([[values.mean(), (values**2).mean()], histogram])

    with ThreadPoolExecutor(jobs or cores()) as pool:
        results = list(pool.map(one, rows))
    found = [result for result in results if isinstance(result, np.ndarray)]
    if not found:
        raise ValueError(f"none of {count} images can be read; the first one: {results[0]}")
    mean, square, *histogram = np.mean(found, 0).tolist()
    std = max(square - mean**2, 0) ** 0.5
    return {"images": len(found), "unread": count - len(found), "mean": mean, "std": std, "histogram": histogram}


def describe(dataset: BaseCXRDataset, max_images: int = 500, seed: int = 0) -> dict:
    """Figures of one data set; no path and no patient id.

    Args:
        dataset: Fully read.
        max_images: See :func:`intensity`.
        seed: Of the draw of images.

    Returns:
        type, images, patients, without_id, most_images (of one patient), view and sex (counts, '' for unknown), age
        (known, min, median, max, histogram of decades), labels (positive, negative, unknown of each class),
        cooccurrence (images positive for both classes), intensity; None for what no table says.
    """
    dataset.full_init()
    records = dataset.records
    patients = Counter(records.patient.tolist())
    without = patients.pop("", 0)
    record = {
        "type": type(dataset).__name__,
        "images": len(records),
        "patients": len(patients),
        "without_id": without,
        "most_images": max(patients.values(), default=0),
        "view": dict(Counter(records.view.tolist()).most_common()) if (records.view != "").any() else None,
        "sex": dict(Counter(records.sex.tolist()).most_common()) if (records.sex != "").any() else None,
        "age": _ages(records.age),
        "labels": None,
        "cooccurrence": None,
        "intensity": intensity(dataset, max_images, seed),
    }
    if records.labels is not None:
        positive = records.labels == 1
        record["labels"] = {
            name: {
                "positive": int(positive[:, i].sum()),
                "negative": int((records.labels[:, i] == 0).sum()),
                "unknown": int(np.isnan(records.labels[:, i]).sum()),
            }
            for i, name in enumerate(dataset.metainfo["classes"])
        }
        record["cooccurrence"] = (positive.T.astype(int) @ positive.astype(int)).tolist()
    return record


def _ages(ages: np.ndarray) -> dict | None:
    known = ages[np.isfinite(ages)]
    if not len(known):
        return None
    return {
        "known": len(known),
        "min": float(known.min()),
        "median": float(np.median(known)),
        "max": float(known.max()),
        "histogram": np.histogram(known, np.arange(0, OLDEST + 10, 10))[0].tolist(),
    }


def statistics(datasets: Mapping[str, object], max_images: int = 500, seed: int = 0) -> dict:
    """Figures of the data sets of a config.

    Args:
        datasets: Role (``'train'``, ...) to data set, or wrapper around some, which then are ``'train[0]'``, ...
        max_images: See :func:`intensity`, for each data set.
        seed: Of the draw of images.

    Returns:
        sets: Name to what :func:`describe` returns; `mean` and `std` of the images of training (of all, without
        training), for the model's data_preprocessor.

    Raises:
        ValueError: If there is no data set of otcxr_mm.
    """
    sets = {}
    for role, dataset in datasets.items():
        inner = [leaf for leaf in leaves(dataset) if isinstance(leaf, BaseCXRDataset)]
        for i, leaf in enumerate(inner):
            sets[f"{role}[{i}]" if len(inner) > 1 else role] = describe(leaf, max_images, seed)
    if not sets:
        raise ValueError(f"no data set of otcxr_mm among {list(datasets)}")
    trained = [record for name, record in sets.items() if name.startswith("train")] or list(sets.values())
    weights = np.array([record["images"] for record in trained]) / sum(record["images"] for record in trained)
    mean = float(weights @ [record["intensity"]["mean"] for record in trained])
    squares = [record["intensity"]["mean"] ** 2 + record["intensity"]["std"] ** 2 for record in trained]
    return {"sets": sets, "mean": mean, "std": float((weights @ squares - mean**2) ** 0.5)}


def report(found: dict) -> str:
    """The figures as Markdown.

    Args:
        found: What :func:`statistics` returned.
    """
    sets = found["sets"]
    head = ("set", "type", "images", "patients", "without id", "most of one", "grey mean", "std", "images read")
    rows = []
    for name, r in sets.items():
        grey = r["intensity"]
        rows.append(
            [name, r["type"], r["images"], r["patients"], r["without_id"], r["most_images"]]
            + [_Decimal(grey["mean"]), _Decimal(grey["std"]), grey["images"]]
        )
    lines = ["## Images and patients", "", *markdown(head, rows)]
    lines += ["", f"For the config: `model.data_preprocessor` with {_preprocessor(found)}"]
    for name, r in sets.items():
        grey = r["intensity"]
        if grey["unread"]:
            drawn = grey["images"] + grey["unread"]
            lines += ["", f"note: {name}: {grey['unread']} of {drawn} images cannot be read, and are not counted here"]
    lines += ["", "## Views, sex, age", "", *markdown(("set", "views", "sex", "age in years"), _people(sets))]
    labelled = {name: r for name, r in sets.items() if r["labels"]}
    if labelled:
        names = list(dict.fromkeys(label for r in labelled.values() for label in r["labels"]))
        rows = [[label, *(_share(r["labels"].get(label)) for r in labelled.values())] for label in names]
        lines += ["", "## Positives", "", *markdown(("label", *labelled), rows)]
    for name, r in labelled.items():
        labels = [f"{i} {label}" for i, label in enumerate(r["labels"], 1)]
        rows = [[label, *counts] for label, counts in zip(labels, r["cooccurrence"], strict=True)]
        columns = [str(i) for i in range(1, len(labels) + 1)]
        lines += ["", f"## Images positive for both: {name}", "", *markdown(("label", *columns), rows)]
    return "\n".join(lines) + "\n"


class _Decimal(float):
    """A number with one decimal."""

    def __str__(self) -> str:
        return f"{self:.1f}"


def _preprocessor(found: dict) -> str:
    return f"`mean=[{found['mean']:.1f}], std=[{found['std']:.1f}]`"


def _share(counts: dict | None) -> str:
    if counts is None:
        return "-"
    known = counts["positive"] + counts["negative"]
    share = f"{counts['positive']} ({100 * counts['positive'] / known:.1f} %)" if known else "0"
    return f"{share} of {known} known" if counts["unknown"] else share


def _counts(counts: dict | None) -> str:
    return ", ".join(f"{name or 'unknown'} {n}" for name, n in counts.items()) if counts else "unknown"


def _people(sets: dict) -> list[list[str]]:
    rows = []
    for name, r in sets.items():
        age = r["age"]
        text = "unknown"
        if age:
            text = f"{age['min']:.0f} to {age['max']:.0f}, median {age['median']:.0f}"
            text += f" (of {age['known']} images)" if age["known"] < r["images"] else ""
        rows.append([name, _counts(r["view"]), _counts(r["sex"]), text])
    return rows


def picture(found: dict) -> "Figure":
    """The figures as a picture; only what is known is drawn.

    Args:
        found: What :func:`statistics` returned.

    Returns:
        A matplotlib figure, for `savefig`.
    """
    from matplotlib.figure import Figure

    sets = found["sets"]
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(sets)}
    labelled = {name: r for name, r in sets.items() if r["labels"]}
    panels = [_draw_intensity]
    panels += [_draw_ages] if any(r["age"] for r in sets.values()) else []
    panels += [_draw_people] if any(r["view"] or r["sex"] for r in sets.values()) else []
    figure = Figure(figsize=(max(4.6 * len(panels), 9), 3.4 + (5.4 if labelled else 0)), layout="constrained")
    heights = [3.4, 5.4] if labelled else [1]
    top, *rest = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flat
    for axis, draw in zip(np.atleast_1d(top.subplots(1, len(panels))), panels, strict=True):
        draw(axis, sets, colours)
    if rest:
        left, right = rest[0].subplots(1, 2, width_ratios=[1, 1.15])
        _draw_labels(left, labelled, colours)
        name = max(labelled, key=lambda n: (n.startswith("train"), labelled[n]["images"]))
        _draw_cooccurrence(right, name, labelled[name])
    return figure


def _draw_intensity(axis: "Axes", sets: dict, colours: dict) -> None:
    for name, r in sets.items():
        grey = r["intensity"]
        label = f"{name}: {grey['mean']:.0f} ± {grey['std']:.0f}"
        axis.plot(100 * np.asarray(grey["histogram"]), color=colours[name], label=label, linewidth=1.2)
    # black borders would hide all the rest
    highest = max(np.sort(100 * np.asarray(r["intensity"]["histogram"]))[-4] for r in sets.values())
    axis.set_ylim(0, 1.6 * highest or None)
    axis.set(title="Grey values (mean ± std)", xlabel="grey value, 0 to 255", ylabel="% of the pixels", xlim=(0, 255))
    axis.legend(fontsize=8)


def _draw_ages(axis: "Axes", sets: dict, colours: dict) -> None:
    known = {name: r["age"] for name, r in sets.items() if r["age"]}
    width = 9 / len(known)
    for i, (name, age) in enumerate(known.items()):
        share = 100 * np.asarray(age["histogram"]) / age["known"]
        x = np.arange(len(share)) * 10 + 0.5 + (i + 0.5) * width
        shown, label = _last(share), f"{name}: median {age['median']:.0f}"
        axis.bar(x[:shown], share[:shown], width, color=colours[name], label=label)
    axis.set(title="Age", xlabel="years", ylabel="% of the images")
    axis.margins(y=0.25)
    axis.legend(fontsize=8)


def _last(share: np.ndarray) -> int:
    return int(np.flatnonzero(share)[-1]) + 1


def _draw_people(axis: "Axes", sets: dict, colours: dict) -> None:
    bars = [(name, what, r[what], r["images"]) for what in ("view", "sex") for name, r in sets.items() if r[what]]
    kinds = list(dict.fromkeys(kind for _, _, counts, _ in bars for kind in counts))
    shade = {kind: SHADES[i % len(SHADES)] for i, kind in enumerate(kinds)}
    for y, (_, _, counts, images) in enumerate(bars):
        start = 0.0
        for kind, n in counts.items():
            share = 100 * n / images
            axis.barh(y, share, left=start, color="#bbbbbb" if kind == "" else shade[kind], height=0.75)
            if share >= 8:
                text = f"{kind or 'unknown'} {share:.0f} %"
                axis.text(start + share / 2, y, text, ha="center", va="center", fontsize=8, color="white")
            start += share
    axis.set(title="Views and sex", xlabel="% of the images", xlim=(0, 100))
    axis.set_yticks(range(len(bars)), [f"{name}, {what}" for name, what, _, _ in bars], fontsize=8)
    axis.invert_yaxis()


def _draw_labels(axis: "Axes", sets: dict, colours: dict) -> None:
    names = list(dict.fromkeys(label for r in sets.values() for label in r["labels"]))
    height = 0.8 / len(sets)
    for i, (name, r) in enumerate(sets.items()):
        counts = [r["labels"].get(label, {"positive": 0, "negative": 1}) for label in names]
        share = [100 * c["positive"] / max(c["positive"] + c["negative"], 1) for c in counts]
        y = np.arange(len(names)) - 0.4 + (i + 0.5) * height
        axis.barh(y, share, height, color=colours[name], label=f"{name}, {r['images']} images")
        if len(sets) <= 3:
            for place, c, s in zip(y, counts, share, strict=True):
                axis.text(s, place, f" {c['positive']}", va="center", fontsize=6.5)
    axis.set(title="Positives (counts at the bars)", xlabel="% of the images whose label is known")
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.legend(fontsize=8)


def _draw_cooccurrence(axis: "Axes", name: str, record: dict) -> None:
    names, counts = list(record["labels"]), np.asarray(record["cooccurrence"], float)
    own = counts.diagonal()[:, None]
    share = np.divide(100 * counts, own, out=np.full_like(counts, np.nan), where=own > 0)
    np.fill_diagonal(share, np.nan)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (i, j), value in np.ndenumerate(share):
        if i == j:
            axis.text(j, i, f"{own[i, 0]:.0f}", ha="center", va="center", fontsize=7, weight="bold")
        elif np.isfinite(value) and counts[i, j]:
            colour = "white" if value > 55 else "black"
            axis.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_title(f"{name}: % of a row's positives that have the column too\n(bold: positives)", fontsize=10)
