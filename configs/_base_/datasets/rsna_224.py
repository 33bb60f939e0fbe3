# RSNA pneumonia, one label, in the folder as Kaggle ships it (OTCXR_RSNA). Patients are unknown, so images are split by
# the hash of their names. They come from NIH ChestX-ray14: a backbone pre-trained there has seen them, and otcxr audit
# reports it.
_base_ = ["./labelled_224.py"]

# test_mode: a broken image is an error, not replaced by another
images = dict(
    type="otcxr_mm.RSNAPneumonia",
    data_root="{{$OTCXR_RSNA:data/rsna}}",
    classes=("Pneumonia",),
    pipeline=_base_.test_pipeline,
    test_mode=True,
)
parts = dict(split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)))
train_dataloader = dict(dataset=dict(**images, **parts, split="train"))
val_dataloader = dict(dataset=dict(**images, **parts, split="val"))
test_dataloader = dict(dataset=dict(**images, **parts, split="test"))
