# SIIM-ACR pneumothorax as Kaggle ships it, at 256 pixels. No splits and no patients are published: images are split one
# by one, and are believed to be of NIH ChestX-ray14.
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
siim = dict(
    type="otcxr_mm.SIIMPneumothorax",
    data_root="{{$OTCXR_SIIM:data/siim}}",
    split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(**siim, split="train", pipeline=train_pipeline),
)
# with test_mode a broken image is an error: nothing else takes its place
loader = dict(
    batch_size=32,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
val_dataloader = dict(**loader, dataset=dict(**siim, split="val", pipeline=test_pipeline, test_mode=True))
test_dataloader = dict(**loader, dataset=dict(**siim, split="test", pipeline=test_pipeline, test_mode=True))
