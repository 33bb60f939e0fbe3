# Two viewpoints of 224 pixels. The data set itself is named by the config that inherits this.
two_view_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(
        type="otcxr_mm.TwoViewCrop",
        size=224,
        scale=(0.25, 1.0),
        min_overlap=0.3,  # share of the smaller crop that both show
        flip=0.5,  # hides which side is left: 0 where that matters
    ),
    dict(type="otcxr_mm.PhotometricCXR"),
    dict(type="otcxr_mm.PackViews"),
]

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
)
