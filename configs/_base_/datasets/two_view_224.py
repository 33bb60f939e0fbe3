# Two views of 224 pixels for pre-training. The config that inherits this names the data set.
train_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(
        type="otcxr_mm.TwoViewCrop",
        size=224,
        scale=(0.25, 1.0),
        ratio=(3 / 4, 4 / 3),
        min_overlap=0.3,  # share of the smaller crop that both views show
        flip=0.5,  # hides which side is left: 0 where that matters
        rotation=0.0,  # degrees in either direction
    ),
    dict(
        type="otcxr_mm.PhotometricCXR",
        brightness=0.2,
        contrast=0.4,
        gamma=0.3,
        prob=0.8,  # of these three
        blur=(0.1, 1.5),  # sigma in pixels
        blur_prob=0.3,
        solarize=128,
        solarize_prob=0.0,
    ),
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
