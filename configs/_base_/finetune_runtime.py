# Fine-tuning of the whole network for a number of iterations, the same for 1 % of the labels as for all of them. The
# weights with the best macro AUROC on validation images are kept as best_*.pth.
_base_ = ["./downstream_runtime.py"]

protocol = "finetune"
max_iters = 10000
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=500),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-3, by_epoch=False, begin=500, end=max_iters),
]
# val_interval in iterations, too
train_cfg = dict(type="otcxr_mm.ResumableTrainLoop", max_iters=max_iters, val_interval=1000)
default_hooks = dict(
    # batch norm statistics are those of all processes before they are validated and saved
    sync_buffers=dict(type="SyncBuffersHook"),
    checkpoint=dict(
        by_epoch=False, interval=1000, max_keep_ckpts=2, save_best="multilabel/auroc", rule="greater", save_last=True
    ),
)
auto_scale_lr = dict(base_batch_size=64, enable=False)
