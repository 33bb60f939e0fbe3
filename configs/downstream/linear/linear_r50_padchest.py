# Linear evaluation on PadChest (OTCXR_PADCHEST, as BIMCV ships it).
#   python tools/train.py configs/downstream/linear/linear_r50_padchest.py
#   python tools/test.py work_dirs/linear_r50_padchest
_base_ = [
    "../../_base_/models/classifier_r50.py",
    "../../_base_/datasets/padchest_224.py",
    "../../_base_/schedules/linear.py",
]

default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_padchest/backbone.pth"))
