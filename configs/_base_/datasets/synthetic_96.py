# Built-in procedural radiographs, drawn at first use: two viewpoints for pre-training, labelled images for probes.
synthetic = dict(type="otcxr_mm.SyntheticCXR", data_root="{{$OTCXR_SYNTHETIC:data/synthetic}}", seed=0)
pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="Resize", scale=(96, 96)),
    dict(type="otcxr_mm.PackCXR"),
]
loader = dict(
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
train_dataloader = dict(batch_size=64, **loader, dataset=dict(**synthetic, split="train", pipeline=pipeline))
# with test_mode a broken image is an error: nothing else takes its place
val_dataloader = dict(
    batch_size=64, **loader, dataset=dict(**synthetic, split="val", pipeline=pipeline, test_mode=True)
)
test_dataloader = dict(
    batch_size=64, **loader, dataset=dict(**synthetic, split="test", pipeline=pipeline, test_mode=True)
)
