# Linear evaluation on CheXpert (OTCXR_CHEXPERT, as Stanford ships it).
#   python tools/train.py configs/downstream/linear/linear_r50_chexpert.py
#   python tools/test.py work_dirs/linear_r50_chexpert
_base_ = [
    "../../_base_/models/classifier_r50.py",
    "../../_base_/datasets/chexpert_224.py",
    "../../_base_/schedules/linear.py",
]

model = dict(head=dict(num_classes=5))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_chexpert/backbone.pth"))
