# OTCXR as the screen starts from it.
_base_ = ["./screen.py"]

model = dict(
    type="otcxr_mm.OTCXR",
    backbone=dict(
        type="ScreenResNet",
        depth=18,
        in_channels=1,
        base_channels=32,
        stem_channels=32,
        out_indices=(2, 3),
        norm_cfg=dict(type="BN"),
        zero_init_residual=False,
    ),
    neck=dict(
        type="otcxr_mm.CVSIM",
        in_channels=(128, 256),
        embed_dims=128,
        num_heads=4,
        hidden_channels=512,
        out_channels=256,
        max_tokens=49,
        infusion="none",
        global_token="mean",
    ),
    head=dict(
        type="otcxr_mm.OTHead",
        loss_ot=dict(type="otcxr_mm.TransportLoss", metric="sqeuclidean", eps=0.1, n_iters=50, prior_weight=0.0),
        loss_var=dict(type="otcxr_mm.VarianceLoss", loss_weight=12.5),
        loss_cov=dict(type="otcxr_mm.CovarianceLoss", loss_weight=1.0),
        global_mass=0.0,
        marginals="uniform",
        prior_scale=None,
        statistics="both",
    ),
    data_preprocessor={{_base_.data_preprocessor}},
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={"neck.gate": dict(decay_mult=0.0), "in_proj_bias": dict(decay_mult=0.0)},
    ),
)
