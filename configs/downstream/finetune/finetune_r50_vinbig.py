# Fine-tuning on VinBigData ($OTCXR_VINBIG, as Kaggle ships it).
#   python tools/train.py configs/downstream/finetune/finetune_r50_vinbig.py
#   python tools/test.py work_dirs/finetune_r50_vinbig
# Another backbone: --cfg-options default_hooks.load_backbone.checkpoint=FILE
# 1 % of the labels: --cfg-options train_dataloader.dataset.fraction=0.01, with --work-dir DIR
_base_ = [
    "../../_base_/models/classifier_r50.py",
    "../../_base_/datasets/vinbig_224.py",
    "../../_base_/schedules/finetune.py",
]

default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r50_nih/backbone.pth"))
train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
    sampler=dict(shuffle=True),
    dataset=dict(pipeline=_base_.train_pipeline, test_mode=False),
)
