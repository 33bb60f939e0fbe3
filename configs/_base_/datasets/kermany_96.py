# Paediatric radiographs (Kermany et al., Cell 2018): normal, bacterial or viral pneumonia. FOLDER/kermany (OTCXR_DATA)
# holds images/ and labels.csv with filename, subtype, patient, split.
pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="Resize", scale=(96, 96)),
    dict(type="otcxr_mm.PackCXR"),
]
# for fine-tuning
augmented = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="RandomResizedCrop", scale=96, crop_ratio_range=(0.5, 1.0), interpolation="bilinear"),
    dict(type="RandomFlip", prob=0.5, direction="horizontal"),
    dict(type="otcxr_mm.PhotometricCXR", brightness=0.1, contrast=0.2, gamma=0.2, blur_prob=0.0),
    dict(type="otcxr_mm.PackCXR"),
]
loader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
# with test_mode a broken image is an error: nothing else takes its place
images = dict(
    type="otcxr_mm.CSVLabeledCXR",
    data_root="{{$OTCXR_DATA:data}}/kermany",
    ann_file="labels.csv",
    img_prefix="images",
    label_columns=("normal", "bacteria", "virus"),
    category_column="subtype",
    pipeline=pipeline,
    test_mode=True,
)
train_dataloader = dict(**loader, dataset=dict(**images, split="train"))
val_dataloader = dict(**loader, dataset=dict(**images, split="val"))
test_dataloader = dict(**loader, dataset=dict(**images, split="test"))
