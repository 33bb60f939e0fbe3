# RSNA pneumonia, one label, in the folder as Kaggle ships it (OTCXR_RSNA). No patient is known: the images with labels
# are parted by the hash of their names. They come from NIH ChestX-ray14, so that a backbone pre-trained there has seen
# them: `python tools/audit.py` says so.
_base_ = ["./labelled_224.py"]

# with test_mode a broken image is an error: nothing else takes its place
images = dict(
    type="otcxr_mm.RSNAPneumonia",
    data_root="{{$OTCXR_RSNA:data/rsna}}",
    classes=("Pneumonia",),
    pipeline=_base_.pipeline,
    test_mode=True,
)
parts = dict(split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)))
train_dataloader = dict(dataset=dict(**images, **parts, split="train"))
val_dataloader = dict(dataset=dict(**images, **parts, split="val"))
test_dataloader = dict(dataset=dict(**images, **parts, split="test"))
