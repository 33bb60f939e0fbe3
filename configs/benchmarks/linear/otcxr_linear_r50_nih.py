# Linear evaluation on NIH ChestX-ray14 of a backbone that a pre-training run has written.
#   export OTCXR_NIH=FOLDER  # as NIH ships it
#   python tools/train.py configs/benchmarks/linear/otcxr_linear_r50_nih.py
#   python tools/test.py work_dirs/otcxr_linear_r50_nih
# Another backbone, ImageNet's from a local file too: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# An untrained one: default_hooks.load_backbone.checkpoint=None train_cfg.calibrate=True
_base_ = [
    "../../_base_/models/classifier_r50.py",
    "../../_base_/datasets/nih_224.py",
    "../../_base_/linear_runtime.py",
]

default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_nih/backbone.pth"))
