# Lungs at 96 pixels by a small FCN head on the thin ResNet-18: a minute on one CPU core.
#   export OTCXR_DATA=FOLDER  # holds kermany_lungmask/
#   python tools/train.py configs/benchmarks/segmentation/otcxr_fcn_r18_lungs.py
#   python tools/test.py work_dirs/otcxr_fcn_r18_lungs
# The whole network is trained; the head alone:
#   --cfg-options protocol=frozen model.backbone.frozen_stages=4 model.backbone.norm_eval=True
# Another backbone: default_hooks.load_backbone.checkpoint=FILE
# An untrained one: default_hooks.load_backbone.checkpoint=None, and where it stays frozen
# default_hooks.load_backbone.calibrate=True. Few labels: train_dataloader.dataset.fraction=0.01
# train_dataloader.dataset.draw=3. Each into a work dir of its own: --work-dir DIR
_base_ = [
    "../../_base_/models/mask_fcn_r18_thin.py",
    "../../_base_/datasets/kermany_lungs_96.py",
    "../../_base_/segmentation_runtime.py",
]

protocol = "finetune"
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r18_cpu/backbone.pth"))
