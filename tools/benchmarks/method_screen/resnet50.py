"""Runs of a ResNet-50 at 224 pixels from random weights, for a GPU: 10,740 radiographs, one rate for all."""

from .from_scratch import LR, MASS_25, NECK, OWN
from .run import Run

STAGES = {"model.backbone.out_indices": (2, 3)}
# neck and head as in configs/_base_/models/otcxr_r50.py; expanders as published for this network
SETTINGS = {
    "otcxr_screen": OWN
    | MASS_25
    | STAGES
    | {
        NECK + "in_channels": (1024, 2048),
        NECK + "embed_dims": 256,
        NECK + "hidden_channels": 1024,
        NECK + "out_channels": 512,
    },
    "vicregl_tuned": STAGES
    | {"model.expander": [2048, 8192, 8192, 8192], "model.dense_expander": [3072, 512, 512, 512]},
    "vicreg": {"model.expander": [2048, 8192, 8192, 8192]},
    "simclr": {NECK + "in_channels": 2048, NECK + "hid_channels": 2048},
}


def _runs(epochs: int) -> dict[str, Run]:
    options = {name: settings | {LR: 1e-3} for name, settings in SETTINGS.items()}
    return {
        name.removesuffix("_tuned").removesuffix("_screen"): Run(
            name, settings, epochs, seed=1, test=True, start="resnet50"
        )
        for name, settings in options.items()
    }


QUEUES: dict[str, dict[str, Run]] = {"resnet50": _runs(epochs=6)}
