# What all runs of the screen share: data, augmentation, schedule, a thin ResNet-18 at 96 pixels.
_base_ = ["../../../../configs/_base_/default_runtime.py"]

custom_imports = dict(imports=["otcxr_mm.utils.patches", "method_screen.components"], allow_failed_imports=False)

data_preprocessor = dict(type="otcxr_mm.CXRDataPreprocessor", mean=[127.5], std=[64.0], channels=1)
backbone = dict(
    type="ScreenResNet",
    depth=18,
    in_channels=1,
    base_channels=32,
    stem_channels=32,
    out_indices=(3,),
    norm_cfg=dict(type="BN"),
    zero_init_residual=False,
)

pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.TwoViewCrop", size=96, scale=(0.25, 1.0), min_overlap=0.3, flip=0.5),
    dict(type="otcxr_mm.PhotometricCXR"),
    dict(type="otcxr_mm.PackViews"),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(
                type="otcxr_mm.UnlabeledCXR",
                data_root="{{$OTCXR_DATA:../shared/data}}/kermany",
                ann_file="labels.csv",
                img_prefix="images",
                split="train",
                packed="{{$OTCXR_SCREEN:work_dirs/methods}}/packed/kermany_160",
                pipeline=pipeline,
            ),
            dict(
                type="otcxr_mm.UnlabeledCXR",
                data_root="{{$OTCXR_DATA:../shared/data}}/nih",
                ann_file="patient_split.csv",
                img_prefix="images",
                split="train",
                packed="{{$OTCXR_SCREEN:work_dirs/methods}}/packed/nih_160",
                pipeline=pipeline,
            ),
        ],
    ),
)

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
max_epochs = 8
train_cfg = dict(type="otcxr_mm.ResumableTrainLoop", max_epochs=max_epochs)
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
default_hooks = dict(
    monitor=dict(type="otcxr_mm.TransportMonitor"),
    export=dict(type="otcxr_mm.ExportBackboneHook"),
    checkpoint=dict(max_keep_ckpts=2),
    logger=dict(interval=33),
)
log_processor = dict(window_size=33)
