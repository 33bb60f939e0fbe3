# Labelled images of 96 pixels: pipelines, loaders and metrics. The config that inherits this names the data set.
test_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="Resize", scale=(96, 96)),
    dict(type="otcxr_mm.PackCXR"),
]
# for fine-tuning; linear evaluation trains on test_pipeline
train_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="RandomResizedCrop", scale=96, crop_ratio_range=(0.5, 1.0), interpolation="bilinear"),
    # classes with a side, such as "Left effusion", need flip_pairs=[(LEFT, RIGHT), ...], or prob=0
    dict(type="otcxr_mm.FlipCXR", prob=0.5),
    dict(type="otcxr_mm.PhotometricCXR", brightness=0.1, contrast=0.2, gamma=0.2, blur_prob=0.0),
    dict(type="otcxr_mm.PackCXR"),
]
loader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
train_dataloader = dict(**loader)
val_dataloader = dict(**loader)
test_dataloader = dict(**loader)
val_evaluator = dict(type="otcxr_mm.MultiLabelAUC", draws=0)  # no intervals
test_evaluator = dict(type="otcxr_mm.MultiLabelAUC", draws=2000)
