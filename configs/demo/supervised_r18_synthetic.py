# Supervised training of the same network on the labels of the built-in radiographs, for comparison.
#   python tools/train.py configs/demo/supervised_r18_synthetic.py
#   python tools/test.py work_dirs/supervised_r18_synthetic
_base_ = [
    "../_base_/models/classifier_r18.py",
    "../_base_/datasets/synthetic_96.py",
    "../_base_/default_runtime.py",
]

# names in tables
method, protocol = "supervised", "finetune"
default_hooks = dict(results=dict(type="otcxr_mm.ResultsHook"))

train_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="RandomResizedCrop", scale=96, crop_ratio_range=(0.8, 1.0), interpolation="bilinear"),
    dict(type="otcxr_mm.PackCXR"),
]
train_dataloader = dict(
    batch_size=32,
    drop_last=True,
    sampler=dict(shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.05))
max_epochs = 8
train_cfg = dict(type="otcxr_mm.ResumableTrainLoop", max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict()
test_cfg = dict()
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
auto_scale_lr = dict(base_batch_size=32, enable=False)
