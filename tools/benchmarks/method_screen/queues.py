"""The runs of each queue; docs/results/log.md gives the reasons."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        config: Name of a file in configs/, without suffix.
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


LR = "optim_wrapper.optimizer.lr"


def _anchors() -> dict[str, Run]:
    runs = {"random": Run("random", epochs=0)}
    names = ("vicreg", "barlowtwins", "byol", "simclr", "densecl")
    rates = {name: [1e-3, 3e-3] for name in names}
    # one more beyond the better of the two
    for name in ("vicreg", "barlowtwins", "byol"):
        rates[name].append(3e-4)
    rates["simclr"].append(1e-2)
    # dense features of the same two stages as OTCXR's
    rates["vicregl_two_stages"] = [1e-3, 3e-3]
    rates["vicregl_tuned"] = [3e-3, 1e-2]
    rates["densecl_two_stages"] = [1e-3, 3e-3]
    for name, lrs in rates.items():
        for lr in lrs:
            runs[f"{name}_lr{lr:g}"] = Run(name, {LR: lr})
    return runs


OT, HEAD, NECK = "model.head.loss_ot.", "model.head.", "model.neck."
OWN = {NECK + "global_token": "own"}
PRIOR = {HEAD + "prior_scale": 0.25, OT + "prior_weight": 1.0}
VISIBLE = {HEAD + "marginals": "visibility"}
# the setting that the prototypes pointed to; each step of the screen changes one part of it
CENTRE = {HEAD + "global_mass": 0.5, **PRIOR, **VISIBLE}


def _screen() -> dict[str, Run]:
    def run(**changes: dict) -> dict[str, Run]:
        return {name.replace("_", "-"): Run("otcxr_screen", options) for name, options in changes.items()}

    plain = {HEAD + "global_mass": 0.0}
    cosine = {OT + "metric": "cosine", OT + "relative_eps": False, OT + "eps": 0.05, OT + "loss_weight": 50.0}
    return {
        **run(
            centre=CENTRE,
            centre_own=CENTRE | OWN,
            # 1. cost and statistics, dense tokens alone
            cost_sq_both=plain,
            cost_sq_flattened=plain | {HEAD + "statistics": "flattened"},
            cost_sq_tokens=plain | {HEAD + "statistics": "tokens"},
            cost_cosine_both=plain | cosine | {HEAD + "centre": "batch"},
            # 3. matching
            match_transport=CENTRE | OWN | {HEAD + "prior_scale": None},
            match_geometry=CENTRE | OWN | {HEAD + "matching": "geometry"},
            match_index=CENTRE | OWN | {HEAD + "matching": "index"},
            # 4. infusion
            infusion_both=CENTRE | OWN | {NECK + "infusion": "both"},
        ),
    }


GUARD = {NECK + "infusion": "both", HEAD + "guard": True}


def _deviations() -> dict[str, dict]:
    """Options that change one part of a reading, by name."""

    def hook(attribute: str, start: float, end: float) -> dict:
        return {"type": "otcxr_mm.AttributeScheduleHook", "attribute": attribute, "start": start, "end": end}

    def scale(low: float, overlap: float) -> dict:
        crop = {"type": "otcxr_mm.TwoViewCrop", "size": 96, "scale": (low, 1.0), "min_overlap": overlap, "flip": 0.5}
        return {f"train_dataloader.dataset.datasets.{i}.pipeline.1": crop for i in (0, 1)}

    # strides 8, 16, 32
    stages = {"model.backbone.out_indices": (1, 2, 3), NECK + "in_channels": (64, 128, 256), NECK + "max_tokens": 144}
    return {
        "lr-3e-3": {},
        "lr-1e-2": {LR: 1e-2},
        "lr-1.5e-3": {LR: 1.5e-3},
        "global-mean": {NECK + "global_token": "mean"},
        # 2. mass of the global token
        "mass-25": {HEAD + "global_mass": 0.25},
        "mass-75": {HEAD + "global_mass": 0.75},
        # 4. infusion
        "infusion-both": {NECK + "infusion": "both"},
        "infusion-guard": GUARD,
        "infusion-undetached": {NECK + "infusion": "both", NECK + "detach_context": False},
        # 3. the plan again
        "prior-annealed": {"custom_hooks": [hook("head.loss_ot.prior_weight", 1.0, 0.0)]},
        "prior-0.3": {OT + "prior_weight": 0.3},
        "no-prior": {HEAD + "prior_scale": None},
        "match-index": {HEAD + "matching": "index"},
        "match-geometry": {HEAD + "matching": "geometry"},
        "eps-0.03": {OT + "eps": 0.03},
        "eps-0.3": {OT + "eps": 0.3},
        # 5. grid
        "grid-3": {NECK + "max_tokens": 9},
        "grid-12": stages,
        # 6. marginals and crops
        "marginals-uniform": {HEAD + "marginals": "uniform"},
        "unbalanced": {OT + "rho": 1.0},
        "crops-0.1": scale(0.1, 0.3),
        "overlap-0": scale(0.25, 0.0),
        # 7. weights, width, target, optimiser
        "dims-512": {NECK + "out_channels": 512},
        "cov-4": {HEAD + "loss_cov.loss_weight": 4.0},
        "alpha-50": {OT + "loss_weight": 50.0},
        "ema": {"model.ema": 0.01, "custom_hooks": [{"type": "otcxr_mm.EMATargetHook"}]},
    }


DEVIATIONS = _deviations()
SECOND = (
    "lr-3e-3",
    "lr-1e-2",
    "global-mean",
    "mass-25",
    "mass-75",
    "infusion-both",
    "infusion-guard",
    "prior-annealed",
    "no-prior",
    "match-index",
    "grid-3",
    "unbalanced",
)
THIRD = (
    "mass-25",
    "lr-1.5e-3",
    "prior-annealed",
    "prior-0.3",
    "match-geometry",
    "grid-12",
    "marginals-uniform",
    "crops-0.1",
    "dims-512",
    "ema",
    "eps-0.3",
)


def _second() -> dict[str, Run]:
    base = CENTRE | OWN | {LR: 3e-3}
    runs = {name: Run("otcxr_screen", base | change) for name, change in DEVIATIONS.items() if name in SECOND}
    return runs | {"seed1": Run("otcxr_screen", base, seed=1)}


def _third() -> dict[str, Run]:
    base = CENTRE | OWN | {LR: 3e-3} | GUARD
    return {name: Run("otcxr_screen", base | change) for name, change in DEVIATIONS.items() if name in THIRD}


def _confirm() -> dict[str, Run]:
    """Seeds that no choice has seen, with the settings of the best validation figures above."""
    otcxr = CENTRE | OWN | {LR: 3e-3} | GUARD | {HEAD + "global_mass": 0.25}
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


QUEUES: dict[str, dict[str, Run]] = {
    "anchors": _anchors(),
    "screen": _screen(),
    "second": _second(),
    "third": _third(),
    "confirm": _confirm(),
}
