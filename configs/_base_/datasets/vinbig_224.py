# VinBigData (VinBig-CXR) with 14 findings, in the folder as Kaggle ships it (OTCXR_VINBIG). Its test labels are not
# published and its patients are unknown, so the training images are split by the hash of their names. For VinDr-CXR's
# own release use otcxr_mm.VinDrCXR and its official test split.
_base_ = ["./labelled_224.py"]

# test_mode: a broken image is an error, not replaced by another
images = dict(
    type="otcxr_mm.VinBigCXR",
    data_root="{{$OTCXR_VINBIG:data/vinbig}}",
    pipeline=_base_.test_pipeline,
    test_mode=True,
)
parts = dict(split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)))
train_dataloader = dict(dataset=dict(**images, **parts, split="train"))
val_dataloader = dict(dataset=dict(**images, **parts, split="val"))
test_dataloader = dict(dataset=dict(**images, **parts, split="test"))
