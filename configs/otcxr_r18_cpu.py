# OTCXR on a thin ResNet-18 at 96 pixels: trains on real radiographs on two CPU cores in minutes.
#   OTCXR_DATA=FOLDER python tools/train.py configs/otcxr_r18_cpu.py
# FOLDER holds kermany/ (images/, labels.csv with filename, patient, split) and nih/ (images/, patient_split.csv with
# Image Index, Patient ID, split). Only patients of the split "train" are used.
_base_ = [
    "./_base_/models/otcxr_r50.py",
    "./_base_/schedules/adamw_100e.py",
    "./_base_/default_runtime.py",
]

model = dict(
    backbone=dict(depth=18, base_channels=32, stem_channels=32),
    neck=dict(in_channels=(128, 256), embed_dims=128, num_heads=4, hidden_channels=512, out_channels=256),
)
# three learning rates were tried, docs/results/log.md
optim_wrapper = dict(optimizer=dict(lr=3e-3))

train_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.TwoViewCrop", size=96, scale=(0.25, 1.0), min_overlap=0.3, flip=0.5),
    dict(type="otcxr_mm.PhotometricCXR"),
    dict(type="otcxr_mm.PackViews"),
]
train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="ConcatDataset",
        datasets=[
            dict(
                type="otcxr_mm.UnlabeledCXR",
                data_root="{{$OTCXR_DATA:data}}/kermany",
                ann_file="labels.csv",
                img_prefix="images",
                split="train",
                pipeline=train_pipeline,
            ),
            dict(
                type="otcxr_mm.UnlabeledCXR",
                data_root="{{$OTCXR_DATA:data}}/nih",
                ann_file="patient_split.csv",
                img_prefix="images",
                split="train",
                pipeline=train_pipeline,
            ),
        ],
    ),
)

max_epochs = 10
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
default_hooks = dict(
    # logs after each epoch what tells healthy features, weights and plans from sick ones, without a forward pass of
    # its own; draws a few plans and features every 5 epochs, on images of nobody (docs/monitoring.md)
    monitor=dict(type="otcxr_mm.TransportMonitor"),
    # writes backbone.pth and backbone.json at the end
    export=dict(type="otcxr_mm.ExportBackboneHook"),
    logger=dict(interval=10),
)
log_processor = dict(window_size=10)
