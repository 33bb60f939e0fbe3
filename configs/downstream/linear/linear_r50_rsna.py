# Linear evaluation on RSNA pneumonia ($OTCXR_RSNA, as Kaggle ships it).
#   python tools/train.py configs/downstream/linear/linear_r50_rsna.py
#   python tools/test.py work_dirs/linear_r50_rsna
# Another backbone: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# Nearest neighbours: --cfg-options model.head.type=otcxr_mm.KNNHead, with --work-dir work_dirs/knn_r50_rsna
_base_ = [
    "../../_base_/models/classifier_r50.py",
    "../../_base_/datasets/rsna_224.py",
    "../../_base_/schedules/linear.py",
]

model = dict(head=dict(num_classes=1))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_nih/backbone.pth"))
