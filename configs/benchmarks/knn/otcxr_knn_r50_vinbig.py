# Weighted k nearest neighbours on VinBigData with a backbone that a pre-training run has written.
#   export OTCXR_VINBIG=FOLDER  # as Kaggle ships it
#   python tools/train.py configs/benchmarks/knn/otcxr_knn_r50_vinbig.py
#   python tools/test.py work_dirs/otcxr_knn_r50_vinbig
# Another backbone, ImageNet's from a local file too: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# An untrained one: default_hooks.load_backbone.checkpoint=None train_cfg.calibrate=True
_base_ = [
    "../../_base_/models/classifier_r50.py",
    "../../_base_/datasets/vinbig_224.py",
    "../../_base_/knn_runtime.py",
]

model = dict(
    head=dict(_delete_=True, type="otcxr_mm.KNNHead", num_classes=14, in_channels=2048, temperature=0.07),
)
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_nih/backbone.pth"))
