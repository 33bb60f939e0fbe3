# OTCXR from ImageNet's weights: MobileNetV2 at 96 pixels, on real radiographs on two CPU cores.
#   OTCXR_DATA=FOLDER OTCXR_WEIGHTS=FILE python tools/train.py configs/otcxr_mobilenetv2_imagenet_cpu.py
# FOLDER is that of otcxr_r18_cpu.py. FILE holds ImageNet's weights of MMPretrain's MobileNetV2; without it they are
# OpenMMLab's (Apache-2.0), downloaded once.
_base_ = ["./otcxr_r18_cpu.py"]

model = dict(
    data_preprocessor=dict(channels=3),  # MMPretrain's MobileNetV2 has no other stem
    backbone=dict(_delete_=True, type="MobileNetV2", out_indices=(4, 7), frozen_stages=2),
    neck=dict(in_channels=(96, 1280)),
)
default_hooks = dict(
    load_backbone=dict(
        type="otcxr_mm.LoadBackboneHook",
        checkpoint="{{$OTCXR_WEIGHTS:https://mmassets.onedl.ai/mmclassification/v0/mobilenet_v2/mobilenet_v2_batch256_imagenet_20200708-3b2dc3af.pth}}",
        calibrate=True,
    )
)
# neck and head are new; the backbone learns at a tenth of their rate (docs/results/log.md, round 4)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
