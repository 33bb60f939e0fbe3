# Lungs of 1,544 paediatric radiographs at 96 pixels, split by patient. $OTCXR_DATA/kermany_lungmask holds images/,
# lung_masks/ and labels.csv with filename, patient, split.
train_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    # several classes with a side need flip_pairs=[("left_lung", "right_lung")], or flip=0
    dict(type="otcxr_mm.MaskedCrop", size=96, scale=(0.5, 1.0), ratio=(1.0, 1.7), flip=0.5),
    dict(type="otcxr_mm.PackMasks"),
]
# masks keep their size: predictions are scaled to it
test_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="mmpretrain.Resize", scale=(96, 96), interpolation="area"),
    dict(type="otcxr_mm.PackMasks"),
]
lungs = dict(
    type="otcxr_mm.CXRSegmentation",
    data_root="{{$OTCXR_DATA:data}}/kermany_lungmask",
    ann_file="labels.csv",
    img_prefix="images",
    mask_prefix=dict(lung="lung_masks"),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(**lungs, split="train", pipeline=train_pipeline),
)
# test_mode: a broken image is an error, not replaced by another
loader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
val_dataloader = dict(**loader, dataset=dict(**lungs, split="val", pipeline=test_pipeline, test_mode=True))
test_dataloader = dict(**loader, dataset=dict(**lungs, split="test", pipeline=test_pipeline, test_mode=True))
val_evaluator = dict(type="otcxr_mm.MaskMetric", draws=0)  # no intervals
test_evaluator = dict(type="otcxr_mm.MaskMetric")
