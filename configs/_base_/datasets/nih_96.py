# NIH ChestX-ray14 or a part of it, with splits of one's own by patient. FOLDER/nih (OTCXR_DATA) holds images/,
# Data_Entry_2017*.csv and patient_split.csv with Image Index, Patient ID, split.
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
    type="otcxr_mm.NIHChestXray14",
    data_root="{{$OTCXR_DATA:data}}/nih",
    split_file="patient_split.csv",
    skip_missing=True,
    # of the 14 those that a test set of some hundred images can measure; None for all
    classes=("Pneumonia", "Infiltration", "Edema", "Atelectasis", "Effusion"),
    pipeline=pipeline,
    test_mode=True,
)
train_dataloader = dict(**loader, dataset=dict(**images, split="train"))
val_dataloader = dict(**loader, dataset=dict(**images, split="val"))
test_dataloader = dict(**loader, dataset=dict(**images, split="test"))
