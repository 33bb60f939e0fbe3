# OTCXR: ResNet-50 pre-trained on NIH, CheXpert, MIMIC-CXR and PadChest together, frontal images alone. The folders:
# OTCXR_NIH, OTCXR_CHEXPERT, OTCXR_MIMIC, OTCXR_PADCHEST, each as in its own config.
#   python tools/train.py configs/otcxr_r50_all.py
_base_ = ["./otcxr_r50_nih.py"]

frontal = dict(views=("PA", "AP", "AP_horizontal"), split="train", pipeline=_base_.train_pipeline)
parts = (("train", 0.7), ("val", 0.1), ("test", 0.2))
sets = [
    dict(frontal, type="otcxr_mm.NIHChestXray14", data_root="{{$OTCXR_NIH:data/nih}}", split="train_val"),
    dict(frontal, type="otcxr_mm.CheXpert", data_root="{{$OTCXR_CHEXPERT:data/chexpert}}"),
    dict(frontal, type="otcxr_mm.MIMICCXR", data_root="{{$OTCXR_MIMIC:data/mimic}}"),
    dict(frontal, type="otcxr_mm.PadChest", data_root="{{$OTCXR_PADCHEST:data/padchest}}", split_by_hash=parts),
]
train_dataloader = dict(dataset=dict(_delete_=True, type="ConcatDataset", datasets=sets, ignore_keys="classes"))
