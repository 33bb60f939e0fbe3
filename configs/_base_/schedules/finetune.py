# Fine-tuning of the whole network: AdamW, warm-up, cosine. Its length is in iterations, so that 1 % of the labels get
# as many as all of them. The weights with the best macro AUROC on validation images are kept as best_*.pth.
_base_ = ["../default_runtime.py"]

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
# val_interval is in iterations, too
train_cfg = dict(type="otcxr_mm.ResumableTrainLoop", max_iters=max_iters, val_interval=1000)
val_cfg = dict()
# thresholds are chosen on the validation images
test_cfg = dict(type="otcxr_mm.ValThenTestLoop")
auto_scale_lr = dict(base_batch_size=64, enable=False)

default_hooks = dict(
    # fills the backbone before training; None leaves it untrained
    load_backbone=dict(type="otcxr_mm.LoadBackboneHook", checkpoint=None),
    # counts the training labels where the loss has pos_weight="train"
    positive_weight=dict(type="otcxr_mm.PositiveWeightHook"),
    # writes results.json, predictions.npz and pictures after the test
    results=dict(type="otcxr_mm.ResultsHook"),
    # averages batch norm statistics over all processes before they are validated and saved
    sync_buffers=dict(type="SyncBuffersHook"),
    checkpoint=dict(
        by_epoch=False, interval=1000, max_keep_ckpts=2, save_best="multilabel/auroc", rule="greater", save_last=True
    ),
)
