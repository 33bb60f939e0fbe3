# Built-in procedural radiographs with labels, drawn at first use (into OTCXR_SYNTHETIC).
synthetic = dict(type="otcxr_mm.SyntheticCXR", data_root="{{$OTCXR_SYNTHETIC:data/synthetic}}", seed=0)
test_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="Resize", scale=(96, 96)),
    dict(type="otcxr_mm.PackCXR"),
]
loader = dict(
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
train_dataloader = dict(batch_size=64, **loader, dataset=dict(**synthetic, split="train", pipeline=test_pipeline))
# test_mode: a broken image is an error, not replaced by another
val_dataloader = dict(
    batch_size=64, **loader, dataset=dict(**synthetic, split="val", pipeline=test_pipeline, test_mode=True)
)
test_dataloader = dict(
    batch_size=64, **loader, dataset=dict(**synthetic, split="test", pipeline=test_pipeline, test_mode=True)
)
val_evaluator = dict(type="otcxr_mm.MultiLabelAUC", draws=0)  # no intervals
test_evaluator = dict(type="otcxr_mm.MultiLabelAUC", draws=2000)
