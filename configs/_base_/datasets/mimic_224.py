# CheXpert's five competition findings on MIMIC-CXR-JPG (OTCXR_MIMIC, as PhysioNet ships it), with the official splits.
_base_ = ["./labelled_224.py"]

# test_mode: a broken image is an error, not replaced by another
images = dict(type="otcxr_mm.MIMICCXR", data_root="{{$OTCXR_MIMIC:data/mimic}}", classes="chexpert5")
images.update(pipeline=_base_.test_pipeline, test_mode=True)
train_dataloader = dict(dataset=dict(**images, split="train", uncertain="U-Mixed"))
val_dataloader = dict(dataset=dict(**images, split="validate"))
test_dataloader = dict(dataset=dict(**images, split="test"))
