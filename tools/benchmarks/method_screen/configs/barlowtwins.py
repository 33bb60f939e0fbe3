# Barlow Twins (Zbontar et al., ICML 2021) as MMPretrain has it; the projector's width is scaled with the backbone.
_base_ = ["./screen.py"]

model = dict(
    type="BarlowTwins",
    backbone={{_base_.backbone}},
    neck=dict(
        type="NonLinearNeck",
        in_channels=256,
        hid_channels=512,
        out_channels=512,
        num_layers=3,
        with_last_bn=False,
        with_last_bn_affine=False,
        with_avg_pool=True,
        norm_cfg=dict(type="BN1d"),
    ),
    head=dict(
        type="LatentCrossCorrelationHead",
        in_channels=512,
        loss=dict(type="CrossCorrelationLoss"),
    ),
    data_preprocessor={{_base_.data_preprocessor}},
)
