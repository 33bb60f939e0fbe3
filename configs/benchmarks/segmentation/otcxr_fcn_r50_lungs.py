# Lungs by FCN on a ResNet-50 that a pre-training run has written.
#   export OTCXR_LUNGS=FOLDER  # images/ and masks/, of the same names
#   python tools/train.py configs/benchmarks/segmentation/otcxr_fcn_r50_lungs.py
#   python tools/test.py work_dirs/otcxr_fcn_r50_lungs
# The whole network is trained; the head alone:
#   --cfg-options protocol=frozen model.backbone.frozen_stages=4 model.backbone.norm_eval=True
# Another backbone: default_hooks.load_backbone.checkpoint=FILE
# An untrained one: default_hooks.load_backbone.checkpoint=None, and where it stays frozen
# default_hooks.load_backbone.calibrate=True. Few labels: train_dataloader.dataset.fraction=0.01
# train_dataloader.dataset.draw=3. Each into a work dir of its own: --work-dir DIR
_base_ = [
    "../../_base_/models/mask_fcn_r50.py",
    "../../_base_/datasets/lungs_masks_256.py",
    "../../_base_/segmentation_runtime.py",
]

protocol = "finetune"
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_nih/backbone.pth"))

# a place to start from: no search stands behind it
max_iters = 2000
train_cfg = dict(max_iters=max_iters, val_interval=200)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-2, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-2, by_epoch=False, begin=100, end=max_iters),
]
