# Paediatric radiographs (Kermany et al., Cell 2018): normal, bacterial or viral pneumonia. $OTCXR_DATA/kermany holds
# images/ and labels.csv with filename, subtype, patient, split.
_base_ = ["./labelled_96.py"]

# test_mode: a broken image is an error, not replaced by another
images = dict(
    type="otcxr_mm.CSVLabeledCXR",
    data_root="{{$OTCXR_DATA:data}}/kermany",
    ann_file="labels.csv",
    img_prefix="images",
    label_columns=("normal", "bacteria", "virus"),
    category_column="subtype",
    pipeline=_base_.test_pipeline,
    test_mode=True,
)
train_dataloader = dict(dataset=dict(**images, split="train"))
val_dataloader = dict(dataset=dict(**images, split="val"))
test_dataloader = dict(dataset=dict(**images, split="test"))
