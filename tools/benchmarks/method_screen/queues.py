"""The runs of each queue; docs/results/log.md gives the reasons."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        config: Name of a file in configs/, without suffix.
        start: Name of another one, merged over it: what the training starts from.
        options: Keys of the config that differ, as in --cfg-options.
        epochs: Epochs of training; 0: the untrained network.
        seed: Seed of initialisation, order and augmentation.
        test: Whether test patients are read.
    """

    config: str
    options: dict = field(default_factory=dict)
    epochs: int = 6
    seed: int = 0
    test: bool = False
    start: str = ""

    @property
    def stages(self) -> tuple[int, int]:
        """The stages of the backbone that are evaluated, strides 16 and 32."""
        return (4, 7) if self.start else (2, 3)


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


def _confirm() -> dict[str, Run]:
    """Seeds that no choice has seen, with the settings of the best validation figures above."""
    otcxr = FAST | GUARD | MASS_25
    methods = {
        "otcxr": ("otcxr_screen", otcxr),
        # without one part
        "otcxr_no_infusion": ("otcxr_screen", otcxr | {NECK + "infusion": "none", HEAD + "guard": False}),
        # a plan that ignores the features
        "otcxr_geometry": ("otcxr_screen", otcxr | {HEAD + "matching": "geometry"}),
        "vicregl": ("vicregl_tuned", {LR: 3e-3}),
        "vicreg": ("vicreg", {LR: 1e-3}),
        "simclr": ("simclr", {LR: 3e-3}),
        "densecl": ("densecl", {LR: 3e-3}),
        "barlowtwins": ("barlowtwins", {LR: 1e-3}),
        "byol": ("byol", {LR: 1e-3}),
    }
    runs = {}
    for seed in (1, 2, 3):
        runs[f"random_seed{seed}"] = Run("random", epochs=0, seed=seed, test=True)
        for name, (config, options) in methods.items():
            runs[f"{name}_seed{seed}"] = Run(config, options, seed=seed, test=True)
    return runs


# widths of what follows MobileNetV2's stages, 96 channels at stride 16 and 1,280 at stride 32
STAGES = {"model.backbone.out_indices": (4, 7)}
WIDTHS = {
    "otcxr_screen": STAGES | {NECK + "in_channels": (96, 1280)},
    "vicreg": {"model.expander": [1280, 512, 512, 512]},
    "vicregl_tuned": STAGES | {"model.expander": [1280, 512, 512, 512], "model.dense_expander": [1376, 512, 512, 512]},
    "simclr": {NECK + "in_channels": 1280},
}
PLAIN = OWN | MASS_25


def _slow(mult: float) -> dict:
    """A rate of the backbone that is a share of that of neck and head."""
    return {"optim_wrapper.paramwise_cfg.custom_keys": {"backbone": {"lr_mult": mult}}}


def _imagenet(config: str, options: dict, epochs: int = 2, **kwargs: object) -> Run:
    return Run(config, WIDTHS.get(config, {}) | options, epochs, start="imagenet", **kwargs)


FROZEN = {"model.backbone.frozen_stages": 2}


def _start() -> dict[str, Run]:
    """From ImageNet's weights: which rate, which layers, how long, by which method."""
    runs = {
        "imagenet": _imagenet("vicreg", {}, epochs=0),
        "otcxr_lr2e-4": _imagenet("otcxr_screen", PLAIN | {LR: 2e-4}),
        "otcxr_lr2e-4_frozen": _imagenet("otcxr_screen", PLAIN | FROZEN | {LR: 2e-4}),
        "otcxr_lr1e-3_slow_frozen": _imagenet("otcxr_screen", PLAIN | FROZEN | _slow(0.1) | {LR: 1e-3}),
    }
    for name in ("vicregl_tuned", "vicreg"):
        runs[f"{name}_lr2e-4_frozen"] = _imagenet(name, FROZEN | {LR: 2e-4})
    slow = FROZEN | _slow(0.1) | {LR: 1e-3}
    runs["otcxr_lr1e-3_slow_frozen_6_epochs"] = _imagenet("otcxr_screen", PLAIN | slow, epochs=6)
    for name in ("vicregl_tuned", "vicreg", "simclr"):
        runs[f"{name}_lr1e-3_slow_frozen"] = _imagenet(name, slow)
    runs["otcxr_lr1e-3_slower_frozen"] = _imagenet("otcxr_screen", PLAIN | slow | _slow(0.05))
    runs["otcxr_lr3e-3_slower_frozen"] = _imagenet("otcxr_screen", PLAIN | slow | _slow(0.03) | {LR: 3e-3})
    return runs


BEST = PLAIN | FROZEN | _slow(0.1) | {LR: 1e-3}
NO_PRIOR = {HEAD + "prior_scale": None}


def _parts() -> dict[str, Run]:
    """What of transport matters: its stand-ins with the same cost and masses, with and without the geometry."""
    changes = {}
    for matching in ("softmax", "nearest", "geometry", "index"):
        changes[matching] = {HEAD + "matching": matching}
    changes["no-prior_transport"] = NO_PRIOR
    for matching in ("softmax", "nearest"):
        changes[f"no-prior_{matching}"] = NO_PRIOR | {HEAD + "matching": matching}
    changes["marginals-uniform"] = {HEAD + "marginals": "uniform"}
    changes["eps-0.02"] = {OT + "eps": 0.02, OT + "n_iters": 100}
    return {name: _imagenet("otcxr_screen", BEST | change) for name, change in changes.items()}


def _paired(share: float, near: bool = True, **settings: object) -> dict:
    """Pairs of a patient in all three sets; visits are known in the second and the third."""
    specs = [{"_delete_": True, "share": share} for _ in range(3)]
    if near:
        specs[1]["max_gap"], specs[2]["max_gap"] = 3, 1
    sets = {f"train_dataloader.dataset.datasets.{i}.pairs": spec for i, spec in enumerate(specs)}
    return sets | ({HEAD + "pairs": settings} if settings else {})


def _pairs() -> dict[str, Run]:
    """Two images of a patient as views: how many, how far apart, and what finds their partners."""
    changes = {
        "share-0.3": _paired(0.3),
        "share-0.3_any-date": _paired(0.3, near=False),
        "share-0.6": _paired(0.6),
        "no-prior_transport": _paired(0.6, prior_scale=None),
        "no-prior_unbalanced": _paired(0.6, prior_scale=None, loss_ot={"rho": 0.5, "prior_weight": 0.0}),
        "no-prior_softmax": _paired(0.6, prior_scale=None, matching="softmax"),
        "no-prior_nearest": _paired(0.6, prior_scale=None, matching="nearest"),
        "geometry": _paired(0.6, matching="geometry"),
        "index": _paired(0.6, matching="index"),
        "global": _paired(0.6, global_mass=0.25),
    }
    return {name: _imagenet("otcxr_screen", BEST | change) for name, change in changes.items()}


def _infusion() -> dict[str, Run]:
    """Infusion that copies, that is guarded, and that cannot copy."""
    changes = {
        "both": {NECK + "infusion": "both"},
        "guard": GUARD,
        "blind-0.1": GUARD | {NECK + "blind": 0.1},
        "blind-0.2": GUARD | {NECK + "blind": 0.2},
        "blind-0.3": GUARD | {NECK + "blind": 0.3},
        "masked-0.5": GUARD | {NECK + "masked": 0.5},
        "blind-0.2_attached": GUARD | {NECK + "blind": 0.2, NECK + "detach_context": False},
    }
    return {name: _imagenet("otcxr_screen", BEST | change) for name, change in changes.items()}


QUEUES: dict[str, dict[str, Run]] = {
    "anchors": _anchors(),
    "screen": _screen(),
    "second": _otcxr(FAST, SECOND),
    "third": _third(),
    "confirm": _confirm(),
    "start": _start(),
    "parts": _parts(),
    "pairs": _pairs(),
    "infusion": _infusion(),
}
