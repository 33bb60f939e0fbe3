# OTCXR from ImageNet's weights: ViT-S/16 on the official train_val list of NIH ChestX-ray14.
#   OTCXR_NIH=FOLDER python tools/train.py configs/otcxr_vits_imagenet_nih.py
# The weights are DeiT-S's (Touvron et al., ICML 2021, Apache-2.0) as OpenMMLab publishes them, downloaded once. On a
# machine without network, name a file of them: --cfg-options default_hooks.load_backbone.checkpoint=FILE
_base_ = ["./otcxr_r50_imagenet_nih.py"]

model = dict(
    # what the weights were trained with, the mean over the channels
    data_preprocessor=dict(mean=[114.8], std=[57.5]),
    backbone=dict(
        _delete_=True,
        type="VisionTransformer",
        arch="deit-small",
        img_size=224,
        patch_size=16,
        in_channels=1,
        out_type="featmap",
        drop_path_rate=0.1,
    ),
    neck=dict(in_channels=(384,)),  # 14 x 14 tokens, pooled to 7 x 7
)
default_hooks = dict(
    load_backbone=dict(
        checkpoint="https://mmassets.onedl.ai/mmclassification/v0/deit/deit-small_pt-4xb256_in1k_20220218-9425b9bb.pth",
        calibrate=False,  # it has no batch norm
    )
)
# each layer learns at 0.75 times the rate of the one above
optim_wrapper = dict(
    optimizer=dict(lr=5e-4),
    constructor="LearningRateDecayOptimWrapperConstructor",
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=0.75,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
    ),
)
