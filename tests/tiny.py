"""A run that takes seconds: 22 images, 6 iterations an epoch, a network with dropout in every block."""

_base_ = ["../configs/_base_/default_runtime.py"]

model = dict(
    type="otcxr_mm.OTCXR",
    ema=0.1,
    backbone=dict(
        type="VisionTransformer",
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
        img_size=32,
        patch_size=8,
        in_channels=1,
        drop_rate=0.1,
        drop_path_rate=0.1,
        out_type="featmap",
    ),
    neck=dict(
        type="otcxr_mm.CVSIM",
        in_channels=(32,),
        embed_dims=32,
        num_heads=2,
        hidden_channels=32,
        out_channels=16,
    ),
    head=dict(type="otcxr_mm.OTHead", marginals="visibility", prior_scale=0.25, loss_ot=dict(n_iters=10)),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="otcxr_mm.UnlabeledCXR",
        data_root="{{$TINY_DATA:data}}",
        pipeline=[
            dict(type="otcxr_mm.LoadCXR"),
            dict(type="otcxr_mm.TwoViewCrop", size=32),
            dict(type="otcxr_mm.PhotometricCXR"),
            dict(type="otcxr_mm.PackViews"),
        ],
    ),
)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3))
param_scheduler = [dict(type="CosineAnnealingLR", T_max=4, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(type="otcxr_mm.ResumableTrainLoop", max_epochs=4)
auto_scale_lr = dict(base_batch_size=8, enable=False)
default_hooks = dict(
    monitor=dict(type="otcxr_mm.TransportMonitor", pictures=0),
    export=dict(type="otcxr_mm.ExportBackboneHook"),
    checkpoint=dict(by_epoch=False, interval=5),  # in the middle of an epoch too
    logger=dict(interval=1),
)
custom_hooks = [
    dict(type="otcxr_mm.EMATargetHook"),
    dict(type="otcxr_mm.AttributeScheduleHook", attribute="head.loss_ot.eps", start=0.2, end=0.05),
]
randomness = dict(seed=7)
