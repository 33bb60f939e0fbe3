"""The page that the demo writes."""

from pathlib import Path

import numpy as np
from demo_dense import Dense
from demo_pictures import colours, contact_sheet, curves, lungs, plans
from mmengine.config import Config

from otcxr_mm.reports.page import Report
from otcxr_mm.visualization.plans import NEAR


def report(work: Path, metrics: dict, dense: Dense, cfg: Config, pictures: Path) -> str:
    """The page as HTML.

    Args:
        work: Folder of the steps.
        metrics: What the demo found.
        dense: From :func:`demo_dense.evaluate_dense`.
        cfg: Config of the pre-training with OTCXR.
        pictures: Folder for the pictures as files.
    """
    page = Report(f"OTCXR on synthetic radiographs, seed {metrics['seed']}", pictures)
    page.text(
        "A ResNet-18 of half the usual width was pre-trained without labels on drawn radiographs of 96 pixels. "
        "This shows that the installation works and what the method does. It says nothing about real radiographs; for "
        "those, see docs/results.md."
    )
    _findings(page, metrics, dense.titles)
    page.heading("The images")
    caption = "Drawn radiographs of test patients. The outlines are their true lung masks."
    page.figure("images", contact_sheet(dense), caption, photograph=True)
    page.heading("Training")
    caption = "Losses of OTCXR (transport, variance, covariance, weighted, and their sum) and of VICReg (the sum)."
    page.figure("losses", curves(work, dense.titles), caption)
    page.heading("What the transport plan matches")
    figure, shares = plans(work, cfg, dense.images)
    page.figure(
        "plans",
        figure,
        "Each column shows two views of one image. Every patch that both views show is joined to the patch that "
        f"receives most of its mass: green if that is within {NEAR:g} of the image's side of the true place, else red. "
        "Above: the plan as in training, where the known geometry of the crops is part of the cost and decides "
        f"({shares[0]:.0%} green over {shares[2]} pairs). Below: features alone ({shares[1]:.0%}).",
        photograph=True,
    )
    page.heading("Features as colours")
    page.figure(
        "features",
        colours(dense),
        "Dense features of test images, 6 x 6 tokens: their first three principal components as red, green and blue, "
        "separately for each method. Equal colours are similar features.",
        photograph=True,
    )
    page.heading("Lungs from frozen features")
    caption = "Lungs of test images, as a linear map of the frozen features finds them (red) and as drawn (blue)."
    page.figure("lungs", lungs(dense), caption, photograph=True)
    page.heading("Time")
    seconds = metrics["seconds"]
    page.table(["step", "seconds"], [[k.replace("_", " "), f"{v:.0f}"] for k, v in seconds.items() if k != "total"])
    page.text("Steps finished by an earlier, interrupted run are listed with the time they took then.")
    return page.html()


def _findings(page: Report, metrics: dict, titles: dict[str, str]) -> None:
    """The table of the methods."""
    page.heading("Findings from frozen features")
    page.text(
        "AUROC on test patients. The backbone stays frozen, and a linear map of its pooled features is fitted to the "
        "labels of training patients, with the weight decay chosen on validation patients. Supervised: the whole "
        "network was trained on those labels from the start, as a ceiling. VICReg uses OTCXR's learning rate and "
        "schedule; docs/results.md compares methods with a learning rate for each."
    )
    classes = metrics["otcxr"]["per_class"]
    rows = [["macro", *(f"{metrics[m]['macro_auroc']:.3f}" for m in titles)]]
    rows += [[c, *(_number(metrics[m]["per_class"][c]) for m in titles)] for c in classes]
    rows.append(["lung Dice", *(f"{metrics[m]['lung_dice']:.3f}" for m in titles)])
    best = [(r, 1 + int(np.argmax([float(x) for x in row[1:4]]))) for r, row in enumerate(rows) if "-" not in row]
    page.table(["", *titles.values()], rows, best)
    page.text(
        "Marked: the best of the three that saw no label in training. Lung Dice: a ridge regression from each dense "
        "token of the frozen backbone to the lung mask in its cell, at 48 pixels. The average training mask, which "
        f"ignores the image, has {metrics['average_mask']['lung_dice']:.3f}."
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
