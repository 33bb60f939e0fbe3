# Fine-tuning on RSNA pneumonia of a backbone that a pre-training run has written.
#   export OTCXR_RSNA=FOLDER  # as Kaggle ships it
#   python tools/train.py configs/benchmarks/finetune/otcxr_finetune_r50_rsna.py
#   python tools/test.py work_dirs/otcxr_finetune_r50_rsna
# Another backbone, ImageNet's from a local file too: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# An untrained one: default_hooks.load_backbone.checkpoint=None
# From the labels of 1 % of the patients: train_dataloader.dataset.fraction=0.01
# train_dataloader.dataset.draw=0. Each into a work dir of its own: --work-dir DIR
_base_ = [
    "../../_base_/models/classifier_r50.py",
    "../../_base_/datasets/rsna_224.py",
    "../../_base_/finetune_runtime.py",
]

model = dict(head=dict(num_classes=1))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_nih/backbone.pth"))
train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
    sampler=dict(shuffle=True),
    dataset=dict(pipeline=_base_.augmented, test_mode=False),
)
