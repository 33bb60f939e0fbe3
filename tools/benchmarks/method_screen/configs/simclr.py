# SimCLR (Chen et al., ICML 2020) as MMPretrain has it.
_base_ = ["./screen.py"]

model = dict(
    type="SimCLR",
    backbone={{_base_.backbone}},
    neck=dict(
        type="NonLinearNeck",
        in_channels=256,
        hid_channels=512,
        out_channels=128,
        num_layers=2,
        with_avg_pool=True,
        norm_cfg=dict(type="BN1d"),
    ),
    head=dict(type="ContrastiveHead", loss=dict(type="CrossEntropyLoss"), temperature=0.1),
    data_preprocessor={{_base_.data_preprocessor}},
)
