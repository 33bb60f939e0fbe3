# RSNA pneumonia, one label, in the folder as Kaggle ships it (OTCXR_RSNA). No patient is known: the images with labels
# are parted by the hash of their names. They come from NIH ChestX-ray14, so that a backbone pre-trained there has seen
# them: `python tools/audit.py` says so.
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
    type="otcxr_mm.RSNAPneumonia",
    data_root="{{$OTCXR_RSNA:data/rsna}}",
    classes=("Pneumonia",),
    pipeline=pipeline,
    test_mode=True,
)
parts = dict(split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)))
train_dataloader = dict(**loader, dataset=dict(**images, **parts, split="train"))
val_dataloader = dict(**loader, dataset=dict(**images, **parts, split="val"))
test_dataloader = dict(**loader, dataset=dict(**images, **parts, split="test"))
