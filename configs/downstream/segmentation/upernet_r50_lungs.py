# Lungs ($OTCXR_LUNGS: images/ and masks/ with the same file names) by UPerNet.
#   python tools/train.py configs/downstream/segmentation/upernet_r50_lungs.py
#   python tools/test.py work_dirs/upernet_r50_lungs
# Another backbone: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# The head alone: --cfg-options protocol=frozen model.backbone.frozen_stages=4 model.backbone.norm_eval=True
_base_ = [
    "../../_base_/models/upernet_r50.py",
    "../../_base_/datasets/masks_256.py",
    "../../_base_/schedules/segmentation.py",
]

default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_nih/backbone.pth"))
# masks hold 0 and one other value. ann_file="table.csv" names each image's patient, so that the split is by patient;
# split_file="splits.csv" is a split of your own
dataset = dict(
    type="otcxr_mm.CXRSegmentation",
    data_root="{{$OTCXR_LUNGS:data/lungs}}",
    img_prefix="images",
    mask_prefix=dict(lung="masks"),
    split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)),
)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)

# a starting point, not the result of a search
max_iters = 2000
train_cfg = dict(max_iters=max_iters, val_interval=200)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-2, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-2, by_epoch=False, begin=100, end=max_iters),
]
