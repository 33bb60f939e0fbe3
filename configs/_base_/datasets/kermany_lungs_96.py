# Lungs of 1,544 paediatric radiographs at 96 pixels, split by patient: images/, lung_masks/, labels.csv with filename,
# patient and split. One class; of two lungs with names of their own MaskedCrop needs
# flip_pairs=[("left_lung", "right_lung")], or flip=0.
train_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.MaskedCrop", size=96, scale=(0.5, 1.0), ratio=(1.0, 1.7), flip=0.5),
    dict(type="otcxr_mm.PackMasks"),
]
# masks stay as they are: predictions are brought to the size of the original
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
# with test_mode a broken image is an error: nothing else takes its place
loader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
val_dataloader = dict(**loader, dataset=dict(**lungs, split="val", pipeline=test_pipeline, test_mode=True))
test_dataloader = dict(**loader, dataset=dict(**lungs, split="test", pipeline=test_pipeline, test_mode=True))
