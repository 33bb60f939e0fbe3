# Linear evaluation on NIH, CheXpert, MIMIC-CXR and PadChest together, on the seven findings that all four label.
#   python tools/train.py configs/downstream/linear/linear_r50_all.py
#   python tools/test.py work_dirs/linear_r50_all
_base_ = [
    "../../_base_/models/classifier_r50.py",
    "../../_base_/datasets/all_224.py",
    "../../_base_/schedules/linear.py",
]

model = dict(head=dict(num_classes=7))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_all/backbone.pth"))
