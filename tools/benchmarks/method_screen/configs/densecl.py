# DenseCL (Wang et al., CVPR 2021) as MMPretrain has it; a queue of 1,024 for these small sets, and momentum 0.01, for
# the short runs here.
_base_ = ["./screen.py"]

model = dict(
    type="DenseCL",
    queue_len=1024,
    feat_dim=128,
    momentum=0.01,
    loss_lambda=0.5,
    backbone={{_base_.backbone}},
    neck=dict(type="DenseCLNeck", in_channels=256, hid_channels=512, out_channels=128, num_grid=None),
    head=dict(type="ContrastiveHead", loss=dict(type="CrossEntropyLoss"), temperature=0.2),
    data_preprocessor={{_base_.data_preprocessor}},
)
