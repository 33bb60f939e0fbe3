# Linear evaluation on Kermany ($OTCXR_DATA/kermany).
#   python tools/train.py configs/downstream/linear/linear_r18_kermany.py
#   python tools/test.py work_dirs/linear_r18_kermany
# Another backbone: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# Nearest neighbours: --cfg-options model.head.type=otcxr_mm.KNNHead, with --work-dir work_dirs/knn_r18_kermany
_base_ = [
    "../../_base_/models/classifier_r18.py",
    "../../_base_/datasets/kermany_96.py",
    "../../_base_/schedules/linear.py",
]

model = dict(head=dict(num_classes=3))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r18_cpu/backbone.pth"))
