# NIH, CheXpert, MIMIC-CXR and PadChest on the seven findings that all four label, split as in their own configs.
_base_ = ["./labelled_224.py"]

same = dict(classes="common7", pipeline=_base_.test_pipeline, test_mode=True)
nih = dict(same, type="otcxr_mm.NIHChestXray14", data_root="{{$OTCXR_NIH:data/nih}}")
chexpert = dict(same, type="otcxr_mm.CheXpert", data_root="{{$OTCXR_CHEXPERT:data/chexpert}}", uncertain="U-Mixed")
mimic = dict(same, type="otcxr_mm.MIMICCXR", data_root="{{$OTCXR_MIMIC:data/mimic}}", uncertain="U-Mixed")
padchest = dict(same, type="otcxr_mm.PadChest", data_root="{{$OTCXR_PADCHEST:data/padchest}}")
padchest["split_by_hash"] = (("train", 0.7), ("val", 0.1), ("test", 0.2))
parts = [
    dict(nih, within="train_val", split_by_hash=(("train", 0.875), ("val", 0.125))),
    dict(chexpert, within="train", split_by_hash=(("train", 0.9), ("val", 0.1))),
    mimic,
    padchest,
]
train = [dict(one, split="train") for one in parts]
val = [dict(one, split=split) for one, split in zip(parts, ("val", "val", "validate", "val"), strict=True)]
test = [dict(nih, split="test"), dict(chexpert, split="valid"), dict(mimic, split="test"), dict(padchest, split="test")]
train_dataloader = dict(dataset=dict(type="ConcatDataset", datasets=train))
val_dataloader = dict(dataset=dict(type="ConcatDataset", datasets=val))
test_dataloader = dict(dataset=dict(type="ConcatDataset", datasets=test))
