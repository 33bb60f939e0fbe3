# VinBigData (VinBig-CXR) with 14 findings, in the folder as Kaggle ships it (OTCXR_VINBIG). Its test labels are not
# published and its patients not known: the training images are parted by the hash of their names. With VinDr-CXR's own
# release take otcxr_mm.VinDrCXR and its official test split.
_base_ = ["./labelled_224.py"]

# with test_mode a broken image is an error: nothing else takes its place
images = dict(
    type="otcxr_mm.VinBigCXR",
    data_root="{{$OTCXR_VINBIG:data/vinbig}}",
    pipeline=_base_.pipeline,
    test_mode=True,
)
parts = dict(split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)))
train_dataloader = dict(dataset=dict(**images, **parts, split="train"))
val_dataloader = dict(dataset=dict(**images, **parts, split="val"))
test_dataloader = dict(dataset=dict(**images, **parts, split="test"))
