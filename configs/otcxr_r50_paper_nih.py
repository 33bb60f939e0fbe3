# OTCXR near its paper: what public text says, where it says anything, and VICReg's settings where it does not. Uniform
# marginals, infusion, no geometry. The other configs depart from it where a comparison decided, docs/method.md.
#   OTCXR_NIH=FOLDER python tools/train.py configs/otcxr_r50_paper_nih.py
_base_ = ["./otcxr_r50_nih.py"]

model = dict(
    neck=dict(infusion="both", detach_context=False, global_token="mean"),
    head=dict(
        # a published review calls the discrepancy a cosine; at unit variance the squared distance is 2 (1 - cos)
        loss_ot=dict(metric="cosine", relative_eps=False, eps=0.05, prior_weight=0.0, loss_weight=50.0),
        global_mass=0.0,
        marginals="uniform",
        prior_scale=None,
    ),
)

# VICReg's augmentations, of which hue, saturation and greyscale do nothing to a grey image
train_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.TwoViewCrop", size=224, scale=(0.08, 1.0), min_overlap=0.0, flip=0.5),
    dict(
        type="otcxr_mm.PhotometricCXR",
        brightness=0.4,
        contrast=0.4,
        gamma=0.0,
        prob=0.8,
        blur=(0.1, 2.0),
        blur_prob=(1.0, 0.1),
        solarize_prob=(0.0, 0.2),
    ),
    dict(type="otcxr_mm.PackViews"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# LARS as in the code of MLVICX, by the same group: 0.2 x batch / 256, 2 epochs of warm-up, 300 epochs
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type="LARS", lr=0.05, momentum=0.9, weight_decay=1e-6),
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={
            name: dict(decay_mult=0.0, lars_exclude=True)
            for name in ("bn", "bias", "norm", "neck.gate", "downsample.1")
        },
    ),
    clip_grad=None,
)
max_epochs = 300
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=True, begin=0, end=2, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-3,
        by_epoch=True,
        begin=2,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
