"""Runs from ImageNet's weights: MobileNetV2 on 10,740 radiographs."""

from dataclasses import replace

from .from_scratch import FAST, GUARD, HEAD, LR, MASS_25, NECK, OT, OWN
from .run import Run, over_seeds

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
SLOW = FROZEN | _slow(0.1) | {LR: 1e-3}


def _start() -> dict[str, Run]:
    """From ImageNet's weights: which rate, which layers, how long, by which method."""
    runs = {
        "imagenet": _imagenet("vicreg", {}, epochs=0),
        "otcxr_lr2e-4": _imagenet("otcxr_screen", PLAIN | {LR: 2e-4}),
        "otcxr_lr2e-4_frozen": _imagenet("otcxr_screen", PLAIN | FROZEN | {LR: 2e-4}),
        "otcxr_lr1e-3_slow_frozen": _imagenet("otcxr_screen", PLAIN | SLOW),
    }
    for name in ("vicregl_tuned", "vicreg"):
        runs[f"{name}_lr2e-4_frozen"] = _imagenet(name, FROZEN | {LR: 2e-4})
    runs["otcxr_lr1e-3_slow_frozen_6_epochs"] = _imagenet("otcxr_screen", PLAIN | SLOW, epochs=6)
    for name in ("vicregl_tuned", "vicreg", "simclr"):
        runs[f"{name}_lr1e-3_slow_frozen"] = _imagenet(name, SLOW)
    runs["otcxr_lr1e-3_slower_frozen"] = _imagenet("otcxr_screen", PLAIN | SLOW | _slow(0.05))
    runs["otcxr_lr3e-3_slower_frozen"] = _imagenet("otcxr_screen", PLAIN | SLOW | _slow(0.03) | {LR: 3e-3})
    return runs


BEST = PLAIN | SLOW
NO_PRIOR = {HEAD + "prior_scale": None}


def _paper() -> dict:
    """What configs/otcxr_r50_paper_nih.py changes, with the frozen layers of the others."""
    photo = {"brightness": 0.4, "contrast": 0.4, "gamma": 0.0, "prob": 0.8, "blur": (0.1, 2.0)}
    steps = {
        1: {"scale": (0.08, 1.0), "min_overlap": 0.0},
        2: photo | {"blur_prob": (1.0, 0.1), "solarize_prob": (0.0, 0.2)},
    }
    pipelines = {
        f"train_dataloader.dataset.datasets.{i}.pipeline.{step}.{key}": value
        for i in range(3)
        for step, settings in steps.items()
        for key, value in settings.items()
    }
    lars = {"_delete_": True, "type": "LARS", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-6}
    plain = ("bn", "bias", "norm", "neck.gate")
    return pipelines | {
        OT + "metric": "cosine",
        OT + "relative_eps": False,
        OT + "eps": 0.05,
        OT + "loss_weight": 50.0,
        NECK + "infusion": "both",
        NECK + "detach_context": False,
        "optim_wrapper.optimizer": lars,
        "optim_wrapper.paramwise_cfg": {
            "_delete_": True,
            "custom_keys": {name: {"decay_mult": 0.0, "lars_exclude": True} for name in plain},
        },
        "optim_wrapper.clip_grad": None,
        **FROZEN,
    }


PAPER = _paper()


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
    runs = {name: _imagenet("otcxr_screen", BEST | change) for name, change in changes.items()}
    return runs | {f"paper_lr{lr:g}": _imagenet("otcxr_screen", PAPER | {LR: lr}) for lr in (0.05, 0.2)}


def paired(share: float, near: bool = True, **settings: object) -> dict:
    """Pairs of a patient in all three sets; visits are known in the second and the third."""
    specs = [{"_delete_": True, "share": share} for _ in range(3)]
    if near:
        specs[1]["max_gap"], specs[2]["max_gap"] = 3, 1
    sets = {f"train_dataloader.dataset.datasets.{i}.pairs": spec for i, spec in enumerate(specs)}
    return sets | ({HEAD + "pairs": settings} if settings else {})


def _pairs() -> dict[str, Run]:
    """Two images of a patient as views: how many, how far apart, and what finds their partners."""
    changes = {
        "share-0.3": paired(0.3),
        "share-0.3_any-date": paired(0.3, near=False),
        "share-0.6": paired(0.6),
        "no-prior_transport": paired(0.6, prior_scale=None),
        "no-prior_unbalanced": paired(0.6, prior_scale=None, loss_ot={"rho": 0.5, "prior_weight": 0.0}),
        "no-prior_softmax": paired(0.6, prior_scale=None, matching="softmax"),
        "no-prior_nearest": paired(0.6, prior_scale=None, matching="nearest"),
        "geometry": paired(0.6, matching="geometry"),
        "index": paired(0.6, matching="index"),
        "global": paired(0.6, global_mass=0.25),
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


PEERS = ("vicregl_tuned", "vicreg", "simclr")
# a softmax and the nearest match are stand-ins for a plan that also sees features alone
REFERENCES = {"otcxr_features_softmax": "otcxr_features", "otcxr_features_nearest": "otcxr_features"}


def _confirm() -> dict[str, Run]:
    """Seeds that no choice has seen, with the settings of the best validation figures above."""
    changes = {
        "otcxr": {},
        # the plan's simpler stand-ins, with the same cost and masses
        "otcxr_geometry": {HEAD + "matching": "geometry"},
        "otcxr_softmax": {HEAD + "matching": "softmax"},
        "otcxr_nearest": {HEAD + "matching": "nearest"},
        # the plan sees features alone
        "otcxr_features": NO_PRIOR,
        "otcxr_features_softmax": NO_PRIOR | {HEAD + "matching": "softmax"},
        "otcxr_features_nearest": NO_PRIOR | {HEAD + "matching": "nearest"},
        "otcxr_uniform": {HEAD + "marginals": "uniform"},
        "otcxr_infusion": GUARD,
        "otcxr_blind_infusion": GUARD | {NECK + "blind": 0.2},
        "otcxr_pairs": paired(0.3),
    }
    methods = {name: _imagenet("otcxr_screen", BEST | change) for name, change in changes.items()}
    methods["otcxr_paper"] = _imagenet("otcxr_screen", PAPER)
    methods |= {name.removesuffix("_tuned"): _imagenet(name, SLOW) for name in PEERS}
    # no seed changes weights that are not trained
    return {"imagenet_seed1": _imagenet("vicreg", {}, epochs=0, seed=1, test=True), **over_seeds(methods)}


def _longer() -> dict[str, Run]:
    """Whether the order holds at five times the images, and what could restore it; on validation patients."""
    half, slower = {OT + "loss_weight": 12.5}, _slow(0.05)
    changes = {"": {}, "_half-alpha": half, "_slower": slower, "_half-alpha_slower": half | slower}
    methods = {f"otcxr{name}": _imagenet("otcxr_screen", BEST | change) for name, change in changes.items()}
    # slower: the best peer in dense features, and the best at image level
    for peers, name, change in ((PEERS, "", {}), (("vicregl_tuned", "simclr"), "_slower", slower)):
        methods |= {peer.removesuffix("_tuned") + name: _imagenet(peer, SLOW | change) for peer in peers}
    return {name: replace(run, epochs=5 * run.epochs, seed=1) for name, run in methods.items()}


def _published() -> dict[str, Run]:
    """The weights of the model zoo, trained longer, and the thin ResNet-18 without training."""
    thin = Run("otcxr_screen", FAST | MASS_25, epochs=30, seed=1, test=True, data="published")
    return {
        "untrained_r18w32": Run("random", epochs=0, seed=1, test=True),
        "otcxr_r18w32_96": thin,
        "otcxr_mobilenetv2_96": _imagenet("otcxr_screen", BEST, epochs=6, seed=1, test=True, data="published"),
    }


QUEUES: dict[str, dict[str, Run]] = {
    "start": _start(),
    "parts": _parts(),
    "pairs": _pairs(),
    "infusion": _infusion(),
    "confirm": _confirm(),
    "longer": _longer(),
    "published": _published(),
}
