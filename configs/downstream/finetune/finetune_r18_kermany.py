# Fine-tuning on Kermany ($OTCXR_DATA/kermany).
#   python tools/train.py configs/downstream/finetune/finetune_r18_kermany.py
#   python tools/test.py work_dirs/finetune_r18_kermany
# Another backbone: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# 1 % of the labels: --cfg-options train_dataloader.dataset.fraction=0.01, with --work-dir DIR
_base_ = [
    "../../_base_/models/classifier_r18.py",
    "../../_base_/datasets/kermany_96.py",
    "../../_base_/schedules/finetune.py",
]

model = dict(head=dict(num_classes=3))
train_dataloader = dict(
    sampler=dict(shuffle=True),
    dataset=dict(pipeline=_base_.train_pipeline, test_mode=False),
)
max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=75)
# chosen on validation patients, docs/results/from_scratch.md
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-3, by_epoch=False, begin=50, end=max_iters),
]
default_hooks = dict(
    load_backbone=dict(checkpoint="work_dirs/otcxr_r18_cpu/backbone.pth"),
    checkpoint=dict(interval=300),
)
auto_scale_lr = dict(base_batch_size=32)
