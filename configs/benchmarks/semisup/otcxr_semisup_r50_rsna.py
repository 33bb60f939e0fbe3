# Fine-tuning with the labels of 1 % of the images (no patient is known) of RSNA pneumonia.
#   export OTCXR_RSNA=FOLDER  # as Kaggle ships it
#   python tools/train.py configs/benchmarks/semisup/otcxr_semisup_r50_rsna.py
#   python tools/test.py work_dirs/otcxr_semisup_r50_rsna
# 5, 10 and 30 %, and other draws, each into a work dir of its own: --work-dir work_dirs/rsna_5_1 --cfg-options
# train_dataloader.dataset.fraction=0.05 train_dataloader.dataset.draw=1. 100 %: otcxr_finetune_r50_rsna.py. The
# iterations are as many for 30 % as for 1 %.
_base_ = ["../finetune/otcxr_finetune_r50_rsna.py"]

train_dataloader = dict(dataset=dict(fraction=0.01, draw=0))
max_iters = 2000
train_cfg = dict(max_iters=max_iters, val_interval=200)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=100),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-3, by_epoch=False, begin=100, end=max_iters),
]
default_hooks = dict(checkpoint=dict(interval=500))
