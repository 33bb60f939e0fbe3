"""Runs from random weights: a thin ResNet-18 on 4,293 radiographs."""

from .run import Run, over_seeds

LR = "optim_wrapper.optimizer.lr"


def _anchors() -> dict[str, Run]:
    # one rate more beyond the better of two
    rates = {
        "vicreg": (1e-3, 3e-3, 3e-4),
        "barlowtwins": (1e-3, 3e-3, 3e-4),
        "byol": (1e-3, 3e-3, 3e-4),
        "simclr": (1e-3, 3e-3, 1e-2),
        "densecl": (1e-3, 3e-3),
        # dense features of the same two stages as OTCXR's
        "vicregl_two_stages": (1e-3, 3e-3),
        "densecl_two_stages": (1e-3, 3e-3),
    }
    runs = {f"{name}_lr{lr:g}": Run(name, {LR: lr}) for name, lrs in rates.items() for lr in lrs}
    return {"random": Run("random", epochs=0), **runs}


OT, HEAD, NECK = "model.head.loss_ot.", "model.head.", "model.neck."
# the setting that the prototypes pointed to; each step of the screen changes one part of it
CENTRE = {
    HEAD + "global_mass": 0.5,
    HEAD + "prior_scale": 0.25,
    OT + "prior_weight": 1.0,
    HEAD + "marginals": "visibility",
}
OWN = CENTRE | {NECK + "global_token": "own"}
FAST = OWN | {LR: 3e-3}
GUARD = {NECK + "infusion": "both", HEAD + "guard": True}
MASS_25 = {HEAD + "global_mass": 0.25}
ANNEALED = {
    "custom_hooks": [
        {"type": "otcxr_mm.AttributeScheduleHook", "attribute": "head.loss_ot.prior_weight", "start": 1.0, "end": 0.0}
    ]
}


def _otcxr(base: dict, changes: dict[str, dict]) -> dict[str, Run]:
    return {name: Run("otcxr_screen", base | change) for name, change in changes.items()}


def _screen() -> dict[str, Run]:
    cosine = {OT + "metric": "cosine", OT + "relative_eps": False, OT + "eps": 0.05, OT + "loss_weight": 50.0}
    return {
        "centre": Run("otcxr_screen", CENTRE),
        "centre-own": Run("otcxr_screen", OWN),
        # cost and statistics, dense tokens alone
        **_otcxr(
            {HEAD + "global_mass": 0.0},
            {
                "cost-sq-both": {},
                "cost-sq-flattened": {HEAD + "statistics": "flattened"},
                "cost-sq-tokens": {HEAD + "statistics": "tokens"},
                "cost-cosine-both": cosine | {HEAD + "centre": "batch"},
            },
        ),
        # matching, infusion
        **_otcxr(
            OWN,
            {
                "match-transport": {HEAD + "prior_scale": None},
                "match-geometry": {HEAD + "matching": "geometry"},
                "infusion-both": {NECK + "infusion": "both"},
            },
        ),
    }


SECOND = {
    "lr-3e-3": {},
    "lr-1e-2": {LR: 1e-2},
    "global-mean": {NECK + "global_token": "mean"},
    "mass-25": MASS_25,
    "infusion-both": {NECK + "infusion": "both"},
    "infusion-guard": GUARD,
    "prior-annealed": ANNEALED,
    "no-prior": {HEAD + "prior_scale": None},
    "match-index": {HEAD + "matching": "index"},
}


def _third() -> dict[str, Run]:
    crop = {"type": "otcxr_mm.TwoViewCrop", "size": 96, "scale": (0.1, 1.0), "min_overlap": 0.3, "flip": 0.5}
    changes = {
        "mass-25": MASS_25,
        "prior-annealed": ANNEALED,
        "marginals-uniform": {HEAD + "marginals": "uniform"},
        "crops-0.1": {f"train_dataloader.dataset.datasets.{i}.pipeline.1": crop for i in (0, 1)},
    }
    return _otcxr(FAST | GUARD, changes)


def _scratch() -> dict[str, Run]:
    """Seeds that no choice has seen, with the settings of the best validation figures above."""
    otcxr = FAST | GUARD | MASS_25
    changes = {
        "otcxr": {},
        # without one part
        "otcxr_no_infusion": {NECK + "infusion": "none", HEAD + "guard": False},
        # a plan that ignores the features
        "otcxr_geometry": {HEAD + "matching": "geometry"},
    }
    rates = {"vicregl_tuned": 3e-3, "vicreg": 1e-3, "simclr": 3e-3, "densecl": 3e-3, "barlowtwins": 1e-3, "byol": 1e-3}
    methods = {"random": Run("random", epochs=0), **_otcxr(otcxr, changes)}
    return over_seeds(methods | {name.removesuffix("_tuned"): Run(name, {LR: lr}) for name, lr in rates.items()})


QUEUES: dict[str, dict[str, Run]] = {
    "anchors": _anchors(),
    "screen": _screen(),
    "second": _otcxr(FAST, SECOND),
    "third": _third(),
    "scratch": _scratch(),
}
