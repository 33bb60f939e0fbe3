# NIH ChestX-ray14 with its 14 labels, in the folder as NIH ships it (OTCXR_NIH). The official train_val list is split
# by patient, the same way on every machine. otcxr_r50_nih.py pre-trains on all of train_val without labels, so choices
# made on val see features that were pre-trained on it: figures on val are optimistic, figures on test are not affected.
_base_ = ["./labelled_224.py"]

# test_mode: a broken image is an error, not replaced by another
images = dict(
    type="otcxr_mm.NIHChestXray14",
    data_root="{{$OTCXR_NIH:data/nih}}",
    pipeline=_base_.test_pipeline,
    test_mode=True,
)
parts = dict(within="train_val", split_by_hash=(("train", 0.875), ("val", 0.125)))
train_dataloader = dict(dataset=dict(**images, **parts, split="train"))
val_dataloader = dict(dataset=dict(**images, **parts, split="val"))
test_dataloader = dict(dataset=dict(**images, split="test"))
