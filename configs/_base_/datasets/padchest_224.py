# PadChest's labels as NIH's 14 findings (OTCXR_PADCHEST, as BIMCV ships it), split by the hash of the patient.
_base_ = ["./labelled_224.py"]

# test_mode: a broken image is an error, not replaced by another
images = dict(type="otcxr_mm.PadChest", data_root="{{$OTCXR_PADCHEST:data/padchest}}", classes="nih14")
images.update(pipeline=_base_.test_pipeline, test_mode=True)
parts = dict(split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)))
train_dataloader = dict(dataset=dict(**images, **parts, split="train"))
val_dataloader = dict(dataset=dict(**images, **parts, split="val"))
test_dataloader = dict(dataset=dict(**images, **parts, split="test"))
