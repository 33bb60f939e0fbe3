# OTCXR from ImageNet's weights: ResNet-50 on the official train_val list of NIH ChestX-ray14.
#   OTCXR_NIH=FOLDER python tools/train.py configs/otcxr_r50_imagenet_nih.py
# The weights (BSD-3-Clause) are torchvision's, downloaded once. On a machine without network, name a file of them:
#   --cfg-options default_hooks.load_backbone.checkpoint=FILE
_base_ = ["./otcxr_r50_nih.py"]

# the stem takes one channel: its weights are summed, and the batch norms adapt to radiographs before the first step
default_hooks = dict(
    load_backbone=dict(type="otcxr_mm.LoadBackboneHook", checkpoint="torchvision://resnet50", calibrate=True)
)
model = dict(backbone=dict(frozen_stages=1))  # the stem and the first stage stay as they are
# neck and head are new; the backbone learns at a tenth of their rate, for fewer epochs: the start is worth keeping
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))))
max_epochs = 30
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-3,
        by_epoch=True,
        begin=1,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
