# NIH ChestX-ray14 or a part of it, with your own split by patient. $OTCXR_DATA/nih holds images/,
# Data_Entry_2017*.csv and patient_split.csv with Image Index, Patient ID, split.
_base_ = ["./labelled_96.py"]

# test_mode: a broken image is an error, not replaced by another
images = dict(
    type="otcxr_mm.NIHChestXray14",
    data_root="{{$OTCXR_DATA:data}}/nih",
    split_file="patient_split.csv",
    skip_missing=True,
    # those of the 14 that a test set of a few hundred images can measure; None for all
    classes=("Pneumonia", "Infiltration", "Edema", "Atelectasis", "Effusion"),
    pipeline=_base_.test_pipeline,
    test_mode=True,
)
train_dataloader = dict(dataset=dict(**images, split="train"))
val_dataloader = dict(dataset=dict(**images, split="val"))
test_dataloader = dict(dataset=dict(**images, split="test"))
