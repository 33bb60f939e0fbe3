# Paediatric radiographs (Kermany et al., Cell 2018): normal, bacterial or viral pneumonia. FOLDER/kermany (OTCXR_DATA)
# holds images/ and labels.csv with filename, subtype, patient, split.
_base_ = ["./labelled_96.py"]

# with test_mode a broken image is an error: nothing else takes its place
images = dict(
    type="otcxr_mm.CSVLabeledCXR",
    data_root="{{$OTCXR_DATA:data}}/kermany",
    ann_file="labels.csv",
    img_prefix="images",
    label_columns=("normal", "bacteria", "virus"),
    category_column="subtype",
    pipeline=_base_.pipeline,
    test_mode=True,
)
train_dataloader = dict(dataset=dict(**images, split="train"))
val_dataloader = dict(dataset=dict(**images, split="val"))
test_dataloader = dict(dataset=dict(**images, split="test"))
