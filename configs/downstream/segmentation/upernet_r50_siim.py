# Pneumothorax ($OTCXR_SIIM, SIIM-ACR as Kaggle ships it) by UPerNet.
#   python tools/train.py configs/downstream/segmentation/upernet_r50_siim.py
#   python tools/test.py work_dirs/upernet_r50_siim
# Another backbone: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# The head alone: --cfg-options protocol=frozen model.backbone.frozen_stages=4 model.backbone.norm_eval=True
_base_ = [
    "../../_base_/models/upernet_r50.py",
    "../../_base_/datasets/masks_256.py",
    "../../_base_/schedules/segmentation.py",
]

default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_nih/backbone.pth"))
# neither splits nor patients are published: images are split one by one, and come from NIH ChestX-ray14
dataset = dict(
    type="otcxr_mm.SIIMPneumothorax",
    data_root="{{$OTCXR_SIIM:data/siim}}",
    split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)),
)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)

# a starting point, not the result of a search
max_iters = 10000
train_cfg = dict(max_iters=max_iters, val_interval=1000)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-2, by_epoch=False, begin=0, end=500),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-2, by_epoch=False, begin=500, end=max_iters),
]
