# VinBigData (VinBig-CXR) with 14 findings, in the folder as Kaggle ships it (OTCXR_VINBIG). Its test labels are not
# published and its patients not known: the training images are parted by the hash of their names. With VinDr-CXR's own
# release take otcxr_mm.VinDrCXR and its official test split.
pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="Resize", scale=(224, 224), interpolation="area"),
    dict(type="otcxr_mm.PackCXR"),
]
# for fine-tuning
augmented = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="RandomResizedCrop", scale=224, crop_ratio_range=(0.5, 1.0), interpolation="area"),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="otcxr_mm.PhotometricCXR", brightness=0.1, contrast=0.2, gamma=0.2, blur_prob=0.0),
    dict(type="otcxr_mm.PackCXR"),
]
loader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
# with test_mode a broken image is an error: nothing else takes its place
images = dict(
    type="otcxr_mm.VinBigCXR",
    data_root="{{$OTCXR_VINBIG:data/vinbig}}",
    pipeline=pipeline,
    test_mode=True,
)
parts = dict(split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)))
train_dataloader = dict(**loader, dataset=dict(**images, **parts, split="train"))
val_dataloader = dict(**loader, dataset=dict(**images, **parts, split="val"))
test_dataloader = dict(**loader, dataset=dict(**images, **parts, split="test"))
