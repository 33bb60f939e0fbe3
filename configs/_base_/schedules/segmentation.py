# Segmentation with MMSegmentation's parts: AdamW, warm-up over the first tenth, cosine. Its length is in iterations, so
# that 1 % of the labels get as many as all of them. In this scope MMPretrain's parts are mmpretrain.X, ours otcxr_mm.X.
_base_ = ["../default_runtime.py"]

default_scope = "mmseg"
protocol = "finetune"
max_iters = 300
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-2, by_epoch=False, begin=0, end=30),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-2, by_epoch=False, begin=30, end=max_iters),
]
train_cfg = dict(type="otcxr_mm.ResumableTrainLoop", max_iters=max_iters, val_interval=100)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(
    # fills the backbone before training; None leaves it untrained
    load_backbone=dict(type="otcxr_mm.LoadBackboneHook", checkpoint=None),
    checkpoint=dict(by_epoch=False, interval=100, save_best="mask/dice", rule="greater", max_keep_ckpts=2),
    logger=dict(interval=20),
    # averages batch norm statistics over all processes before they are validated and saved
    sync_buffers=dict(type="SyncBuffersHook"),
    # writes results.json and predictions.npz after the test
    results=dict(type="otcxr_mm.ResultsHook"),
    # writes overlays.png after the test: contours of the worst, median and best images
    overlays=dict(type="otcxr_mm.MaskOverlayHook"),
)
