# AdamW, 5 epochs of warm-up, cosine to 0.1 %.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05),
    # no weight decay on norms, biases and the neck's gate
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={"neck.gate": dict(decay_mult=0.0), "in_proj_bias": dict(decay_mult=0.0)},
    ),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=True, begin=0, end=5, convert_to_iter_based=True),
    dict(
        type="CosineAnnealingLR",
        eta_min_ratio=1e-3,
        by_epoch=True,
        begin=5,
        end=100,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type="otcxr_mm.ResumableTrainLoop", max_epochs=100)
# --auto-scale-lr multiplies lr by (images per iteration on all GPUs) / base_batch_size
auto_scale_lr = dict(base_batch_size=64, enable=False)
