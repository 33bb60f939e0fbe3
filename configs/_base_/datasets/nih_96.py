# NIH ChestX-ray14 or a part of it, with splits of one's own by patient. FOLDER/nih (OTCXR_DATA) holds images/,
# Data_Entry_2017*.csv and patient_split.csv with Image Index, Patient ID, split.
_base_ = ["./labelled_96.py"]

# with test_mode a broken image is an error: nothing else takes its place
images = dict(
    type="otcxr_mm.NIHChestXray14",
    data_root="{{$OTCXR_DATA:data}}/nih",
    split_file="patient_split.csv",
    skip_missing=True,
    # of the 14 those that a test set of some hundred images can measure; None for all
    classes=("Pneumonia", "Infiltration", "Edema", "Atelectasis", "Effusion"),
    pipeline=_base_.pipeline,
    test_mode=True,
)
train_dataloader = dict(dataset=dict(**images, split="train"))
val_dataloader = dict(dataset=dict(**images, split="val"))
test_dataloader = dict(dataset=dict(**images, split="test"))
