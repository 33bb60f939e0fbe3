# Images and masks of 256 pixels: pipelines, loaders and metrics. The config that inherits this names the data set.
train_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    # several classes with a side need flip_pairs=[("left_lung", "right_lung")], or flip=0
    dict(type="otcxr_mm.MaskedCrop", size=256, scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), flip=0.5),
    dict(type="otcxr_mm.PackMasks"),
]
# masks keep their size: predictions are scaled to it
test_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="mmpretrain.Resize", scale=(256, 256), interpolation="area"),
    dict(type="otcxr_mm.PackMasks"),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(split="train", pipeline=train_pipeline),
)
# test_mode: a broken image is an error, not replaced by another
loader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
val_dataloader = dict(**loader, dataset=dict(split="val", pipeline=test_pipeline, test_mode=True))
test_dataloader = dict(**loader, dataset=dict(split="test", pipeline=test_pipeline, test_mode=True))
val_evaluator = dict(type="otcxr_mm.MaskMetric", draws=0)  # no intervals
test_evaluator = dict(type="otcxr_mm.MaskMetric")
