# BYOL (Grill et al., NeurIPS 2020) as MMPretrain has it.
_base_ = ["./screen.py"]

model = dict(
    type="BYOL",
    base_momentum=0.01,
    backbone={{_base_.backbone}},
    neck=dict(
        type="NonLinearNeck",
        in_channels=256,
        hid_channels=512,
        out_channels=256,
        num_layers=2,
        with_bias=True,
        with_last_bn=False,
        with_avg_pool=True,
        norm_cfg=dict(type="BN1d"),
    ),
    head=dict(
        type="LatentPredictHead",
        loss=dict(type="CosineSimilarityLoss"),
        predictor=dict(
            type="NonLinearNeck",
            in_channels=256,
            hid_channels=512,
            out_channels=256,
            num_layers=2,
            with_bias=True,
            with_last_bn=False,
            with_avg_pool=False,
            norm_cfg=dict(type="BN1d"),
        ),
    ),
    data_preprocessor={{_base_.data_preprocessor}},
)
