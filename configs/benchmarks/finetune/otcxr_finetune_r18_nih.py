# Fine-tuning on NIH ChestX-ray14 of a backbone that a pre-training run has written.
#   export OTCXR_DATA=FOLDER  # laid out as the head of configs/otcxr_r18_cpu.py says
#   python tools/train.py configs/benchmarks/finetune/otcxr_finetune_r18_nih.py
#   python tools/test.py work_dirs/otcxr_finetune_r18_nih
# Another backbone, ImageNet's from a local file too: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# An untrained one: default_hooks.load_backbone.checkpoint=None
# From the labels of 1 % of the patients: train_dataloader.dataset.fraction=0.01
# train_dataloader.dataset.draw=0. Each into a work dir of its own: --work-dir DIR
_base_ = [
    "../../_base_/models/classifier_r18_thin.py",
    "../../_base_/datasets/nih_96.py",
    "../../_base_/finetune_runtime.py",
]

model = dict(head=dict(num_classes=5))
train_dataloader = dict(
    sampler=dict(shuffle=True),
    dataset=dict(pipeline=_base_.augmented, test_mode=False),
)
max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=50)
# chosen on validation patients, docs/results.md
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-3, by_epoch=False, begin=50, end=max_iters),
]
default_hooks = dict(
    load_backbone=dict(checkpoint="work_dirs/otcxr_r18_cpu/backbone.pth"),
    checkpoint=dict(interval=150),
)
auto_scale_lr = dict(base_batch_size=32)
