# CheXpert's five competition findings (OTCXR_CHEXPERT, as Stanford ships it). train is split by patient; the test
# images are `valid`, 234 that radiologists labelled.
_base_ = ["./labelled_224.py"]

# test_mode: a broken image is an error, not replaced by another
images = dict(type="otcxr_mm.CheXpert", data_root="{{$OTCXR_CHEXPERT:data/chexpert}}", classes="chexpert5")
images.update(pipeline=_base_.test_pipeline, test_mode=True)
parts = dict(within="train", split_by_hash=(("train", 0.9), ("val", 0.1)), uncertain="U-Mixed")
train_dataloader = dict(dataset=dict(**images, **parts, split="train"))
val_dataloader = dict(dataset=dict(**images, **parts, split="val"))
test_dataloader = dict(dataset=dict(**images, split="valid"))
