# Folders of images and of masks of the same names, 0 and one other value, at 256 pixels. Where a table says whose an
# image is, name it: ann_file; else images are split one by one. Splits of your own: split_file instead.
# Classes with a side, such as mask_prefix=dict(left_lung="left", right_lung="right"), change places when an image is
# flipped: give MaskedCrop flip_pairs=[("left_lung", "right_lung")], or flip=0.
train_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.MaskedCrop", size=256, scale=(0.5, 1.0), ratio=(3 / 4, 4 / 3), flip=0.5),
    dict(type="otcxr_mm.PackMasks"),
]
# masks stay as they are: predictions are brought to the size of the original
test_pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="mmpretrain.Resize", scale=(256, 256), interpolation="area"),
    dict(type="otcxr_mm.PackMasks"),
]
lungs = dict(
    type="otcxr_mm.CXRSegmentation",
    data_root="{{$OTCXR_LUNGS:data/lungs}}",
    img_prefix="images",
    mask_prefix=dict(lung="masks"),
    split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(**lungs, split="train", pipeline=train_pipeline),
)
# with test_mode a broken image is an error: nothing else takes its place
loader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
val_dataloader = dict(**loader, dataset=dict(**lungs, split="val", pipeline=test_pipeline, test_mode=True))
test_dataloader = dict(**loader, dataset=dict(**lungs, split="test", pipeline=test_pipeline, test_mode=True))
