# Linear evaluation on MIMIC-CXR (OTCXR_MIMIC, as PhysioNet ships it).
#   python tools/train.py configs/downstream/linear/linear_r50_mimic.py
#   python tools/test.py work_dirs/linear_r50_mimic
_base_ = [
    "../../_base_/models/classifier_r50.py",
    "../../_base_/datasets/mimic_224.py",
    "../../_base_/schedules/linear.py",
]

model = dict(head=dict(num_classes=5))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_mimic/backbone.pth"))
