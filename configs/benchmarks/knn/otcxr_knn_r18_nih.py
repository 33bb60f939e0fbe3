# Weighted k nearest neighbours on NIH ChestX-ray14 with a backbone that a pre-training run has written.
#   export OTCXR_DATA=FOLDER  # laid out as the head of configs/otcxr_r18_cpu.py says
#   python tools/train.py configs/benchmarks/knn/otcxr_knn_r18_nih.py
#   python tools/test.py work_dirs/otcxr_knn_r18_nih
# Another backbone, ImageNet's from a local file too: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# An untrained one: default_hooks.load_backbone.checkpoint=None train_cfg.calibrate=True
_base_ = [
    "../../_base_/models/classifier_r18_thin.py",
    "../../_base_/datasets/nih_96.py",
    "../../_base_/knn_runtime.py",
]

model = dict(
    head=dict(_delete_=True, type="otcxr_mm.KNNHead", num_classes=5, in_channels=256, temperature=0.07),
)
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r18_cpu/backbone.pth"))
