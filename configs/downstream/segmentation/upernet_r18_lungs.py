# Lungs at 96 pixels ($OTCXR_DATA/kermany_lungmask) by a small UPerNet: a minute on one CPU core.
#   python tools/train.py configs/downstream/segmentation/upernet_r18_lungs.py
#   python tools/test.py work_dirs/upernet_r18_lungs
# Another backbone: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# The head alone: --cfg-options protocol=frozen model.backbone.frozen_stages=4 model.backbone.norm_eval=True
_base_ = [
    "../../_base_/models/upernet_r18.py",
    "../../_base_/datasets/kermany_lungs_96.py",
    "../../_base_/schedules/segmentation.py",
]

default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r18_cpu/backbone.pth"))
